"""The life of an escalation: when one begins, whom it calls next, what ends it. Pure: no Django.

An escalation belongs to one time that an alarm became active and unacknowledged: its ``cause``, the id of the alarm's
transition that made it so. It carries the steps of its chain as they were when it began. ``next_move`` looks at the
alarm and at its newest escalation and says what is to be done now; ``begun``, ``seen``, ``told`` and ``over`` say how
the escalation stands after it. Whoever asks holds the alarm, so that nothing happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from maintenance.alarm_life import HIDES, SHOWS, Action
from maintenance.messages import PRIORITIES


class End(StrEnum):
    """Why an escalation is over."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETURNED = "RETURNED"
    HIDDEN = "HIDDEN"  # shelved, suppressed by design, out of service
    RAISED = "RAISED"  # its alarm is worse now, and another chain is responsible
    STOPPED = "STOPPED"  # by a person
    RAN_OUT = "RAN_OUT"  # everybody was told, and nobody acknowledged


ENDS: dict[str, End] = {
    Action.ACKNOWLEDGED: End.ACKNOWLEDGED,
    Action.RETURNED: End.RETURNED,
    **dict.fromkeys(HIDES.values(), End.HIDDEN),
}
"""What happens to an alarm that ends its escalation."""
CAUSES: tuple[str, ...] = (
    Action.OPENED, Action.REOPENED, Action.RAISED, Action.RE_ALARMED, Action.UNACKNOWLEDGED, *SHOWS.values(),
)  # fmt: skip
"""What happens to an alarm that can make it active, unacknowledged and not hidden."""


@dataclass(frozen=True, slots=True)
class Step:
    """Whom to tell, how long after the step before, how often and at what distance. ``times`` None: until acknowledged.

    ``kind``: what ``target`` is the id of: ``reader``, ``channel`` or ``rota``. ``medium``: the kind of channel; empty:
    all of the person's.
    """

    kind: str
    target: int
    name: str
    after_minutes: int
    times: int | None = 1
    every_minutes: int = 10
    medium: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    id: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm as it stands. ``cause``: the newest of its transitions that can make it need somebody, 0 for none.

    ``interruption``: what has happened since its newest escalation last looked that ends one, even if it is undone.
    """

    active: bool
    acknowledged: bool
    hidden: bool
    priority: str
    cause: int
    interruption: End | None = None

    @property
    def needs_somebody(self) -> bool:
        return self.active and not self.acknowledged and not self.hidden


@dataclass(frozen=True, slots=True)
class Escalation:
    """``step``: number of the step that is next, from 0; ``called``: how often it was taken; ``due_at``: when it is
    next. ``ended``: None while it runs."""

    cause: int
    priority: str
    chain_id: int | None
    steps: tuple[Step, ...]
    due_at: datetime
    step: int = 0
    called: int = 0
    ended: End | None = None


class Do(StrEnum):
    NOTHING = "NOTHING"
    BEGIN = "BEGIN"
    CALL = "CALL"
    END = "END"


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be done now. ``why``: with END."""

    do: Do
    why: End | None = None


NOTHING, BEGIN, CALL = Move(Do.NOTHING), Move(Do.BEGIN), Move(Do.CALL)


def interruption(actions: Iterable[str]) -> End | None:
    """The first of an alarm's actions that ends an escalation, if one does."""
    return next((ENDS[action] for action in actions if action in ENDS), None)


def next_move(alarm: Standing, known: Escalation | None, chain: Chain | None, *, now: datetime) -> Move:
    """What is to be done now. ``known``: the alarm's newest escalation; ``chain``: the one that is responsible."""
    if known is not None and known.ended is None:
        why = _why_over(alarm, known, chain)
        if why is not None:
            return Move(Do.END, why)
        return CALL if known.due_at <= now else NOTHING
    if not alarm.needs_somebody or chain is None:
        return NOTHING
    return BEGIN if known is None or known.cause < alarm.cause else NOTHING


def _why_over(alarm: Standing, known: Escalation, chain: Chain | None) -> End | None:
    if alarm.interruption is not None:
        return alarm.interruption
    if alarm.hidden:
        return End.HIDDEN
    if alarm.acknowledged:
        return End.ACKNOWLEDGED
    if not alarm.active:
        return End.RETURNED
    worse = PRIORITIES.index(alarm.priority) < PRIORITIES.index(known.priority)
    return End.RAISED if worse and chain is not None and chain.id != known.chain_id else None


def begun(alarm: Standing, chain: Chain, *, now: datetime) -> Escalation:
    """A new escalation, with a copy of the chain's steps, of which there must be one."""
    due_at = now + timedelta(minutes=chain.steps[0].after_minutes)
    return Escalation(alarm.cause, alarm.priority, chain.id, chain.steps, due_at)


def seen(known: Escalation, alarm: Standing) -> Escalation:
    """A running escalation that goes on for its alarm as it is now: if that got worse, it did so under its eyes."""
    return replace(known, cause=alarm.cause, priority=alarm.priority)


def told(known: Escalation, *, now: datetime, reached: bool) -> Escalation:
    """The escalation after a call. One that reached nobody gives way to the next step at once; the last goes on."""
    step, called = known.steps[known.step], known.called + 1
    last = known.step + 1 == len(known.steps)
    if reached or last:
        if step.times is None or called < step.times:
            return replace(known, called=called, due_at=now + timedelta(minutes=step.every_minutes))
        if last:
            return over(replace(known, called=called), End.RAN_OUT)
    following = known.steps[known.step + 1]
    wait = timedelta(minutes=following.after_minutes if reached else 0)
    return replace(known, step=known.step + 1, called=0, due_at=now + wait)


def over(known: Escalation, why: End) -> Escalation:
    return replace(known, ended=why)
