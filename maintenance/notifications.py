"""The outbox: what a run has to tell, and what became of each message.

The only writer of Notification beside ``maintenance.digests``, which gathers what is held, and
``maintenance.targets``, whose messages are about channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Greatest, Now

from maintenance import audience, messages, similar, targets
from maintenance.alarm_life import ADVISORY
from maintenance.definition_models import AlarmDefinition
from maintenance.messages import Evidence, Guidance, Pending, Row, Transition
from maintenance.models import AlarmTransition, Anomaly, Notification, WorkOrderTransition

ALARMS, ORDERS = AlarmTransition._meta.db_table, WorkOrderTransition._meta.db_table
A_MOMENT = timedelta(seconds=2)  # the sweep leaves a new message alone so long: its own bell is on the way
REASON_LIMIT = 300
CALLS_FOR_A_RESPONSE = frozenset(messages.KINDS) - {"alarm.returned", "alarm.unshelves_soon", "work-order.opened"}
"""The kinds of event of which those of critical alarms go before ordinary ones."""


def pending(run_id: int) -> Pending:
    """What a run did that somebody may want to know, in the order it did it, and the enabled channels of its sites.

    An order counts when it opens; one that waits for approval does not, nor does what happened to an alarm that was
    hidden. One query where the run did nothing, eight otherwise, however much it did.
    """
    if not _did_anything(run_id):
        return Pending((), ())
    alarms = _told_of(AlarmTransition.objects.filter(run_id=run_id, suppression=""))
    orders = list(
        _of_orders(WorkOrderTransition.objects.filter(run_id=run_id, from_status="").exclude(to_status="REQUESTED"))
    )
    evidence = _evidence([*(row.anomaly_id for row in alarms), *(row.anomaly_id for row in orders)])
    told = (
        *(_of_alarm(row, evidence.get(row.anomaly_id)) for row in alarms),
        *(_of_order(row, evidence.get(row.anomaly_id)) for row in orders),
    )
    return _complete(told)


def take_untold(*, most: int) -> Pending:
    """What people and timers did to alarms that no run tells of, the oldest first, in the caller's transaction: it is
    to put it into the outbox. Each is taken once, by one of several callers."""
    waiting = AlarmTransition.objects.filter(to_tell=True).order_by("id").select_for_update(skip_locked=True)
    ids = list(waiting.values_list("id", flat=True)[:most])
    if not ids:
        return Pending((), ())
    AlarmTransition.objects.filter(pk__in=ids).update(to_tell=False)
    rows = _told_of(AlarmTransition.objects.filter(pk__in=ids))
    evidence = _evidence(row.anomaly_id for row in rows)
    return _complete([_of_alarm(row, evidence.get(row.anomaly_id)) for row in rows])


def about_orders(step_ids: Iterable[int]) -> Pending:
    """What may be told of orders, as their steps left them: of each step one, oldest first."""
    rows = list(_of_orders(WorkOrderTransition.objects.filter(pk__in=list(step_ids))))
    evidence = _evidence(row.anomaly_id for row in rows)
    return _complete([_of_order(row, evidence.get(row.anomaly_id)) for row in rows])


def _of_orders(rows: QuerySet[WorkOrderTransition]) -> QuerySet[Any]:
    related = rows.select_related("order__machine", "order__site", "order__alarm__definition")
    return related.annotate(anomaly_id=_newest_anomaly(of="order")).order_by("id")


def escalated(transition_id: int, *, at: datetime) -> Transition:
    """What a message says that goes out ``at`` because nobody acknowledged what a transition of an alarm began."""
    (row,) = _told_of(AlarmTransition.objects.filter(pk=transition_id))
    evidence = _evidence([row.anomaly_id])
    told = _complete([_of_alarm(row, evidence.get(row.anomaly_id))]).transitions[0]
    return replace(told, action="ESCALATED", at=at)


def _complete(told: Sequence[Transition]) -> Pending:
    """The transitions with where their machines stand and what was found before, and who may be told of them."""
    stand = audience.places(transition.machine_id for transition in told)
    past = similar.past_cases((transition.machine_id, transition.failure_mode) for transition in told)
    transitions = tuple(
        replace(
            transition,
            places=stand[transition.machine_id],
            past=past.get((transition.machine_id, transition.failure_mode), ()),
        )
        for transition in told
    )
    return Pending(transitions, audience.recipients(sorted({transition.site_id for transition in transitions})))


def _told_of(rows: QuerySet[AlarmTransition]) -> list[Any]:
    """The transitions with what a message says of them, oldest first."""
    asking = rows.exclude(alarm__priority=ADVISORY)  # of an advisory nobody is told
    related = asking.select_related("alarm__machine", "alarm__site", "alarm__definition")
    return list(related.annotate(anomaly_id=_newest_anomaly(of="alarm")).order_by("id"))


def _did_anything(run_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {ALARMS} WHERE run_id = %s)"
            f" OR EXISTS (SELECT FROM {ORDERS} WHERE run_id = %s AND from_status = '')",
            [run_id, run_id],
        )
        return bool(cursor.fetchone()[0])


def _newest_anomaly(*, of: str) -> Subquery:
    """The anomaly a transition tells of: the newest of its machine and failure mode that had begun by then."""
    known = Anomaly.objects.filter(
        machine=OuterRef(f"{of}__machine"),
        failure_mode=OuterRef(f"{of}__failure_mode"),
        started_at__lte=OuterRef("at"),
        retrospective=False,
    )
    return Subquery(known.order_by("-started_at", "-peak_score", "-id").values("id")[:1])


def _evidence(anomaly_ids: Iterable[int | None]) -> Mapping[int | None, Evidence]:
    ids = {anomaly_id for anomaly_id in anomaly_ids if anomaly_id is not None}
    return {
        anomaly.pk: Evidence(
            sensor_id=anomaly.sensor_id,
            sensor=anomaly.sensor.name,
            unit=anomaly.sensor.unit,
            kind=anomaly.kind,
            observed=anomaly.observed,
            expected_low=anomaly.expected_low,
            expected_high=anomaly.expected_high,
        )
        for anomaly in Anomaly.objects.filter(pk__in=ids).select_related("sensor")
    }


def _of_alarm(row: AlarmTransition, evidence: Evidence | None) -> Transition:
    alarm = row.alarm
    return Transition(
        source="alarm",
        id=row.pk,
        action=row.action,
        subject_id=alarm.pk,
        title="",
        site_id=alarm.site_id,
        site=alarm.site.name,
        machine_id=alarm.machine_id,
        machine=str(alarm.machine),
        failure_mode=alarm.failure_mode,
        priority=alarm.priority,
        since=alarm.raised_at,
        at=row.at,
        evidence=evidence,
        remark=row.comment,
        guidance=_guidance(alarm.definition),
    )


def _of_order(row: WorkOrderTransition, evidence: Evidence | None) -> Transition:
    order = row.order
    return Transition(
        source="work-order",
        id=row.pk,
        action="OPENED",
        subject_id=order.pk,
        title=order.title,
        site_id=order.site_id,
        site=order.site.name,
        machine_id=order.machine_id,
        machine=str(order.machine),
        failure_mode=order.failure_mode,
        priority=order.priority,
        since=order.opened_at,
        at=row.at,
        evidence=evidence,
        guidance=_guidance(order.alarm.definition if order.alarm is not None else None),
    )


def _guidance(said: AlarmDefinition | None) -> Guidance | None:
    if said is None:
        return None
    return Guidance(said.cause, said.consequence, said.response, said.respond_within_minutes)


def create(rows: Sequence[Row], *, run_id: int | None, at_once: bool = False) -> list[int]:
    """Put messages into the outbox, in the caller's transaction; a key that is there already stays as it is.

    ``at_once``: no quiet hours, limit, digest or flood holds them, and nothing goes before them; they count against the
    person's limit all the same.

    Returns the ids of those that wait to be sent: the ones to ring for.
    """
    if not rows:
        return []
    Notification.objects.bulk_create(
        [
            Notification(
                site_id=row.site_id,
                channel_id=row.channel_id,
                event_type=row.event_type,
                subject_line=row.subject_line,
                payload=row.payload,
                key=row.key,
                run_id=run_id,
                admitted_at=Now() if at_once else None,
                urgency=_urgency(row, at_once=at_once),
                ring_after=Now() + A_MOMENT,
            )
            for row in rows
        ],
        ignore_conflicts=True,
    )
    waiting = Notification.objects.filter(key__in=[row.key for row in rows], status=Notification.Status.PENDING)
    return list(waiting.order_by("id").values_list("id", flat=True))


def _urgency(row: Row, *, at_once: bool) -> Notification.Urgency:
    if at_once:
        return Notification.Urgency.ESCALATION
    critical = row.payload.get("priority") == "CRITICAL" and row.event_type in CALLS_FOR_A_RESPONSE
    return Notification.Urgency.CRITICAL if critical else Notification.Urgency.ORDINARY


def most_urgent() -> int | None:
    """The message that goes before every ordinary one, of those that are due and that nobody is sending; None: none.
    One look at an index that holds nothing else."""
    urgent = Notification.objects.filter(status=Notification.Status.PENDING, urgency__gt=0, due_at__lte=Now())
    free = urgent.filter(Q(lease_until=None) | Q(lease_until__lt=Now()))
    return free.order_by("-urgency", "due_at", "id").values_list("id", flat=True).first()


def sent(notification_id: int, *, reference: str) -> None:
    """It arrived; ``reference`` is what the other side calls it."""
    _row(notification_id).update(
        status=Notification.Status.SENT,
        sent_at=Now(),
        provider_reference=messages.one_line(reference, limit=REASON_LIMIT),
        error="",
    )


def retry(notification_id: int, *, reason: str, wait: timedelta) -> None:
    """It did not arrive this time; it is due again after ``wait``."""
    due_at = Now() + wait
    _row(notification_id).update(due_at=due_at, ring_after=due_at, rings=0, error=reason)


def rest(notification_id: int, *, until: datetime, reason: str) -> None:
    """Its target rests; it is due again after that. A look that sent nothing is no attempt."""
    _row(notification_id).update(
        due_at=until, ring_after=until, rings=0, error=reason, attempts=Greatest(F("attempts") - 1, 0)
    )


def hold(notification_id: int, *, until: datetime, reason: str) -> None:
    """It waits for its channel's digest, due then at the latest. A look that sent nothing is no attempt."""
    _row(notification_id).update(
        status=Notification.Status.HELD, due_at=until, held_for=reason, attempts=Greatest(F("attempts") - 1, 0)
    )


def supersede(notification_id: int, *, reason: str) -> None:
    """It is not called for any more, so it is not sent. A look that sent nothing is no attempt."""
    _row(notification_id).update(
        status=Notification.Status.SUPERSEDED, error=reason, attempts=Greatest(F("attempts") - 1, 0)
    )


def failed(notification_id: int, *, reason: str, disable: bool = False) -> None:
    """It will never arrive. ``disable``: nor will anything else on this channel, until a person looks at it; who looks
    after it is told."""
    _row(notification_id).update(status=Notification.Status.FAILED, error=reason)
    if disable:
        targets.disable(notification_id, reason=reason)


def _row(notification_id: int) -> QuerySet[Notification]:
    return Notification.objects.filter(pk=notification_id)
