"""Readers of milling and hydraulic data, from made files of the same shape, and what their recipes say of answers."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from mlops.learning.contract import NotAtHand
from mlops.learning.examples import Examples
from mlops.recipes import hydraulic_cycles, hydraulics, milling
from mlops.recipes.hydraulics import ACCUMULATOR, COOLER, PUMP, VALVE
from mlops.recipes.milling import MILLING_FAILURE
from sensors.columns import Float64, Int64

MODES = ("TWF", "HDF", "PWF", "OSF", "RNF")
HYDRAULIC = (COOLER, VALVE, PUMP, ACCUMULATOR)


def milling_file(folder: Path, *, modes: str = "0", name: str = "train.csv") -> Path:
    lot = np.random.default_rng(1)
    rows = [
        {
            "UDI": str(udi), "Product ID": f"L{udi}", "Type": "LMH?"[udi % 4], "Air temperature [K]": "300.1",
            "Process temperature [K]": "" if udi == 5 else f"{309 + lot.random():.1f}",
            "Rotational speed [rpm]": str(1500 + udi), "Torque [Nm]": f"{40 + udi / 10:.1f}",
            "Tool wear [min]": str(udi % 60),
            "Machine failure": str(int(udi % 60 > 50)), **dict.fromkeys(MODES, modes),
        }
        for udi in (7, 3, *range(8, 260), 5, 2)
    ]  # fmt: skip
    (folder / "ai4i2020").mkdir(exist_ok=True)
    with (folder / "ai4i2020" / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hydraulic_files(tmp_path_factory.mktemp("rig"))


def hydraulic_files(folder: Path, *, cycles: int = 120) -> Path:
    lot = np.random.default_rng(2)
    at = folder / "hydsys"
    at.mkdir()
    state = np.arange(cycles) // 15 % 2
    samples = {name: lot.normal(60, 1, (cycles, hydraulic_cycles.SLOW)) for name in ("CE", "CP", "SE")}
    flow = 8 + lot.normal(0, 0.1, (cycles, hydraulic_cycles.FAST))
    flow[:, :95] = 0
    flow[:, 96:110] += 6 * np.exp(-np.arange(14) / 5)
    flow[state == 1, 95:97] = 0
    profile = np.column_stack([3 + 17 * state, 100 - 10 * state, state, 130 - 15 * state, state * 0])
    for name, values in {**samples, "FS1": flow}.items():
        with gzip.open(at / f"{name}.txt.gz", "wt") as file:
            np.savetxt(file, values, fmt="%.3f", delimiter="\t")
    np.savetxt(at / "profile.txt", profile, fmt="%d", delimiter="\t")
    return folder


def same(first: Examples, second: Examples) -> bool:
    return first.fingerprint() == second.fingerprint()


def test_rows_of_milling_come_in_the_order_of_their_numbers_and_gaps_stay_gaps(tmp_path: Path) -> None:
    read = MILLING_FAILURE.load(milling_file(tmp_path))
    assert read.tracks[0].at[:5].tolist() == [2, 3, 5, 7, 8]
    assert np.isnan(read.now[2, 2]), "an empty cell"
    assert np.isnan(read.now[1, 0]), "a quality nobody knows"
    assert read.now[0].tolist() == [2.0, 300.1, pytest.approx(309.5, abs=0.6), 1502.0, 40.2, 2.0]


def test_what_failure_is_made_of_is_never_read(tmp_path: Path) -> None:
    clean = MILLING_FAILURE.load(milling_file(tmp_path, modes="0"))
    assert same(clean, MILLING_FAILURE.load(milling_file(tmp_path, modes="1")))
    assert not {feature.name for feature in MILLING_FAILURE.signature.features} & {*MODES, "Machine failure"}


def test_questions_kept_aside_have_no_truth(tmp_path: Path) -> None:
    path = milling_file(tmp_path, name="test_unlabelled.csv") / "ai4i2020" / "test_unlabelled.csv"
    with path.open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in {"Machine failure", *MODES}} for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    asked = MILLING_FAILURE.aside(tmp_path)
    assert len(asked) == 256
    assert np.isnan(asked.truth).all()


def test_a_file_that_is_missing_and_one_of_another_shape_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotAtHand, match=r"train\.csv"):
        MILLING_FAILURE.load(tmp_path)
    (tmp_path / "ai4i2020").mkdir()
    (tmp_path / "ai4i2020" / "train.csv").write_text("UDI,Type\n1,L\n")
    with pytest.raises(ValueError, match=r"Torque \[Nm\]"):
        MILLING_FAILURE.load(tmp_path)
    with pytest.raises(NotAtHand, match=r"CE\.txt"):
        COOLER.load(tmp_path)
    hydraulic_files(tmp_path, cycles=4)
    np.savetxt(tmp_path / "hydsys" / "profile.txt", np.ones((3, 5)))
    with pytest.raises(ValueError, match="not as many cycles"):
        PUMP.load(tmp_path)
    np.savetxt(tmp_path / "hydsys" / "SE.txt", np.ones((3, 7)))
    with pytest.raises(ValueError, match="7 values a line"):
        PUMP.load(tmp_path)


def test_milling_learns_answers_and_measures(tmp_path: Path) -> None:
    learn, held = MILLING_FAILURE.split(MILLING_FAILURE.load(milling_file(tmp_path)))
    assert learn.at.max() + milling.TOOL < held.at.min()
    for model in MILLING_FAILURE.baselines(learn).values():
        answers = model.answer(held)
        found = MILLING_FAILURE.measure(answers, held)
        assert {MILLING_FAILURE.target.name, *(guard.name for guard in MILLING_FAILURE.guards)} <= set(found)
    answers["failure"][:], answers["probability"][:] = np.nan, np.nan
    assert MILLING_FAILURE.measure(answers, held)["recall"] == 0.0


@pytest.mark.parametrize("recipe", HYDRAULIC, ids=lambda recipe: recipe.name)
def test_hydraulics_hold_out_stretches_that_lie_apart(rig: Path, recipe: hydraulics.Hydraulic) -> None:
    read = recipe.load(rig)
    assert [len(track.at) for track in read.tracks] == [45, 45, 30]
    assert read.now.shape == (120, len(recipe.signature.features))
    assert np.isfinite(read.now).all()
    learn, held = recipe.split(read)
    assert np.abs(learn.at[:, None] - held.at[None, :]).min() > hydraulics.RUN_US
    assert set(recipe.admitted) == {feature.name for feature in recipe.signature.features}


def test_hydraulics_learn_what_is_to_be_seen(rig: Path) -> None:
    read = VALVE.load(rig)
    learned = VALVE.fit(read, VALVE.defaults, seed=1)
    found = VALVE.measure(learned.answer(read), read)
    assert found["accuracy"] > 0.95
    assert found["brier"] < 0.05
    nothing = {"valve": np.full(len(read), np.nan), "probability": np.full(len(read), np.nan)}
    assert VALVE.measure(nothing, read)["accuracy"] == 0.0
    assert VALVE.aside(rig) is None


def slow_crossing(cycle: Float64, level: float, first: int, *, rising: bool) -> float:
    for at in range(first, len(cycle)):
        if (cycle[at] >= level) if rising else (cycle[at] <= level):
            if at == 0 or cycle[at] == cycle[at - 1]:
                return float(max(at, 1))
            share = (level - cycle[at - 1]) / (cycle[at] - cycle[at - 1])
            return max(at, 1) - 1 + min(1.0, max(0.0, share))
    return float(len(cycle))


@pytest.mark.parametrize("rising", [True, False])
def test_where_a_cycle_crosses_a_level_is_where_it_is_seen_to(*, rising: bool) -> None:
    lot = np.random.default_rng(3)
    cycles, level = lot.normal(0, 1, (60, 12)), lot.normal(0, 1.2, 60)
    cycles[:, 0] = -9.0 if rising else 9.0
    cycles[7], level[8] = 0.5, 99.0 if rising else -99.0
    first: Int64 = lot.integers(0, 6, 60)
    found = hydraulic_cycles.crossing(cycles, level, first=first, rising=rising)
    for row in range(60):
        if row != 7:
            expected = slow_crossing(cycles[row], level[row], int(first[row]), rising=rising)
            assert found[row] == pytest.approx(expected)
