"""Pictures of trainings: which are drawn of which answers, and that they are pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import classification, plots
from mlops.classification import Classifier
from mlops.learning.contract import Answers, Feature, Signature
from mlops.learning.examples import Examples, Track, everywhere
from tests.made_models import SIGNATURE, Line, Wear

LOT = np.random.default_rng(5)
ROWS = 120
TWO = Signature((Feature("load"), Feature("heat")), (Feature("state"), Feature("probability")))


def asked(truth: np.ndarray) -> Examples:
    value = np.column_stack([truth + LOT.normal(0, 0.5, ROWS), LOT.normal(0, 1, ROWS)])
    return everywhere([Track("m", np.arange(ROWS), value)], [truth])


def taught(truth: np.ndarray, *, one_sided: bool) -> tuple[Classifier, Examples]:
    examples = asked(truth)
    halves = [(examples.take(np.arange(0, ROWS, 2)), examples.take(np.arange(1, ROWS, 2)))]
    made = classification.teach(
        examples, lambda: make_pipeline(StandardScaler(), LogisticRegression()), inner=halves,
        outputs=("state", "probability"), one_sided=one_sided,
    )  # fmt: skip
    return made, examples


@pytest.mark.parametrize(
    ("one_sided", "expected"),
    [(True, {"precision-recall.png", "calibration.png"}), (False, {"states.png", "calibration.png"})],
)
def test_of_a_classifier(one_sided: bool, expected: set[str]) -> None:
    learned, examples = taught((np.arange(ROWS) % 3 == 0) * 1.0, one_sided=one_sided)
    drawn = dict(plots._of_answers(learned, learned.answer(examples), examples))
    assert set(drawn) == expected
    assert all(plots.png(one).startswith(b"\x89PNG") for one in drawn.values())


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"rul_p10": 1.0, "rul_p50": 2.0, "rul_p90": 3.0}, {"predicted.png", "residuals.png", "calibration.png"}),
        ({"score": 0.3, "anomalous": 0.0}, {"precision-recall.png", "scores.png"}),
        ({"wear": 2.0}, {"predicted.png", "residuals.png"}),
        ({"wear": np.nan}, set()),
    ],
)
def test_of_other_answers(answers: dict[str, float], expected: set[str]) -> None:
    examples = asked((np.arange(ROWS) % 4 == 0) * 1.0)
    told: Answers = {name: np.full(ROWS, value) for name, value in answers.items()}
    drawn = dict(plots._of_answers(Line(1.0, 0.0), told, examples))
    assert set(drawn) == expected and expected <= set(plots.TITLES)
    assert all(plots.png(one).startswith(b"\x89PNG") for one in drawn.values())


def test_the_feature_that_the_answer_is_made_of_is_the_important_one_and_bytes_are_the_same() -> None:
    held = Wear().split(Wear().load(Path()))[1]
    learned = Line(2.0, 1.0)
    load, heat = plots.importances(learned, held, SIGNATURE)
    assert load > 1 and heat == 0
    first, again = (plots.draw(learned, learned.answer(held), held, SIGNATURE) for _ in range(2))
    assert first == again and set(first) == {"predicted.png", "residuals.png", "importance.png"}
