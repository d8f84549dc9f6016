"""Whether machines run, from readings and words: pure, each against a plain walk along time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import running
from agents.findings import Quality, Reason
from maintenance import operating_life
from maintenance.operating_life import Phase, State, Word, Words
from sensors.columns import Columns
from tests.unit import tables

OFF, RUNNING, STARTING, UNKNOWN = State.OFF, State.RUNNING, State.STARTING, State.UNKNOWN


def said(values: list[float], **marks: list[int]) -> Words | None:
    """What sensor 2 of machine 7 says, off below 10 and running from 50, read once a second."""
    n = len(values)
    table = tables.table([1, 2, 3], machine=7)
    table.off_below[1], table.running_above[1] = 10.0, 50.0
    mine = tables.columns(range(n), values, sensor=2)
    others = tables.columns([0, 1], [0.0, 90.0], sensor=3)
    both = Columns(*(np.concatenate([getattr(c, f) for c in (mine, others)]) for f in Columns.__slots__))
    arrays = {name: np.array([*marks.get(name, [0] * n), 0, 0], np.uint8) for name in ("quality", "reason")}
    late, drop = (np.array([*marks.get(name, [0] * n), 0, 0], np.bool_) for name in ("late", "drop"))
    return running.words(both, table, keep=~drop, late=late, **arrays).get(7)


def test_it_is_what_it_was_between_the_bounds() -> None:
    assert said([60, 30, 9.9, 30, 49.9, 50, 20]) == Words((Word(RUNNING, 0), Word(OFF, 2), Word(RUNNING, 5)), 6)
    assert said([30, 20]) == Words((), 1)
    assert said([]) is None


def test_without_a_rule_nothing_is_said() -> None:
    table = tables.table([2], machine=7)
    none, reading = np.zeros(1, np.uint8), tables.columns([0], [0.0], sensor=2)
    flags = none.astype(np.bool_)
    assert running.words(reading, table, keep=~flags, late=flags, quality=none, reason=none) == {}


@pytest.mark.parametrize(
    "marks",
    [
        {"late": [0, 1]},
        {"drop": [0, 1]},
        {"reason": [0, Reason.OUT_OF_ORDER]},
        {"reason": [0, Reason.SPIKE], "quality": [0, Quality.BAD]},
    ],
)
def test_what_is_late_out_of_order_twice_or_impossible_says_nothing(marks: dict[str, list[int]]) -> None:
    assert said([60, 0], **marks) == Words((Word(RUNNING, 0),), 0)


def test_a_sensor_that_stands_still_or_is_not_calibrated_still_says_that_it_is_off() -> None:
    for reason, quality in ((Reason.STUCK, 2), (Reason.SATURATED, 2), (Reason.CALIBRATION_OVERDUE, 1)):
        assert said([60, 0], reason=[0, reason], quality=[0, quality]) == Words((Word(RUNNING, 0), Word(OFF, 1)), 1)


values = st.lists(st.sampled_from([0.0, 9.9, 10.0, 30.0, 49.9, 50.0, 60.0]), max_size=12)


@given(values)
def test_the_words_are_those_of_a_walk_from_reading_to_reading(read: list[float]) -> None:
    is_what: State | None = None
    changes = []
    for at, value in enumerate(read):
        new = OFF if value < 10 else RUNNING if value >= 50 else is_what
        if new is not None and new is not is_what:
            changes.append(Word(new, at))
        is_what = new
    assert said(read) == (Words(tuple(changes), len(read) - 1) if read else None)


def test_it_starts_up_after_it_was_off_and_then_it_runs() -> None:
    words = [Word(RUNNING, 1), Word(OFF, 5), Word(RUNNING, 10), Word(OFF, 12), Word(RUNNING, 20), Word(OFF, 40)]
    assert operating_life.walk(Phase(UNKNOWN, 0), words, startup=10) == [
        Phase(RUNNING, 1), Phase(OFF, 5), Phase(STARTING, 10, 20), Phase(OFF, 12), Phase(STARTING, 20, 30),
        Phase(RUNNING, 30), Phase(OFF, 40),
    ]  # fmt: skip


def test_what_is_older_than_known_or_known_already_changes_nothing() -> None:
    phase = Phase(OFF, 10)
    assert operating_life.walk(phase, [Word(RUNNING, 9), Word(OFF, 11)], startup=5) == []
    assert operating_life.after(Phase(STARTING, 10, 15), Word(RUNNING, 12), startup=5) == Phase(STARTING, 10, 15)
    assert operating_life.after(phase, Word(RUNNING, 12), startup=0) == Phase(RUNNING, 12)
    assert operating_life.after(Phase(RUNNING, 1), Word(STARTING, 12), startup=5) == Phase(STARTING, 12, 17)


words = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from([OFF, RUNNING, STARTING])),
    max_size=10,
    unique_by=lambda word: word[0],
).map(sorted)


@given(words, st.integers(0, 12))
def test_the_phases_are_those_of_a_clock_that_ticks(told: list[tuple[int, State]], startup: int) -> None:
    phases = [Phase(UNKNOWN, 0)]
    phases += operating_life.walk(phases[0], [Word(state, at) for at, state in told], startup=startup)
    by_instant, state, left = dict(told), UNKNOWN, 0
    for at in range(80):
        left = max(left - 1, 0)
        if state is STARTING and left == 0:
            state = RUNNING
        word = by_instant.get(at)
        if word is OFF:
            state, left = OFF, 0
        elif (word is RUNNING and state is OFF) or (word is STARTING and state is not STARTING):
            state, left = (STARTING, startup) if startup else (RUNNING, 0)
        elif word is RUNNING and state is UNKNOWN:
            state = RUNNING
        known = [phase for phase in phases if phase.since <= at][-1]
        assert operating_life.settled(known, at).state is state
