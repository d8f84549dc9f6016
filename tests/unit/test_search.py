"""Which deadbands are tried, and which of them is proposed."""

from __future__ import annotations

import pytest

from agents.backtests import search
from agents.backtests.figures import Activation, Window
from agents.backtests.search import Tried
from tests.unit import tables

FAULT = Window(1, None, "FAULT", 100, 200, "LOO")


def active(at: int, mode: str = "LOO") -> Activation:
    return Activation(1, mode, 7, "LIMIT_HIGH", "HIGH", at, at + 5)


def test_deadbands_reach_half_the_way_from_the_nearest_limit_to_where_the_sensor_usually_is() -> None:
    table = tables.table([1], low=10.0, high=25.0, high_high=40.0, deadband=0.0)
    assert search.candidates(table, typical=20.0) == [0.078, 0.16, 0.31, 0.62, 1.2, 2.5]
    assert search.candidates(table, typical=13.0)[-1] == 1.5


def test_only_larger_deadbands_than_the_sensors_are_tried() -> None:
    assert search.candidates(tables.table([1], high=25.0, deadband=0.5), typical=20.0) == [0.62, 1.2, 2.5]


@pytest.mark.parametrize("typical", [None, 30.0])
def test_nothing_is_tried_where_nothing_is_known_or_the_sensor_is_usually_beyond(typical: float | None) -> None:
    assert search.candidates(tables.table([1], high=25.0, deadband=0.0), typical=typical) == []


def test_zones_count_as_limits() -> None:
    assert search.candidates(tables.table([1], zone_c=2.8, zone_d=4.5, deadband=0.0), typical=0.8)[-1] == 1.0


def test_the_smallest_deadband_of_those_that_come_close_to_the_fewest_wins() -> None:
    now = Tried(0.0, 412, frozenset())
    tried = [Tried(d, n, frozenset()) for d, n in ((0.1, 300), (0.2, 10), (0.4, 11), (0.8, 10))]
    best = search.choose(now, tried)
    assert best is not None and best.deadband == 0.2


def test_what_loses_a_fault_or_leaves_nothing_or_helps_nothing_is_out() -> None:
    now = search.outcome(0.0, [active(at) for at in (50, 150, 300)], [FAULT])
    assert now.told == {FAULT}
    lost = search.outcome(0.2, [active(50)], [FAULT])
    gone = search.outcome(0.4, [], [])
    same = search.outcome(0.1, [active(at) for at in (50, 150, 400)], [FAULT])
    assert search.choose(now, [lost, gone, same]) is None
    kept = search.outcome(0.3, [active(120)], [FAULT])
    assert search.choose(now, [lost, gone, same, kept]) is kept


def test_an_alarm_of_another_mode_tells_of_no_named_fault() -> None:
    unnamed = Window(1, None, "FAULT", 100, 200)
    assert search.outcome(0.0, [active(150, "HIO")], [FAULT, unnamed]).told == {unnamed}
