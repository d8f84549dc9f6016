"""The recipes of models by name. To add one: a file with a ``learning.contract.Recipe``, a name here."""

from __future__ import annotations

from mlops.learning.contract import Recipe
from mlops.recipes import anomaly, bearing_health, bearing_life, bearing_novelty, hydraulics, milling

FAMILIES: tuple[tuple[Recipe, ...], ...] = (
    anomaly.FAMILY,
    bearing_health.RECIPES,
    bearing_life.RECIPES,
    bearing_novelty.RECIPES,
    hydraulics.RECIPES,
    milling.RECIPES,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for family in FAMILIES for recipe in family}
from mlops.recipes.forecasting import VALUE_AHEAD
from mlops.recipes.time_to_limit import TIME_TO_LIMIT
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *VALUE_AHEAD,
        *TIME_TO_LIMIT,
    )
}
