"""What hides alarms: shelving by people, work on a machine, rules by design. The only writer of Suppression.

A suppression belongs to a machine and a failure mode, or to all of the machine: alarms come and go below it. It stands
until it is ended, which is one transaction: then what is still active has to be seen anew, and is told. Whoever begins
or ends one locks the machine first, then its open alarms in ascending ids; so it is ended once, however many try.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import alarm_life, alarm_steps, hidden, re_alarms, wording
from maintenance.alarm_life import State
from maintenance.alarm_life import Suppression as Kind
from maintenance.models import Alarm, AlarmTransition, Suppression, WorkOrder
from maintenance.refusals import Refused
from sensors import journal

MOST = 200
"""Suppressions looked after in one pass of the sweep."""
TIME_IS_UP, RETURNED = "Its time is up.", "The alarm has returned to normal."
MISSED = "It was over before it could begin."
A_MOMENT = timedelta(milliseconds=1)


class NoReason(Refused):
    """Say why the alarm is to be hidden."""


class NoEnd(Refused):
    """Say until when; the end must lie ahead."""


class TooLong(Refused):
    """Nobody may hide an alarm for so long."""


class AlreadyShelved(Refused):
    """It is shelved already: end that first."""


class NotShelved(Refused):
    """It is not shelved, or no longer."""


class NotOneShot(Refused):
    """Only one alarm that is active can be shelved until it has returned to normal."""


def shelve(
    alarm_id: int,
    *,
    actor: User,
    reason: str,
    until: datetime,
    one_shot: bool = False,
    whole_machine: bool = False,
    now: datetime | None = None,
) -> Suppression:
    """Hide alarms of the machine and failure mode of an alarm, or all of the machine, until an instant.

    ``one_shot``: until the alarm has returned to normal, if that is sooner. Raises ``NoReason``, ``NoEnd``,
    ``TooLong``, ``NotOneShot``, ``AlreadyShelved``, and ``Alarm.DoesNotExist``.
    """
    now = now or timezone.now()
    if not reason.strip():
        raise NoReason
    if until <= now:
        raise NoEnd
    if until - now > timedelta(hours=settings.SHELVE_MAX_HOURS):
        raise TooLong(f"At most {settings.SHELVE_MAX_HOURS} hours are allowed.")
    notice_at = until - timedelta(seconds=settings.SHELVE_NOTICE_SECONDS)
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        if one_shot and (whole_machine or not alarm.is_active):
            raise NotOneShot
        mode = "" if whole_machine else alarm.failure_mode
        shelves = Suppression.objects.filter(kind=Kind.SHELVED, ended_at=None, machine_id=alarm.machine_id)
        if shelves.filter(failure_mode=mode).exists():
            raise AlreadyShelved
        return begin(
            Suppression(
                site_id=alarm.site_id, machine_id=alarm.machine_id, failure_mode=mode, kind=Kind.SHELVED,
                one_shot=one_shot, reason=reason, from_at=now, until=until, created_by=actor,
                notice_at=notice_at if now < notice_at < until else None,
            )
        )  # fmt: skip


def take_out_of_service(order: WorkOrder, *, actor: User, now: datetime) -> Suppression:
    """Hide all alarms of an order's machine, which is locked, while somebody works on it: until the order ends."""
    return begin(
        Suppression(
            site_id=order.site_id, machine_id=order.machine_id, kind=Kind.OUT_OF_SERVICE, work_order=order,
            reason=f"Work is in progress: {order}", from_at=now, created_by=actor,
        )
    )  # fmt: skip


def begin(new: Suppression) -> Suppression:
    """Store what hides alarms from now on, in a transaction in which the machine is locked."""
    new.save(force_insert=True)
    _journal(journal.SUPPRESSION_BEGAN, new, at=new.from_at, actor=new.created_by, said=new.reason)
    hidden_now = alarm_steps.lock_open(new.machine_id, failure_mode=new.failure_mode)
    re_alarms.stop(hidden_now)
    for alarm in hidden_now:
        alarm_steps.record(
            alarm, alarm_life.HIDES[Kind(new.kind)], at=new.from_at, actor=new.created_by, comment=new.reason,
            key=f"suppression/{new.pk}/began/alarm/{alarm.pk}",
        )  # fmt: skip
    return new


def note(missed: Suppression) -> None:
    """Store what was to hide alarms and was over before anybody came to it: it hid nothing, but the readings of that
    time are known by it."""
    missed.ended_at, missed.end_reason = missed.until, MISSED
    missed.save(force_insert=True)


def unshelve(suppression_id: int, *, actor: User, comment: str = "", now: datetime | None = None) -> Suppression:
    """End a shelving before its time. Raises ``NotShelved``, and ``Suppression.DoesNotExist``."""
    with transaction.atomic():
        row = _locked(suppression_id)
        if row.ended_at is not None or row.kind != Kind.SHELVED:
            raise NotShelved
        _end(row, now=now or timezone.now(), actor=actor, why=comment)
    return row


def unshelve_alarm(alarm_id: int, *, actor: User, comment: str = "", now: datetime | None = None) -> Alarm:
    """End every shelving that hides an alarm, that of its whole machine too. Raises ``NotShelved``."""
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        hiding = Suppression.objects.filter(
            Q(failure_mode="") | Q(failure_mode=alarm.failure_mode),
            machine_id=alarm.machine_id, kind=Kind.SHELVED, ended_at=None,
        )  # fmt: skip
        rows = list(hiding.order_by("id"))
        if not rows:
            raise NotShelved
        for row in rows:
            _end(row, now=now or timezone.now(), actor=actor, why=comment)
    return alarm


def back_in_service(order: WorkOrder, *, actor: User, now: datetime, why: str) -> None:
    """End what hides the alarms of an order's machine, which is locked, because of that order."""
    for row in Suppression.objects.filter(work_order=order, ended_at=None):
        _end(row, now=now, actor=actor, why=why)


def end_one_shots(groups: Iterable[tuple[int, str]]) -> None:
    """End what hides alarms until they return: these machines (locked) and failure modes have. In the caller's
    transaction."""
    for machine_id, mode in sorted(groups):
        for row in Suppression.objects.filter(machine_id=machine_id, failure_mode=mode, one_shot=True, ended_at=None):
            _end(row, now=timezone.now(), actor=None, why=RETURNED)


def due(*, now: datetime | None = None) -> list[int]:
    """Suppressions whose end has come, the oldest first."""
    rows = Suppression.objects.filter(ended_at=None, until__lte=now or Now())
    return list(rows.order_by("until", "id").values_list("id", flat=True)[:MOST])


def expire(suppression_id: int, *, now: datetime | None = None) -> bool:
    """End it if its time is up and nobody did; whether it was this call that did."""
    now = now or timezone.now()
    with transaction.atomic():
        row = _locked(suppression_id)
        if row.ended_at is not None or row.until is None or row.until > now:
            return False
        _end(row, now=now, actor=None, why=TIME_IS_UP)
    return True


def end(suppression_id: int, *, actor: User | None, why: str, now: datetime) -> bool:
    """End it before its time if it still stands; whether it was this call that did."""
    with transaction.atomic():
        row = _locked(suppression_id)
        if row.ended_at is not None:
            return False
        _end(row, now=now, actor=actor, why=why)
    return True


def move_end(suppression_id: int, *, until: datetime) -> bool:
    """Have it end at another instant, if it still stands and that is after its begin; whether it does."""
    with transaction.atomic():
        row = _locked(suppression_id)
        if row.ended_at is not None or until <= row.from_at:
            return False
        row.until = until
        row.save(update_fields=["until"])
    return True


def bound(row: Suppression, *, until: datetime, over_at: datetime | None) -> None:
    """Say of one that stands, whose machine is locked, when what it hides is over in event time, and when it ends by
    the clock if nobody ends it before."""
    row.until, row.over_at = max(until, row.from_at + A_MOMENT), over_at
    row.save(update_fields=["until", "over_at"])


def end_of_state(row: Suppression, *, now: datetime, why: str, ended_at: datetime | None = None) -> None:
    """End what a machine's state hid; the machine is locked. ``ended_at``: when that was, in event time."""
    _end(row, now=now, actor=None, why=why, ended_at=ended_at)


def ending_soon(*, now: datetime | None = None) -> list[int]:
    """Suppressions of which it is time to say that they end, the oldest first."""
    rows = Suppression.objects.filter(ended_at=None, notice_at__lte=now or Now())
    return list(rows.order_by("notice_at", "id").values_list("id", flat=True)[:MOST])


def say_soon(suppression_id: int, *, now: datetime | None = None) -> int:
    """Say once of a suppression's active alarms that they are about to be shown again; of how many it was said.

    Nothing is said of those that something else hides as well: they are not shown by its end.
    """
    now = now or timezone.now()
    with transaction.atomic():
        row = _locked(suppression_id)
        if row.ended_at is not None or row.notice_at is None or row.notice_at > now:
            return 0
        row.notice_at = None
        row.save(update_fields=["notice_at"])
        others = hidden.standing([row.machine_id], beside=row.pk)
        shown_by_it = [
            alarm
            for alarm in alarm_steps.lock_open(row.machine_id, failure_mode=row.failure_mode)
            if alarm.is_active
            and alarm.priority != alarm_life.ADVISORY
            and hidden.of(others, alarm.machine_id, alarm.failure_mode) is Kind.NONE
        ]
        for alarm in shown_by_it:
            alarm_steps.record(
                alarm, AlarmTransition.Action.UNSHELVES_SOON, at=now, actor=None, to_tell=True,
                comment=wording.noted(
                    "Hidden until {until} UTC by {who}: {why}",
                    until=f"{row.until:%Y-%m-%d %H:%M}", who=row.created_by, why=row.reason,
                ),
                key=f"suppression/{row.pk}/soon/alarm/{alarm.pk}",
            )  # fmt: skip
    return len(shown_by_it)


def _locked(suppression_id: int) -> Suppression:
    """The row as it stands behind the lock of its machine."""
    alarm_steps.lock_machine(Suppression.objects.values_list("machine_id", flat=True).get(pk=suppression_id))
    return Suppression.objects.get(pk=suppression_id)


def _end(row: Suppression, *, now: datetime, actor: User | None, why: str, ended_at: datetime | None = None) -> None:
    """End one that stands, in a transaction in which its machine is locked.

    An active alarm that nothing hides any more is unacknowledged again, and told; the history of the others says that
    one cause less hides them.
    """
    row.ended_at, row.ended_by, row.end_reason = max(row.over_at or ended_at or now, row.from_at), actor, why
    row.save(update_fields=["ended_at", "ended_by", "end_reason"])
    _journal(journal.SUPPRESSION_ENDED, row, at=now, actor=actor, said=why)
    left = hidden.standing([row.machine_id])
    for alarm in alarm_steps.lock_open(row.machine_id, failure_mode=row.failure_mode):
        if row.over_at is not None and alarm.raised_at >= row.over_at and alarm_steps.was_told(alarm):
            continue  # it came afterwards
        still = hidden.of(left, alarm.machine_id, alarm.failure_mode)
        action = alarm_life.SHOWS[Kind(row.kind)]
        shown = still is Kind.NONE and alarm_steps.after(alarm, action) is State.UNACK
        if shown and alarm.is_acknowledged:
            alarm_steps.acknowledge(alarm, by=None, at=None)
        if shown:
            re_alarms.start([alarm.pk], now=now)
        alarm_steps.record(
            alarm, action, at=now, actor=actor, comment=why, key=f"suppression/{row.pk}/ended/alarm/{alarm.pk}",
            suppression=still, to_tell=shown,
        )  # fmt: skip


def _journal(kind: str, row: Suppression, *, at: datetime, actor: User | None, said: str) -> None:
    data = {
        "machine": row.machine_id,
        "failure_mode": row.failure_mode,
        "kind": row.kind,
        "until": None if row.until is None else row.until.isoformat(),
        "work_order": row.work_order_id,
        "reason": said,
    }
    name = "" if actor is None else actor.get_username()
    journal.record([journal.Entry(kind, f"suppression/{row.pk}", f"{kind}/{row.pk}", at, row.site_id, name, data)])
