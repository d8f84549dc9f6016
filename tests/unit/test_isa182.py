from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import alarm_targets, isa182
from maintenance.alarm_targets import BadTargets, Direction, Verdict
from maintenance.isa182 import NEVER, Activations, Report
from sensors.columns import DAY_US, SECOND_US
from tests import oracles
from tests.oracles import Activation

MINUTE = 60 * SECOND_US
HOUR = 60 * MINUTE
START = 20_000 * DAY_US
MONTH = START + 30 * DAY_US


def table(found: Sequence[Activation], priority: Sequence[int] = ()) -> Activations:
    return Activations(
        at=np.array([one[0] for one in found], np.int64),
        returned=np.array([one[1] for one in found], np.int64),
        acknowledged=np.array([one[2] for one in found], np.int64),
        machine=np.array([one[3][0] for one in found], np.int64),
        mode=np.array([one[3][1] for one in found], "U3"),
        priority=np.array(priority or [3] * len(found), np.int64),
    )


def each(at: Sequence[int], *, lasts: int = HOUR, alarm: tuple[int, str] = (1, "LOO")) -> list[Activation]:
    return [(START + t, START + t + lasts, NEVER, alarm) for t in at]


def report(found: Sequence[Activation], *, end: int = MONTH, operators: int = 1, **more: Any) -> Report:
    return isa182.report(table(found, **more), start=START, end=end, operators=operators)


def figure(found: Report, name: str) -> isa182.Figure:
    return next(figure for figure in found.figures if figure.target.name == name)


def value(found: Report, name: str) -> float | None:
    return figure(found, name).value


def test_every_figure_that_is_asked_for_is_computed_and_none_besides() -> None:
    names = [figure.target.name for figure in report([]).figures]
    assert names == [target.name for target in alarm_targets.TARGETS.metrics]
    assert len(names) == 19


def test_a_period_without_alarms_is_well_and_has_no_shares() -> None:
    found = report([])
    assert (found.activations, found.alarms, found.floods, found.top, found.nuisances) == (0, 0, (), (), ())
    assert found.by_day == (0,) * 30
    assert {f.target.name for f in found.figures if f.value is None} == {"top_ten", "low", "medium", "high"}
    assert {f.verdict for f in found.figures} == {Verdict.OK, Verdict.NONE}


def test_rates_are_per_operator() -> None:
    found = each([h * HOUR for h in range(720)])
    assert value(report(found), "day_mean") == pytest.approx(24)
    assert value(report(found), "hour_most") == 1
    assert value(report(found, operators=2), "day_most") == 12
    assert value(report(found, operators=4), "ten_mean") == pytest.approx(1 / 24)


@pytest.mark.parametrize(("count", "share"), [(30, 0.0), (31, 100 / 720)])
def test_an_hour_is_busy_above_30(count: int, share: float) -> None:
    assert value(report(each([k * MINUTE for k in range(count)])), "hours_busy") == pytest.approx(share)


@pytest.mark.parametrize(("count", "floods"), [(10, 0), (11, 1)])
def test_a_flood_begins_above_10_in_ten_minutes(count: int, floods: int) -> None:
    assert value(report(each([k * SECOND_US for k in range(count)])), "floods") == floods


def test_a_flood_ends_below_5_in_ten_minutes() -> None:
    began, last = 10 * SECOND_US, 10 * MINUTE + 6 * SECOND_US  # with the seventh to leave, four are left
    (flood,) = report(each([k * SECOND_US for k in range(11)])).floods
    assert (flood.start, flood.end, flood.activations) == (START + began, START + last, 11)


def test_a_flood_that_lasts_ends_with_the_period() -> None:
    found = report(each([k * SECOND_US for k in range(600)]), end=START + 5 * MINUTE)
    assert [(f.start, f.end) for f in found.floods] == [(START + 10 * SECOND_US, START + 5 * MINUTE)]


@pytest.mark.parametrize(("gap", "alarms"), [(30, 1), (31, 0)])
def test_three_within_a_minute_chatter(gap: int, alarms: int) -> None:
    found = report(each([0, gap * SECOND_US, 2 * gap * SECOND_US], lasts=SECOND_US))
    assert value(found, "chattering") == alarms
    assert [actor.chattering for actor in found.nuisances if actor.chattering] == [3] * alarms


def test_alarms_do_not_chatter_together() -> None:
    found = [one for mode in ("LOO", "VIB", "OHE") for one in each([0], alarm=(1, mode))]
    assert value(report(found), "chattering") == 0
    assert report(found).alarms == 3


@pytest.mark.parametrize(
    ("lasts", "acknowledged", "alarms"),
    [(60, None, 1), (61, None, 0), (60, 30, 0), (60, 90, 1)],
)
def test_what_returns_within_a_minute_unaided_is_fleeting(lasts: int, acknowledged: int | None, alarms: int) -> None:
    seen = NEVER if acknowledged is None else START + acknowledged * SECOND_US
    assert value(report([(START, START + lasts * SECOND_US, seen, (1, "LOO"))]), "fleeting") == alarms


def test_what_stands_is_not_fleeting() -> None:
    assert value(report([(MONTH - SECOND_US, NEVER, NEVER, (1, "LOO"))]), "fleeting") == 0


def test_what_chatters_does_not_flap_as_well() -> None:
    assert value(report(each([k * 10 * MINUTE for k in range(5)])), "flapping") == 1
    assert value(report(each([k * 16 * MINUTE for k in range(5)])), "flapping") == 0
    assert value(report(each([k * SECOND_US for k in range(5)])), "flapping") == 0


def test_stale_counts_on_every_day_that_it_is() -> None:
    found = [(START - DAY_US, START + 2 * DAY_US + HOUR, NEVER, (m, "LOO")) for m in range(6)]
    assert value(report(found), "stale_most") == 6
    assert figure(report(found), "stale_most").verdict is Verdict.OVER
    assert isa182.stale_by_day(table(found), start=START, end=MONTH).tolist() == [6, 6, 6, *[0] * 27]
    assert report(found).activations == 0
    assert [actor.stale for actor in report(found).nuisances] == [1] * 6


def test_what_stands_is_stale_a_day_after() -> None:
    assert value(report([(START, NEVER, NEVER, (1, "LOO"))], end=START + DAY_US), "stale_most") == 0
    assert value(report([(START, NEVER, NEVER, (1, "LOO"))], end=START + DAY_US + 1), "stale_most") == 1


def test_the_split_puts_critical_and_high_together() -> None:
    found = report(each([0, 1, 2, 3, 4]), priority=[0, 1, 2, 3, 3])
    assert [value(found, name) for name in ("low", "medium", "high")] == [40, 20, 40]


def test_the_ten_most_frequent_alarms_and_their_share() -> None:
    found = [one for m in range(12) for one in each([k * HOUR for k in range(m + 1)], alarm=(m, "LOO"))]
    made = report(found)
    assert [actor.machine for actor in made.top] == list(range(11, 1, -1))
    assert value(made, "top_ten") == pytest.approx(100 * 75 / 78)
    assert value(report(found[:55]), "top_ten") is None  # of ten alarms the ten most frequent are all
    assert made.nuisances == ()


def test_less_than_30_days_is_said() -> None:
    assert report([]).is_long_enough
    assert not report([], end=MONTH - 1).is_long_enough


def test_a_report_needs_a_period_and_an_operator() -> None:
    with pytest.raises(ValueError, match="period"):
        report([], end=START)
    with pytest.raises(ValueError, match="operator"):
        report([], operators=0)


ALARMS = st.tuples(st.integers(1, 3), st.sampled_from(["LOO", "VIB"]))
SPANS = st.sampled_from([0, SECOND_US, MINUTE, HOUR, DAY_US, 3 * DAY_US, NEVER])


@st.composite
def activations(draw: st.DrawFn) -> list[Activation]:
    """Crowded, with many equal instants and distances that are just at a limit."""
    found, at = [], START - 2 * DAY_US
    for _ in range(draw(st.integers(0, 60))):
        at += draw(st.sampled_from([0, SECOND_US, 20 * SECOND_US, MINUTE, 10 * MINUTE, 15 * MINUTE, DAY_US]))
        lasts, seen = draw(SPANS), draw(SPANS)
        found.append((at, min(NEVER, at + lasts), min(NEVER, at + seen), draw(ALARMS)))
    return draw(st.permutations(found))


@given(activations(), st.integers(1, 3))
def test_the_fast_way_is_the_slow_way(found: list[Activation], operators: int) -> None:
    end = START + 5 * DAY_US
    made = report(found, end=end, operators=operators)
    known = [one for one in found if one[0] < end and (one[0] >= START or one[1] > START)]
    inside = [one for one in known if one[0] >= START]
    chatters = oracles.in_bursts(known, 3, MINUTE)
    slow = [one for one, odd in zip(known, chatters, strict=True) if not odd]
    flaps = [one for one, odd in zip(slow, oracles.in_bursts(slow, 5, HOUR), strict=True) if odd]
    fleets = [one for one in inside if one[1] < NEVER and one[1] - one[0] <= MINUTE and not one[2] <= one[1]]
    assert value(made, "chattering") == len(
        {one[3] for one, odd in zip(known, chatters, strict=True) if odd and one[0] >= START}
    )
    assert value(made, "flapping") == len({one[3] for one in flaps if one[0] >= START})
    assert value(made, "fleeting") == len({one[3] for one in fleets})
    assert value(made, "stale_most") == max(oracles.stale_by_day(known, START, end, DAY_US))
    at = sorted(one[0] for one in inside)
    slowly = oracles.floods(at, 10 * MINUTE, 10 * operators, 5 * operators, end)
    assert [(f.start, f.end, f.activations) for f in made.floods] == slowly
    counted = Counter(one[3] for one in inside)
    assert made.alarms == len(counted)
    assert [a.activations for a in made.top] == [n for _, n in counted.most_common(10)]
    assert sum(made.by_day) == made.activations == len(inside)


# The table of targets


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("day_mean", {150: "OK", 150.1: "MANAGEABLE", 300: "MANAGEABLE", 300.1: "OVER"}),
        ("hours_busy", {0.99: "OK", 1: "OVER"}),
        ("low", {80: "OK", 79: "OVER", 100: "OK"}),
        ("stale_most", {4: "OK", 5: "OVER"}),
        ("day_most", {1_000: "NONE"}),
    ],
)
def test_a_figure_is_judged_by_its_target(name: str, wanted: dict[float, str]) -> None:
    target = next(target for target in alarm_targets.TARGETS.metrics if target.name == name)
    assert {given: str(target.verdict(given)) for given in wanted} == wanted
    assert target.verdict(None) is Verdict.NONE


def test_what_could_not_be_checked_says_so() -> None:
    asked = {target.name: target.asked for target in alarm_targets.TARGETS.metrics}
    assert asked["day_mean"] == "at most 150, manageable 300 [?]"
    assert asked["hour_mean"] == "at most 6, manageable 12"
    assert asked["tens_busy"] == "below 1"
    assert asked["day_most"] == ""


BROKEN: list[tuple[str, Any]] = [
    ("not a table", lambda data: data.pop("days")),
    ("not a table", lambda data: data["metrics"][0].pop("title")),
    ("provenance", lambda data: data["provenance"].update(checked=" ")),
    ("direction", lambda data: data["metrics"][0].update(direction="SIDEWAYS")),
    ("checked true or false", lambda data: data["metrics"][0].update(checked="yes")),
    ("needs its source", lambda data: data["metrics"][0].update(source="")),
    ("a maximum", lambda data: data["metrics"][0].update(maximum=1)),
    ("comes twice", lambda data: data["metrics"][1].update(name="day_mean")),
    ("busy_ten", lambda data: data["limits"].pop("busy_ten")),
    ("whole number", lambda data: data["limits"]["busy_ten"].update(value=0)),
    ("needs its source", lambda data: data["limits"]["busy_ten"].update(source="")),
]


@pytest.mark.parametrize(("told", "harm"), BROKEN)
def test_a_table_that_is_wrong_says_where(told: str, harm: Any) -> None:
    data = json.loads(alarm_targets.FILE.read_text("utf-8"))
    harm(data)
    with pytest.raises(BadTargets, match=told):
        alarm_targets.read(json.dumps(data))


def test_the_table_that_ships_can_be_read() -> None:
    read = alarm_targets.read(alarm_targets.FILE.read_text("utf-8"))
    assert read == alarm_targets.TARGETS
    assert {target.direction for target in read.metrics} == set(Direction)
