"""What the intake takes under load: the policy alone, without a database."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import admission, backlog, intake, quota
from agents.admission import Limits, Load, Reason
from sensors import problems

LIMITS = Limits(seconds=60, readings=1_000)
ME, OTHER, THIRD = 1, 2, 3


def load(readings: int = 0, *ages: float, sites: int = 3, **held: int) -> Load:
    """``held``: s1=600 means that 600 readings of site 1 wait."""
    return Load(readings, ages, {int(name.removeprefix("s")): count for name, count in held.items()}, sites)


def reason(given: Load, *, site_id: int = ME, critical: bool = False) -> Reason | None:
    refusal = admission.decide(given, limits=LIMITS, site_id=site_id, critical=critical)
    return refusal and refusal.reason


def test_an_idle_service_takes_everything() -> None:
    assert reason(load()) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (load(999), None),
        (load(1_000), Reason.BACKLOG_READINGS),
        (load(1, 59.9), None),
        (load(1, 60.0), Reason.BACKLOG_AGE),
        (load(1, 60.0, 60.0, 0.0), Reason.BACKLOG_AGE),
    ],
)
def test_beyond_either_mark_nothing_more_is_taken(given: Load, expected: Reason | None) -> None:
    assert reason(given) == expected


@pytest.mark.parametrize("given", [load(1_000), load(1_249), load(1, 60.0), load(1, 74.9)])
def test_critical_equipment_is_taken_when_others_are_not(given: Load) -> None:
    assert reason(given) is not None
    assert reason(given, critical=True) is None


@pytest.mark.parametrize("given", [load(1_250), load(1, 75.0)])
def test_the_reserve_for_critical_equipment_ends_a_quarter_above(given: Load) -> None:
    assert reason(given, critical=True) is not None


@pytest.mark.parametrize("healthy", [1, 2, 20])
def test_one_stuck_lane_does_not_shut_the_intake(healthy: int) -> None:
    assert reason(load(1, 100_000.0, *[0.2] * healthy)) is None


def test_when_most_lanes_wait_for_a_worker_the_intake_shuts() -> None:
    assert reason(load(1, 61.0, 80.0, 200.0, 0.0, 0.1)) is Reason.BACKLOG_AGE


def test_a_site_beyond_its_share_is_turned_away_and_the_others_go_on() -> None:
    crowded = load(700, s1=600, s2=100)
    assert reason(crowded, site_id=ME) is Reason.SITE_SHARE
    assert reason(crowded, site_id=OTHER) is None
    assert reason(crowded, site_id=THIRD) is None


def test_a_site_that_fills_the_intake_alone_leaves_room_for_another() -> None:
    assert reason(load(500, s1=500)) is Reason.SITE_SHARE
    assert reason(load(500, s1=500), site_id=OTHER) is None


def test_the_only_site_of_an_installation_has_all_there_is() -> None:
    assert reason(load(999, s1=999, sites=1)) is None
    assert reason(load(1_000, s1=1_000, sites=1)) is Reason.BACKLOG_READINGS


@pytest.mark.parametrize(("sites", "share"), [(2, 500), (3, 334), (99, 334)])
def test_the_share_is_an_equal_part_with_room_for_one_more_site_if_there_is_one(sites: int, share: int) -> None:
    for held, expected in ((share - 1, None), (share, Reason.SITE_SHARE)):
        assert reason(load(900, s1=held, s2=900 - held, sites=sites)) is expected


def test_a_site_may_use_what_is_free_while_less_than_half_waits() -> None:
    assert reason(load(499, s1=499, s2=0, s3=0)) is None


def test_critical_equipment_has_a_greater_share() -> None:
    crowded = load(500, s1=400, s2=100)  # a third is 333, and a quarter more 416
    assert reason(crowded) is Reason.SITE_SHARE
    assert reason(crowded, critical=True) is None
    assert reason(load(600, s1=420, s2=180), critical=True) is Reason.SITE_SHARE


SITES = st.dictionaries(st.integers(1, 8), st.integers(0, 1_500), max_size=8)
AGES = st.lists(st.floats(0, 200), max_size=12)


@st.composite
def loads(draw: st.DrawFn) -> Load:
    sites = draw(SITES)
    return Load(sum(sites.values()), tuple(draw(AGES)), sites, draw(st.integers(max(1, len(sites)), 12)))


@given(loads(), st.integers(1, 9))
def test_what_is_taken_of_anybody_is_taken_of_critical_equipment(given: Load, site: int) -> None:
    if reason(given, site_id=site) is None:
        assert reason(given, site_id=site, critical=True) is None


@given(loads(), st.booleans())
def test_below_the_marks_of_all_the_shares_leave_the_door_open_for_some_site(given: Load, critical: bool) -> None:
    whole = {Reason.BACKLOG_AGE, Reason.BACKLOG_READINGS}
    newcomers = range(100, 100 + given.sites - len(given.site_readings))
    said = {reason(given, site_id=site, critical=critical) for site in (*given.site_readings, *newcomers)}
    assert said <= whole or None in said


@given(loads(), st.integers(1, 9), st.booleans(), st.floats(0, 100), st.integers(0, 1_000))
def test_more_load_opens_nothing(given: Load, site: int, critical: bool, later: float, more: int) -> None:
    held = given.site_readings | {site: given.site_readings.get(site, 0) + more}
    ages = tuple(age + later for age in given.lane_ages)
    heavier = Load(given.readings + more, ages, held, given.sites)
    if reason(given, site_id=site, critical=critical) is not None:
        assert reason(heavier, site_id=site, critical=critical) is not None


@given(loads(), st.integers(1, 9))
def test_a_site_with_nothing_waiting_is_never_over_its_share(given: Load, site: int) -> None:
    if given.site_readings.get(site, 0) == 0:
        assert reason(given, site_id=site) is not Reason.SITE_SHARE


@given(AGES.filter(bool), st.floats(0, 1e9))
def test_no_single_lane_can_raise_the_age_above_what_the_others_say(ages: list[float], stuck: float) -> None:
    assert load(0, stuck, *ages).age <= max(ages)


class Meter:
    """Figures that count how often they were asked for, and wait where they are told to."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.asking, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def measure(self, limits: Limits) -> Load:
        self.asked += 1
        figures = load(self.asked)
        self.asking.set()
        self.go_on.wait(30)
        return figures

    def gauge(self) -> backlog.Gauge:
        return backlog.Gauge(self.measure, lambda: self.now)


def test_figures_are_kept_for_a_second() -> None:
    meter = Meter()
    gauge = meter.gauge()
    assert [gauge.load(LIMITS).readings for _ in range(3)] == [1, 1, 1]
    meter.now = 0.99
    assert gauge.load(LIMITS).readings == 1
    meter.now = 1.0
    assert [gauge.load(LIMITS).readings for _ in range(3)] == [2, 2, 2]


def test_while_one_measures_again_the_others_go_by_the_old_figures() -> None:
    meter = Meter()
    gauge = meter.gauge()
    gauge.load(LIMITS)
    meter.now = 5.0
    meter.asking.clear()
    meter.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(gauge.load, LIMITS)
        assert meter.asking.wait(30)
        assert gauge.load(LIMITS).readings == 1
        meter.go_on.set()
        assert slow.result(30).readings == 2
    assert meter.asked == 2


def test_after_a_failed_look_the_next_one_looks_again() -> None:
    answers: list[Load | Exception] = [RuntimeError("no database"), load(7)]

    def measure(limits: Limits) -> Load:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    gauge = backlog.Gauge(measure, lambda: 0.0)
    with pytest.raises(RuntimeError):
        gauge.load(LIMITS)
    assert gauge.load(LIMITS).readings == 7


def test_a_quota_of_zero_is_none() -> None:
    def named(**rates: Any) -> list[str]:
        wanted = {"user_id": 7, "site_id": 9, "client_rate": 0, "site_rate": 0} | rates
        return [bucket.key for bucket in quota.buckets(**wanted)]

    assert named() == []
    assert named(client_rate=5) == ["bw:quota:client-quota:7"]
    assert named(client_rate=5, site_rate=5) == ["bw:quota:client-quota:7", "bw:quota:site-quota:9"]
    assert named(client_rate=5, user_id=None) == []


def test_every_reason_is_counted_from_the_start() -> None:
    counted = {s.labels["reason"] for metric in intake.REFUSED.collect() for s in metric.samples}
    assert counted == set(Reason)


def test_the_page_for_clients_explains_every_reason_and_setting() -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs/intake.md").read_text(encoding="utf-8")
    settings = set(re.findall(r"\bINTAKE_\w+", (root / "config/settings.py").read_text(encoding="utf-8")))
    assert [name for name in (*Reason, *settings) if f"`{name}`" not in page] == []


def test_clients_are_told_different_seconds_to_wait() -> None:
    waits = {problems.retry_soon() for _ in range(100)}
    low, high = problems.RETRY_SECONDS
    assert len(waits) > 50
    assert min(waits) >= low and max(waits) <= high


@pytest.mark.parametrize(
    ("agreed", "slowed", "rate"), [(0, None, 0), (0, 10, 10), (50, None, 50), (50, 10, 10), (5, 10, 5)]
)
def test_a_client_may_send_what_was_agreed_or_less_where_it_was_slowed_down(
    agreed: int, slowed: int | None, rate: int
) -> None:
    load = Load(0, (), {}, 1, {} if slowed is None else {7: slowed})
    assert admission.client_rate(load, user_id=7, agreed=agreed) == rate
    assert admission.client_rate(load, user_id=8, agreed=agreed) == agreed
    assert admission.client_rate(load, user_id=None, agreed=agreed) == agreed
