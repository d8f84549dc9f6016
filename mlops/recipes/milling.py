"""Whether a milling machine fails, from what is measured of it (AI4I 2020: synthetic). ``docs/models/milling.md``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops import classification
from mlops.learning import figures, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, NotAtHand, Pick, Settings, Signature
from mlops.learning.examples import Examples, Track, everywhere
from sensors.columns import Int64

COLUMNS = {
    "air_temperature": "Air temperature [K]",
    "process_temperature": "Process temperature [K]",
    "speed": "Rotational speed [rpm]",
    "torque": "Torque [Nm]",
    "wear": "Tool wear [min]",
}
"""The failure modes (TWF, HDF, PWF, OSF, RNF) stand beside them in the data and are what failure is made of: they are
not read at all."""
QUALITY = {"L": 0.0, "M": 1.0, "H": 2.0}
FEATURES = (
    Feature("quality"),
    Feature("air_temperature", "K", "TEMPERATURE"),
    Feature("process_temperature", "K", "TEMPERATURE"),
    Feature("speed", "rpm", "SPEED"),
    Feature("torque", "Nm"),
    Feature("wear", "min"),
)
POWER, WARMTH, STRAIN = ("product", 3, 4), ("difference", 2, 1), ("product", 4, 5)
"""What heats, bends and blunts a tool: torque times speed, process less air, torque times wear."""
TOOL = 80
"""So many rows in a row are about one tool, and the temperatures hardly change meanwhile."""


class MillingFailure:
    name = "milling-failure"
    experiment = "failure-classification"
    about = (
        "Whether a milling machine fails at this instant, with a probability, from the product's quality (0 = low, "
        "1 = medium, 2 = high), two temperatures, speed, torque and tool wear."
    )
    source = (
        "AI4I 2020 predictive maintenance data set (Matzka 2020, UCI 601), CC BY 4.0: synthetic. It has no clock: the "
        "order of its rows (UDI) is taken for time."
    )
    signature = Signature(FEATURES, (Feature("failure"), Feature("probability")))
    target = Measure("f1", "", lower_is_better=False, margin=0.05)
    guards: tuple[Guard, ...] = (Guard("false_alarms", 0.02), Guard("brier", 0.002))
    published: Mapping[str, Mapping[str, float]] = {
        "XGBoost, leakage-free cross validation, its repository": {"f1": 0.895},
        "random forest with the same physics, own floor, random folds": {"f1": 0.894, "pr_auc": 0.902},
        "histogram boosting on raw columns, own floor, random folds": {"f1": 0.764, "pr_auc": 0.828},
    }
    defaults: Settings = {"leaf": 2, "features": 3}
    admitted: Mapping[str, str] = {}
    seconds = 40.0
    trees = 100

    def load(self, folder: Path) -> Examples:
        return read(folder / "ai4i2020" / "train.csv")

    def aside(self, folder: Path) -> Examples:
        return read(folder / "ai4i2020" / "test_unlabelled.csv")

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        return splits.by_time(examples, held_out=0.25, gap=TOOL)

    def settings(self, pick: Pick) -> Settings:
        return {"leaf": pick.suggest_int("leaf", 1, 4), "features": pick.suggest_int("features", 2, 7)}

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        def forest() -> Any:
            return RandomForestClassifier(
                self.trees, min_samples_leaf=settings["leaf"], max_features=settings["features"], random_state=seed
            )

        return self._teach(examples, forest, derived=(POWER, WARMTH, STRAIN))

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return {
            "share of failures": self._teach(examples, lambda: DummyClassifier(strategy="prior")),
            "two limits": self._teach(examples, lambda: DecisionTreeClassifier(max_depth=2, random_state=0)),
            "logistic regression": self._teach(
                examples, lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
            ),
        }

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """What is not answered counts as no alarm."""
        failed = examples.truth == 1
        probability = np.nan_to_num(answers["probability"], nan=0.0)
        return {
            **figures.confusion(answers["failure"] == 1, failed),
            "pr_auc": figures.pr_auc(probability, failed),
            "brier": figures.brier(probability, failed),
            "calibration_error": figures.calibration_error(probability, failed),
        }

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_time(examples, length=TOOL)

    def _teach(
        self, examples: Examples, make: classification.Make, derived: classification.Derived = ()
    ) -> classification.Classifier:
        return classification.teach(
            examples, make, inner=splits.in_turn(examples, self.blocks(examples), folds=5, gap=0, seed=0),
            outputs=("failure", "probability"), derived=derived, one_sided=True,
        )  # fmt: skip


def read(path: Path) -> Examples:
    """A question at every row, in the order of UDI. Truth is NaN where the file has no ``Machine failure``.

    Raises ``NotAtHand``, and ``ValueError`` where a column is missing.
    """
    if not path.is_file():
        raise NotAtHand(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if lacking := sorted({"UDI", "Type", *COLUMNS.values()} - set(rows[0] if rows else ())):
        raise ValueError(f"{path}: no rows, or without the columns {', '.join(lacking)}")
    rows.sort(key=lambda row: int(row["UDI"]))
    value = np.array([[QUALITY.get(row["Type"], np.nan), *(_number(row[c]) for c in COLUMNS.values())] for row in rows])
    truth = np.array([_number(row.get("Machine failure", "")) for row in rows])
    at = np.array([int(row["UDI"]) for row in rows], np.int64)
    return everywhere([Track("milling machine", at, value)], [truth])


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else np.nan


MILLING_FAILURE = MillingFailure()
RECIPES = (MILLING_FAILURE,)
