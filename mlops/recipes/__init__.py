"""The recipes of models by name. To add one: a file with a ``learning.contract.Recipe``, a name here."""

from __future__ import annotations

from mlops.learning.contract import Recipe
from mlops.recipes import bearing_health, bearing_life, bearing_novelty

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (*bearing_health.RECIPES, *bearing_life.RECIPES, *bearing_novelty.RECIPES)
}
