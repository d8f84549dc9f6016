"""What decide needs to know of machines, read as plain values, and locked in the order that everybody keeps to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from maintenance import definition_book, definitions, hidden, history, triage, work_orders
from maintenance.alarm_life import AlarmState, Condition, Situation
from maintenance.definitions import Book, Definition, Subject
from maintenance.models import Alarm, Anomaly, Decision, Triaged
from maintenance.triage import Facts, Reason
from sensors.columns import DAY_US, SECOND_US, from_instant, to_instant
from sensors.models import Equipment

ALARM, ANOMALY = Alarm._meta.db_table, Anomaly._meta.db_table
MACHINE = Anomaly.Nature.MACHINE
Group = tuple[int, str]
"""Machine and failure mode."""
LOOKS_BACK = 31 * DAY_US
"""So long what the state of a machine hid is held against readings that come to be known later."""


def load(machine_ids: Iterable[int], *, clocks: Mapping[int, int | None], lock: bool = False) -> list[Situation]:
    """All that decide needs to know of these machines: one per failure mode in which something is not settled.

    ``clocks``: the newest reading judged in order, in microseconds, by machine. With ``lock``, in a transaction, the
    rows stay as they are until its end: machines are locked first, then alarms, then orders, each in ascending ids.
    One query where nothing is to be decided, else nine at most, whatever the number of machines.
    """
    concerned = _concerned(machine_ids)
    if not concerned:
        return []
    machines = _machines(concerned, lock=lock)
    book = definition_book.of_machines(machines.values())
    alarms = _open_alarms(machines, book, lock=lock)
    orders = work_orders.open_for(machines, lock=lock)
    conditions, judged_until = _conditions(machines, book)
    hiding, by_state = hidden.for_decide(machines, since=_oldest(conditions, clocks))
    groups = sorted({*conditions, *(group for group, alarm in alarms.items() if alarm.active)})
    return [
        Situation(
            machine_id=machine_id,
            site_id=machines[machine_id].site_id,
            machine=str(machines[machine_id]),
            failure_mode=mode,
            criticality=machines[machine_id].criticality,
            clock=clocks.get(machine_id),
            conditions=tuple(conditions.get((machine_id, mode), ())),
            alarm=alarms.get((machine_id, mode)),
            order=orders.get((machine_id, mode)),
            judged_until=judged_until.get((machine_id, mode)),
            suppression=hidden.of(hiding, machine_id, mode),
            stretches=(*by_state.get((machine_id, mode), ()), *by_state.get((machine_id, ""), ())),
        )
        for machine_id, mode in groups
    ]


def _oldest(conditions: Mapping[Group, list[Condition]], clocks: Mapping[int, int | None]) -> datetime | None:
    """When the first of what is not settled began, but no longer ago than is looked back; None where nothing is."""
    began = [condition.started_at for found in conditions.values() for condition in found]
    newest = max((clock for clock in clocks.values() if clock is not None), default=0)
    return to_instant(max(min(began), newest - LOOKS_BACK)) if began else None


def _concerned(machine_ids: Iterable[int]) -> list[int]:
    """Those of the machines in which something is not settled or an alarm is active: of the rest nothing is decided.

    Asked before they are locked: only the run that holds a machine's lane makes anything of it unsettled.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT machine_id FROM {ANOMALY} WHERE machine_id = ANY(%(ids)s) AND NOT is_settled"
            f" UNION SELECT machine_id FROM {ALARM} WHERE machine_id = ANY(%(ids)s) AND is_active",
            {"ids": list(machine_ids)},
        )
        return [machine_id for (machine_id,) in cursor.fetchall()]


def alarmed(machine_ids: Iterable[int]) -> dict[int, datetime]:
    """Those of the machines of which an alarm stands (it is open and has not returned to normal), and since when, by
    the clock: what was measured before was not under it, however late it comes."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT machine_id, min(created_at) FROM {ALARM} WHERE machine_id = ANY(%s) AND is_active"
            " GROUP BY machine_id",
            [list(machine_ids)],
        )
        return dict(cursor.fetchall())


def _machines(machine_ids: Iterable[int], *, lock: bool) -> dict[int, Equipment]:
    rows = Equipment.objects.filter(id__in=list(machine_ids)).order_by("id")
    if lock:
        rows = rows.select_for_update(no_key=True)
    return {row.pk: row for row in rows}


def _open_alarms(machine_ids: Iterable[int], book: Book, *, lock: bool) -> dict[Group, AlarmState]:
    rows: QuerySet[Alarm] = Alarm.objects.filter(machine_id__in=list(machine_ids), is_open=True).order_by("id")
    if lock:
        rows = rows.select_for_update(no_key=True)
    by_id = {definition.id: definition for definition in book.values()}
    return {(row.machine_id, row.failure_mode): _state(row, by_id.get(row.definition_id or 0)) for row in rows}


def _state(row: Alarm, definition: Definition | None) -> AlarmState:
    return AlarmState(
        id=row.pk,
        active=row.is_active,
        acknowledged=row.is_acknowledged,
        priority=row.priority,
        raised_at=from_instant(row.raised_at),
        returned_at=None if row.returned_at is None else from_instant(row.returned_at),
        occurrences=row.occurrences,
        sensor_id=row.sensor_id,
        peak_score=row.peak_score,
        verdict=row.verdict,
        reasons=_reasons(row),
        definition=definition,
    )


def _reasons(row: Triaged) -> tuple[Reason, ...]:
    return tuple(Reason(**reason) for reason in row.verdict_reasons)


def _conditions(machines: Mapping[int, Equipment], book: Book) -> tuple[dict[Group, list[Condition]], dict[Group, int]]:
    """What is not settled, by group; and when the latest alarm that is closed by now returned."""
    closed = Alarm.objects.filter(
        machine=OuterRef("machine"), failure_mode=OuterRef("failure_mode"), is_active=False, is_acknowledged=True
    ).order_by("-raised_at")
    rows = list(
        Anomaly.objects.filter(machine_id__in=list(machines), is_settled=False)
        .select_related("sensor__equipment")
        .annotate(judged_until=Subquery(closed.values("returned_at")[:1]))
        .order_by("id")
    )
    decided: dict[int, set[str]] = defaultdict(set)
    stored = Decision.objects.filter(anomaly_id__in=[row.pk for row in rows]).order_by()
    for anomaly_id, action, reason in stored.values_list("anomaly_id", "action", "reason"):
        if anomaly_id is not None:
            decided[anomaly_id].add(f"{action}:{reason}")
    facts = history.facts([row.pk for row in rows if row.nature == MACHINE and not row.retrospective])
    conditions: dict[Group, list[Condition]] = defaultdict(list)
    judged_until: dict[Group, int] = {}
    for row in rows:
        group = (row.machine_id, row.failure_mode)
        known = facts.get(row.pk, triage.NOTHING)
        condition = _condition(row, known, frozenset(decided.get(row.pk, ())))
        definition = definitions.resolve(book, _subject(row, machines[row.machine_id]))
        conditions[group].append(replace(condition, definition=definition))
        if row.judged_until is not None:
            judged_until[group] = from_instant(row.judged_until)
    return conditions, judged_until


def _subject(row: Anomaly, machine: Equipment) -> Subject:
    return Subject(
        site_id=row.site_id,
        machine_id=row.machine_id,
        equipment_class=row.sensor.equipment.equipment_class or machine.equipment_class,
        sensor_kind=row.sensor.kind,
        anomaly_kind=row.kind,
        failure_mode=row.failure_mode,
    )


def _condition(row: Anomaly, facts: Facts, decided: frozenset[str]) -> Condition:
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
        instrument=row.nature == Anomaly.Nature.INSTRUMENT,
        retrospective=row.retrospective,
        decided=decided,
        facts=facts,
        verdict=row.verdict,
        reasons=_reasons(row),
    )
