"""The files of answers that others read and judge: their columns are laid down."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.learning.examples import Track, at_the_end
from mlops.recipes import RECIPES
from sensors.columns import SECOND_US
from tests.bench import models

TURBOFANS = tuple(name for name in RECIPES if name.startswith("turbofan-rul-"))


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (TURBOFANS, ["unit", "rul_p10", "rul_p50", "rul_p90"]),
        (("milling-failure",), ["UDI", "probability", "label"]),
        (("bearing-life-femto",), ["bearing", "rul_p10", "rul_p50", "rul_p90"]),
    ],
)
def test_answers_are_written_in_the_columns_that_were_laid_down(names: tuple[str, ...], columns: list[str]) -> None:
    assert names
    tracks = [Track(unit, np.array([at], np.int64), np.zeros((1, 1))) for unit, at in (("1", 4_903), ("Bearing1_3", 7))]
    asked = at_the_end(tracks, np.full(2, np.nan))
    for name in names:
        answers = {one.name: np.array([0.25, 12.5]) for one in RECIPES[name].signature.outputs}
        head, first, second = models.lines(name, asked, answers)
        assert head == columns
        assert first == [4_903 if columns[0] == "UDI" else "1", *["0.25"] * (len(columns) - 1)]
        assert second[0] == (7 if columns[0] == "UDI" else "Bearing1_3")


def test_answers_about_what_was_held_out_are_told_by_machine_and_second() -> None:
    track = Track("valve1/0", np.array([5, 6], np.int64) * SECOND_US, np.zeros((2, 1)))
    rows = list(models.held(at_the_end([track], np.zeros(1)), {"score": np.array([0.5]), "anomalous": np.array([0.0])}))
    assert rows == [["unit", "at_s", "score", "anomalous"], ["valve1/0", 6, "0.5", "0"]]
    assert set(models.HELD) <= set(RECIPES)
