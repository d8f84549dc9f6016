"""What people said as training windows: cut at regimes, without contradictions, nothing lost in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agents import training_windows
from agents.training_windows import INSTANT, LABEL, ORDER, Claim, Start, Window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def claim(source: str, number: int, start: int, end: int, kind: str = "FAULT", mode: str = "", **fields: int) -> Claim:
    place = {"machine": 1, "sensor": None} | fields
    return Claim(source, number, start=NOON + start * HOUR, end=NOON + end * HOUR, kind=kind, mode=mode, **place)  # type: ignore[arg-type]


def told(found: tuple[Window, ...]) -> list[tuple[str, int, str]]:
    return [(one.said.source, one.said.source_id, one.left_out) for one in found]


def test_a_label_is_cut_at_a_regime_and_each_piece_is_a_window() -> None:
    found = training_windows.windows(
        [claim(LABEL, 1, 0, 4)], [Start(1, None, NOON + HOUR), Start(2, None, NOON + HOUR)]
    )
    assert [(one.said.start, one.said.end, one.left_out) for one in found] == [
        (NOON, NOON + HOUR - INSTANT, ""), (NOON + HOUR, NOON + 4 * HOUR, "")
    ]  # fmt: skip


def test_an_order_ends_where_a_new_normal_begins() -> None:
    found = training_windows.windows([claim(ORDER, 1, 0, 4)], [Start(1, 7, NOON + HOUR), Start(1, None, NOON)])
    assert told(found) == [
        (ORDER, 1, ""), (ORDER, 1, "a new normal was declared from 2026-03-01 13:00 UTC on")
    ]  # fmt: skip


def test_a_regime_of_another_sensor_cuts_nothing() -> None:
    assert len(training_windows.windows([claim(LABEL, 1, 0, 4, sensor=8)], [Start(1, 7, NOON + HOUR)])) == 1


def test_a_label_outranks_an_order_whether_it_says_the_same_or_not() -> None:
    labels = [claim(LABEL, 1, 0, 2, "FAULT", "VIB"), claim(LABEL, 2, 10, 12, "FALSE_ALARM")]
    orders = [claim(ORDER, 3, 1, 5, "FAULT", "VIB"), claim(ORDER, 4, 11, 15), claim(ORDER, 5, 20, 21)]
    assert told(training_windows.windows(orders + labels, [])) == [
        (LABEL, 1, ""), (ORDER, 3, "a label tells it already: label 1 says FAULT VIB"), (LABEL, 2, ""),
        (ORDER, 4, "contradicted: label 2 says FALSE_ALARM"), (ORDER, 5, ""),
    ]  # fmt: skip


def test_labels_that_disagree_teach_nothing_and_name_each_other() -> None:
    pair = [claim(LABEL, 1, 0, 4, "FAULT", "VIB"), claim(LABEL, 2, 4, 6, "EXPECTED", sensor=9)]
    assert told(training_windows.windows(pair, [])) == [
        (LABEL, 1, "contradicted: label 2 says EXPECTED"), (LABEL, 2, "contradicted: label 1 says FAULT VIB")
    ]  # fmt: skip
    assert all(one.is_used for one in training_windows.windows([pair[0], replace(pair[1], machine=2)], []))


def test_two_modes_of_one_time_contradict_and_an_unnamed_one_does_not() -> None:
    orders = [claim(ORDER, 1, 0, 4, mode="VIB"), claim(ORDER, 2, 1, 3, mode="OHE"), claim(ORDER, 3, 9, 12, mode="VIB"),
              claim(ORDER, 4, 10, 11)]  # fmt: skip
    assert [one.is_used for one in training_windows.windows(orders, [])] == [False, False, True, True]


CLAIMS = st.lists(
    st.builds(
        claim, st.sampled_from([LABEL, ORDER]), st.integers(0, 10**6), st.integers(0, 20), st.integers(20, 40),
        st.sampled_from(["FAULT", "FALSE_ALARM", "EXPECTED"]), st.sampled_from(["", "VIB", "OHE"]),
        machine=st.integers(1, 2), sensor=st.none() | st.integers(1, 2),
    ).flatmap(lambda one: st.integers(0, 20).map(lambda length: replace(one, end=one.start + length * HOUR))),
    max_size=10, unique_by=lambda one: one.source_id,
)  # fmt: skip
STARTS = st.lists(
    st.builds(
        Start, st.integers(1, 2), st.none() | st.integers(1, 2), st.integers(0, 40).map(lambda n: NOON + n * HOUR)
    ),
    max_size=4,
)


@given(CLAIMS, STARTS)
def test_what_is_used_is_free_of_contradictions_and_of_starts(claims: list[Claim], starts: list[Start]) -> None:
    used = [one.said for one in training_windows.windows(claims, starts) if one.is_used]
    for number, one in enumerate(used):
        assert not any(one.meets(other) and one.disagrees(other) for other in used[:number])
        for start in starts:
            concerned = start.machine == one.machine and (
                None in (start.sensor, one.sensor) or start.sensor == one.sensor
            )
            assert not (concerned and one.start < start.since <= one.end)


@given(CLAIMS, STARTS, st.randoms())
def test_every_claim_is_told_whole_whatever_the_order(claims: list[Claim], starts: list[Start], dice: Random) -> None:
    found = training_windows.windows(claims, starts)
    for one in claims:
        pieces = [each.said for each in found if each.said.source_id == one.source_id]
        assert (pieces[0].start, pieces[-1].end) == (one.start, one.end)
        assert all(after.start - before.end == INSTANT for before, after in pairwise(pieces))
    dice.shuffle(claims)
    dice.shuffle(starts)
    assert training_windows.windows(claims, starts) == found


@given(CLAIMS, STARTS)
def test_orders_change_nothing_of_labels(claims: list[Claim], starts: list[Start]) -> None:
    both = [one for one in training_windows.windows(claims, starts) if one.said.source == LABEL]
    alone = training_windows.windows([one for one in claims if one.source == LABEL], starts)
    assert tuple(both) == alone
