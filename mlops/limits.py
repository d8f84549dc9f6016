"""When sensors will be at their limits: kept once a day, looked up, forgotten. Light: pages and REST read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now

from mlops.limit_models import LimitForecast
from sensors import show, ticks
from sensors.models import Equipment, Sensor

ABOVE, BELOW = ("high", "high_high"), ("low", "low_low")
"""Of each side the limits from the inside to the outside."""
NOT_PROVEN = "not shown: on what came so far its interval is not proven"
STALE = timedelta(days=2)

Group = tuple[int, str, str]
"""Sensors that are back-tested together: site, class of the machine, kind of the sensor."""


def with_limits() -> QuerySet[Sensor]:
    """Sensors with a limit, with their machine."""
    some = Q()
    for name in (*ABOVE, *BELOW):
        some |= Q(**{f"{name}__isnull": False})
    return Sensor.objects.filter(some, machine__isnull=False).select_related("machine").order_by("machine_id", "pk")


def next_limit(sensor: Sensor, value: float, *, above: bool) -> tuple[str, float] | None:
    """The first limit of a side that the value is not at yet."""
    for name in ABOVE if above else BELOW:
        limit = getattr(sensor, name)
        if limit is not None and (value < limit if above else value > limit):
            return name, limit
    return None


def group_of(sensor: Sensor) -> Group:
    machine = sensor.machine
    return sensor.site_id, machine.equipment_class.upper() if machine else "", sensor.kind


def newest(sensors: Collection[int]) -> dict[int, list[LimitForecast]]:
    """By sensor what was last told of each of its limits."""
    rows = LimitForecast.objects.filter(sensor__in=sensors).order_by("sensor_id", "limit_name", "-day")
    found = defaultdict[int, list[LimitForecast]](list)
    for row in rows.distinct("sensor_id", "limit_name").select_related("sensor__machine"):
        found[row.sensor_id].append(row)
    return found


def computed_at() -> dict[int, datetime]:
    """Of each machine when it was last its turn."""
    rows = LimitForecast.objects.order_by().values_list("machine_id").annotate(last=Max("computed_at"))
    return dict(rows)


class Book:
    """Back-tests by group. What sensors of one machine show is much the same: of each machine the one with the most
    counts."""

    def __init__(self, rows: Iterable[LimitForecast]) -> None:
        self.shares = defaultdict[Group, dict[int, dict[tuple[int, bool], list[float]]]](lambda: defaultdict(dict))
        for row in sorted(rows, key=lambda one: one.day):
            self.put(row.sensor, row.limit_name in ABOVE, row.shares)

    def put(self, sensor: Sensor, above: bool, shares: list[float]) -> None:
        self.shares[group_of(sensor)][sensor.machine_id or 0][sensor.pk, above] = shares

    def of(self, sensor: Sensor) -> list[float]:
        machines = self.shares[group_of(sensor)].values()
        return [share for mine in machines for share in max(mine.values(), key=len, default=[])]


def keep(row: LimitForecast) -> None:
    """In place of what was told earlier on the day."""
    columns = [
        "machine", "limit", "asked_at", "state", "p10", "p50", "p90", "shares", "tested_at", "observed", "least",
        "origins", "is_proven", "computed_at",
    ]  # fmt: skip
    row.computed_at = Now()
    LimitForecast.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["sensor", "limit_name", "day"], update_fields=columns
    )


def current(rows: QuerySet[LimitForecast]) -> list[LimitForecast]:
    """Of each sensor and limit what was last told, where that is of the last days its machine was read."""
    found = list(
        rows.select_related("sensor").order_by("sensor_id", "limit_name", "-day").distinct("sensor_id", "limit_name")
    )
    last: dict[int, datetime] = {}
    for row in found:
        last[row.machine_id] = max(last.get(row.machine_id, row.asked_at), row.asked_at)
    return [row for row in found if row.asked_at > last[row.machine_id] - STALE and row.limit == _limit(row)]


def _limit(row: LimitForecast) -> float | None:
    """As it is now: what was told of another limit is not true any more."""
    limit: float | None = getattr(row.sensor, row.limit_name)
    return limit


def of_machine(machine: Equipment) -> list[LimitForecast]:
    return current(LimitForecast.objects.filter(machine=machine))


def of_sensor(sensor: Sensor) -> list[LimitForecast]:
    return current(LimitForecast.objects.filter(sensor=sensor))


def told(row: LimitForecast) -> str:
    """In words, the interval where it is proven."""
    if row.state != LimitForecast.State.TREND:
        return row.get_state_display().lower()
    if not row.is_proven:
        return NOT_PROVEN
    ends = [None if value is None else ticks.span(value) for value in (row.p10, row.p50, row.p90)]
    if ends[2] is None:
        return f"in {ends[0]} at the earliest (P10)" + (f", median {ends[1]}" if ends[1] else "")
    return f"in {ends[0]} to {ends[2]} (P10 to P90), median {ends[1]}"


def borne_out(row: LimitForecast) -> str:
    """What the back-test came to."""
    if row.observed is None or row.least is None:
        return "never back-tested: no trend so far"
    return f"{row.observed:.0%} within, at least {row.least:.0%}, of {show.count(row.origins)} times"


def lines(rows: Iterable[LimitForecast]) -> list[Mapping[str, Any]]:
    """For pages."""
    return [
        {
            "row": row, "limit": f"{row.limit_name.replace('_', ' ')} {show.number(row.limit, row.sensor.unit)}",
            "told": told(row), "borne_out": borne_out(row),
        }
        for row in rows
    ]  # fmt: skip


def forget(*, before: datetime) -> int:
    return LimitForecast.objects.filter(computed_at__lt=before).delete()[0]
