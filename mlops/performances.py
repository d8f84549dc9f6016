"""How good models were about live machines, window after window of their answers: kept, looked up, forgotten."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from mlops.models import Prediction
from mlops.performance_models import LivePerformance
from sensors.columns import Float64, Int64, from_instant

LEADING = ("f1", "accuracy", "pinball", "coverage")
"""The figure that stands for all, where a list has room for one: the first of these that there is."""


class Found(Protocol):
    """``mlops.drift.performance.Performance``, which is not imported: pages read this module too."""

    @property
    def name(self) -> str: ...
    @property
    def expected(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def measured(self) -> float: ...


def next_answers(machine: int, *, name: str, version: int, most: int) -> list[Prediction]:
    """Those that are in no window yet, the oldest first; fewer than ``most``: they wait for others."""
    rows = _answers(machine, name=name, version=version)
    last = LivePerformance.objects.filter(machine=machine, name=name, version=version).order_by("-to_at").first()
    return list((rows if last is None else rows.filter(asked_at__gt=last.to_at))[:most])


def answers_of(row: LivePerformance) -> list[Prediction]:
    mine = _answers(row.machine_id, name=row.name, version=row.version)
    return list(mine.filter(asked_at__gte=row.from_at, asked_at__lte=row.to_at))


def answers_before(machine: int, *, name: str, version: int, at: datetime, most: int) -> list[Prediction]:
    """The newest before an instant, the oldest first."""
    mine = _answers(machine, name=name, version=version).filter(asked_at__lt=at)
    return list(mine.order_by("-asked_at")[:most])[::-1]


def _answers(machine: int, *, name: str, version: int) -> QuerySet[Prediction]:
    rows = Prediction.objects.filter(machine=machine, name=name, version=version).order_by("asked_at")
    return rows.only("asked_at", "outputs")


def columns(rows: Sequence[Prediction], outputs: Collection[str]) -> tuple[Int64, dict[str, Float64]]:
    """Instants, and of each output its (n,) values, NaN = it said nothing."""
    at = np.array([from_instant(row.asked_at) for row in rows], np.int64)
    return at, {name: np.array([_value(row.outputs, name) for row in rows], np.float64) for name in outputs}


def _value(outputs: Mapping[str, Mapping[str, Any]], name: str) -> float:
    value = outputs.get(name, {}).get("value")
    return math.nan if value is None else float(value)


def plain(found: Sequence[Found], held_out: Mapping[str, Sequence[float | None]]) -> list[dict[str, Any]]:
    """As a row keeps figures; None = not known. ``held_out``: the figures of the version."""
    return [
        {
            "name": one.name, "expected": _number(one.expected), "low": _number(one.low), "high": _number(one.high),
            "held_out": None if one.name == "pinball" else next(iter(held_out.get(one.name, ())), None),
            "measured": _number(one.measured),
        }
        for one in found
    ]  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def leading(row: LivePerformance) -> Mapping[str, Any] | None:
    by_name = {one["name"]: one for one in row.figures}
    return next((by_name[name] for name in LEADING if name in by_name), None)


def to_measure(name: str, *, version: int, told_of: Collection[int]) -> QuerySet[LivePerformance]:
    """Windows of which something may be known by now that was not: of machines somebody told of, or had told of."""
    rows = LivePerformance.objects.filter(name=name, version=version).order_by("id")
    return rows.filter(Q(machine__in=told_of) | ~Q(said=[]))


def never_measured(name: str, *, version: int, before: datetime) -> QuerySet[LivePerformance]:
    """Those that ended before an instant."""
    rows = LivePerformance.objects.filter(name=name, version=version, measured_at=None, to_at__lte=before)
    return rows.order_by("id")


def measured(row: LivePerformance, figures: Sequence[Mapping[str, Any]], *, known: int, said: Sequence[str]) -> None:
    told = {"figures": list(figures), "known": known, "said": list(said), "measured_at": Now()}
    LivePerformance.objects.filter(pk=row.pk).update(**told)


def forget(*, before: datetime) -> int:
    """How many were dropped because they are older: what they were made of is gone as well."""
    return LivePerformance.objects.filter(created_at__lt=before).delete()[0]
