from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlops import cards
from mlops.drift import check
from mlops.drift.reference import Reference, TooLittle
from mlops.drift.windows import Window
from mlops.learning import artifact, frozen, run
from mlops.learning.contract import Feature, Signature
from mlops.learning.examples import Examples, Track, everywhere
from mlops.learning.kinds import KINDS
from sensors.columns import DAY_US, Float64
from tests import made_models
from tests.made_models import SIGNATURE, Line, Wear

NOWHERE = Path("nowhere")
HOUR_US = DAY_US // 24


@pytest.fixture(autouse=True)
def made_line() -> Iterator[None]:
    KINDS["made-line"] = made_models.from_parts
    yield
    del KINDS["made-line"]


def asked(*values: Float64, first: int = 0, period: int = 1) -> Examples:
    """A question at every row of each."""
    tracks = [Track(f"m{k}", first + np.arange(len(one)) * period, one) for k, one in enumerate(values)]
    return everywhere(tracks, [np.zeros(len(one)) for one in values])


def noise(rows: int, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal([5, 60], [2, 5], (rows, 2))


def drifted(known: Reference, value: Float64) -> list[str]:
    found = check.check(known, Window(np.zeros(len(value), np.int64), value))
    return [one.feature for one in found.findings if one.drifted]


def test_later_readings_are_held_against_what_a_model_learned_from() -> None:
    trained = run.train(Wear(), NOWHERE, others={}, tell=lambda what, share: None)
    known = trained.reference
    assert known is not None and trained.no_reference == ""
    _, held = Wear().split(Wear().load(NOWHERE))
    assert drifted(known, held.now[: known.rows]) == []
    assert drifted(known, held.now[: known.rows] + np.array([0.0, 30.0])) == ["heat"]
    assert f"{known.windows} windows of {known.rows} rows" in cards.card(Wear(), trained, pictures={})


def test_a_reference_survives_the_artifact_to_the_bit() -> None:
    known = frozen.reference_of(asked(noise(400)), SIGNATURE)
    data = artifact.pack(Line(2.0, 0.1), SIGNATURE, known)
    _, _, back = artifact.open_(data, sha256=artifact.digest(data))
    assert back is not None
    kept, found = known.pack(), back.pack()
    assert kept.keys() == found.keys()
    for name, value in kept.items():
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.tobytes()) == (found[name].dtype, found[name].tobytes()), name
        else:
            assert (type(value), value) == (type(found[name]), found[name]), name


def test_where_too_little_was_learned_from_there_is_no_reference_and_the_reason_is_told() -> None:
    with pytest.raises(TooLittle, match="159 rows are too few"):
        frozen.reference_of(asked(noise(159)), SIGNATURE)
    few = Wear(machines=6, rows=20)
    trained = run.train(few, NOWHERE, others={}, tell=lambda what, share: None)
    assert trained.reference is None
    assert "rows are too few" in trained.no_reference
    assert f"- Drift: readings cannot be checked, {trained.no_reference}" in cards.card(few, trained, pictures={})


def test_rows_that_no_question_looked_at_change_nothing() -> None:
    value = noise(400)
    examples = asked(value).take(np.arange(100, 300))
    other = np.concatenate([value[:98] + 50, value[98:300], value[300:] - 50])
    signature = Signature(SIGNATURE.features, SIGNATURE.outputs, rows=3)
    changed = asked(other).take(np.arange(100, 300))
    one, two = (frozen.reference_of(each, signature).pack() for each in (examples, changed))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_reference_is_bounded_however_much_was_learned_from() -> None:
    known = frozen.reference_of(asked(noise(50_000), noise(50_000, 1)), SIGNATURE)
    assert (known.windows, known.rows) == (frozen.USUAL_WINDOWS, frozen.LONGEST)


def test_tracks_that_are_shorter_than_a_window_are_taken_together() -> None:
    known = frozen.reference_of(asked(*(noise(9, seed) for seed in range(40))), SIGNATURE)
    assert (known.windows, known.rows) == (18, 20)


def test_an_hour_of_the_day_is_known_where_the_data_has_a_clock_alone() -> None:
    hour = np.arange(24 * 30)
    value = (np.where(hour % 24 < 8, 0.0, 10.0) + np.random.default_rng(1).normal(0, 0.1, len(hour)))[:, None]
    signature = Signature((Feature("flow"),), ())
    clocked = frozen.reference_of(asked(value, first=frozen.CLOCK_SINCE_US, period=HOUR_US), signature)
    counted = frozen.reference_of(asked(value, first=0, period=HOUR_US), signature)
    assert (clocked.is_seasonal, counted.is_seasonal) == (True, False)
