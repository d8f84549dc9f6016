"""Answers of models to questions that came over REST. Heavy: only the worker that answers reaches it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mlops import drift_checks, loader
from mlops.learning.examples import Examples, Track
from mlops.loader import Speaker
from mlops.models import Question
from mlops.multivariate import Multivariate

UNNAMED = "asked"
MOST_EXPLAINED = 20
"""Rows of a question whose answers are explained, the last ones: explaining may ask the model a thousand times each."""


class CannotAnswer(Exception):
    """The message says why."""


def answer(question: Question) -> dict[str, Any]:
    """What the champion says. Raises ``loader.Silent``, ``CannotAnswer`` and ``drift_checks.CannotCheck``."""
    speaker = loader.champion(question.name)
    asked = question.asked
    if speaker.version != asked["version"]:
        raise CannotAnswer(f"Version {asked['version']} was asked and {speaker.version} speaks now. Ask again.")
    if question.kind == Question.Kind.DRIFT:
        return drift_checks.answer(speaker, asked)
    return _predicted(speaker, asked)


def _predicted(speaker: Speaker, asked: dict[str, Any]) -> dict[str, Any]:
    examples = _examples(speaker, asked)
    _knows(speaker, examples.tracks[0].unit)
    answers = speaker.learned.answer(examples)
    units = {one.name: one.unit for one in speaker.signature.outputs}
    told = _explained(speaker, examples) if asked["explain"] else {}
    return told | {
        "model": speaker.name,
        "version": speaker.version,
        "degraded": speaker.degraded,
        "rows": examples.end.tolist(),
        "outputs": {
            name: {"unit": units[name], "values": [_number(value) for value in answers[name].tolist()]}
            for name in units
        },
    }


def _knows(speaker: Speaker, unit: str) -> None:
    """Raises ``CannotAnswer`` where a site's model has what is normal of each machine, and not of this one."""
    learned = speaker.learned
    if speaker.signature.site and isinstance(learned, Multivariate) and unit not in learned.planes:
        raise CannotAnswer(
            f"Version {speaker.version} of {speaker.name} did not learn from machine {unit}, so it knows nothing of "
            "what is normal there. Train it anew."
        )


def _explained(speaker: Speaker, examples: Examples) -> dict[str, Any]:
    """What each feature adds to the answer about each of the last rows, the largest first."""
    last = examples.take(np.arange(max(0, len(examples) - MOST_EXPLAINED), len(examples)))
    explain = import_module("mlops.explain")  # not above: shap takes memory and seconds, also of who explains nothing
    found = explain.contributions(speaker.learned, last)
    names = [feature.name for feature in speaker.signature.features]
    rows = []
    for end, row in zip(last.end.tolist(), found, strict=True):
        order = np.argsort(-np.abs(np.nan_to_num(row)), kind="stable")
        rows.append({
            "row": end,
            "features": [{"feature": names[k], "contribution": _number(float(row[k]))} for k in order.tolist()],
        })  # fmt: skip
    return {"contributions": rows}


def _examples(speaker: Speaker, asked: dict[str, Any]) -> Examples:
    value = np.array([[np.nan if one is None else one for one in row] for row in asked["rows"]], np.float64)
    track = Track(
        asked.get("unit") or UNNAMED, np.arange(len(value), dtype=np.int64) * max(1, speaker.signature.period_us), value
    )
    first = speaker.signature.least if asked["each"] else len(value)
    ends = np.arange(first, len(value) + 1, dtype=np.int64)
    return Examples((track,), np.zeros(len(ends), np.int64), ends, np.full(len(ends), np.nan))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
