"""Alarms: what decide and people make of them. With ``alarm_steps`` the only writer of their rows.

Whoever changes an alarm locks the machine first, then alarms, then orders, each in ascending ids, and looks at the
fresh rows: so what a person did in between is never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import orjson
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from maintenance import alarm_steps, order_roles, re_alarms, suppressions, work_orders
from maintenance import situations as standing
from maintenance.alarm_life import Action, AlarmState, Situation, State
from maintenance.models import Alarm, AlarmTransition, Anomaly, Decision
from maintenance.refusals import Refused
from maintenance.situations import Group
from maintenance.triage import Reason
from maintenance.verdicts import Life, Step, Verdict, suppression_of
from sensors import journal
from sensors.columns import to_instant

ASSIGNED: Final = AlarmTransition.Action.ASSIGNED
COMMENTED: Final = AlarmTransition.Action.COMMENTED


class AlreadyAcknowledged(Refused):
    """The alarm is acknowledged already."""


class NotAcknowledged(Refused):
    """Only an active alarm that is acknowledged can be so no longer; an advisory never asks for it."""


class NotOpen(Refused):
    """The alarm is closed: nobody has to see to it."""


class NoComment(Refused):
    """Write something: a comment must not be empty."""


class Stale(RuntimeError):
    """An alarm was changed since the situation was read: decide on rows that are locked."""


def situations(machine_ids: Iterable[int], *, clocks: Mapping[int, int | None], lock: bool = False) -> list[Situation]:
    """All that decide needs to know of these machines (see ``maintenance.situations``)."""
    return standing.load(machine_ids, clocks=clocks, lock=lock)


def apply(verdicts: Sequence[Verdict], *, run_id: int, now: datetime | None = None) -> list[int]:
    """Do what was decided, in the caller's transaction: decisions, alarms, orders, their histories and the journal.

    Steps whose decision is stored already are left out, so the same verdicts twice change nothing the second time.
    Returns the ids of the new alarm transitions; those of work orders carry the run's id as well. Raises ``Stale``
    where an alarm is no longer what the verdict was made on.
    """
    fresh = _store_decisions(verdicts, run_id=run_id)
    changed = [(v, steps) for v in verdicts if (steps := [s for s in v.steps if s.key in fresh])]
    ids = _change_alarms(verdicts, fresh)
    transitions, entries, calls, told = [], [], [], set()
    for verdict, steps in changed:
        alarm_id = verdict.situation.alarm.id if verdict.situation.alarm else None
        for step in steps:
            if step.alarm is not None:
                alarm_id = step.alarm.id or ids[step.key]
                transitions.append(_transition(verdict, step, alarm_id, run_id))
                entries.append(_told(verdict, step, transitions[-1]))
                if re_alarms.begins(verdict, step):
                    told.add(alarm_id)
        if ordered := tuple(step for step in steps if step.order is not None):
            calls.append(work_orders.Call(verdict.situation, ordered, alarm_id))
    stored = AlarmTransition.objects.bulk_create(transitions)
    re_alarms.start(told, now=now or timezone.now())
    journal.record(entries)
    work_orders.apply(calls, run_id=run_id)
    _keep_judgements(verdicts)
    suppressions.end_one_shots(_returned(changed))
    settled = [anomaly_id for verdict in verdicts for anomaly_id in verdict.settled]
    if settled:
        Anomaly.objects.filter(id__in=settled).update(is_settled=True)
    return [transition.pk for transition in stored]


def _returned(changed: Sequence[tuple[Verdict, Sequence[Step]]]) -> list[Group]:
    """The hidden alarms that returned: what hides them until they do ends with that."""
    return [
        _group(v) for v, steps in changed if v.situation.suppression and any(s.action is Action.RETURNED for s in steps)
    ]


def _group(verdict: Verdict) -> Group:
    return verdict.situation.machine_id, verdict.situation.failure_mode


def _store_decisions(verdicts: Sequence[Verdict], *, run_id: int) -> set[str]:
    """Store the decisions that are not stored yet; their keys."""
    rows = [(verdict.situation, step) for verdict in verdicts for step in verdict.steps]
    if not rows:
        return set()
    values = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Decision._meta.db_table}"
            " (machine_id, failure_mode, anomaly_id, action, reason, at, run_id, key)"
            f" VALUES {values} ON CONFLICT (key) DO NOTHING RETURNING key",
            [
                value
                for situation, step in rows
                for value in (
                    situation.machine_id, situation.failure_mode, step.anomaly_id, str(step.action), step.reason,
                    to_instant(step.at), run_id, step.key,
                )
            ],
        )  # fmt: skip
        return {key for (key,) in cursor.fetchall()}


def _keep_judgements(verdicts: Sequence[Verdict]) -> None:
    """Write what triage made of the anomalies, where that is news."""
    news = [(anomaly_id, judgement) for verdict in verdicts for anomaly_id, judgement in verdict.triaged]
    if not news:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {Anomaly._meta.db_table} AS known SET verdict = judged.verdict, verdict_reasons = judged.reasons"
            f" FROM (VALUES {', '.join(['(%s::bigint, %s, %s::jsonb)'] * len(news))}) AS judged (id, verdict, reasons)"
            " WHERE known.id = judged.id",
            [value for anomaly_id, j in news for value in (anomaly_id, str(j.verdict), _json(j.reasons))],
        )


def _json(reasons: Sequence[Reason]) -> str:
    return orjson.dumps(reasons).decode()


def _change_alarms(verdicts: Sequence[Verdict], fresh: set[str]) -> dict[str, int]:
    """Bring alarms to what their steps end in; the ids of new ones by the keys of their steps."""
    updates: list[tuple[AlarmState, AlarmState]] = []
    opened: list[tuple[Alarm, Life]] = []
    for verdict in verdicts:
        for n, life in enumerate(verdict.lives, start=1):
            states = [step.alarm for step in life.steps if step.alarm is not None and step.key in fresh]
            if n == len(verdict.lives) and verdict.alarm is not None and (states or not life.steps):
                states.append(verdict.alarm)  # with or without a step, its peak or verdict may have changed
            if states and life.before is None:
                opened.append((_row(verdict, states[-1]), life))
            elif states and life.before is not None and states[-1] != life.before:
                updates.append((life.before, states[-1]))
    _update(updates)
    Alarm.objects.bulk_create([row for row, _ in opened])
    return {step.key: row.pk for row, life in opened for step in life.steps}


def _update(updates: Sequence[tuple[AlarmState, AlarmState]]) -> None:
    if not updates:
        return
    row = (
        "(%s::bigint, %s, %s, %s::integer, %s, %s, %s, %s::timestamptz, %s::timestamptz, %s::integer, %s::float, %s,"
        " %s::jsonb, %s::bigint)"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {Alarm._meta.db_table} AS known SET is_active = decided.active,"
            " is_acknowledged = decided.acknowledged, priority = decided.priority, raised_at = decided.raised_at,"
            " returned_at = decided.returned_at, occurrences = decided.occurrences, peak_score = decided.peak_score,"
            " verdict = decided.verdict, verdict_reasons = decided.reasons, definition_id = decided.definition,"
            " re_alarm_at = CASE WHEN decided.active THEN known.re_alarm_at END,"
            " acknowledged_by_id = CASE WHEN decided.acknowledged THEN known.acknowledged_by_id END,"
            " acknowledged_at = CASE WHEN decided.acknowledged THEN known.acknowledged_at END"
            f" FROM (VALUES {', '.join([row] * len(updates))}) AS decided (id, was_active, was_acknowledged, had,"
            " active, acknowledged, priority, raised_at, returned_at, occurrences, peak_score, verdict, reasons,"
            " definition) WHERE known.id = decided.id AND known.is_active = decided.was_active"
            " AND known.is_acknowledged = decided.was_acknowledged AND known.occurrences = decided.had",
            [value for before, after in updates for value in _values(before, after)],
        )
        if cursor.rowcount != len(updates):
            raise Stale(f"{len(updates) - cursor.rowcount} of {len(updates)}")


def _values(before: AlarmState, after: AlarmState) -> tuple[Any, ...]:
    new = _fields(after)
    return (
        after.id, before.active, before.acknowledged, before.occurrences, new["is_active"], new["is_acknowledged"],
        new["priority"], new["raised_at"], new["returned_at"], new["occurrences"], new["peak_score"],
        new["verdict"], _json(after.reasons), new["definition_id"],
    )  # fmt: skip


def _row(verdict: Verdict, alarm: AlarmState) -> Alarm:
    return Alarm(
        site_id=verdict.situation.site_id,
        machine_id=verdict.situation.machine_id,
        failure_mode=verdict.situation.failure_mode,
        sensor_id=alarm.sensor_id,
        **_fields(alarm),
    )


def _fields(alarm: AlarmState) -> dict[str, Any]:
    return {
        "priority": alarm.priority,
        "is_active": alarm.active,
        "is_acknowledged": alarm.acknowledged,
        "raised_at": to_instant(alarm.raised_at),
        "returned_at": None if alarm.returned_at is None else to_instant(alarm.returned_at),
        "occurrences": alarm.occurrences,
        "peak_score": alarm.peak_score,
        "verdict": str(alarm.verdict),
        "verdict_reasons": [asdict(reason) for reason in alarm.reasons],
        "definition_id": None if alarm.definition is None else alarm.definition.id,
    }


def _transition(verdict: Verdict, step: Step, alarm_id: int, run_id: int) -> AlarmTransition:
    return AlarmTransition(
        alarm_id=alarm_id, action=step.action, key=step.key, at=to_instant(step.at), run_id=run_id, reason=step.reason,
        suppression=suppression_of(verdict, step),
    )  # fmt: skip


def _told(verdict: Verdict, step: Step, made: AlarmTransition) -> journal.Entry:
    situation, alarm = verdict.situation, step.alarm
    data = {
        "machine": situation.machine_id,
        "failure_mode": situation.failure_mode,
        "anomaly": step.anomaly_id,
        "reason": step.reason,
        "priority": alarm.priority if alarm else "",
    }
    return alarm_steps.entry(made, site_id=situation.site_id, data=data)


def acknowledge(alarm_id: int, *, actor: User, comment: str = "", now: datetime | None = None) -> Alarm:
    """Somebody has seen it. A returned alarm is closed by this, an active one closes when it returns.

    Raises ``AlreadyAcknowledged``, and ``Alarm.DoesNotExist``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        if alarm_steps.after(alarm, Action.ACKNOWLEDGED) is None:
            raise AlreadyAcknowledged
        alarm_steps.acknowledge(alarm, by=actor, at=now)
        re_alarms.put_off(alarm, now=now)
        alarm_steps.record(alarm, Action.ACKNOWLEDGED, at=now, actor=actor, comment=comment)
    return alarm


def unacknowledge(alarm_id: int, *, actor: User, comment: str, now: datetime | None = None) -> Alarm:
    """Take back that somebody sees to an active alarm; ``comment`` says why.

    Raises ``NoComment``, ``NotAcknowledged``, and ``Alarm.DoesNotExist``.
    """
    if not comment.strip():
        raise NoComment
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        if alarm_steps.after(alarm, Action.UNACKNOWLEDGED) is None:
            raise NotAcknowledged
        alarm_steps.acknowledge(alarm, by=None, at=None)
        alarm_steps.record(alarm, Action.UNACKNOWLEDGED, at=now or timezone.now(), actor=actor, comment=comment)
    return alarm


def assign(alarm_id: int, *, actor: User, assignee: User, comment: str = "", now: datetime | None = None) -> Alarm:
    """Say who sees to an open alarm. Raises ``NotOpen``, ``order_roles.NotAWorker``, and ``Alarm.DoesNotExist``."""
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        if alarm_steps.state(alarm) is State.NORMAL:
            raise NotOpen
        order_roles.require_worker(assignee, site_id=alarm.site_id, to="alarms.act")
        alarm.assigned_to = assignee
        alarm.save(update_fields=["assigned_to"])
        said = f"To {assignee}. {comment}".strip()
        alarm_steps.record(alarm, ASSIGNED, at=now or timezone.now(), actor=actor, comment=said)
    return alarm


def comment(alarm_id: int, *, actor: User, comment: str, now: datetime | None = None) -> Alarm:
    """Keep what somebody has to say of an alarm, open or closed. Raises ``NoComment``, and ``Alarm.DoesNotExist``."""
    if not comment.strip():
        raise NoComment
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        alarm_steps.record(alarm, COMMENTED, at=now or timezone.now(), actor=actor, comment=comment)
    return alarm
