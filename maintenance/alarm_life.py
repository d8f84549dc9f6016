"""The life of an alarm as a transition table (ISA-18.2), and the plain values its decisions are made of.

Pure: no Django. Instants are int64 microseconds since the epoch, in event time. Three facts make the state of an alarm:
whether its condition stands (active), whether somebody has seen it (acknowledged), and whether it is hidden
(suppression). The third is orthogonal: what is hidden goes on being evaluated and keeps its history, so the transition
table knows the first two alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from maintenance import triage
from maintenance.definitions import Definition
from maintenance.stretches import Stretch

PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""Most urgent first."""
ADVISORY = "ADVISORY"
"""Below them all, and no alarm's: it asks for no response."""
URGENCY = (*PRIORITIES, ADVISORY)


class Suppression(StrEnum):
    """Why an alarm is hidden, if it is."""

    NONE = ""
    SHELVED = "SHELVED"  # by a person, for a time
    BY_DESIGN = "BY_DESIGN"  # by a rule
    OUT_OF_SERVICE = "OUT_OF_SERVICE"  # by work on the machine


STRENGTH = (Suppression.OUT_OF_SERVICE, Suppression.SHELVED, Suppression.BY_DESIGN, Suppression.NONE)
"""Where an alarm is hidden for several reasons, the first of them names its state."""


class State(StrEnum):
    """States by their ISA-18.2 names. NORMAL = no alarm is open."""

    NORMAL = "NORM"
    UNACK = "UNACK"  # active, not acknowledged
    ACKED = "ACKED"  # active, acknowledged
    RTNUN = "RTNUN"  # returned to normal, not acknowledged
    SHLVD = "SHLVD"
    DSUPR = "DSUPR"
    OOSRV = "OOSRV"


HIDDEN = {
    Suppression.SHELVED: State.SHLVD,
    Suppression.BY_DESIGN: State.DSUPR,
    Suppression.OUT_OF_SERVICE: State.OOSRV,
}
OPEN = (State.UNACK, State.ACKED, State.RTNUN)


def state_of(*, active: bool, acknowledged: bool, suppression: Suppression = Suppression.NONE) -> State:
    """The state that the three facts of an alarm make. A closed alarm is history: nothing hides it any more."""
    if not active and acknowledged:
        return State.NORMAL
    if suppression is not Suppression.NONE:
        return HIDDEN[suppression]
    if active:
        return State.ACKED if acknowledged else State.UNACK
    return State.RTNUN


class Action(StrEnum):
    """What can happen to an alarm."""

    OPENED = "OPENED"
    NOTED = "NOTED"
    RAISED = "RAISED"
    RETURNED = "RETURNED"
    REOPENED = "REOPENED"
    RE_ALARMED = "RE_ALARMED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    SHELVED = "SHELVED"
    UNSHELVED = "UNSHELVED"
    SUPPRESSED = "SUPPRESSED"
    UNSUPPRESSED = "UNSUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    BACK_IN_SERVICE = "BACK_IN_SERVICE"


HIDES = {
    Suppression.SHELVED: Action.SHELVED,
    Suppression.BY_DESIGN: Action.SUPPRESSED,
    Suppression.OUT_OF_SERVICE: Action.OUT_OF_SERVICE,
}
SHOWS = {
    Suppression.SHELVED: Action.UNSHELVED,
    Suppression.BY_DESIGN: Action.UNSUPPRESSED,
    Suppression.OUT_OF_SERVICE: Action.BACK_IN_SERVICE,
}
"""What happens to an alarm that is no longer hidden at all: while its condition stands, it has to be seen anew."""

TABLE: dict[tuple[State, Action], State] = {
    (State.NORMAL, Action.OPENED): State.UNACK,
    (State.UNACK, Action.RAISED): State.UNACK,
    (State.ACKED, Action.RAISED): State.UNACK,  # worse than what was acknowledged: it has to be seen again
    (State.UNACK, Action.RETURNED): State.RTNUN,
    (State.ACKED, Action.RETURNED): State.NORMAL,
    (State.RTNUN, Action.REOPENED): State.UNACK,
    (State.UNACK, Action.ACKNOWLEDGED): State.ACKED,
    (State.RTNUN, Action.ACKNOWLEDGED): State.NORMAL,
    (State.ACKED, Action.UNACKNOWLEDGED): State.UNACK,
    (State.UNACK, Action.RE_ALARMED): State.UNACK,
    (State.ACKED, Action.RE_ALARMED): State.UNACK,  # it has stood for too long: it has to be seen again
    **{(state, action): state for state in OPEN for action in HIDES.values()},
    **{(State.UNACK, action): State.UNACK for action in SHOWS.values()},
    **{(State.ACKED, action): State.UNACK for action in SHOWS.values()},
    **{(State.RTNUN, action): State.RTNUN for action in SHOWS.values()},
}
LATCHING = TABLE | {(State.ACKED, Action.RETURNED): State.RTNUN}
"""Of an alarm that does not close by itself: once it has returned, somebody has to acknowledge that."""
ADVISED: dict[tuple[State, Action], State] = {
    (State.NORMAL, Action.NOTED): State.ACKED,
    (State.ACKED, Action.RETURNED): State.NORMAL,
    (State.ACKED, Action.OPENED): State.UNACK,  # it is no longer an advisory: from now on it asks for a response
    **{(State.ACKED, action): State.ACKED for action in (*HIDES.values(), *SHOWS.values())},
}
"""Of an advisory: nobody has to see it, so it counts as acknowledged from the start."""


class IllegalTransition(ValueError):
    """The action is not possible in the state the alarm is in."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """An alarm as it stands. ``id`` is None for one not stored yet; ``raised_at``: when it last became active.

    ``verdict`` and ``reasons``: what triage makes of the most credible anomaly that keeps it active. ``definition``:
    what holds for the most urgent of them.
    """

    id: int | None
    active: bool
    acknowledged: bool
    priority: str
    raised_at: int
    returned_at: int | None
    occurrences: int
    sensor_id: int
    peak_score: float
    verdict: str = ""
    reasons: tuple[triage.Reason, ...] = ()
    definition: Definition | None = None

    @property
    def state(self) -> State:
        """By the two facts that the transition table knows."""
        return state_of(active=self.active, acknowledged=self.acknowledged)

    @property
    def is_advisory(self) -> bool:
        return self.priority == ADVISORY

    @property
    def is_latching(self) -> bool:
        return self.definition is not None and self.definition.latching

    @property
    def changed_at(self) -> int:
        """When it last became active or returned."""
        return self.raised_at if self.returned_at is None else self.returned_at


def opened(*, at: int, priority: str, sensor_id: int, peak_score: float) -> AlarmState:
    """One that begins: OPENED, or as an advisory NOTED."""
    return AlarmState(
        id=None,
        active=True,
        acknowledged=priority == ADVISORY,
        priority=priority,
        raised_at=at,
        returned_at=None,
        occurrences=1,
        sensor_id=sensor_id,
        peak_score=peak_score,
    )


def after(state: State, action: Action, *, advisory: bool = False, latching: bool = False) -> State:
    """The state that an action leads to. Raises ``IllegalTransition``."""
    table = ADVISED if advisory else LATCHING if latching else TABLE
    if (state, action) not in table:
        raise IllegalTransition(f"{action} in state {state}")
    return table[state, action]


def step(alarm: AlarmState, action: Action, *, at: int, priority: str | None = None) -> AlarmState:
    """The alarm after an action. Raises ``IllegalTransition``.

    ``at`` counts for RETURNED and REOPENED. ``priority`` raises the alarm's with RAISED and REOPENED, and with OPENED
    that of an advisory. It is ignored where it is lower: a priority never sinks while the alarm is open.
    """
    to = after(alarm.state, action, advisory=alarm.is_advisory, latching=alarm.is_latching)
    if action in (Action.OPENED, Action.NOTED) and not (alarm.is_advisory and alarm.active):
        raise IllegalTransition(f"{action} in state {alarm.state}")  # of an alarm that is no more, or is none yet
    changes: dict[str, object] = {
        "active": to in (State.UNACK, State.ACKED),
        "acknowledged": to in (State.ACKED, State.NORMAL),
    }
    if action is Action.RETURNED:
        changes |= {"returned_at": at}
    if action is Action.REOPENED:
        changes |= {"raised_at": at, "returned_at": None, "occurrences": alarm.occurrences + 1}
    if action in (Action.OPENED, Action.REOPENED, Action.RAISED) and priority is not None:
        changes |= {"priority": higher(alarm.priority, priority)}
    return replace(alarm, **changes)  # type: ignore[arg-type]  # names and values stand above


def higher(one: str, other: str) -> str:
    """The more urgent of two priorities."""
    return min(one, other, key=URGENCY.index)


@dataclass(frozen=True, slots=True)
class Condition:
    """An anomaly as decide sees it. ``decided``: actions and reasons already stored for it, as ``ACTION:reason``.

    ``facts``: what its history knows; ``verdict`` and ``reasons``: what triage made of it. ``held_until``: it does not
    count before. ``definition``: what people laid down for it, if anything.
    """

    anomaly_id: int
    sensor_id: int
    started_at: int
    last_at: int
    ended_at: int | None
    peak_score: float
    peak_at: int
    kind: str
    on_delay: int = 0
    off_delay: int = 0
    instrument: bool = False
    retrospective: bool = False
    decided: frozenset[str] = frozenset()
    facts: triage.Facts = triage.NOTHING
    verdict: str = ""
    reasons: tuple[triage.Reason, ...] = ()
    held_until: int = 0
    definition: Definition | None = None

    @property
    def on(self) -> int:
        """When it begins to count: after the on-delay, and not while triage holds it back."""
        return max(self.started_at + self.on_delay, self.held_until)

    @property
    def counts(self) -> bool:
        """It was still seen after the on-delay. What is known of it can make this true, never false again."""
        return self.last_at >= self.on

    @property
    def off(self) -> int | None:
        """When it no longer counts: after the off-delay, never before it counted. None while it lasts."""
        return None if self.ended_at is None else max(self.on, self.ended_at + self.off_delay)


@dataclass(frozen=True, slots=True)
class OrderState:
    """The open work order of a machine and failure mode, else the one that was completed last if that is not long ago:
    then ``completed_at`` says when. ``id`` is None for one that is not stored yet."""

    id: int | None
    priority: str
    maintenance_type: str
    occurrences: int
    status: str = "OPEN"
    completed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that counts for one machine and failure mode.

    ``clock``: the newest reading of the machine that was judged in order, None where there was none. ``judged_until``:
    when the latest alarm that is closed by now returned, None where there is none. ``suppression``: whether what
    happens is hidden; ``stretches``: when it is because of the machine's state (see ``verdicts.suppression_at``).
    """

    machine_id: int
    site_id: int
    machine: str
    failure_mode: str
    criticality: str
    clock: int | None
    conditions: tuple[Condition, ...]
    alarm: AlarmState | None = None
    order: OrderState | None = None
    judged_until: int | None = None
    suppression: Suppression = Suppression.NONE
    stretches: tuple[Stretch, ...] = ()
