"""Readings held against what was usual where a model learned. Heavy: only workers that answer reach it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np

from mlops.drift import check
from mlops.drift.check import Criteria, Verdict
from mlops.drift.windows import Window
from mlops.drift_models import DriftCheck
from mlops.loader import Speaker
from sensors.columns import Float64, Int64


class CannotCheck(Exception):
    """The message says why."""


def held_against(speaker: Speaker, at: Int64 | None, value: Float64, criteria: Criteria = check.USUAL) -> Verdict:
    """``value``: (n, features) in the order of the signature; the last rows count, as many as the reference's windows
    have. ``at``: (n,) microseconds, None = not known. Raises ``CannotCheck``."""
    known = speaker.reference
    if known is None:
        raise CannotCheck(
            f"Version {speaker.version} of {speaker.name} has no reference of what it learned from, so no drift can be "
            "told; its card says why, unless it is of a time before references were kept. Train it anew."
        )
    if at is None and known.is_seasonal:
        raise CannotCheck(f"What is usual for {speaker.name} depends on the hour: say when each row was measured.")
    return check.check(known, Window(np.zeros(len(value), np.int64) if at is None else at, value), criteria)


def answer(speaker: Speaker, asked: dict[str, Any]) -> dict[str, Any]:
    """To a question that came over REST."""
    value = np.array([[np.nan if one is None else one for one in row] for row in asked["rows"]], np.float64)
    found = held_against(speaker, None if asked["at"] is None else np.array(asked["at"], np.int64), value)
    known = speaker.reference
    return {
        "model": speaker.name,
        "version": speaker.version,
        "degraded": speaker.degraded,
        "verdict": verdict_of(found),
        "reason": found.reason,
        "rows": 0 if known is None else min(len(value), known.rows),
        "features": features(found),
    }


def verdict_of(found: Verdict) -> str:
    if found.drifted:
        return DriftCheck.Verdict.DRIFTED
    return DriftCheck.Verdict.AS_BEFORE if found.judged else DriftCheck.Verdict.NOT_JUDGED


def features(found: Verdict) -> list[dict[str, Any]]:
    """Plain values, None = not judged; in the order of the signature."""
    return [
        {
            "feature": one.feature, "p": _number(one.p), "q": _number(one.q), "effect": _number(one.effect),
            "shift": _number(one.shift), "drifted": one.drifted, "words": one.reason,
        }
        for one in found.findings
    ]  # fmt: skip


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


# What was looked at by itself


def newest(machine_ids: Collection[int], *, name: str, version: int) -> dict[int, DriftCheck]:
    """Of each machine that was checked for this version its newest check."""
    rows = DriftCheck.objects.filter(machine__in=machine_ids, name=name, version=version)
    return {row.machine_id: row for row in rows.order_by("machine_id", "-to_at").distinct("machine_id")}


def forget(*, before: datetime) -> int:
    """How many checks that found nothing were dropped because they are older; a drift is kept."""
    return DriftCheck.objects.filter(created_at__lt=before).exclude(verdict=DriftCheck.Verdict.DRIFTED).delete()[0]
