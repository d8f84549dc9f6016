"""Drift beside slow and obvious versions, and on series of which it is known whether they drifted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlops.drift import check, discovery, gauges, performance, reference, relations, seasons, streams, windows
from mlops.drift.check import Criteria
from mlops.drift.performance import Intervals
from mlops.drift.reference import Reference
from mlops.drift.windows import Window
from mlops.learning.examples import Track, everywhere
from sensors.columns import SECOND_US, Float64

MINUTE, HOUR = 60 * SECOND_US, 3600 * SECOND_US
NAMES = ("a", "b", "c", "d", "e", "f")


def wandering(rng: np.random.Generator, rows: int, features: int, phi: float) -> Float64:
    """Autoregression of the first order, of variance 1."""
    noise = rng.normal(size=(rows, features)) * math.sqrt(1 - phi**2)
    out = np.empty_like(noise)
    out[0] = rng.normal(size=features)
    for t in range(1, rows):
        out[t] = phi * out[t - 1] + noise[t]
    return out


def in_windows(value: Float64, rows: int, *, step: int = MINUTE) -> list[Window]:
    return windows.cut(np.arange(len(value)) * step, value, rows=rows)


@pytest.fixture(scope="module")
def machine() -> tuple[Reference, Window]:
    """Six features of which the second follows the first, twelve windows of 100, and one more."""
    value = wandering(np.random.default_rng(1), 1300, 6, 0.7)
    value[:, 1] = 3 * value[:, 0] + 0.2 * value[:, 1]
    *known, last = in_windows(value, 100)
    return reference.freeze(known, features=NAMES, regime="day shift"), last


def moved(window: Window, feature: int, by: float = 0.0, times: float = 1.0) -> Window:
    value = window.value.copy()
    value[:, feature] = value[:, feature] * times + by
    return Window(window.at, value)


# Discoveries


def slow_q(p: list[float], price: float) -> list[float]:
    """The least level at which each is among the k smallest with p_(k) <= level x k / (m x price)."""
    return [
        min(1.0, *(price * other * len(p) / sum(one <= other for one in p) for other in p if other >= mine))
        for mine in p
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.booleans())
def test_q_values_are_those_of_the_definition(p: list[float], anyhow: bool) -> None:
    price = sum(1 / k for k in range(1, len(p) + 1)) if anyhow else 1.0
    found = discovery.q_values(np.array([math.nan, *p]), any_dependence=anyhow)
    assert math.isnan(found[0])
    assert found[1:].tolist() == pytest.approx(slow_q(p, price))


# Seasons


def test_a_season_is_the_median_of_each_hour_and_only_where_there_is_one() -> None:
    rng = np.random.default_rng(2)
    at = np.arange(0, 8 * 24 * 6) * 10 * MINUTE
    hour = (at // HOUR % 24).astype(float)
    value = np.stack([hour + 0.1 * rng.normal(size=len(at)), rng.normal(size=len(at))], axis=1)
    found, partial = seasons.learn(Window(at, value), np.arange(len(at)) * 4 // len(at))
    assert len(partial) == 4
    monday_five = found.center[5, 0]
    assert (
        monday_five
        == found.center[24 + 5, 0]
        == np.median([v for v, h in zip(value[:, 0], hour, strict=True) if h == 5])
    )
    assert np.ptp(found.center[:, 1]) == 0 == np.ptp(found.spread[:, 1])
    assert found.center[0, 1] == np.median(value[:, 1])


def test_hours_are_those_of_the_week_from_monday() -> None:
    monday = int(np.datetime64("2026-11-23T00:30", "us").astype(np.int64))
    assert seasons.hours(np.array([monday, monday - HOUR, monday + 25 * HOUR])).tolist() == [0, 167, 25]


def test_like_is_compared_with_like() -> None:
    """Windows of six hours of a daily cycle: none drifts, but one that comes half a day too early does."""
    rng = np.random.default_rng(3)
    at = np.arange(14 * 24 * 6) * 10 * MINUTE
    value = (5 * np.sin(2 * np.pi * at / (24 * HOUR)) + rng.normal(size=len(at)))[:, None]
    cut = windows.cut(at, value, rows=36)
    known = reference.freeze(cut[:40], features=["flow"])
    assert sum(check.check(known, one).drifted for one in cut[40:]) <= 1
    assert all(check.check(known, Window(one.at + 12 * HOUR, one.value)).drifted for one in cut[40:])


# Relations


def test_relations_are_regressions_on_all_others() -> None:
    residual = np.random.default_rng(4).normal(size=(400, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.7], [0, 0, 1]])
    weight = relations.learn(residual)
    for k in range(3):
        others = [j for j in range(3) if j != k]
        scale = np.sqrt(np.mean(residual**2, axis=0))
        x, y = residual[:, others] / scale[others], residual[:, k] / scale[k]
        slope = np.linalg.solve(x.T @ x / 400 + relations.RIDGE * np.eye(2), x.T @ y / 400)
        assert weight[others, k] == pytest.approx(slope * scale[k] / scale[others])
        assert weight[k, k] == 0


def test_a_lost_relation_is_a_drift_of_those_in_it(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    assert known.related.tolist() == [0, 1]
    value = last.value.copy()
    value[:, 1] = np.roll(value[:, 1], 50)
    found = check.check(known, Window(last.at, value))
    assert [one.feature for one in found.findings if one.drifted] == ["a", "b"]
    assert found.findings[1].aspect == "spread beside the others"
    assert "what the others leave unsaid" in found.findings[1].reason


# The reference


def slow_score(value: float, edges: list[float], unit: float) -> float:
    rank = sum((edge < value) + (edge <= value) for edge in edges) / 2
    inside = stats.norm.ppf(min(max(rank, 0.25), len(edges) - 0.25) / len(edges))
    return float(inside + max(0.0, value - edges[-1]) / unit - max(0.0, edges[0] - value) / unit)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-9, 9) | st.integers(-3, 3).map(float), min_size=1, max_size=20), st.integers(0, 9))
def test_scores_are_normal_by_rank_and_linear_beyond(value: list[float], seed: int) -> None:
    edges = np.sort(np.random.default_rng(seed).normal(size=reference.LEVELS).round(1))
    found = reference.scores(np.array(value), edges, 0.5)
    assert found.tolist() == pytest.approx([slow_score(one, edges.tolist(), 0.5) for one in value])


def test_windows_that_resemble_each_other_count_for_fewer() -> None:
    rng = np.random.default_rng(5)
    there = np.ones((200, 1), np.bool_)
    for phi, worth in ((0.0, 200), (0.5, 200 / 3)):
        off = wandering(rng, 200, 1, phi)
        off -= off.mean(axis=0)
        r = sum(float(x * y) for x, y in itertools.pairwise(off[:, 0])) / float((off**2).sum())
        r = max(0.0, r + (1 + 3 * r) / 200)
        found = reference.effective(off, there)
        assert found[0] == pytest.approx(200 * (1 - r) / (1 + r))
        assert found[0] == pytest.approx(worth, rel=0.25)
    assert reference.effective(np.linspace(-1, 1, 20)[:, None], there[:20])[0] == reference.LEAST_EFFECTIVE


def test_a_reference_comes_out_of_its_parts_to_the_bit(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    parts = known.pack()
    assert all(isinstance(part, np.ndarray | str | int | list) for part in parts.values())
    assert check.check(reference.unpack(parts), last) == check.check(known, last)


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(reference.TooLittle, match="7 windows are too few"):
        reference.freeze(in_windows(np.zeros((70, 1)), 10), features=["a"])
    with pytest.raises(ValueError, match="1 columns for 2 features"):
        reference.freeze(in_windows(np.zeros((80, 1)), 10), features=["a", "b"])


# The check


def test_p_is_uniform_where_nothing_drifts_and_readings_resemble_each_other() -> None:
    rng, p, naive = np.random.default_rng(6), [], []
    for _ in range(4):
        cut = in_windows(wandering(rng, 24 * 80, 30, 0.9), 80)
        known = reference.freeze(cut[:20], features=[str(k) for k in range(30)])
        p += [one.p for later in cut[20:] for one in check.check(known, later).findings]
        pool = windows.together(cut[:20]).value
        naive += [stats.ks_2samp(pool, later.value, method="asymp").pvalue for later in cut[20:]]
    found = np.array(p)
    assert 0.02 <= np.mean(found < 0.05) <= 0.075
    assert 0.36 <= np.mean(found < 0.5) <= 0.5  # twice the smaller of two: 1 - 0.75 ** 2 where those are uniform
    assert np.mean(np.array(naive) < 0.05) > 0.5


def test_a_shift_is_seen_and_said(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    assert not check.check(known, last).drifted
    found = check.check(known, moved(last, 3, by=4.0))
    assert (found.drifted, found.judged, found.regime) == (True, 6, "day shift")
    assert found.reason == "1 of 6 features drifted: d"
    assert found.findings[3].aspect == "level"
    assert found.findings[3].reason.startswith("level is ")
    assert "above the reference" in found.findings[3].reason
    distance = (
        stats.wasserstein_distance(known.channels(moved(last, 3, by=4.0))[:, 3], known.edges[:, 3]) / known.unit[3]
    )
    assert found.findings[3].effect == pytest.approx(distance, rel=0.02)


def test_a_growing_spread_is_seen_and_said(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    found = check.check(known, moved(last, 4, times=4.0)).findings[4]
    assert (found.drifted, found.aspect) == (True, "spread")
    assert found.reason.startswith("spread is ")


def test_what_is_certain_but_small_is_no_drift() -> None:
    rng = np.random.default_rng(7)
    *known, last = in_windows(rng.normal(size=(13 * 2000, 1)), 2000)
    made = reference.freeze(known, features=["a"])
    found = check.check(made, moved(last, 0, by=0.2)).findings[0]
    assert found.q < 0.001
    assert (found.drifted, found.reason[:32]) == (False, "certain, but too small to matter")
    assert check.check(made, moved(last, 0, by=0.2), Criteria(least_effect=0.1)).drifted


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)), feature=st.integers(0, 5), by=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_the_order_of_the_features_changes_no_verdict(order: list[int], feature: int, by: float) -> None:
    value = wandering(np.random.default_rng(8), 900, 6, 0.5)
    value[800:, feature] += by
    *known, last = in_windows(value, 100)
    *turned, turned_last = in_windows(value[:, order], 100)
    here = check.check(reference.freeze(known, features=NAMES), last).findings
    there = check.check(reference.freeze(turned, features=[NAMES[k] for k in order]), turned_last).findings
    assert [(here[k].feature, here[k].aspect, here[k].drifted) for k in order] == [
        (one.feature, one.aspect, one.drifted) for one in there
    ]


def test_of_a_longer_window_the_last_readings_count(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    before = Window(last.at - 100 * MINUTE, last.value + 9)
    assert check.check(known, windows.together([before, last])) == check.check(known, last)


def test_where_two_windows_are_asked_for_one_that_is_off_is_no_drift(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    twice = Criteria(in_a_row=2)
    off = moved(last, 3, by=4.0)
    alone = check.check(known, windows.together([last, off]), twice)
    assert (alone.drifted, alone.judged, alone.reason) == (False, 6, "none of 6 features drifted")
    assert alone.findings[3].q < 0.05
    assert alone.findings[3].reason.endswith("but not in the window before: it may be chance")
    assert not check.check(known, windows.together([off, last]), twice).drifted
    assert not check.check(known, windows.together([moved(last, 2, by=4.0), off]), twice).drifted
    assert not check.check(known, off, twice).drifted  # of the one before nothing is known
    both = check.check(known, windows.together([last, off, off]), twice)
    assert both.reason == "1 of 6 features drifted: d"


def test_with_less_freedom_it_takes_more(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    off = moved(last, 3, by=2.0)
    p = [check.check(known, off, Criteria(freedom=share)).findings[3].p for share in (1.0, 0.5, 0.2)]
    assert p == sorted(p) and p[0] < p[2] / 2
    assert check.check(known, off).findings[3].p == p[0]


def test_what_is_missing_or_too_short_is_not_judged(machine: tuple[Reference, Window]) -> None:
    known, last = machine
    holes = last.value.copy()
    holes[:, 2] = math.nan
    holes[:30, 3] = math.nan
    found = check.check(known, Window(last.at, holes))
    assert (found.judged, found.drifted) == (5, False)
    assert math.isnan(found.findings[2].q)
    assert found.findings[2].reason == "not judged: 0 readings, and a window of the reference has 100"
    short = check.check(known, last.part(60, 100))
    assert (short.judged, short.drifted, short.reason) == (0, False, "nothing could be judged")
    assert check.check(known, Window(last.at[:0], last.value[:0])).judged == 0


def test_a_feature_without_values_or_movement_disturbs_no_other() -> None:
    value = wandering(np.random.default_rng(9), 900, 3, 0.5)
    value[:, 1], value[:, 2] = 7.0, math.nan
    *known, last = in_windows(value, 100)
    made = reference.freeze(known, features=["a", "constant", "missing"])
    found = check.check(made, last)
    assert (found.judged, found.drifted) == (2, False)
    assert found.findings[1].p == 1.0
    off = check.check(made, moved(last, 1, by=0.001))
    assert [one.feature for one in off.findings if one.drifted] == ["constant"]
    assert off.findings[1].effect == 1.0


def test_instants_and_values_must_fit() -> None:
    with pytest.raises(ValueError, match="2 instants for values of shape"):
        Window(np.arange(2), np.zeros((3, 1)))


# Performance


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=7))
@settings(max_examples=25, deadline=None)
def test_what_is_expected_is_what_comes_of_all_truths(p: list[float]) -> None:
    probability = np.array(p)
    found = {one.name: one for one in performance.of_classifier(probability, threshold=0.5)}
    accuracy = 0.0
    for truth in itertools.product((0, 1), repeat=len(p)):
        chance = math.prod(q if label else 1 - q for q, label in zip(p, truth, strict=True))
        accuracy += chance * float(np.mean((probability >= 0.5) == np.array(truth)))
    assert found["accuracy"].expected == pytest.approx(accuracy)
    assert found["accuracy"].low <= found["accuracy"].high
    assert (found["accuracy"].known, math.isnan(found["accuracy"].measured)) == (0, True)


def test_a_model_that_knows_itself_is_found_within_what_is_expected() -> None:
    rng = np.random.default_rng(10)
    within = []
    for _ in range(40):
        probability = rng.beta(0.5, 2, 300)
        truth = (rng.random(300) < probability).astype(float)
        truth[:20] = math.nan
        for one in performance.of_classifier(probability, threshold=0.4, truth=truth):
            assert one.known == 280
            within.append(one.low <= one.measured <= one.high)
    assert 0.88 <= np.mean(within) <= 1.0


def test_figures_with_truth_are_those_of_counting() -> None:
    found = performance.of_classifier(np.array([0.9, 0.8, 0.2, 0.1]), threshold=0.5, truth=np.array([1.0, 0, 1, 0]))
    assert [(one.name, one.measured) for one in found] == [
        ("accuracy", 0.5), ("precision", 0.5), ("recall", 0.5), ("f1", 0.5),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no answers"):
        performance.of_classifier(np.empty(0), threshold=0.5)


def test_a_wider_interval_is_expected_to_lose_more() -> None:
    rng = np.random.default_rng(11)

    def answers(scale: float) -> tuple[Intervals, Float64]:
        zero = np.zeros(500)
        return Intervals(zero - 1.2816 * scale, zero, zero + 1.2816 * scale), rng.normal(size=500) * scale

    usual = performance.losses_a_width([answers(1.0) for _ in range(8)])
    wide, truth = answers(3.0)
    loss, covered = performance.of_intervals(wide, usual, truth=truth)
    assert loss.low <= loss.measured <= loss.high
    assert loss.expected == pytest.approx(loss.measured, rel=0.1)
    assert (covered.expected, round(covered.measured, 1)) == (0.8, 0.8)
    assert math.isnan(performance.of_intervals(wide, usual)[0].measured)
    with pytest.raises(ValueError, match="it takes two"):
        performance.of_intervals(wide, usual[:1])


# Streams


@pytest.mark.parametrize("by", streams.DETECTORS)
def test_a_stream_changes_where_it_steps(by: str) -> None:
    stream = 20 + 2 * np.random.default_rng(12).normal(size=1200)
    stream[5] = math.nan
    assert streams.changes(stream, by=by, usual=20, spread=2).tolist() == []
    stream[600:] += 4
    found = streams.changes(stream, by=by, usual=20, spread=2)
    assert 600 < found[0] < 660
    assert len(found) == 1
    assert streams.changes(np.full(99, 3.0), by=by, usual=3, spread=0).tolist() == []


# Gauges of a served model's answers


def test_what_named_states_are_worth_follows_from_their_probabilities() -> None:
    answers = {"state": np.ones(4), "probability": np.array([1.0, 0.5, np.nan, 0.9])}
    [found] = gauges.Named("probability").figures(answers, np.array([1.0, 0.0, 1.0, np.nan]))
    assert (found.name, found.expected, found.measured, found.known) == ("accuracy", pytest.approx(0.8), 0.5, 2)


def test_answers_that_say_nothing_have_no_figures() -> None:
    nothing = np.full(3, np.nan)
    quantiles = gauges.Quantiles(("p10", "p50", "p90"), np.array([0.1, 0.2]))
    assert gauges.OneSided("probability", 0.5).figures({"probability": nothing}) == ()
    assert gauges.Named("probability").figures({"probability": nothing}) == ()
    assert quantiles.figures({"p10": nothing, "p50": nothing, "p90": nothing}) == ()
    assert gauges.Score("score").figures({"score": nothing}) == ()


def test_an_endless_interval_is_no_answer_and_without_usual_losses_only_coverage_is_told() -> None:
    answers = {"p10": np.array([0.0, 0.0]), "p50": np.array([1.0, 2.0]), "p90": np.array([2.0, np.inf])}
    [found] = gauges.Quantiles(("p10", "p50", "p90"), np.array([])).figures(answers, np.array([1.5, 9.0]))
    assert (found.name, found.measured, found.known) == ("coverage", 1.0, 1)


def test_usual_losses_are_those_of_each_block_over_its_width() -> None:
    truth = np.array([1.0, 2.0, 3.0, np.nan])
    held = everywhere([Track("m", np.arange(4), np.zeros((4, 1)))], [truth])
    answers = {"rul_p10": np.zeros(4), "rul_p50": np.ones(4), "rul_p90": np.full(4, 2.0)}
    found = performance.usual_losses(answers, held, np.array([0, 0, 1, 1]))
    parts = [Intervals(np.zeros(n), np.ones(n), np.full(n, 2.0)) for n in (2, 1)]
    assert found == [parts[0].loss(truth[:2]) / 2, parts[1].loss(truth[2:3]) / 2]
    assert performance.usual_losses({"score": truth}, held, np.zeros(4, np.int64)) == []


def test_a_stream_that_changes_is_found_behind_the_values_before_it() -> None:
    lot = np.random.default_rng(1)
    before, calm = lot.normal(0, 1, 200), lot.normal(0, 1, 200)
    assert all(not len(at) for at in gauges.changes(before, calm).values())
    calm[80:] += 4
    found = gauges.changes(before, calm)
    assert set(found) == set(streams.DETECTORS) and all(80 <= at[0] < 130 for at in found.values())
    assert gauges.changes(np.full(5, np.nan), calm) == {}
