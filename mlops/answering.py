"""Answers of models to questions that came over REST. Heavy: only the worker that answers reaches it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops import loader
from mlops.learning.examples import Examples, Track
from mlops.loader import Speaker
from mlops.models import Question


class CannotAnswer(Exception):
    """The message says why."""


def answer(question: Question) -> dict[str, Any]:
    """What the champion says. Raises ``loader.Silent`` and ``CannotAnswer``."""
    speaker = loader.champion(question.name)
    asked = question.asked
    if speaker.version != asked["version"]:
        raise CannotAnswer(f"Version {asked['version']} was asked and {speaker.version} speaks now. Ask again.")
    examples = _examples(speaker, asked)
    answers = speaker.learned.answer(examples)
    units = {one.name: one.unit for one in speaker.signature.outputs}
    return {
        "model": speaker.name,
        "version": speaker.version,
        "degraded": speaker.degraded,
        "rows": examples.end.tolist(),
        "outputs": {
            name: {"unit": units[name], "values": [_number(value) for value in answers[name].tolist()]}
            for name in units
        },
    }


def _examples(speaker: Speaker, asked: dict[str, Any]) -> Examples:
    value = np.array([[np.nan if one is None else one for one in row] for row in asked["rows"]], np.float64)
    track = Track("asked", np.arange(len(value), dtype=np.int64) * max(1, speaker.signature.period_us), value)
    first = speaker.signature.least if asked["each"] else len(value)
    ends = np.arange(first, len(value) + 1, dtype=np.int64)
    return Examples((track,), np.zeros(len(ends), np.int64), ends, np.full(len(ends), np.nan))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
