"""The fast scoring of NAB against a slow and obvious one, and its rules one by one."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tests.bench import nab_scoring
from tests.bench.nab_scoring import PROFILES, Profile, Series

Made = tuple[list[list[float]], list[list[tuple[int, int]]]]
STANDARD, LOW_FP, LOW_FN = PROFILES
DAY = np.datetime64("2026-01-01")


def made(windows: list[tuple[int, int]], rows: int = 100, name: str = "made/one.csv") -> dict[str, Series]:
    at = DAY + np.arange(rows).astype("timedelta64[m]")
    return {name: Series(name, at, np.zeros(rows), tuple(windows))}


def found_at(*rows: int, length: int = 100) -> dict[str, nab_scoring.Float64]:
    scores = np.zeros(length)
    scores[list(rows)] = 1.0
    return {"made/one.csv": scores}


def raw(windows: list[tuple[int, int]], *rows: int, profile: Profile = STANDARD) -> float:
    return nab_scoring.outcome(nab_scoring.gather(made(windows), found_at(*rows)), profile, 0.5).raw


@st.composite
def corpora(draw: st.DrawFn) -> Made:
    """Short series with many equal scores, and windows that touch, are one row wide or reach the end."""
    scores, windows = [], []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 40))
        cuts = sorted(draw(st.sets(st.integers(0, n - 1), max_size=6)))
        windows.append(list(zip(cuts[::2], cuts[1::2], strict=False)))
        values = st.one_of(st.integers(0, 4).map(lambda k: k / 4), st.just(math.nan), st.floats(0, 1))
        scores.append(draw(st.lists(values, min_size=n, max_size=n)))
    return scores, windows


@settings(max_examples=50, deadline=None)
@given(corpora(), st.sampled_from(PROFILES))
def test_scoring_equals_its_oracle(corpus: Made, profile: Profile) -> None:
    scores, windows = corpus
    series = {
        f"g/{i}": made(w, len(s), f"g/{i}")[f"g/{i}"] for i, (s, w) in enumerate(zip(scores, windows, strict=True))
    }
    weights = {name: value for name, value in asdict(profile).items() if name != "name"}
    rows = nab_scoring.gather(series, {f"g/{i}": np.array(s) for i, s in enumerate(scores)})
    best = nab_scoring.outcome(rows, profile, nab_scoring.best_threshold(rows, profile))
    assert best.raw == pytest.approx(oracles.nab_raw(scores, windows, best.threshold, **weights), abs=1e-9)
    assert best.raw == pytest.approx(oracles.nab_best(scores, windows, **weights), abs=1e-9)
    assert best.hits + best.missed == sum(map(len, windows))


def test_a_detection_at_the_left_edge_is_worth_one_and_at_the_right_edge_almost_nothing() -> None:
    assert raw([(40, 59)], 40) == pytest.approx(1.0)
    assert 0 < raw([(40, 59)], 59) < 0.15


def test_only_the_best_placed_detection_of_a_window_counts() -> None:
    assert raw([(40, 59)], 40, 45, 50, 59) == raw([(40, 59)], 40)


def test_a_missed_window_costs_one_and_two_where_misses_are_dear() -> None:
    assert raw([(40, 59)]) == -1.0
    assert raw([(40, 59)], profile=LOW_FN) == -2.0


def test_a_false_detection_costs_less_shortly_after_a_window_and_all_of_it_before_the_first() -> None:
    hit = raw([(40, 59)], 40)
    assert raw([(40, 59)], 40, 30) == pytest.approx(hit - 0.11)
    assert raw([(40, 59)], 40, 30, profile=LOW_FP) == pytest.approx(hit - 0.22)
    assert 0 < hit - raw([(40, 59)], 40, 60) < 0.11 / 5


def test_the_probation_does_not_count() -> None:
    assert raw([(40, 59)], 14) == raw([(40, 59)])
    assert raw([(40, 59)], 15) == pytest.approx(raw([(40, 59)]) - 0.11)
    assert made([], 10_000)["made/one.csv"].probation == 750


def test_null_scores_nothing_and_perfect_a_hundred() -> None:
    corpus = made([(40, 59), (70, 79)])
    nothing = nab_scoring.score_at(corpus, found_at(), {p.name: 0.5 for p in PROFILES})
    assert [o.score for o in nothing.values()] == [0.0] * 3
    assert [o.score for o in nab_scoring.score(corpus, found_at(40, 70)).values()] == pytest.approx([100.0] * 3)


def test_without_windows_there_is_a_raw_score_only() -> None:
    corpus = made([])
    (found, *_) = nab_scoring.score_at(corpus, found_at(50), {p.name: 0.5 for p in PROFILES}).values()
    assert math.isnan(found.score)
    assert found.raw == pytest.approx(-0.11)
    assert nab_scoring.score(corpus, found_at(50))["standard"].false == 0


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="100 rows and 99 scores"):
        nab_scoring.score(made([]), found_at(length=99))


def test_a_window_begins_and_ends_at_the_first_row_of_its_instant() -> None:
    at = np.array(["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-03"], "datetime64[us]")
    assert nab_scoring.first(at, "2026-01-02 00:00:00.000000") == 1
    with pytest.raises(ValueError, match="No row"):
        nab_scoring.first(at, "2026-01-02 00:00:01")


def test_series_add_up_to_the_whole() -> None:
    corpus = made([(40, 59)]) | made([(50, 60)], name="made/two.csv")
    scores = found_at(42, 80) | {"made/two.csv": found_at(20, 55)["made/one.csv"]}
    at = {p.name: 0.5 for p in PROFILES}
    parts = nab_scoring.by_series(corpus, scores, at)
    for profile, whole in nab_scoring.score_at(corpus, scores, at).items():
        assert sum(part[profile].raw for part in parts.values()) == pytest.approx(whole.raw)
