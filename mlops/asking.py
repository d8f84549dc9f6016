"""What a client asks of a model, held against the model's signature: nothing is guessed and nothing is filled in.

Pure, and light: the web server reads questions, a worker answers them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS = 10_000
COUNTED = "count"
"""How a feature without a unit may be called, beside nothing at all."""


class Wrong(Exception):
    """The question does not fit the model. ``errors``: pointers below ``features`` with what is wrong there."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("The features are not those that the model takes.")
        self.errors = dict(errors)


def rows(signature: Mapping[str, Any], features: Mapping[str, Any]) -> list[list[float | None]]:
    """The values as rows in the order of the signature, None = missing.

    ``signature``: as ``ModelVersion`` keeps it; ``features``: of each its unit and its values, the oldest first.
    Raises ``Wrong`` with everything that is wrong.
    """
    wanted = {one["name"]: one["unit"] for one in signature["features"]}
    errors = {name: "The model takes this feature: it is missing." for name in wanted if name not in features}
    errors |= {name: "The model does not take this feature." for name in features if name not in wanted}
    columns: dict[str, Sequence[float | None]] = {}
    for name in features.keys() & wanted.keys():
        unit, values = features[name]["unit"], features[name]["values"]
        if unit != wanted[name] and not (unit == COUNTED and not wanted[name]):
            errors[f"{name}/unit"] = f"It is in {unit or 'no unit'!r}; the model takes {wanted[name] or 'no unit'!r}."
        if any(value is not None and not math.isfinite(value) for value in values):
            errors[f"{name}/values"] = "Values are finite numbers, or null where one is missing."
        columns[name] = values
    lengths = {len(values) for values in columns.values()}
    if not errors and len(lengths) > 1:
        raise Wrong({name: f"{len(values)} values; all have to be as long." for name, values in columns.items()})
    if not errors and (short := _too_few_or_many(signature, min(lengths, default=0))):
        raise Wrong({"": short})
    if errors:
        raise Wrong(errors)
    return [list(row) for row in zip(*(columns[name] for name in wanted), strict=True)]


def _too_few_or_many(signature: Mapping[str, Any], length: int) -> str:
    if length < signature["least"]:
        return f"{length} rows; the model says nothing before it has {signature['least']}."
    return f"{length} rows; at most {MOST_ROWS} are taken." if length > MOST_ROWS else ""
