"""What a backtest reads: the target's machines and sensors, labels, and what the flow itself found in the period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from django.db.models import Q, QuerySet

from agents.backtests.book import ORDER_OCCURRED, ORDER_OPENED, Machine
from agents.backtests.figures import Activation, Found, Period, Window
from agents.backtests.proposal import Proposal
from maintenance import definition_book
from maintenance.alarm_life import Action
from maintenance.models import AlarmTransition, Anomaly, Decision
from maintenance.sightings import Place
from sensors import roster, series
from sensors.columns import SECOND_US, SensorTable, from_instant, to_instant
from sensors.models import Equipment, Event, Label, Sensor, Site

LIMITS = ("physical_low", "low_low", "low", "high", "high_high", "physical_high")


@dataclass(frozen=True, slots=True)
class Target:
    """A sensor, else a machine with all its sensors, else a site with all its machines."""

    site: Site
    machine: Equipment | None = None
    sensor: Sensor | None = None

    def __str__(self) -> str:
        return str(self.sensor or self.machine or self.site)

    @property
    def limits(self) -> dict[str, float | None] | None:
        """Of the sensor as they are; None where the target is more than a sensor."""
        return None if self.sensor is None else {name: getattr(self.sensor, name) for name in LIMITS}

    def machines(self) -> list[tuple[Equipment, list[Sensor]]]:
        """The machines that have sensors, each with those that are judged, in order of their tags."""
        mine = Q(pk=self.sensor.pk) if self.sensor else Q(machine=self.machine) if self.machine else Q(site=self.site)
        grouped: dict[int, list[Sensor]] = defaultdict(list)
        for sensor in Sensor.objects.filter(mine).select_related("machine", "equipment").order_by("pk"):
            grouped[sensor.machine_id].append(sensor)
        found = [(sensors[0].machine, sensors) for sensors in grouped.values()]
        return sorted(found, key=lambda pair: pair[0].tag)

    def stored(self, rows: QuerySet[Label]) -> QuerySet[Label]:
        """Those of the rows that are of the target; of a sensor, also those of its whole machine."""
        if self.sensor is not None:
            return rows.filter(Q(sensor=self.sensor) | Q(sensor=None), machine=self.sensor.machine_id)
        return rows.filter(machine=self.machine) if self.machine else rows.filter(site=self.site)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to judge: readings of the target in the period, after a look-back that teaches and is not counted."""

    target: Target
    period: Period
    look_back: int
    proposal: Proposal


def of_machine(machine: Equipment, sensors: Sequence[Sensor]) -> tuple[SensorTable, Machine]:
    """What the stages know of these sensors of a machine, as they are now."""
    ids = np.array([sensor.pk for sensor in sensors], np.int64)
    known = roster.table(ids)
    table = known.take(known.rows(ids))
    places = {
        s.pk: Place(s.site_id, s.machine_id, s.kind, s.equipment.equipment_class or machine.equipment_class)
        for s in sensors
    }
    return table, Machine(
        id=machine.pk,
        site_id=machine.site_id,
        name=str(machine),
        criticality=machine.criticality,
        places=places,
        on_delay={s.pk: s.on_delay_seconds * SECOND_US for s in sensors},
        off_delay={s.pk: s.off_delay_seconds * SECOND_US for s in sensors},
        definitions=definition_book.of_machines([machine]),
        labels=tuple(map(_window, Label.objects.filter(machine=machine, retracted_at=None).order_by("pk"))),
    )


def span(sensors: Sequence[Sensor]) -> Period | None:
    """From the oldest to behind the newest reading of the sensors; None where there is none."""
    newest = series.latest([sensor.pk for sensor in sensors])
    oldest = [at for sensor in sensors if sensor.pk in newest and (at := series.oldest_at(sensor.pk)) is not None]
    if not oldest:
        return None
    last = max(found.measured_at for found in newest.values())
    return Period(from_instant(min(oldest)), from_instant(last) + 1)


def typical(sensor: Sensor, period: Period) -> float | None:
    """Where a sensor usually is: the median of its hours' means; None where no reading of an hour counts."""
    hours = series.hours(sensor.pk, start=to_instant(period.start), end=to_instant(period.end))
    means = hours["mean"][hours["counted"] > 0]
    return float(np.median(means)) if len(means) else None


def slices(period: Period, *, length: int) -> Iterator[Period]:
    """The period cut at multiples of ``length`` microseconds, as days at midnight UTC."""
    start = period.start
    while start < period.end:
        end = min((start // length + 1) * length, period.end)
        yield Period(start, end)
        start = end


def windows(target: Target, period: Period) -> dict[int, list[Window]]:
    """The labels that hold and touch the period, by machine."""
    touching = Label.objects.filter(
        retracted_at=None, from_at__lt=to_instant(period.end), to_at__gte=to_instant(period.start)
    )
    found: dict[int, list[Window]] = defaultdict(list)
    for row in target.stored(touching).order_by("from_at", "pk"):
        found[row.machine_id].append(_window(row))
    return found


def _window(row: Label) -> Window:
    from_at, to_at, made_at = (from_instant(at) for at in (row.from_at, row.to_at, row.created_at))
    return Window(row.machine_id, row.sensor_id, row.kind, from_at, to_at, row.failure_mode, made_at)


TURNS = (Action.OPENED, Action.REOPENED, Action.RAISED, Action.RETURNED)
WORK = (ORDER_OPENED, ORDER_OCCURRED)


def live(machine: Equipment, sensor: Sensor | None, period: Period) -> Found:
    """What the flow stored of a machine in the period; of a sensor, what its own anomalies were the cause of."""
    start, end = to_instant(period.start), to_instant(period.end)
    within = Anomaly.objects.filter(machine=machine, retrospective=False, started_at__gte=start, started_at__lt=end)
    decided = Decision.objects.filter(machine=machine)
    if sensor is not None:
        within, decided = within.filter(sensor=sensor), decided.filter(anomaly__sensor=sensor)
    anomalies = within.order_by("started_at", "pk").values_list("started_at", "nature", "detector")
    worked = decided.filter(action__in=WORK, at__gte=start, at__lt=end).order_by("pk").values_list("at", "action")
    return Found(
        tuple((from_instant(at), nature, detector) for at, nature, detector in anomalies),
        _activations(machine, decided, start, end),
        tuple((from_instant(at), action == ORDER_OPENED) for at, action in worked),
    )


def _activations(
    machine: Equipment, decided: QuerySet[Decision], start: datetime, end: datetime
) -> tuple[Activation, ...]:
    """From the histories of the alarms that were active in [start, end)."""
    raised = decided.filter(action__in=TURNS, at__lt=end, anomaly__isnull=False)
    named = raised.values_list("key", "anomaly__sensor_id", "anomaly__kind")
    causes = {key: (sensor_id, kind) for key, sensor_id, kind in named if sensor_id is not None and kind is not None}
    touching = Q(alarm__is_active=True) | Q(alarm__returned_at__gte=start)
    rows = AlarmTransition.objects.filter(touching, alarm__machine=machine, action__in=TURNS, at__lt=end)
    steps = list(rows.select_related("alarm").order_by("pk"))
    priorities = _priorities({f"alarm/{step.alarm_id}" for step in steps})
    found: list[Activation] = []
    began: dict[int, Activation] = {}
    for step in steps:
        alarm, priority = step.alarm, priorities.get(step.key, step.alarm.priority)
        if step.action in (Action.OPENED, Action.REOPENED):
            if step.key in causes:
                began[alarm.pk] = Activation(
                    machine.pk, alarm.failure_mode, *causes[step.key], priority, from_instant(step.at), None
                )
        elif alarm.pk in began and step.action == Action.RAISED:
            began[alarm.pk] = replace(began[alarm.pk], priority=priority)
        elif alarm.pk in began:
            found.append(replace(began.pop(alarm.pk), returned_at=from_instant(step.at)))
    return tuple(sorted([*found, *began.values()], key=lambda one: (one.raised_at, one.failure_mode)))


def _priorities(subjects: Iterable[str]) -> dict[str, str]:
    """Of each step in the lives of these alarms, by its key: the priority the alarm had after it."""
    told = Event.objects.filter(subject__in=list(subjects)).order_by()
    return {
        key.partition("/")[2]: data["priority"] for key, data in told.values_list("key", "data") if "priority" in data
    }
