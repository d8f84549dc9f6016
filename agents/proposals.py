"""What could be done about the alarms of a site that are a nuisance: read of their history, nothing is changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agents import sought, tuning
from agents.sought import Sought
from agents.tuning import Fault, Proposal
from maintenance.alarm_life import Condition
from maintenance.alarm_report import Made
from maintenance.isa182 import Actor
from maintenance.models import Anomaly
from sensors import alarm_settings
from sensors.columns import SECOND_US, from_instant, to_instant
from sensors.models import Label, Sensor

MOST_ACTORS = 10
MOST_ANOMALIES = 1_000
"""Of one alarm: the newest of the period."""
Group = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Offer:
    """An alarm and the sensor behind most of its anomalies; ``proposal`` None where other delays would not help.

    ``deadband``: what was sought for the sensor, None where nothing was; ``has_limits``: whether it can be.
    ``undoable``: whether its delays or deadband were changed so, and can be changed back.
    """

    actor: Actor
    tag: str
    anomalies: int
    sensor: Sensor | None
    proposal: Proposal | None
    has_limits: bool
    deadband: Sought | None
    undoable: bool


def make(made: Made) -> list[Offer]:
    """For the worst alarms of a report, nuisances first. Five queries."""
    wanted = {(a.machine, a.mode): a for a in (*made.report.nuisances, *made.report.top)}
    actors = list(wanted.values())[:MOST_ACTORS]
    found = _anomalies(actors, start=to_instant(made.report.start), end=to_instant(made.report.end))
    faults = _faults({actor.machine for actor in actors})
    leads = {group: Counter(row.sensor_id for row in rows).most_common(1)[0][0] for group, rows in found.items()}
    sensors = Sensor.objects.select_related("site", "equipment", "machine").in_bulk(set(leads.values()))
    deadbands, undoable = sought.newest(sensors), alarm_settings.undoable(sensors.values())
    offers = []
    for actor in actors:
        group = (actor.machine, actor.mode)
        sensor = sensors.get(leads.get(group, 0))
        proposal = None
        if sensor is not None:
            proposal = tuning.propose(
                [_condition(row) for row in found[group]], sensor_id=sensor.pk, clock=made.report.end,
                faults=[window for mode, window in faults[actor.machine] if mode in ("", actor.mode)],
            )  # fmt: skip
        limited = sensor is not None and sought.has_limits(sensor)
        deadband = deadbands.get(sensor.pk) if sensor is not None else None
        can_undo = sensor is not None and sensor.pk in undoable
        tag, anomalies = made.tags[actor.machine], len(found.get(group, ()))
        offers.append(Offer(actor, tag, anomalies, sensor, proposal, limited, deadband, can_undo))
    return offers


def _anomalies(actors: Iterable[Actor], *, start: datetime, end: datetime) -> Mapping[Group, list[Anomaly]]:
    groups = {(actor.machine, actor.mode) for actor in actors}
    rows = (
        Anomaly.objects.filter(
            machine_id__in={machine for machine, _ in groups}, failure_mode__in={mode for _, mode in groups},
            nature=Anomaly.Nature.MACHINE, retrospective=False, started_at__gte=start, started_at__lt=end,
        )
        .select_related("sensor")
        .order_by("-started_at", "-id")[: MOST_ANOMALIES * MOST_ACTORS]
    )  # fmt: skip
    found: dict[Group, list[Anomaly]] = defaultdict(list)
    for row in rows:
        group = (row.machine_id, row.failure_mode)
        if group in groups and len(found[group]) < MOST_ANOMALIES:
            found[group].append(row)
    return {group: mine for group, mine in found.items() if mine}


def _faults(machines: Iterable[int]) -> Mapping[int, list[tuple[str, Fault]]]:
    """Windows of labelled faults by machine, with their failure mode, empty where nobody named it."""
    labels = Label.objects.filter(machine_id__in=machines, kind=Label.Kind.FAULT, retracted_at=None)
    found: dict[int, list[tuple[str, Fault]]] = defaultdict(list)
    for machine, mode, first, last in labels.values_list("machine_id", "failure_mode", "from_at", "to_at"):
        found[machine].append((mode, (from_instant(first), from_instant(last))))
    return found


def _condition(row: Anomaly) -> Condition:
    return Condition(
        anomaly_id=row.pk,
        sensor_id=row.sensor_id,
        started_at=from_instant(row.started_at),
        last_at=from_instant(row.last_at),
        ended_at=None if row.ended_at is None else from_instant(row.ended_at),
        peak_score=row.peak_score,
        peak_at=from_instant(row.peak_at),
        kind=row.kind,
        on_delay=row.sensor.on_delay_seconds * SECOND_US,
        off_delay=row.sensor.off_delay_seconds * SECOND_US,
    )
