"""The recipes of models by name. To add one: a file with a ``learning.contract.Recipe``, a name here."""

from __future__ import annotations

from mlops.learning.contract import Recipe

RECIPES: dict[str, Recipe] = {}
