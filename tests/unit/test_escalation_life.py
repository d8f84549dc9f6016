"""The life of an escalation: step by step, and through random histories beside a small oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maintenance import escalation_life
from maintenance.alarm_life import HIDES, SHOWS, Suppression
from maintenance.escalation_life import BEGIN, CALL, NOTHING, Chain, Do, End, Escalation, Move, Standing, Step

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANNA = Step("reader", 1, "anna", after_minutes=5)
BEN = Step("reader", 2, "ben", after_minutes=10, times=2, every_minutes=3)
BOSS = Step("rota", 3, "bosses", after_minutes=20, times=None, every_minutes=30)
CHAIN = Chain(1, (ANNA, BEN, BOSS))
UNSEEN = Standing(active=True, acknowledged=False, hidden=False, priority="HIGH", cause=7)


def after(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def begun(chain: Chain = CHAIN, alarm: Standing = UNSEEN) -> Escalation:
    return escalation_life.begun(alarm, chain, now=NOON)


def taken(known: Escalation, *, reached: bool = True, until: int = 200) -> list[tuple[int, float]]:
    """Step and minute of each call, where every one is taken in the minute that it is due."""
    calls: list[tuple[int, float]] = []
    for minute in range(until):
        if known.ended is None and known.due_at <= after(minute):
            calls.append((known.step, minute))
            known = escalation_life.told(known, now=after(minute), reached=reached)
    return calls


def test_it_begins_for_an_active_alarm_that_nobody_has_acknowledged() -> None:
    move = escalation_life.next_move
    assert move(UNSEEN, None, CHAIN, now=NOON) == BEGIN
    assert move(UNSEEN, None, None, now=NOON) == NOTHING
    for no in ({"active": False}, {"acknowledged": True}, {"hidden": True}):
        assert move(replace(UNSEEN, **no), None, CHAIN, now=NOON) == NOTHING


def test_steps_follow_each_other_repeat_and_the_last_goes_on() -> None:
    assert taken(begun()) == [(0, 5), (1, 15), (1, 18), (2, 38), (2, 68), (2, 98), (2, 128), (2, 158), (2, 188)]


def test_when_everybody_was_told_it_has_run_out_and_does_not_begin_again() -> None:
    known = begun(Chain(1, (ANNA, BEN)))
    assert taken(known) == [(0, 5), (1, 15), (1, 18)]
    spent = escalation_life.over(known, End.RAN_OUT)
    assert escalation_life.next_move(UNSEEN, spent, CHAIN, now=after(99)) == NOTHING
    assert escalation_life.next_move(replace(UNSEEN, cause=8), spent, CHAIN, now=after(99)) == BEGIN


def test_a_step_that_reaches_nobody_gives_way_at_once_and_the_last_keeps_trying() -> None:
    assert taken(begun(), reached=False, until=70) == [(0, 5), (1, 6), (2, 7), (2, 37), (2, 67)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"acknowledged": True}, End.ACKNOWLEDGED),
        ({"active": False}, End.RETURNED),
        ({"hidden": True}, End.HIDDEN),
        ({"interruption": End.RETURNED}, End.RETURNED),
    ],
)
def test_what_ends_it_comes_before_a_step_that_is_due(change: dict[str, object], why: End) -> None:
    alarm = replace(UNSEEN, **change)  # type: ignore[arg-type]  # names and values stand above
    assert escalation_life.next_move(UNSEEN, begun(), CHAIN, now=after(5)) == CALL
    assert escalation_life.next_move(alarm, begun(), CHAIN, now=after(5)) == Move(Do.END, why)


def test_an_alarm_that_gets_worse_changes_to_the_chain_for_that_and_to_no_other() -> None:
    worse, other = replace(UNSEEN, priority="CRITICAL", cause=8), Chain(2, (BOSS,))
    assert escalation_life.next_move(worse, begun(), other, now=NOON) == Move(Do.END, End.RAISED)
    assert escalation_life.next_move(worse, begun(), CHAIN, now=NOON) == NOTHING
    assert escalation_life.next_move(UNSEEN, begun(), other, now=NOON) == NOTHING
    assert escalation_life.next_move(worse, begun(), None, now=NOON) == NOTHING


def test_the_first_thing_that_ended_it_is_why() -> None:
    assert escalation_life.interruption(["COMMENTED", "SHELVED", "ACKNOWLEDGED"]) is End.HIDDEN
    assert escalation_life.interruption(["COMMENTED", "RAISED", "REOPENED"]) is None


# Random histories

CHAINS = {
    "HIGH": [Chain(1, (ANNA, BEN)), Chain(1, (BOSS,)), Chain(1, (BEN, BOSS))],
    "CRITICAL": [Chain(2, (BOSS,)), Chain(1, (ANNA,)), Chain(2, (replace(ANNA, after_minutes=0), BEN))],
}
"""By the alarm's priority, each edited twice. After the first edit one chain is responsible for both."""


def oracle(steps: tuple[Step, ...], *, count: int) -> list[tuple[int, int, int]]:
    """The first calls of a chain, written out: step, time, and minutes after the call before."""
    calls = []
    for number, step in enumerate(steps):
        for time in range(step.times or count):
            calls.append((number, time + 1, step.every_minutes if time else step.after_minutes))
    return calls[:count]


@dataclass
class Spell:
    """One time that the alarm needs somebody, as the oracle sees it; ``steps`` and ``calls`` once it escalates.

    ``number``: how many escalations there were before."""

    number: int
    steps: tuple[Step, ...] | None = None
    began: datetime = NOON
    calls: list[tuple[int, int, datetime]] = field(default_factory=list)
    stopped: bool = False
    priority: str = ""
    chain_id: int = 0


@dataclass
class World:
    """An alarm with its history; the escalations that ``escalation_life`` makes of it; and the oracle's spells.

    ``hiding``: what hides it: a shelf, a maintenance window, a work order. A latching alarm that has returned has to be
    acknowledged, whatever it was; an advisory (``priority``) never has to.
    """

    latching: bool = False
    active: bool = False
    acknowledged: bool = True
    hiding: set[Suppression] = field(default_factory=set)
    priority: str = "HIGH"
    version: int = 0
    enabled: bool = True
    now: datetime = NOON
    history: list[str] = field(default_factory=list)
    known: list[tuple[Escalation, int]] = field(default_factory=list)
    spell: Spell | None = None
    spells: list[Spell] = field(default_factory=list)

    def chain(self) -> Chain | None:
        return CHAINS[self.priority][self.version] if self.enabled and self.priority in CHAINS else None

    def happen(self, action: str) -> None:
        self.history.append(action)
        needing = self.active and not self.acknowledged and not self.hiding
        if not needing:
            self.spell = None
        elif self.spell is None:
            self.spell = Spell(len(self.known))
            self.spells.append(self.spell)

    def condition(self, advisory: bool = False) -> None:
        if self.active:
            return
        if not self.acknowledged:
            self.active = True
            self.happen("REOPENED")
            return
        self.active, self.acknowledged, self.priority = True, advisory, "ADVISORY" if advisory else "HIGH"
        self.happen("NOTED" if advisory else "OPENED")

    def normal(self) -> None:
        if self.active:
            self.active = False
            if self.latching and self.priority != "ADVISORY":
                self.acknowledged = False
            self.happen("RETURNED")

    def acknowledge(self) -> None:
        if not self.acknowledged:
            self.acknowledged = True
            self.happen("ACKNOWLEDGED")

    def unacknowledge(self) -> None:
        if self.active and self.acknowledged and self.priority != "ADVISORY":
            self.acknowledged = False
            self.happen("UNACKNOWLEDGED")

    def worsen(self) -> None:
        if self.active and self.priority == "ADVISORY":
            self.priority, self.acknowledged = "HIGH", False  # from now on it asks for a response
            self.happen("OPENED")
        elif self.active and self.priority == "HIGH":
            self.priority, self.acknowledged = "CRITICAL", False
            self._anew_if_spent()
            self.happen("RAISED")

    def re_alarm(self) -> None:
        """It has stood for too long: it is told again, and has to be acknowledged anew."""
        if self.active and not self.hiding and self.priority != "ADVISORY":
            self.acknowledged = False
            self._anew_if_spent()
            self.happen("RE_ALARMED")

    def _anew_if_spent(self) -> None:
        """What ran out or was stopped was for what the alarm was before."""
        if self.spell is not None and self.spell.steps is not None and self._spent():
            self.spell = None

    def _spent(self) -> bool:
        spell = self.spell
        assert spell is not None
        assert spell.steps is not None
        return spell.stopped or len(spell.calls) == len(oracle(spell.steps, count=99)) < 99

    def hide(self, by: Suppression) -> None:
        if by not in self.hiding and (self.active or not self.acknowledged):
            self.hiding.add(by)
            self.happen(HIDES[by])

    def show(self, by: Suppression) -> None:
        if by in self.hiding:
            self.hiding.remove(by)
            if self.active and not self.hiding and self.priority != "ADVISORY":
                self.acknowledged = False
            self.happen(SHOWS[by])

    def edit(self, version: int) -> None:
        self.version = version

    def switch(self) -> None:
        self.enabled = not self.enabled

    def stop(self) -> None:
        """Only what is not over already, and the sweep has yet to see that."""
        if self.known and self.known[-1][0].ended is None:
            known, until = self.known[-1]
            alarm = self._standing(until)
            if alarm.needs_somebody and alarm.interruption is None:
                known = escalation_life.over(escalation_life.seen(known, alarm), End.STOPPED)
                self.known[-1] = (known, len(self.history))
                assert self.spell is not None
                self.spell.stopped = True

    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    def sweep(self, dies: bool) -> None:
        """As ``escalations.go_on``: one call at most; a sweep that dies leaves all as it was."""
        self._change_over()
        before = list(self.known)
        call = self._pass()
        if dies:
            self.known = before
            call = self._pass()
        if call is not None:
            assert self.spell is not None, "called after it was over"
            assert len(self.known) > self.spell.number, "called for what was over"
            self.spell.calls.append(call)
        if self.spell is not None and self.spell.steps is None and len(self.known) > self.spell.number:
            known = self.known[-1][0]
            self.spell.steps, self.spell.began, self.spell.chain_id = known.steps, self.now, known.chain_id or 0
            self.spell.priority = self.priority

    def _change_over(self) -> None:
        """Another chain takes over when the alarm gets worse: for the oracle that is another spell."""
        spell, chain = self.spell, self.chain()
        if spell is None or spell.steps is None or spell.priority == self.priority or self._spent():
            return
        spell.priority = self.priority
        if chain is not None and chain.id != spell.chain_id:
            self.spell = Spell(len(self.known))
            self.spells.append(self.spell)

    def _standing(self, until: int) -> Standing:
        causes = [n for n, action in enumerate(self.history, start=1) if action in escalation_life.CAUSES]
        return Standing(
            self.active, self.acknowledged, bool(self.hiding), self.priority, causes[-1] if causes else 0,
            escalation_life.interruption(self.history[until:]),
        )  # fmt: skip

    def _pass(self) -> tuple[int, int, datetime] | None:
        while True:
            known, until = self.known[-1] if self.known else (None, 0)
            alarm = self._standing(until)
            move = escalation_life.next_move(alarm, known, self.chain(), now=self.now)
            if move.do is Do.BEGIN:
                chain = self.chain()
                assert chain is not None
                self.known = [*self.known, (escalation_life.begun(alarm, chain, now=self.now), len(self.history))]
                continue
            if known is None or move.do is Do.NOTHING:
                if known is not None and known.ended is None:
                    self.known = [*self.known[:-1], (escalation_life.seen(known, alarm), len(self.history))]
                return None
            if move.do is Do.END:
                assert move.why is not None
                self.known = [*self.known[:-1], (escalation_life.over(known, move.why), until)]
                continue
            step, time = known.step, known.called + 1
            after = escalation_life.told(escalation_life.seen(known, alarm), now=self.now, reached=True)
            self.known = [*self.known[:-1], (after, len(self.history))]
            return step, time, self.now


def check_state(world: World) -> None:
    """The oracle's spells are the times in which the alarm is active, not acknowledged and not hidden."""
    assert (world.spell is not None) == (world.active and not world.acknowledged and not world.hiding)
    assert world.acknowledged or world.priority != "ADVISORY"


def check_after_a_sweep(world: World) -> None:
    """No alarm that needs somebody is without an escalation where one is due, and no other has one that runs."""
    running = [known for known, _ in world.known if known.ended is None]
    assert len(running) <= 1
    if world.spell is None:
        assert not running
    elif world.spell.steps is None:
        assert not world.enabled
        assert not running
    else:
        assert bool(running) != world._spent()
        if running:
            *_, minutes = oracle(world.spell.steps, count=len(world.spell.calls) + 1)[-1]
            last = world.spell.calls[-1][2] if world.spell.calls else world.spell.began
            assert last + minutes * MINUTE > world.now


def check_calls(world: World) -> None:
    """Each spell's calls are those of the chain as it was when it began, one after the other, none before its time."""
    for spell in world.spells:
        if spell.steps is None:
            assert spell.calls == []
            continue
        expected = oracle(spell.steps, count=len(spell.calls))
        assert [(step, time) for step, time, _ in spell.calls] == [(step, time) for step, time, _ in expected]
        before = spell.began
        for (_, _, at), (_, _, minutes) in zip(spell.calls, expected, strict=True):
            assert at - before >= minutes * MINUTE
            before = at


to_the_alarm = ["condition", "normal", "acknowledge", "unacknowledge", "worsen", "re_alarm"]
SHELF, WINDOW, WORK = Suppression.SHELVED, Suppression.BY_DESIGN, Suppression.OUT_OF_SERVICE
acts = st.one_of(
    *[st.tuples(st.just(name)) for name in (*to_the_alarm, *to_the_alarm, "stop", "switch")],
    *[st.tuples(st.just(name), st.sampled_from([SHELF, WINDOW, WORK])) for name in ("hide", "show", "show")],
    st.tuples(st.just("condition"), st.booleans()),
    st.tuples(st.just("edit"), st.integers(0, 2)),
    *[st.tuples(st.just("wait"), st.sampled_from([1, 3, 5, 10, 30]))] * 3,
    *[st.tuples(st.just("sweep"), st.booleans())] * 8,
)


SWEEP = ("sweep", False)


@example(False, [SWEEP, ("hide", SHELF), SWEEP, ("show", SHELF), SWEEP])
@example(False, [SWEEP, ("hide", SHELF), ("hide", WINDOW), ("show", SHELF), SWEEP, ("show", WINDOW), SWEEP])
@example(False, [SWEEP, ("normal",), ("condition",), SWEEP])
@example(True, [SWEEP, ("acknowledge",), ("normal",), SWEEP, ("condition",), SWEEP])
@example(False, [SWEEP, ("worsen",), SWEEP])
@example(False, [SWEEP, ("acknowledge",), ("unacknowledge",), SWEEP])
@example(False, [SWEEP, ("stop",), SWEEP, ("re_alarm",), SWEEP])
@example(False, [SWEEP, ("acknowledge",), SWEEP, ("re_alarm",), SWEEP])
@example(False, [("acknowledge",), ("normal",), ("condition", True), SWEEP, ("worsen",), SWEEP])
@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(acts, min_size=20, max_size=60))
def test_any_history_escalates_what_the_oracle_says(latching: bool, history: list[tuple[object, ...]]) -> None:
    world = World(latching=latching)
    world.condition()
    for name, *more in history:
        getattr(world, str(name))(*more)
        check_state(world)
        if name == "sweep":
            check_after_a_sweep(world)
            check_calls(world)
    for _ in range(30):  # and in the end, whatever was: it comes to rest, or goes on to call as long as it must
        world.wait(30)
        world.sweep(False)
        check_after_a_sweep(world)
    check_calls(world)
