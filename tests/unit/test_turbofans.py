"""Lives left of turbofans, on made ones."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from mlops import coverage, life_bands, overhauls, prognosis, regimes, trends
from mlops.learning import artifact
from mlops.learning.contract import Answers, Learned, NotAtHand
from mlops.learning.examples import Examples, Track
from mlops.prognosis import Stops
from mlops.recipes import RECIPES, turbofan, turbofan_data
from mlops.recipes.turbofan import TurbofanLife
from sensors.columns import Float64, Int64

SMALL = {"trees": 8, "rate": 0.2, "leaves": 6, "places": 20, "width": 0.5, "penalty": 0.3}
WIDTH = len(turbofan_data.FEATURES)


def recipe(number: int = 1) -> TurbofanLife:
    found = RECIPES[f"turbofan-rul-fd00{number}"]
    assert isinstance(found, TurbofanLife)
    return found


def engine(name: str, life: int, *, seed: int, ways: int = 1) -> Track:
    """Half of its sensors rise with wear; how it is flown moves all of them much more than that."""
    lot = np.random.default_rng(seed)
    way = lot.integers(ways, size=life)[:, None]
    wear = np.exp(-(life - np.arange(life)) / 40)[:, None] * (np.arange(WIDTH - 3) % 2)
    sensors = 100 + 30 * way + 4 * wear + lot.normal(0, 0.5, (life, WIDTH - 3))
    value = np.hstack([np.repeat(20.0 * way, 3, axis=1) + lot.normal(0, 0.01, (life, 3)), sensors])
    return Track(name, (np.arange(life) + 1) * turbofan_data.PERIOD_US, value)


def made(*, engines: int = 12, ways: int = 1) -> Examples:
    lives = np.random.default_rng(5).integers(120, 220, engines)
    tracks = [engine(f"e{k}", int(life), seed=k, ways=ways) for k, life in enumerate(lives)]
    return turbofan_data.at_every(tracks, rows=8, least=turbofan.SIGHT.least)


@pytest.fixture(scope="module")
def models() -> list[Learned]:
    """Ours first."""
    examples = made()
    return [recipe().fit(examples, SMALL, seed=1), *recipe().baselines(examples).values()]


def same(one: Answers, other: Answers) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


# Windows


def slow_slope(value: list[float], rows: int) -> float:
    last = [(k, one) for k, one in enumerate(value)][-rows:]
    known = [(k, one) for k, one in last if math.isfinite(one)]
    if len(known) < trends.FEWEST:
        return math.nan
    x, y = zip(*known, strict=True)
    return float(np.polyfit(x, y, 1)[0]) * rows


def slow_mean(value: list[float], rows: int) -> float:
    known = [one for one in value[-rows:] if math.isfinite(one)]
    return sum(known) / len(known) if known else math.nan


@pytest.mark.parametrize("rows", [1, 5, 20, 1000])
def test_means_and_slopes_are_those_of_each_window_by_itself(rows: int) -> None:
    value = np.random.default_rng(0).normal(50, 3, (60, 4))
    value[np.random.default_rng(1).random(value.shape) < 0.3] = np.nan
    value[:, 2] = 7.0
    value[10:40, 3] = np.nan
    ends = np.arange(1, 61, dtype=np.int64)
    means, slopes = trends.means(value, ends, rows=rows), trends.slopes(value, ends, rows=rows)
    for row, end in enumerate(ends):
        for column in range(4):
            seen = value[:end, column].tolist()
            assert means[row, column] == pytest.approx(slow_mean(seen, rows), nan_ok=True)
            assert slopes[row, column] == pytest.approx(slow_slope(seen, rows), rel=1e-6, abs=1e-6, nan_ok=True)


# Regimes


def test_what_is_usual_is_usual_in_its_regime() -> None:
    value = engine("e", 400, seed=0, ways=3).value
    value[:, 5] = 4.2
    usual = regimes.learn(value, settings=3, regimes=3, seed=0)
    regime, normal = usual.of(value), usual.normal(value)
    assert np.isnan(normal[:, 2]).all()  # constant: it says nothing
    others = np.delete(normal, 2, axis=1)
    for number in range(3):
        assert others[regime == number].mean(axis=0) == pytest.approx(0, abs=0.1)
        assert others[regime == number].std(axis=0) == pytest.approx(1, abs=0.1)


def test_a_row_of_which_the_regime_is_not_known_says_nothing() -> None:
    value = engine("e", 100, seed=0).value
    usual = regimes.learn(value, settings=3, regimes=1, seed=0)
    value[7, 1], value[8, 10] = np.nan, np.nan
    normal = usual.normal(value)
    assert np.isnan(normal[7]).all()
    assert np.isnan(normal[8, 7]) and np.isfinite(np.delete(normal[8], 7)).all()


# Questions


@pytest.mark.parametrize("stops", [Stops(6, 145), Stops(0, 195, fading=0.75)])
def test_each_engine_is_stopped_once_by_lot_whatever_its_life(stops: Stops) -> None:
    for life in (128, 170, 400):
        left = np.arange(0, life - 14, 1.0)
        chance = stops.chance(left, np.full(len(left), float(life)), least=15)
        assert chance.sum() == pytest.approx(1, abs=0.02)
        assert (chance[left < stops.nearest] == 0).all() and (chance[left > stops.furthest] == 0).all()
    assert chance[100] / chance[10] == pytest.approx(
        (1 - stops.fading * 100 / stops.furthest) / (1 - stops.fading * 10 / stops.furthest)
    )


# Overhauls


def overhauled(name: str, first: int, second: int, *, seed: int) -> Track:
    """Worn to its end, as new again, and worn until it fails."""
    pieces = [engine(name, life, seed=seed + k).value for k, life in enumerate((first, second))]
    value = np.concatenate(pieces)
    return Track(name, (np.arange(len(value)) + 1) * turbofan_data.PERIOD_US, value)


def with_overhauls() -> Examples:
    tracks = [*made().tracks, overhauled("twice", 150, 180, seed=50)]
    return turbofan_data.at_every(tracks, rows=8, least=turbofan.SIGHT.least)


def seen(examples: Examples) -> tuple[regimes.Regimes, overhauls.Wear]:
    rows = np.concatenate([track.value for track in examples.tracks])
    usual = regimes.learn(rows, settings=3, regimes=1, seed=0)
    return usual, overhauls.learn(examples, usual, furthest=145)


def test_an_overhaul_is_seen_once_it_lasts_and_nothing_else_is_one() -> None:
    examples = with_overhauls()
    usual, wear = seen(examples)
    *others, twice = (usual.normal(track.value) for track in examples.tracks)
    assert not any(wear.begun(normal).any() for normal in others)
    begun = wear.begun(twice)
    assert abs(int(begun[-1]) - 150) <= 1
    told_at = int(np.flatnonzero(begun)[0])
    assert 150 <= told_at <= 150 + overhauls.ROWS
    for end in (20, 149, told_at, told_at + 1, 200):
        assert wear.begun(twice[:end]).tolist() == begun[:end].tolist()  # from what is known by then


def test_a_moment_without_wear_is_no_overhaul() -> None:
    examples = with_overhauls()
    usual, wear = seen(examples)
    value = examples.tracks[0].value.copy()
    value[-6:-4] = value[:2]
    value[-12:-10] = np.nan
    assert not wear.begun(usual.normal(value)).any()
    assert wear.begun(np.full((50, WIDTH - 3), np.nan)).tolist() == [0] * 50
    assert len(wear.begun(np.empty((0, WIDTH - 3)))) == 0


def test_what_is_left_is_told_until_the_overhaul_and_each_life_counts_as_one() -> None:
    raw = with_overhauls()
    usual, wear = seen(raw)
    asked = overhauls.until_the_next(raw, wear, usual)
    mine = asked.track == len(asked.tracks) - 1
    last = asked.end[mine] + asked.truth[mine]
    assert (np.abs(last[asked.end[mine] <= 149] - 150) <= 1).all() and (last[asked.end[mine] > 151] == 330).all()
    assert np.array_equal(asked.truth[~mine], raw.truth[~mine])
    lives = overhauls.lives(asked)
    assert np.abs(lives[mine] - np.where(last == 330, 180, 150)).max() <= 1
    lengths = np.array([len(track.at) for track in asked.tracks])
    assert np.array_equal(lives[~mine], lengths[asked.track[~mine]])


def test_an_overhauled_engine_is_told_a_new_life_and_both_truths_are_measured() -> None:
    raw = with_overhauls()
    asked = overhauls.until_the_next(raw, *seen(raw)[::-1])
    model = recipe().fit(asked, SMALL, seed=1)
    twice = asked.take(asked.track == len(asked.tracks) - 1)
    p50 = model.answer(twice)["rul_p50"]
    worn, young = (twice.end > 135) & (twice.end < 150), (twice.end > 170) & (twice.end < 230)
    assert p50[worn].max() < 60 < p50[young].min()
    figures = recipe().measure(model.answer(twice), twice)
    assert figures["rmse_to_failure"] > figures["rmse"]
    short = twice.take(twice.end < 150)
    cut = (replace(twice.tracks[-1], value=twice.tracks[-1].value[:150], at=twice.tracks[-1].at[:150]),)
    alone = Examples(cut, np.zeros(len(short), np.int64), short.end, short.truth)
    assert same(model.answer(alone), model.answer(short))


def test_what_was_learned_before_overhauls_were_known_is_still_opened(models: list[Learned]) -> None:
    parts = models[0].parts()
    del parts["wear"]
    assert not np.isfinite(prognosis.LifeLeft.from_parts(parts).wear.fall)


# Bands


def spread(machines: int, *, beyond: float = 0.0, seed: int = 0) -> tuple[Float64, Float64, Float64, Int64, Int64]:
    """Lives told with errors that grow with the life; ``beyond``: more is left of those that are told the most."""
    lot = np.random.default_rng(seed)
    told = lot.uniform(5, 120, (machines, 25))
    truth = np.maximum(told + lot.normal(0, 1, told.shape) * (1 + told / 8) + beyond * (told > 90), 0)
    weight = (truth <= 145).astype(np.float64)
    machine = np.repeat(np.arange(machines), 25)
    return told.ravel(), truth.ravel(), weight.ravel(), machine, machine % 5


def test_bands_cover_what_they_promise_at_short_and_at_long_lives() -> None:
    bands = life_bands.learn(*spread(150))
    told, truth, *_ = spread(150, seed=1)
    low, middle, high = bands.around(told)
    assert (low <= middle).all() and (middle <= high).all() and (low >= 0).all()
    for of in (told < 40, told > 80):
        assert np.mean((truth >= low) & (truth <= high)) == pytest.approx(0.8, abs=0.04)
        assert np.mean((truth >= low)[of] & (truth <= high)[of]) == pytest.approx(0.8, abs=0.05)
    assert (high - low)[told > 80].mean() > 2 * (high - low)[told < 40].mean()
    assert bands.holds(np.array([10.0, 60.0])).tolist() == [1, 1]


def test_where_more_may_be_left_than_was_asked_for_nothing_is_proven() -> None:
    bands = life_bands.learn(*spread(150, beyond=100.0))
    assert bands.holds(np.array([10.0, 60.0, 110.0, 5000.0])).tolist() == [1, 1, 0, 0]


def test_of_a_few_machines_nothing_is_proven() -> None:
    assert not life_bands.learn(*spread(10)).proven.any()


def test_many_machines_prove_more_than_their_number_alone_and_never_all() -> None:
    shares = np.random.default_rng(0).uniform(0.6, 1.0, 70)
    assert coverage.least_mean(shares) < 0.7 < coverage.over_machines(shares).least < shares.mean()
    assert coverage.over_machines(np.ones(70)).least < 1


@pytest.mark.parametrize("machines", [30, 36, 48, 100, 282])
def test_less_than_is_wanted_is_proven_one_time_in_twenty_at_most(machines: int) -> None:
    """Exact, for the lumpiest of shares: of each machine all truths lie within, or none."""
    wanted = coverage.PROMISED - coverage.SLACK
    alike = [np.repeat([1.0, 0.0], [within, machines - within]) for within in range(machines + 1)]
    proven = [coverage.over_machines(shares).least >= wanted for shares in alike]
    assert binom.pmf(np.arange(machines + 1), machines, wanted)[proven].sum() < 0.05


# What is learned


def test_it_comes_back_from_its_file_to_the_bit(models: list[Learned]) -> None:
    examples = made()
    for model in models:
        data = artifact.pack(model, recipe().signature, None)
        again, signature, _ = artifact.open_(data, sha256=artifact.digest(data))
        assert signature == recipe().signature
        assert same(again.answer(examples), model.answer(examples))
        assert set(model.answer(examples)) == {feature.name for feature in signature.outputs}


def test_what_comes_after_an_instant_changes_no_answer(models: list[Learned]) -> None:
    examples = made()
    early = examples.take(examples.truth > 60)
    tracks = list(early.tracks)
    for number, track in enumerate(tracks):
        value = track.value.copy()
        value[int(early.end[early.track == number].max()) :] = 1e6
        tracks[number] = replace(track, value=value)
    for model in models:
        assert same(model.answer(early), model.answer(replace(early, tracks=tuple(tracks))))


def test_gaps_and_short_tracks_are_answered_or_left_unanswered(models: list[Learned]) -> None:
    value = engine("e", 60, seed=3).value
    value[::3, 5] = np.nan  # gaps
    value[:, 6] = np.nan  # a sensor that is missing
    value[:, 7] = 1.0  # one that stands still
    nothing, least = np.full((60, WIDTH), np.nan), turbofan.SIGHT.least
    odd = [value, nothing, value[: least - 1], np.zeros((60, WIDTH)), np.full((60, WIDTH), np.inf)]
    tracks = tuple(Track(f"t{k}", np.arange(len(one), dtype=np.int64), one) for k, one in enumerate(odd))
    asked = Examples(tracks, np.arange(5), np.array([len(one) for one in odd], np.int64), np.full(5, np.nan))
    for model in models:
        for answer in model.answer(asked).values():
            assert np.isfinite(answer).tolist() == [True, False, False, True, False]
        assert all(len(answer) == 0 for answer in model.answer(asked.take(np.empty(0, np.int64))).values())


def test_the_same_examples_teach_the_same_and_ours_is_nearer_than_what_it_has_to_beat(models: list[Learned]) -> None:
    examples = made()
    assert same(recipe().fit(examples, SMALL, seed=1).answer(examples), models[0].answer(examples))
    unseen = [engine(f"n{k}", 150 + 5 * k, seed=100 + k) for k in range(8)]
    asked = turbofan_data.at_every(unseen, rows=7, least=turbofan.SIGHT.least)
    ours, *others = (recipe().measure(model.answer(asked), asked) for model in models)
    assert {recipe().target.name, *(guard.name for guard in recipe().guards)} <= set(ours)
    assert all(math.isfinite(figure) for figure in ours.values())
    assert ours["rmse"] < min(other["rmse"] for other in others)


def test_six_ways_to_fly_tell_as_much_as_one() -> None:
    six, examples = recipe(2), made(ways=6)
    told = six.fit(examples, SMALL, seed=1)
    assert isinstance(told, prognosis.LifeLeft) and len(told.usual.centres) == 6
    assert six.measure(told.answer(examples), examples)["rmse"] < 20


def test_too_few_engines_are_said() -> None:
    examples = made(engines=3)
    with pytest.raises(ValueError, match="two machines"):
        recipe().fit(examples.take(examples.track == 0), SMALL, seed=1)


def test_figures_are_those_of_the_publications() -> None:
    p50, truth = np.array([10.0, 100.0, 140.0]), np.array([20.0, 90.0, 160.0])
    answers = {"rul_p10": p50 - 15, "rul_p50": p50, "rul_p90": p50 + 15, "coverage_proven": np.array([1.0, 1.0, 0.0])}
    found = turbofan.figures_of(answers, truth, np.ones(3))
    assert found["rmse"] == pytest.approx(math.sqrt((100 + 100 + 400) / 3))
    assert found["rmse_clipped"] == pytest.approx(math.sqrt((100 + 100 + 0) / 3))
    assert found["phm08_mean"] == pytest.approx((math.exp(10 / 13) + math.exp(1) + math.exp(20 / 13) - 3) / 3)
    assert (found["coverage"], found["shown"], found["shown_missed"]) == pytest.approx((2 / 3, 2 / 3, 0))


# Files


def test_files_are_read_packed_and_as_they_are(tmp_path: Path) -> None:
    ours = recipe()
    with pytest.raises(NotAtHand, match="train_FD001"):
        ours.load(tmp_path)
    folder = tmp_path / "cmapss"
    folder.mkdir()
    rows = [[unit, cycle, *range(WIDTH)] for unit in (1, 2) for cycle in range(1, 40)]
    text = "\n".join(" ".join(str(one) for one in row) for row in rows)
    (folder / "train_FD001.txt").write_text(text)
    (folder / "test_FD001.txt.gz").write_bytes(gzip.compress(text.encode()))
    examples, stopped = ours.load(tmp_path), ours.aside(tmp_path)
    assert [track.unit for track in examples.tracks] == ["1", "2"]
    assert examples.truth.min() == 0 and examples.end.min() >= ours.signature.least
    assert (examples.end + examples.truth == 39).all()
    assert stopped is not None and stopped.end.tolist() == [39, 39] and np.isnan(stopped.truth).all()
    (folder / "RUL_FD001.txt").write_text("12\n80\n")
    assert ours.official(tmp_path).truth.tolist() == [12, 80]
    (folder / "train_FD001.txt").write_text("1 2 3\n")
    with pytest.raises(ValueError, match="columns"):
        ours.load(tmp_path)
    (folder / "train_FD001.txt").write_text("\n".join(text.splitlines()[1::-1]))
    with pytest.raises(ValueError, match="ascend"):
        ours.load(tmp_path)
