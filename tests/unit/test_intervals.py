"""Intervals for few observations and the curve of Kaplan and Meier, beside slow ways to the same."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from maintenance import intervals, survival
from tests import kpi_oracles

TIMES = st.lists(st.tuples(st.integers(1, 40).map(float), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize("module", [intervals, survival])
def test_the_examples_hold(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert (found.attempted > 0, found.failed) == (True, 0)


@given(st.integers(0, 400), st.floats(0.1, 1e6))
@settings(max_examples=60, deadline=None)
def test_the_exact_interval_of_a_rate_is_that_by_chi_square(count: int, time: float) -> None:
    low, high = intervals.events(count, time)
    assert low == pytest.approx(2 * time / stats.chi2.ppf(0.975, 2 * count + 2), rel=1e-9)
    if count:
        assert high == pytest.approx(2 * time / stats.chi2.ppf(0.025, 2 * count), rel=1e-9)
    else:
        assert high is None


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_the_exact_interval_of_a_share_is_that_of_the_binomial_test(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    found = stats.binomtest(hits, of).proportion_ci(method="exact")
    assert intervals.share(hits, of) == pytest.approx((found.low, found.high), abs=1e-9)


@given(st.integers(1, 1_000), st.floats(0.1, 1e6))
@settings(max_examples=60, deadline=None)
def test_at_both_ends_of_the_interval_of_a_mean_the_likelihood_is_as_much_less(ended: int, time: float) -> None:
    def log_likelihood(mean: float) -> float:
        return -ended * math.log(mean) - time / mean

    low, high = intervals.mean_time(ended, time)
    assert high is not None
    assert low < time / ended < high
    least = log_likelihood(time / ended) - stats.chi2.ppf(0.95, 1) / 2
    assert [log_likelihood(low), log_likelihood(high)] == pytest.approx([least, least], rel=1e-6, abs=1e-6)


def test_where_nothing_ended_the_mean_is_open_above() -> None:
    low, high = intervals.mean_time(0, 100.0)
    assert high is None
    assert math.exp(-100.0 / low) == pytest.approx(math.exp(-stats.chi2.ppf(0.95, 1) / 2))


def test_the_exact_interval_covers_the_truth_in_95_of_100(rate: float = 0.02, time: float = 300.0) -> None:
    counts = np.random.default_rng(7).poisson(rate * time, 2_000)
    ends = {count: intervals.events(int(count), time) for count in set(counts.tolist())}
    held = [low <= 1 / rate and (high is None or 1 / rate <= high) for low, high in map(ends.get, counts.tolist())]
    assert np.mean(held) >= 0.95


@given(TIMES)
@settings(max_examples=100, deadline=None)
def test_the_curve_is_that_which_counts_one_by_one(times: list[tuple[float, bool]]) -> None:
    made = survival.curve(np.array([time for time, _ in times]), np.array([ended for _, ended in times]))
    expected = kpi_oracles.survival(times)
    assert made.time.tolist() == [at for at, _ in expected]
    assert made.share.tolist() == pytest.approx([share for _, share in expected], abs=1e-12)
    assert np.all((made.low <= made.share + 1e-12) & (made.share <= made.high + 1e-12))
    halves = [at for at, share in expected if share <= 0.5 + 1e-12]
    assert made.median == (halves[0] if halves else None)


def test_without_censoring_the_mean_is_the_mean() -> None:
    times = np.array([3.0, 9.0, 12.0, 50.0])
    assert survival.curve(times, np.ones(4, bool)).mean == pytest.approx(times.mean())


def test_of_nothing_there_is_no_curve() -> None:
    made = survival.curve(np.array([]), np.array([], bool))
    assert (made.median, made.mean, made.ended, made.running) == (None, None, 0, 0)
