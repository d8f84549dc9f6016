"""Escalations: begun, carried on and ended. The only writer of Escalation and Call.

Nothing is scheduled: when a step is due is a column, and every pass of the sweep asks ``due`` which alarms have to be
looked at. ``go_on`` does one step for one alarm, behind the lock of its machine and its own, by what the alarm is then
(``escalation_life`` says what). So it does not matter how many sweeps there are, which of them die, and how late they
come: a step is taken once, and none after somebody has acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from maintenance import alarm_steps, escalation_life, hidden, notifications, on_call
from maintenance.alarm_life import State
from maintenance.escalation_life import CAUSES, ENDS, Do, End, Standing, Step
from maintenance.escalation_models import Call, Chain, ChainStep, Escalation
from maintenance.messages import PRIORITIES, Transition
from maintenance.models import Alarm, AlarmTransition
from maintenance.refusals import Refused
from sensors import journal

MOST = 100
"""Alarms looked at in one pass."""


class NoReason(Refused):
    """Say why nobody is to be told any more."""


class NotRunning(Refused):
    """The escalation is over already."""


@dataclass(frozen=True, slots=True)
class Told:
    """A step that was just taken: what happened, and on which channels it is to be said. ``step`` counts from 1."""

    key: str
    transition: Transition
    channels: tuple[int, ...]
    chain: str
    step: int
    steps: int
    time: int
    waited_minutes: int


def due(*, now: datetime | None = None) -> list[int]:
    """Alarms whose escalation has to begin, to go on or to end, those whose step is due for longest first."""
    now = now or timezone.now()
    running = Escalation.objects.filter(ended_at=None)
    late = running.filter(due_at__lte=now).order_by("due_at", "id")
    found = dict.fromkeys(late.values_list("alarm_id", flat=True)[:MOST])
    for rows in (_changed(running), _unattended()):
        found |= dict.fromkeys(rows[: MOST - len(found)])
    return list(found)


def _changed(running: QuerySet[Escalation]) -> QuerySet[Escalation, int]:
    """Alarms to which something has happened that their escalation does not know of."""
    mine = AlarmTransition.objects.filter(alarm=OuterRef("alarm"), id__gt=OuterRef("looked_until"))
    happened = Exists(mine.filter(action__in=[*ENDS, *CAUSES]))
    over = Q(alarm__is_active=False) | Q(alarm__is_acknowledged=True)
    return running.filter(over | Q(happened)).order_by("id").values_list("alarm_id", flat=True)


def _unattended() -> QuerySet[Alarm, int]:
    """Alarms that need somebody, have a chain, and no escalation yet for their newest cause."""
    chains = _usable().annotate(rank=_rank("lowest_priority")).filter(site=OuterRef("site_id"))
    mine = Escalation.objects.filter(alarm=OuterRef("pk"))
    last = Escalation.objects.filter(alarm=OuterRef("alarm_id")).order_by("-cause").values("cause")[:1]
    causes = AlarmTransition.objects.filter(alarm=OuterRef("pk"), action__in=CAUSES)
    unseen: QuerySet[Any] = Alarm.objects.filter(is_active=True, is_acknowledged=False)
    needing = hidden.in_state(hidden.with_state(unseen), State.UNACK)
    ids: QuerySet[Alarm, int] = (
        needing.annotate(rank=_rank("priority"))
        .filter(
            Exists(chains.filter(rank__gte=OuterRef("rank"))),
            ~Exists(mine.filter(ended_at=None)),
            Exists(causes.filter(id__gt=Coalesce(Subquery(last), Value(0)))),
        )
        .order_by("id")
        .values_list("id", flat=True)
    )
    return ids


def _rank(field: str) -> Case:
    """0 for the most urgent priority."""
    return Case(
        *(When(**{field: name}, then=Value(rank)) for rank, name in enumerate(PRIORITIES)), output_field=IntegerField()
    )


def _usable() -> QuerySet[Chain]:
    return Chain.objects.filter(Exists(ChainStep.objects.filter(chain=OuterRef("pk"))), is_enabled=True)


def go_on(alarm_id: int, *, now: datetime | None = None) -> Told | None:
    """Do for an alarm's escalation what is to be done now, in the caller's transaction; what is to be said, if it is.

    Raises ``Alarm.DoesNotExist``.
    """
    now = now or timezone.now()
    alarm = alarm_steps.locked(alarm_id)
    chain = chain_for(alarm)
    while True:
        row = Escalation.objects.filter(alarm=alarm).order_by("-cause").first()
        newest, standing = _standing(alarm, row)
        known = None if row is None else _value(row)
        move = escalation_life.next_move(standing, known, _steps(chain), now=now)
        if move.do is Do.BEGIN and chain is not None:
            _begin(alarm, standing, chain, looked_until=newest, now=now)
        elif move.do is Do.END and row is not None and move.why is not None:
            _end(row, move.why, now=now)
        elif move.do is Do.CALL and row is not None:
            _see(row, standing, looked_until=newest)
            return _call(row, now=now)
        else:
            if row is not None and row.ended_at is None:
                _see(row, standing, looked_until=newest)
            return None


def chain_for(alarm: Alarm) -> Chain | None:
    """The chain that is responsible: of those for the alarm's priority the one for the most urgent."""
    rows = _usable().filter(site=alarm.site_id).annotate(rank=_rank("lowest_priority"))
    mine = rows.filter(rank__gte=PRIORITIES.index(alarm.priority)) if alarm.priority in PRIORITIES else rows.none()
    return mine.order_by("rank", "id").first()


def _steps(chain: Chain | None) -> escalation_life.Chain | None:
    if chain is None:
        return None
    rows = chain.steps.select_related("reader__user", "channel", "rota").order_by("position")
    return escalation_life.Chain(chain.pk, tuple(_step(row) for row in rows))


def _step(row: ChainStep) -> Step:
    kind = "reader" if row.reader_id else "channel" if row.channel_id else "rota"
    target = row.reader or row.channel or row.rota
    return Step(
        kind=kind, target=target.pk if target else 0, name=str(target), after_minutes=row.after_minutes,
        times=row.times, every_minutes=row.every_minutes, medium=row.medium,
    )  # fmt: skip


def _standing(alarm: Alarm, row: Escalation | None) -> tuple[int, Standing]:
    """Its newest transition, and how the alarm stands; it is locked, and so is its machine."""
    history = AlarmTransition.objects.filter(alarm=alarm)
    cause = history.filter(action__in=CAUSES).order_by("-id").values_list("id", flat=True).first() or 0
    since = cause if row is None else row.looked_until
    news = list(history.filter(id__gt=since).order_by("id").values_list("id", "action"))
    standing = Standing(
        active=alarm.is_active,
        acknowledged=alarm.is_acknowledged,
        hidden=bool(hidden.of(hidden.standing([alarm.machine_id]), alarm.machine_id, alarm.failure_mode)),
        priority=alarm.priority,
        cause=cause,
        interruption=escalation_life.interruption(action for _, action in news),
    )
    return (news[-1][0] if news else since), standing


def plan(row: Escalation) -> tuple[Step, ...]:
    """The steps of an escalation, as they were when it began."""
    return tuple(Step(**step) for step in row.plan)


def _value(row: Escalation) -> escalation_life.Escalation:
    return escalation_life.Escalation(
        cause=row.cause, priority=row.priority, chain_id=row.chain_id, steps=plan(row),
        due_at=row.due_at or row.started_at, step=row.step, called=row.called,
        ended=End(row.ended) if row.ended else None,
    )  # fmt: skip


def _begin(alarm: Alarm, standing: Standing, chain: Chain, *, looked_until: int, now: datetime) -> None:
    steps = _steps(chain)
    if steps is None:
        return
    new = escalation_life.begun(standing, steps, now=now)
    row = Escalation.objects.create(
        site_id=alarm.site_id, alarm=alarm, chain=chain, chain_name=chain.name, priority=new.priority, cause=new.cause,
        plan=[asdict(step) for step in new.steps], looked_until=max(looked_until, new.cause), due_at=new.due_at,
        started_at=now,
    )  # fmt: skip
    _journal(journal.ESCALATION_BEGAN, row, key=str(row.pk), at=now, data={"chain": chain.name})


def _see(row: Escalation, standing: Standing, *, looked_until: int) -> None:
    """Keep how far it knows what happened to its alarm."""
    if row.looked_until != looked_until:
        now = escalation_life.seen(_value(row), standing)
        row.cause, row.priority, row.looked_until = now.cause, now.priority, looked_until
        row.save(update_fields=["cause", "priority", "looked_until"])


def _call(row: Escalation, *, now: datetime) -> Told | None:
    """Take the step that is due, and say when the next is."""
    known = _value(row)
    step, time = known.steps[known.step], known.called + 1
    reached = on_call.reach(step, site_id=row.site_id, at=now)
    outcome = Call.Outcome.TOLD if reached.channels else Call.Outcome.NOBODY
    Call.objects.create(
        escalation=row, step=known.step, time=time, due_at=known.due_at, at=now, outcome=outcome, whom=reached.whom
    )
    after = escalation_life.told(known, now=now, reached=bool(reached.channels))
    row.step, row.called, row.due_at = after.step, after.called, after.due_at
    row.save(update_fields=["step", "called", "due_at"])
    key = f"escalation/{row.pk}/step/{known.step}/time/{time}"
    _journal(journal.ESCALATION_CALLED, row, key=key, at=now, data={"whom": reached.whom, "outcome": str(outcome)})
    if after.ended is not None:
        _end(row, after.ended, now=now)
    if not reached.channels:
        return None
    return Told(
        key=key, transition=notifications.escalated(row.cause, at=now), channels=reached.channels,
        chain=row.chain_name, step=known.step + 1, steps=len(known.steps), time=time,
        waited_minutes=int((now - row.started_at).total_seconds() // 60),
    )  # fmt: skip


def _end(row: Escalation, why: End, *, now: datetime, actor: User | None = None, reason: str = "") -> None:
    row.ended, row.ended_at, row.due_at, row.stopped_by, row.stop_reason = why.value, now, None, actor, reason
    row.save(update_fields=["ended", "ended_at", "due_at", "stopped_by", "stop_reason"])
    data = {"how": why.value, "reason": reason}
    _journal(journal.ESCALATION_ENDED, row, key=str(row.pk), at=now, data=data, actor=actor)


def running(alarm_id: int) -> Escalation | None:
    """The escalation that runs on an alarm, if one does; with whom it called so far in two queries."""
    return Escalation.objects.filter(alarm=alarm_id, ended_at=None).prefetch_related("calls").first()


def stop_of_alarm(alarm_id: int, *, actor: User, reason: str) -> Escalation:
    """Stop the one that runs on an alarm. Raises ``NoReason``, ``NotRunning``."""
    found = running(alarm_id)
    if found is None:
        raise NotRunning
    return stop(found.pk, actor=actor, reason=reason)


def stop(escalation_id: int, *, actor: User, reason: str, now: datetime | None = None) -> Escalation:
    """Tell nobody any more, until the alarm becomes active and unacknowledged anew or worse.

    Raises ``NoReason``, ``NotRunning``, and ``Escalation.DoesNotExist``.
    """
    if not reason.strip():
        raise NoReason
    with transaction.atomic():
        alarm = alarm_steps.locked(Escalation.objects.values_list("alarm_id", flat=True).get(pk=escalation_id))
        row = Escalation.objects.get(pk=escalation_id)
        if row.ended_at is not None:
            raise NotRunning
        newest, standing = _standing(alarm, row)
        _see(row, standing, looked_until=newest)
        _end(row, End.STOPPED, now=now or timezone.now(), actor=actor, reason=reason.strip())
    return row


def _journal(
    kind: str, row: Escalation, *, key: str, at: datetime, data: Mapping[str, Any], actor: User | None = None
) -> None:
    said = {"alarm": row.alarm_id, **data}
    name = "" if actor is None else actor.get_username()
    journal.record([journal.Entry(kind, f"escalation/{row.pk}", f"{kind}/{key}", at, row.site_id, name, said)])
