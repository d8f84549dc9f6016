"""The compiled loops beside slow and obvious versions of what they do."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.detectors import compiled, novelty, spread, tails
from mlops.detectors.adaptive import LAYOUT, Adaptive

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=16)


def cold():
    every = np.empty(1, LAYOUT)
    for name, (_, _, fill) in Adaptive.fields.items():
        every[name] = fill
    return every[0]


@settings(deadline=None)
@given(NUMBERS, st.floats(-1e9, 1e9))
def test_the_small_routines_are_numpys(values, value):
    array = np.array(values)
    assert compiled.smallest(array) == array.argmin()
    once = array.copy()
    compiled.sort(once)
    assert once.tolist() == sorted(values)
    assert compiled.place_of(once, len(once), value) == np.searchsorted(once, value)
    even = np.repeat(array, 2)
    assert compiled.median(even.copy()) == pytest.approx(np.median(even))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["normal", "steps", "integers"]))
def test_a_memory_knows_how_far_the_nearest_place_is_and_keeps_the_newest(seed, shape):
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.normal(size=300),
        "steps": np.repeat(rng.normal(size=30), 10),
        "integers": rng.integers(0, 200, 300).astype(float),
    }[shape].tolist()
    kept, places = cold(), []  # of each place how new it was, value and mean
    for t, value in enumerate(values):
        mean = float(np.mean(values[max(t - 24, 0) : t] or [value]))
        found = novelty.nearest(kept, value, mean)
        both = [max(abs(value - v), abs(mean - m)) for _, v, m in places]
        alone = [abs(value - v) for _, v, _ in places]
        assert found == (min(both, default=0.0), min(alone, default=0.0))
        novelty.remember(kept, value, mean, found[0])
        place = (tails.as_kept(found[0]) if places else math.inf, value, mean)
        if len(places) < novelty.MEMORY and place[0] > 0:
            places.append(place)
        elif place[0] > (dullest := min(places, key=lambda one: one[0]))[0]:
            places[places.index(dullest)] = place
        held = np.isfinite(kept["places"][0])
        assert sorted(kept["places"][0][held]) == sorted(v for _, v, _ in places)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 600), st.sampled_from([0.0, 90.0]))
def test_a_tail_is_that_of_the_largest_blocks(seed, count, width):
    distances = np.abs(np.random.default_rng(seed).standard_t(3, size=count)).astype(np.float32).tolist()
    kept = cold()
    for t, distance in enumerate(distances):
        tails.learn(kept, 1, distance, t, width)
    whole = range(0, count - tails.BLOCK + 1, tails.BLOCK)
    blocks = [max(distances[first : first + tails.BLOCK]) for first in whole]
    if len(blocks) < tails.PEAKS:
        assert kept["least"][1] == -1
        assert tails.rarity(kept, 1, 1e9) == 0
        return
    top = [max(peak, tails.DUST * width) for peak in sorted(blocks)[-tails.PEAKS :]]
    mean = sum(math.log(peak / top[0]) for peak in top[1:]) / (tails.PEAKS - 1)
    slope = (mean * tails.PEAKS + tails.PRIOR * tails.PRIOR_PEAKS) / (tails.PEAKS + tails.PRIOR_PEAKS)
    assert (kept["least"][1], kept["slope"][1]) == (pytest.approx(top[0], rel=1e-7), pytest.approx(slope))
    assert tails.rarity(kept, 1, top[0]) == 0  # what was there before is nothing special
    assert tails.rarity(kept, 1, top[0] * 0.99) == 0
    assert tails.rarity(kept, 1, top[0] * math.e) == pytest.approx(1 / slope)
    assert tails.reach(kept, 1, tails.rarity(kept, 1, top[0] * 7)) == pytest.approx(top[0] * 7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 0.2, 1.0, 5.0]))
def test_the_swing_is_the_fast_mean_of_the_steps_over_the_slow_one(seed, louder):
    steps = np.abs(np.random.default_rng(seed).normal(size=400))
    steps[300:] *= louder
    kept, fast, slow = cold(), 0.0, 0.0
    for t, step in enumerate(steps.tolist()):
        found = spread.follow(kept, step, True)
        step = min(step, spread.CLIP * slow) if t >= spread.WARM_UP else step
        fast += (step - fast) / min(t + 1, spread.FAST)
        if t < spread.WARM_UP:
            assert math.isnan(found)
        else:
            assert found == pytest.approx(math.log((fast / slow + spread.LEAST) / (1 + spread.LEAST)))
        slow += (step - slow) / min(t + 1, spread.SLOW)
    before = kept["usual"], kept["steps"]
    spread.follow(kept, 9.0, False)
    assert (kept["usual"], kept["steps"]) == before


def test_old_peaks_are_forgotten_after_two_generations():
    kept = cold()
    for t in range(3 * tails.GENERATION):
        tails.learn(kept, 0, 100.0 if t < 500 else 1.0, t, 0.0)
        if t == 2 * tails.GENERATION - 2:
            assert kept["least"][0] == 100
    assert kept["least"][0] == 1


JUDGE = """
from mlops.detectors import DETECTORS
from tests.unit.test_detectors import judge, stream
at, value = stream(3, {rows})
scores, state = judge(DETECTORS["{name}"], at, value)
print(scores.tobytes().hex() + "".join(array.tobytes().hex() for array in state.arrays.values()))
"""


@pytest.mark.parametrize(("name", "rows"), [("adaptive", 400), ("relation", 900)])
def test_compiled_and_interpreted_give_the_same_bits(name, rows):
    said = [
        subprocess.run(
            [sys.executable, "-c", JUDGE.format(name=name, rows=rows)], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled}, timeout=110, check=True,
        ).stdout
        for disabled in ("0", "1")
    ]  # fmt: skip
    assert len(said[0]) > 10_000
    assert said[0] == said[1]
