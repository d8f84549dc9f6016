"""The health index: what its parts come to, and that worse news never raises it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import health_index
from agents.health_index import BEST, CAPS, DAY, WEIGHTS, Late, Sighting

KINDS = st.sampled_from(["HIGH_VALUE", "LIMIT_HIGH", "LIMIT_HIGH_HIGH", "ZONE_D"])
SIGHTINGS = st.builds(Sighting, KINDS, st.floats(0, 5), st.floats(0, 30 * DAY))
LATE = st.builds(Late, st.sampled_from(list(CAPS)), st.floats(0, 900 * DAY))
PART = st.none() | st.floats(0, BEST)
PARTS = st.fixed_dictionaries({name: PART for name in WEIGHTS})
ALARMS = st.lists(st.sampled_from([*CAPS, "ADVISORY"]), max_size=4)


def test_the_weights_are_shares_of_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


@given(PARTS, ALARMS)
def test_the_index_is_unknown_or_within_its_bounds_and_its_known_parts(
    parts: dict[str, float | None], alarms: list[str]
) -> None:
    found = health_index.index(parts, alarms=alarms)
    if found.value is None:
        assert found.level == "unknown"
        return
    known = [value for value in parts.values() if value is not None]
    highest = min([max(known), *(CAPS[one] for one in alarms if one in CAPS)])
    assert 0.0 <= found.value <= highest + 1e-9
    assert bool(found.limited_by) == (found.value in CAPS.values() and found.limited_by in alarms)


@given(st.lists(SIGHTINGS, max_size=8), SIGHTINGS, PARTS, ALARMS)
def test_another_anomaly_never_raises_it(
    seen: list[Sighting], more: Sighting, parts: dict[str, float | None], alarms: list[str]
) -> None:
    before = health_index.index(parts | {"anomalies": health_index.anomalies(seen)}, alarms=alarms)
    after = health_index.index(parts | {"anomalies": health_index.anomalies([*seen, more])}, alarms=alarms)
    assert before.value is not None and after.value is not None
    assert after.value <= before.value + 1e-9


@given(SIGHTINGS, st.floats(0, 5), st.floats(0, 1))
def test_a_worse_or_fresher_anomaly_never_raises_it(one: Sighting, score: float, sooner: float) -> None:
    worse = replace(one, score=max(one.score, score), ago=one.ago * sooner)
    assert health_index.anomalies([worse]) <= health_index.anomalies([one]) + 1e-9
    assert health_index.anomalies([replace(one, kind="ZONE_D")]) <= health_index.anomalies([one]) + 1e-9


@given(PARTS, ALARMS, st.sampled_from(list(CAPS)))
def test_another_alarm_never_raises_it(parts: dict[str, float | None], alarms: list[str], more: str) -> None:
    before = health_index.index(parts, alarms=alarms).value
    after = health_index.index(parts, alarms=[*alarms, more]).value
    if before is not None:
        assert after is not None and after <= before
    if after is not None:
        assert after <= CAPS[more]


@given(st.lists(LATE, max_size=6), LATE)
def test_more_overdue_work_never_raises_it(work: list[Late], more: Late) -> None:
    assert health_index.overdue([*work, more]) <= health_index.overdue(work)


@given(st.floats(0, 100), st.floats(0, 100))
def test_an_older_machine_is_never_better(one: float, other: float) -> None:
    young, old = sorted((one, other))
    by_years = [health_index.age(years=years, hours=None) for years in (young, old)]
    by_hours = [health_index.age(years=None, hours=1e4 * hours) for hours in (young, old)]
    for younger, older in (by_years, by_hours):
        assert younger is not None and older is not None and older <= younger


def test_age_and_paperwork_alone_are_no_condition() -> None:
    parts = {"anomalies": None, "prognosis": None, "overdue": 100.0, "age": 90.0}
    assert health_index.index(parts, alarms=["ADVISORY"]).value is None
    limited = health_index.index(parts, alarms=["LOW", "CRITICAL"])
    assert (limited.value, limited.limited_by, limited.level) == (25.0, "CRITICAL", "bad")


def test_what_is_unknown_leaves_the_mean_to_the_rest() -> None:
    parts = {"anomalies": 50.0, "prognosis": None, "overdue": None, "age": None}
    assert health_index.index(parts, alarms=[]).value == 50.0


def test_an_anomaly_is_forgotten_after_its_days() -> None:
    assert health_index.anomalies([Sighting("ZONE_D", 1.0, 7 * DAY)]) == BEST
    assert health_index.anomalies([Sighting("ZONE_D", 1.0, 0.0)]) == pytest.approx(59.46, abs=0.01)


def test_running_hours_count_instead_of_years() -> None:
    assert health_index.age(years=19.0, hours=0.0) == BEST
    assert health_index.age(years=10.0, hours=None) == 50.0
    assert health_index.age(years=None, hours=None) is None
    assert health_index.time_left(15 * DAY) == 50.0
