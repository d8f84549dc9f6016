"""What Locust sends: arrivals that wait for nothing, bodies that say what the books say, and books that notice."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from tests.bench import watching
from tests.load import bodies, scenarios
from tests.load.scenarios import BURST, PEAK, SCENARIOS, STEADY, Readings, Scenario

BEGINS, PLANT = 1_767_225_600, 200
NOTHING = Readings(*(np.array([], np.int64),) * 3)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: str(one.name))
def test_arrivals_come_at_the_rate_in_order_and_are_those_of_the_seed(scenario: Scenario) -> None:
    found = scenarios.arrivals(scenario, seconds=300, seed=1)
    assert (np.diff(found) >= 0).all()
    assert 0 <= found[0] < found[-1] < 300
    assert len(found) == pytest.approx(300 * scenario.rate, rel=0.1)
    assert (found == scenarios.arrivals(scenario, seconds=300, seed=1)).all()
    gaps = np.diff(scenarios.arrivals(replace(STEADY, name="x"), seconds=300, seed=2))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # exponential


def test_bursts_come_at_the_end_of_each_period() -> None:
    found = scenarios.arrivals(BURST, seconds=60, seed=1) % BURST.period
    quiet, burst = (found < 12).sum() / 48, (found >= 12).sum() / 12
    assert quiet == pytest.approx(20, rel=0.2)
    assert burst == pytest.approx(250, rel=0.2)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: str(one.name))
def test_a_body_says_what_the_books_say_and_no_instant_comes_twice(scenario: Scenario) -> None:
    seen = set()
    for number in range(2 * PLANT // scenario.sensors + 1):
        text = scenarios.body(scenario, number, first=30, begins=BEGINS, plant=PLANT)
        found = scenarios.readings(scenario, np.array([number]), first=30, plant=PLANT)
        items = json.loads(text)
        assert len(items) == scenario.readings == len(found.step)
        for item, sensor, step, value in zip(items, found.sensor, found.step, found.hundredths, strict=True):
            assert item["sensor"] == bodies.name_of(int(sensor))
            assert datetime.fromisoformat(item["measured_at"]).timestamp() == BEGINS + step
            assert item["value"] * 100 == pytest.approx(int(value))
            assert (item["value"] >= bodies.HIGH) == bodies.is_above(sensor, step)
            assert 0 <= sensor < PLANT
            seen.add((int(sensor), int(step)))
    assert len(seen) == scenario.readings * (2 * PLANT // scenario.sensors + 1)


def test_the_books_balance_where_all_is_stored_in_any_order() -> None:
    sent = scenarios.readings(PEAK, np.arange(40), first=0, plant=PLANT)
    order = np.random.default_rng(1).permutation(len(sent.step))
    stored = Readings(sent.sensor[order], sent.step[order], sent.hundredths[order])
    assert scenarios.reconcile(sent, NOTHING, stored) == scenarios.Books(4_000, 0, 0, 0, 0)


def test_the_books_notice_one_row_that_is_lost_doubled_changed_or_foreign() -> None:
    sent = scenarios.readings(PEAK, np.arange(40), first=0, plant=PLANT)
    columns = np.array([sent.sensor, sent.step, sent.hundredths])
    changed = columns.copy()
    changed[2, 7] += 1
    foreign = np.concatenate([columns, [[3], [9_999], [5_000]]], axis=1)
    for name, stored in {
        "lost": np.delete(columns, 7, axis=1),
        "doubled": np.concatenate([columns, columns[:, 7:8]], axis=1),
        "changed": changed,
        "foreign": foreign,
    }.items():
        books = scenarios.reconcile(sent, NOTHING, Readings(*stored))
        wrong = {one: getattr(books, one) for one in ("lost", "doubled", "changed", "foreign")}
        assert wrong == dict.fromkeys(wrong, 0) | {name: 1}


def test_what_had_no_answer_may_be_there_or_not() -> None:
    sent = scenarios.readings(PEAK, np.arange(10), first=0, plant=PLANT)
    unsure = scenarios.readings(PEAK, np.array([10]), first=0, plant=PLANT)
    both = Readings(*(np.concatenate(pair) for pair in zip(*map(columns_of, (sent, unsure)), strict=True)))
    for stored in (sent, both):
        assert scenarios.reconcile(sent, unsure, stored) == scenarios.Books(1_000, 0, 0, 0, 0)


def columns_of(readings: Readings) -> tuple[scenarios.Int64, ...]:
    return readings.sensor, readings.step, readings.hundredths


def test_answers_are_of_success_refused_for_now_or_errors() -> None:
    assert scenarios.split([202, 200, 429, 503, 500, 401, 0, 302]) == (2, 2, 4)


def test_a_slope_has_an_interval_and_few_looks_have_none() -> None:
    dice = np.random.default_rng(1)
    looks = [(float(at), 100 + 3 * at / 60 + float(dice.normal(0, 0.1))) for at in range(0, 300, 2)]
    found = watching.slope(looks)
    assert found is not None
    assert found.low < 3 < found.high
    assert found.middle == pytest.approx(3, abs=0.1)
    assert watching.slope(looks[:5]) is None
