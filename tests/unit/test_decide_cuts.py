"""How the stream of readings was cut into runs plays no part in what decide makes of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance import alarm_life
from maintenance.alarm_life import Action, AlarmState, Condition, OrderState, State
from maintenance.verdicts import Step, Verdict
from tests.unit.test_decide import condition, one, situation

QUIET = 2
"""Normal readings that end an event, in the stream below."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One reading of one sensor: how abnormal, 0 = not at all."""

    at: int
    sensor: int
    score: float


@dataclass
class Books:
    """What the database keeps between runs: a plain model of ``alarms.apply`` and of the detector's events."""

    on_delay: tuple[int, ...]
    off_delay: tuple[int, ...]
    acknowledged_at: frozenset[int] = frozenset()
    anomalies: dict[int, Condition] = field(default_factory=dict)
    standing: dict[int, int] = field(default_factory=dict)
    quiet: dict[int, list[int]] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    alarm: AlarmState | None = None
    order: OrderState | None = None
    judged_until: int | None = None
    alarms: int = 0
    steps: list[Step] = field(default_factory=list)

    def run(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            self.detect(tick)
        if not ticks:
            return
        open_ones = tuple(c for c in self.anomalies.values() if c.anomaly_id not in self.settled)
        verdict = one(
            situation(
                *open_ones, clock=ticks[-1].at, alarm=self.alarm, order=self.order, judged_until=self.judged_until
            )
        )
        self.apply(verdict)

    def detect(self, tick: Tick) -> None:
        known = self.standing.get(tick.sensor)
        if tick.score:
            self.quiet[tick.sensor] = []
            if known is None:
                known = self.standing[tick.sensor] = tick.at * 10 + tick.sensor
                self.anomalies[known] = condition(
                    known, started_at=tick.at, sensor_id=tick.sensor, peak_score=tick.score,
                    on_delay=self.on_delay[tick.sensor], off_delay=self.off_delay[tick.sensor],
                )  # fmt: skip
            seen = replace(self.anomalies[known], last_at=tick.at)
            if tick.score > seen.peak_score:
                seen = replace(seen, peak_score=tick.score, peak_at=tick.at)
            self.anomalies[known] = seen
        elif known is not None:
            self.quiet[tick.sensor].append(tick.at)
            if len(self.quiet[tick.sensor]) == QUIET:
                self.anomalies[known] = replace(self.anomalies[known], ended_at=self.quiet[tick.sensor][0])
                del self.standing[tick.sensor]

    def apply(self, verdict: Verdict) -> None:
        assert not {step.key for step in verdict.steps} & {step.key for step in self.steps}
        for step in verdict.steps:
            self.steps.append(step)
            if step.anomaly_id is not None:
                known = self.anomalies[step.anomaly_id]
                self.anomalies[step.anomaly_id] = replace(
                    known, decided=known.decided | {f"{step.action}:{step.reason}"}
                )
            if step.alarm is not None and step.action == Action.OPENED:
                self.alarms += 1
            if step.alarm is not None and step.alarm.state is State.NORMAL:
                self.judged_until = step.alarm.returned_at
            self.order = replace(step.order, id=1) if step.order else self.order
        self.alarm = replace(verdict.alarm, id=self.alarms) if verdict.alarm else None
        if self.alarm and self.alarm.state is State.NORMAL:
            self.alarm = None
        self.settled |= set(verdict.settled)

    def acknowledge(self) -> None:
        if self.alarm and not self.alarm.acknowledged:
            self.alarm = alarm_life.step(self.alarm, Action.ACKNOWLEDGED, at=0)
            if self.alarm.state is State.NORMAL:
                self.judged_until, self.alarm = self.alarm.returned_at, None

    def told(self, *actions: str) -> list[tuple[str, int]]:
        return [(str(step.action), step.at) for step in self.steps if step.action in actions]


@st.composite
def streams(draw: st.DrawFn, sensors: int = 3) -> list[Tick]:
    size = draw(st.integers(1, 40))
    steps = draw(st.lists(st.integers(0, 30), min_size=size, max_size=size))
    scores = draw(st.lists(st.sampled_from([0.0, 0.0, 0.6, 0.7, 0.99]), min_size=size, max_size=size))
    names = draw(st.lists(st.integers(0, sensors - 1), min_size=size, max_size=size))
    ticks, at, newest = [], 100, dict.fromkeys(range(sensors), 0)
    for step, score, name in zip(steps, scores, names, strict=True):
        at = at + step if newest[name] < at + step else at + step + 1
        newest[name] = at
        ticks.append(Tick(at, name, score))
    return ticks


def judged(ticks: list[Tick], cuts: list[int], on: tuple[int, ...], off: tuple[int, ...]) -> Books:
    books = Books(on, off)
    edges = [0, *sorted({cut for cut in cuts if cut < len(ticks)}), len(ticks)]
    for begin, end in itertools.pairwise(edges):
        books.run(ticks[begin:end])
    return books


delays = st.tuples(*[st.sampled_from([0, 5, 20, 60])] * 3)
cuts = st.lists(st.integers(1, 39))


def ending(books: Books) -> tuple[Any, ...]:
    a = books.alarm
    return (books.alarms, a and a.active, a and a.priority, a and a.occurrences, a and a.peak_score)


@settings(max_examples=40, deadline=None)
@given(ticks=streams(), first=cuts, second=cuts, off=delays)
def test_without_on_delays_any_cut_of_the_stream_gives_the_same_transitions_at_the_same_instants(
    ticks: list[Tick], first: list[int], second: list[int], off: tuple[int, ...]
) -> None:
    one_way, other = (judged(ticks, cut, (0, 0, 0), off) for cut in (first, second))
    life = ("OPENED", "RETURNED", "REOPENED")
    assert one_way.told(*life) == other.told(*life)
    assert ending(one_way) == ending(other)


@settings(max_examples=40, deadline=None)
@given(ticks=streams(sensors=1), first=cuts, second=cuts, on=delays, off=delays)
def test_of_one_sensor_with_delays_any_cut_gives_the_same_transitions_at_the_same_instants(
    ticks: list[Tick], first: list[int], second: list[int], on: tuple[int, ...], off: tuple[int, ...]
) -> None:
    one_way, other = (judged(ticks, cut, on, off) for cut in (first, second))
    life = ("OPENED", "RETURNED", "REOPENED")
    assert one_way.told(*life) == other.told(*life)
    assert ending(one_way) == ending(other)


@settings(max_examples=40, deadline=None)
@given(ticks=streams(), first=cuts, second=cuts, on=delays, off=delays)
def test_with_on_delays_that_overlap_any_cut_gives_the_same_actions_and_the_same_returns(
    ticks: list[Tick], first: list[int], second: list[int], on: tuple[int, ...], off: tuple[int, ...]
) -> None:
    one_way, other = (judged(ticks, cut, on, off) for cut in (first, second))
    life = ("OPENED", "RETURNED", "REOPENED")
    assert [action for action, _ in one_way.told(*life)] == [action for action, _ in other.told(*life)]
    assert one_way.told("RETURNED") == other.told("RETURNED")
    assert ending(one_way) == ending(other)


@settings(max_examples=20, deadline=None)
@given(ticks=streams(), cut=cuts, on=delays, off=delays)
def test_the_history_of_an_alarm_runs_forward_and_everything_has_a_reason(
    ticks: list[Tick], cut: list[int], on: tuple[int, ...], off: tuple[int, ...]
) -> None:
    books = judged(ticks, cut, on, off)
    history = [at for _, at in books.told("OPENED", "RETURNED", "REOPENED")]
    assert history == sorted(history)
    assert {step.anomaly_id for step in books.steps} == set(books.anomalies)


@settings(max_examples=20, deadline=None)
@given(ticks=streams(), acknowledge_after=st.sets(st.integers(0, 39)), on=delays, off=delays)
def test_with_people_acknowledging_at_any_time_every_transition_is_legal_and_the_last_run_settles_what_is_over(
    ticks: list[Tick], acknowledge_after: set[int], on: tuple[int, ...], off: tuple[int, ...]
) -> None:
    books = Books(on, off)
    for position, tick in enumerate(ticks):
        books.run([tick])
        if position in acknowledge_after:
            books.acknowledge()
    books.run([Tick(ticks[-1].at + 1000 * (n + 1), sensor, 0.0) for n in range(QUIET) for sensor in range(3)])
    assert books.settled == set(books.anomalies)
    assert books.alarm is None or not books.alarm.active
