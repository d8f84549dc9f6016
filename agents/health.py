"""The health index of machines as they stand, each part with what it was made of. Read; eleven queries for any number.

A part is unknown rather than good where nothing speaks of it: anomalies where no reading came for a week, a prognosis
where no model was shown to have answered in a week or its coverage is not proven.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet

from agents import health_index
from agents.health_index import Index, Late, Sighting
from maintenance import hidden, order_priority, plans
from maintenance.alarm_life import State
from maintenance.models import Alarm, Anomaly, WorkOrder
from maintenance.plan_models import Meter, Plan
from mlops import limits
from mlops.limit_models import LimitForecast
from mlops.models import Prediction
from sensors import series, ticks
from sensors.models import Equipment, Label, Regime
from sensors.series import Span

WINDOW = timedelta(days=health_index.WINDOW_DAYS)
YEAR = timedelta(days=365.25)
TIMES = ("rul_p50", "time_to_limit_p50", "time_to_limit", "p50")
"""Outputs of models that say how much time is left, where they are in a unit of time."""
SECONDS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
MEANT = (State.DSUPR, State.OOSRV)
"""Alarms of a machine that is off or worked at are no news of its condition."""
Found = tuple[float | None, str]
"""A part, and in words what it was made of."""
NOTHING_MEASURED = "nothing was measured in the last 7 days"
NO_MODEL = "no model has spoken in the last 7 days"


@dataclass(frozen=True, slots=True)
class Health:
    """``words``: of each part, and of the ``alarms``, what it was made of."""

    index: Index
    words: Mapping[str, str]


def of(machines: Sequence[Equipment], *, now: datetime) -> dict[int, Health]:
    """By the id of the machine."""
    ids = [machine.pk for machine in machines]
    spans = series.spans(ids)
    seen, told, alarms = _sightings(ids, now), _prognoses(ids, now), _alarms(ids)
    late = _late(machines, now)
    hours, orders = _running_hours(ids), _first_orders(ids)
    found = {}
    for machine in ids:
        parts: dict[str, Found] = {
            "anomalies": _anomalies(seen[machine], spans[machine], now=now),
            "prognosis": min(told[machine], key=_lowest_known, default=(None, NO_MODEL)),
            "overdue": _overdue(late[machine]),
            "age": _age(hours.get(machine), spans[machine], orders.get(machine), now=now),
        }
        open_ = alarms[machine]
        index = health_index.index({name: value for name, (value, _) in parts.items()}, alarms=open_)
        words = {name: text for name, (_, text) in parts.items()}
        found[machine] = Health(index, words | {"alarms": _counted(open_) or "no alarm is open"})
    return found


def _sightings(ids: Collection[int], now: datetime) -> Mapping[int, list[Sighting]]:
    """Credible ones, without what a person called normal since."""
    mine = Q(sensor=None) | Q(sensor=OuterRef("sensor_id"))
    said = Label.objects.filter(
        mine, machine=OuterRef("machine_id"), retracted_at=None, from_at__lte=OuterRef("last_at"),
        to_at__gte=OuterRef("started_at"), kind__in=[Label.Kind.FALSE_ALARM, Label.Kind.EXPECTED],
    )  # fmt: skip
    normal = Regime.objects.filter(
        mine, machine=OuterRef("machine_id"), retracted_at=None, since__gt=OuterRef("started_at"), since__lte=now
    )
    rows = Anomaly.objects.filter(
        ~Exists(said), ~Exists(normal), machine__in=ids, nature=Anomaly.Nature.MACHINE, started_at__lte=now,
        verdict__in=[Anomaly.Verdict.CREDIBLE, ""], last_at__gt=now - WINDOW,
    ).order_by()  # fmt: skip
    found = defaultdict[int, list[Sighting]](list)
    for machine, kind, score, last_at, ended_at in rows.values_list(
        "machine_id", "kind", "peak_score", "last_at", "ended_at"
    ):
        ago = 0.0 if ended_at is None else max((now - last_at).total_seconds(), 0.0)
        found[machine].append(Sighting(kind, score, ago))
    return found


def _anomalies(seen: Sequence[Sighting], span: Span, *, now: datetime) -> Found:
    if span.newest is None or span.newest <= now - WINDOW:
        return None, NOTHING_MEASURED
    if not seen:
        return health_index.anomalies(seen), "no credible anomaly in 7 days"
    severe = sum(one.is_severe for one in seen)
    newest = min(one.ago for one in seen)
    text = f"{len(seen)} credible in 7 days, {severe} severe; the newest "
    return health_index.anomalies(seen), text + (f"{ticks.span(newest)} ago" if newest else "still lasts")


def _prognoses(ids: Collection[int], now: datetime) -> Mapping[int, list[Found]]:
    """Of each model the newest answer that people were shown."""
    rows = Prediction.objects.filter(
        machine__in=ids, is_shown=True, asked_at__gt=now - WINDOW, asked_at__lte=now
    ).order_by("machine_id", "name", "-asked_at", "-id")
    found = defaultdict[int, list[Found]](list)
    for row in rows.distinct("machine_id", "name").only("machine_id", "name", "version", "asked_at", "outputs"):
        answers = {name: _value(row.outputs, name) for name in ("coverage_proven", "health")}
        who = f"{row.name} {row.version}"
        if answers["coverage_proven"] == 0:
            found[row.machine_id].append((None, f"{who}: its coverage is not proven"))
            continue
        for name in TIMES:
            said, unit = _value(row.outputs, name), _unit(row.outputs, name)
            if said is not None and unit in SECONDS:
                left = max(said * SECONDS[unit] - (now - row.asked_at).total_seconds(), 0.0)
                found[row.machine_id].append((health_index.time_left(left), f"{who}: {ticks.span(left)} left"))
        if answers["health"] is not None:
            share = min(max(answers["health"], 0.0), 1.0)
            found[row.machine_id].append((health_index.BEST * share, f"{who}: health {share:.2f} of 1"))
    for machine, time in _limits_ahead(ids, now):
        found[machine].append(time)
    return found


def _limits_ahead(ids: Collection[int], now: datetime) -> Iterator[tuple[int, Found]]:
    """Of sensors that are on the way to a limit, where the interval is proven."""
    rows = LimitForecast.objects.filter(machine__in=ids, asked_at__gt=now - WINDOW, asked_at__lte=now)
    for row in limits.current(rows):
        if row.is_proven and row.p50 is not None:
            left = max(row.p50 - (now - row.asked_at).total_seconds(), 0.0)
            who = f"{row.sensor.external_id}, {row.limit_name.replace('_', ' ')} limit"
            yield row.machine_id, (health_index.time_left(left), f"{who}: {ticks.span(left)} left")


def _value(outputs: Mapping[str, Any], name: str) -> float | None:
    said = outputs.get(name, {}).get("value")
    return float(said) if isinstance(said, int | float) and math.isfinite(said) else None


def _unit(outputs: Mapping[str, Any], name: str) -> str:
    return str(outputs.get(name, {}).get("unit", ""))


def _lowest_known(found: Found) -> float:
    return math.inf if found[0] is None else found[0]


def _alarms(ids: Collection[int]) -> Mapping[int, list[str]]:
    """The priorities of those that are open."""
    rows: QuerySet[Any] = hidden.with_state(Alarm.objects.filter(machine__in=ids, is_open=True))
    found = defaultdict[int, list[str]](list)
    for machine, priority in rows.exclude(state__in=MEANT).order_by().values_list("machine_id", "priority"):
        found[machine].append(priority)
    return found


def _late(machines: Sequence[Equipment], now: datetime) -> Mapping[int, list[Late]]:
    """Orders that are past their date, and plans that are due and have no order yet."""
    criticality = {machine.pk: machine.criticality for machine in machines}
    found = defaultdict[int, list[Late]](list)
    orders = WorkOrder.objects.filter(machine__in=criticality, due_at__lt=now).exclude(status__in=WorkOrder.OVER)
    for machine, priority, due_at in orders.order_by().values_list("machine_id", "priority", "due_at"):
        found[machine].append(Late(priority, _since(due_at, now)))
    due = Plan.objects.filter(plans.overdue(now=now), machine__in=criticality).exclude(occurrences__outcome="")
    for machine, said, due_at in due.order_by().values_list("machine_id", "priority", "due_at"):
        priority = said or order_priority.priority(criticality=criticality[machine], severe=False)
        found[machine].append(Late(priority, _since(due_at, now)))
    return found


def _since(due_at: datetime | None, now: datetime) -> float:
    """Seconds; 0 of a plan that is due by its meter and not by its date."""
    return 0.0 if due_at is None else max((now - due_at).total_seconds(), 0.0)


def _overdue(work: Sequence[Late]) -> Found:
    if not work:
        return health_index.overdue(work), "nothing is overdue"
    longest = max(one.late for one in work)
    return health_index.overdue(work), f"{len(work)} overdue, the oldest by {ticks.span(longest)}"


def _running_hours(ids: Collection[int]) -> Mapping[int, float]:
    """By the meter that shows most; without those that nothing was read off yet."""
    meters = Meter.objects.filter(machine__in=ids, unit=Meter.Unit.HOURS, read_at__isnull=False).order_by()
    return dict(meters.values_list("machine_id").annotate(most=Max("total")))


def _first_orders(ids: Collection[int]) -> Mapping[int, datetime]:
    orders = WorkOrder.objects.filter(machine__in=ids).order_by()
    return dict(orders.values_list("machine_id").annotate(first=Min("opened_at")))


def _age(hours: float | None, span: Span, order: datetime | None, *, now: datetime) -> Found:
    if hours is not None:
        return health_index.age(years=None, hours=hours), f"{hours:,.0f} running hours"
    known = [at for at in (span.oldest, order) if at is not None]
    if not known:
        return None, "neither readings nor orders say since when it is there"
    years = max((now - min(known)) / YEAR, 0.0)
    return health_index.age(years=years, hours=None), f"{years:.1f} years since the first reading or order"


def _counted(alarms: Iterable[str]) -> str:
    every = list(alarms)
    return ", ".join(
        f"{every.count(one)} {one.lower()}" for one in (*order_priority.PRIORITIES, "ADVISORY") if one in every
    )
