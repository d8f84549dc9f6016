"""What was found before where the same thing happened: completed work orders.

Messages tell those of the same machine and failure mode (``past_cases``). Pages show the most alike of the site, by
words and by what the sensors showed (``like_alarm``, ``like_order``; ``maintenance.similarity`` says how alike), with
what fixed them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, QuerySet, Window
from django.db.models.functions import Coalesce, JSONObject, Now, RowNumber
from django.utils.dateparse import parse_datetime

from maintenance import failure_modes, similarity
from maintenance.messages import PastCase
from maintenance.models import Alarm, Anomaly, WorkOrder
from maintenance.part_models import OrderPart
from maintenance.similarity import Case, Likeness, Seen, Signal
from sensors.models import Sensor

MOST = 3
POOL, OWN = 2_000, 500
"""So many of a site's newest orders are looked at, and so many of the machine's own."""
SHORTLIST = 60
"""Of so many, the most alike without it, is looked up what the sensors showed."""
LEAST = 0.1
"""Less alike than this is not shown."""
EACH = 20
"""Anomalies of a case at most, the highest first."""
LONGEST = 1_000
"""Characters of an order that are compared."""
DONE = (WorkOrder.Status.COMPLETED, WorkOrder.Status.CLOSED)


def past_cases(groups: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[PastCase, ...]]:
    """The newest completed orders of each machine and failure mode, a few at most. One query."""
    wanted = set(groups)
    newest_first = Window(
        RowNumber(), partition_by=["machine", "failure_mode"], order_by=[F("completed_at").desc(), F("id").desc()]
    )
    rows = (
        WorkOrder.objects.filter(
            status=WorkOrder.Status.COMPLETED,
            machine__in={machine for machine, _ in wanted},
            failure_mode__in={mode for _, mode in wanted},
        )
        .annotate(place=newest_first)
        .filter(place__lte=MOST)
        .order_by("place")
        .values_list("machine", "failure_mode", "id", "completed_at", "findings")
    )
    found = defaultdict[tuple[int, str], list[PastCase]](list)
    for machine, mode, order, closed_at, findings in rows:
        if machine is not None and closed_at is not None:
            found[machine, mode].append(PastCase(order, closed_at, findings))
    return {group: tuple(cases) for group, cases in found.items() if group in wanted}


@dataclass(frozen=True, slots=True)
class Similar:
    """A past order with how alike it is, and the parts that were used for it."""

    order: WorkOrder
    likeness: Likeness
    parts: tuple[str, ...]

    @property
    def why(self) -> str:
        """In words, what is alike."""
        said = self.likeness.parts
        words = [f"{name} {100 * said[name]:.0f} %" for name in ("text", "pattern", "shape") if name in said]
        return ", ".join([*words, *(["same failure mode"] if said.get("mode") else [])])


def like_alarm(alarm: Alarm) -> list[Similar]:
    """Orders that are done, the most alike first, a few at most. As many queries whatever there is."""
    mode = failure_modes.CATALOGUE.modes.get(alarm.failure_mode)
    text = f"{mode.name if mode else ''} {alarm.sensor.name}"
    signal = _first(Alarm.objects.filter(pk=alarm.pk), since="raised_at", until=Now())
    asked = Case(0, text, _named(alarm.failure_mode), signal)
    return _alike(asked, _pool(alarm.site_id, alarm.machine_id, besides=0))


def like_order(order: WorkOrder) -> list[Similar]:
    """Others that are done, the most alike first, a few at most. As many queries whatever there is."""
    signal = _first(WorkOrder.objects.filter(pk=order.pk), since="opened_at", until=Coalesce("completed_at", Now()))
    mode = _named(order.found_mode or order.failure_mode)
    asked = Case(order.pk, _text(order.title, order.description), mode, signal)
    return _alike(asked, _pool(order.site_id, order.machine_id, besides=order.pk))


def _pool(site_id: int, machine_id: int, *, besides: int) -> list[Case]:
    done = WorkOrder.objects.filter(site=site_id, status__in=DONE).exclude(pk=besides).order_by("-id")
    columns = ("id", "title", "description", "failure_mode", "found_mode")
    rows = {row[0]: row for row in done.values_list(*columns)[:POOL]}
    rows |= {row[0]: row for row in done.filter(machine=machine_id).values_list(*columns)[:OWN]}
    return [
        Case(pk, _text(title, description), _named(found or mode))
        for pk, title, description, mode, found in rows.values()
    ]


def _text(title: str, description: str) -> str:
    return f"{title} {description}"[:LONGEST]


def _alike(asked: Case, pool: list[Case]) -> list[Similar]:
    short = [one.id for one in similarity.ranked(asked, pool)[:SHORTLIST]]
    if not short:
        return []
    known = {one.id: one for one in pool}
    done = WorkOrder.objects.filter(pk__in=short)
    shown = _signals(done, since="opened_at", until=F("completed_at")) if asked.signal is not None else {}
    near = [Case(pk, known[pk].text, known[pk].mode, shown.get(pk)) for pk in short]
    best = {one.id: one for one in similarity.ranked(asked, near, among=pool)[:MOST] if one.total >= LEAST}
    orders = done.select_related("machine", "past").in_bulk(list(best))
    used = _parts_used(best)
    return [Similar(orders[pk], one, tuple(used[pk])) for pk, one in best.items()]


def _named(mode: str) -> str:
    return "" if mode == failure_modes.UNKNOWN else mode


def _first(rows: QuerySet[Any], *, since: str, until: Any) -> Signal | None:
    return next(iter(_signals(rows, since=since, until=until).values()), None)


def _signals(rows: QuerySet[Any], *, since: str, until: Any) -> Mapping[int, Signal]:
    """What the sensors showed of each alarm or order, by the anomalies of its machine and mode from when to when."""
    behind = Anomaly.objects.filter(
        machine=OuterRef("machine"), failure_mode=OuterRef("failure_mode"), started_at__lte=OuterRef("until"),
        last_at__gte=OuterRef(since),
    ).order_by("-peak_score", "id")  # fmt: skip
    said = JSONObject(
        kind="kind",
        sensor="sensor_id",
        contributors="contributors",
        score="peak_score",
        start="started_at",
        end="last_at",
    )
    found = dict(
        rows.order_by().annotate(until=until).values_list("pk", ArraySubquery(behind.values(said=said)[:EACH]))
    )
    ids = {sensor for many in found.values() for one in many for sensor, _ in _shares(one)}
    kinds = dict(Sensor.objects.filter(pk__in=ids).values_list("pk", "kind")) if ids else {}
    signals = ((pk, Signal.of([_seen(one, kinds) for one in many])) for pk, many in found.items())
    return {pk: signal for pk, signal in signals if signal is not None}


def _shares(one: Mapping[str, Any]) -> list[tuple[int, float]]:
    """The sensors that contributed; without any said it is the anomaly's own."""
    return [(int(sensor), float(share)) for sensor, share in one["contributors"] or [(one["sensor"], 1.0)]]


def _seen(one: Mapping[str, Any], kinds: Mapping[int, str]) -> Seen:
    sensors = defaultdict[str, float](float)
    for sensor, share in _shares(one):
        sensors[f"sensor {sensor}"] += share
        sensors[f"measures {kinds.get(sensor, '')}"] += share
    lasted = (_instant(one["end"]) - _instant(one["start"])).total_seconds()
    return Seen(one["kind"], failure_modes.direction(one["kind"]), dict(sensors), one["score"], lasted)


def _instant(text: str) -> datetime:
    found = parse_datetime(text)
    if found is None:
        raise ValueError(f"{text!r} is no instant")
    return found


def _parts_used(order_ids: Iterable[int]) -> Mapping[int, list[str]]:
    rows = OrderPart.objects.filter(order__in=list(order_ids), issued__gt=F("returned")).select_related("part")
    found = defaultdict[int, list[str]](list)
    for row in rows.order_by("order_id", "id"):
        found[row.order_id].append(f"{row.used.normalize():f} {row.part}")
    return found
