"""The recipes of models by name. To add one: a file with a ``learning.contract.Recipe``, a name here."""

from __future__ import annotations

from mlops.learning.contract import Recipe
from mlops.recipes import (
    anomaly,
    bearing_health,
    bearing_life,
    bearing_novelty,
    forecasting,
    hydraulics,
    milling,
    time_to_limit,
    turbofan,
)

FAMILIES: tuple[tuple[Recipe, ...], ...] = (
    anomaly.FAMILY,
    bearing_health.RECIPES,
    bearing_life.RECIPES,
    bearing_novelty.RECIPES,
    forecasting.VALUE_AHEAD,
    hydraulics.RECIPES,
    milling.RECIPES,
    time_to_limit.TIME_TO_LIMIT,
    turbofan.RECIPES,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for family in FAMILIES for recipe in family}
