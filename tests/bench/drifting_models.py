"""How close performance without labels comes to what labels say, where the covariates shift: AI4I.

Classifiers of machine failure, learned on half of the labelled rows and calibrated on a quarter (the reference). From
the last quarter rows are drawn so that one covariate is higher or lower than usual, while the truth of each row stays.
A regression of the torque with an interval in the same way. Beside it stands what is commonly assumed: that a model is
as good as it was found to be on the reference.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops.drift import performance
from mlops.drift.performance import Intervals, Performance
from sensors.columns import Float64, Int64
from tests.bench import results
from tests.bench.results import row

FOLDER = results.DATA / "ai4i2020"
COLUMNS = ("Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]")
TORQUE = 3
TILTS = (-1.0, -0.5, 0.5, 1.0)
DRAWN, THRESHOLD, SEEDS, TAIL, WINDOWS = 800, 0.3, (1, 2, 3, 4), 0.1, 8
CALIBRATIONS = ("sigmoid", "isotonic")
FIGURES = ("accuracy", "f1")


@dataclass(frozen=True, slots=True)
class Milling:
    """(n, 5) measures, and whether each row failed."""

    value: Float64
    failed: Float64

    def take(self, rows: Int64) -> Milling:
        return Milling(self.value[rows], self.failed[rows])


def read() -> Milling:
    with (FOLDER / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    value = np.array([[float(one[name]) for name in COLUMNS] for one in rows])
    return Milling(value, np.array([float(one["Machine failure"]) for one in rows]))


def parted(data: Milling, seed: int) -> tuple[Milling, Milling, Milling]:
    """To learn from, a half; the reference; and the quarter that is drawn from."""
    order = np.random.default_rng(seed).permutation(len(data.failed))
    half, quarter = len(order) // 2, len(order) // 4
    return data.take(order[:half]), data.take(order[half : half + quarter]), data.take(order[half + quarter :])


def tilted(data: Milling, column: int, tilt: float, seed: int) -> Milling:
    """Rows drawn without putting them back, the likelier the higher the column is (the lower, where negative)."""
    off = data.value[:, column]
    weight = np.exp(tilt * (off - off.mean()) / off.std())
    drawn = np.random.default_rng(seed).choice(len(off), DRAWN, replace=False, p=weight / weight.sum())
    return data.take(drawn)


def shifts(data: Milling, seed: int, columns: range) -> Iterator[Milling]:
    for column in columns:
        for tilt in TILTS:
            yield tilted(data, column, tilt, seed)


def classifiers(known: Milling, reference: Milling) -> Iterator[tuple[str, Any]]:
    """By name: the model, and how its probabilities are calibrated on the reference."""
    forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=0, n_jobs=1)
    for name, model in (("logistic", make_pipeline(StandardScaler(), LogisticRegression())), ("forest", forest)):
        frozen = FrozenEstimator(model.fit(known.value, known.failed))
        yield f"{name}, uncalibrated", model
        for method in CALIBRATIONS:
            calibrated = CalibratedClassifierCV(frozen, method=method)
            yield f"{name}, {method}", calibrated.fit(reference.value, reference.failed)


def compare(name: str, figure: str, pairs: list[tuple[Performance, float]], *, goal: bool) -> Iterator[dict[str, Any]]:
    """``pairs``: of each shift what was expected and measured, and what was measured without a shift."""
    measured = np.array([one.measured for one, _ in pairs])
    ours = float(np.mean(np.abs(np.array([one.expected for one, _ in pairs]) - measured)))
    assumed = float(np.mean(np.abs(np.array([usual for _, usual in pairs]) - measured)))
    within = 100 * float(np.mean([one.low <= one.measured <= one.high for one, _ in pairs]))
    yield row(
        f"{name}: error of the expected {figure}", ours, "", baseline=assumed, detail=f"{len(pairs)} shifts",
        goal="< 1 x as it was" if goal else None, ok=ours < assumed if goal else None,
    )  # fmt: skip
    yield row(f"{name}: measured {figure} from low to high", within, "% of the shifts", detail="95 are expected")


def of_classifiers(data: Milling) -> Iterator[dict[str, Any]]:
    pairs: dict[tuple[str, str], list[tuple[Performance, float]]] = {}
    for seed in SEEDS:
        known, reference, later = parted(data, seed)
        for name, model in classifiers(known, reference):
            usual = expected(model, reference)
            for shifted in shifts(later, seed, range(len(COLUMNS))):
                for figure, one in expected(model, shifted).items():
                    pairs.setdefault((name, figure), []).append((one, usual[figure].measured))
    for (name, figure), mine in pairs.items():
        if figure in FIGURES:
            yield from compare(name, figure, mine, goal=name.endswith(CALIBRATIONS))


def expected(model: Any, data: Milling) -> dict[str, Performance]:
    probability = model.predict_proba(data.value)[:, 1]
    return {one.name: one for one in performance.of_classifier(probability, threshold=THRESHOLD, truth=data.failed)}


def of_regression(data: Milling) -> Iterator[dict[str, Any]]:
    pairs = []
    others = [k for k in range(len(COLUMNS)) if k != TORQUE]
    for seed in SEEDS:
        known, reference, later = parted(data, seed)
        models = [
            HistGradientBoostingRegressor(loss="quantile", quantile=share, max_iter=60, random_state=0).fit(
                known.value[:, others], known.value[:, TORQUE]
            )
            for share in (TAIL, 0.5, 1 - TAIL)
        ]

        def answer(part: Milling, models: list[Any] = models) -> Intervals:
            return Intervals(*(model.predict(part.value[:, others]) for model in models), TAIL)

        parts = [reference.take(rows) for rows in np.array_split(np.arange(len(reference.failed)), WINDOWS)]
        usual = performance.losses_a_width([(answer(part), part.value[:, TORQUE]) for part in parts])
        before = answer(reference).loss(reference.value[:, TORQUE])
        for column in others:
            for tilt in TILTS:
                shifted = tilted(later, column, tilt, seed)
                found = performance.of_intervals(answer(shifted), usual, truth=shifted.value[:, TORQUE])
                pairs.append((found[0], before))
    yield from compare("torque", "quantile loss", pairs, goal=True)


def bench() -> list[dict[str, Any]]:
    data = read()
    rows = [*of_classifiers(data), *of_regression(data)]
    lines = [["without labels", "value", "as it was", "unit"]]
    for one in rows:
        before = "" if one["baseline"] is None else f"{one['baseline']:.4f}"
        lines.append([one["name"], f"{one['value']:.4g}", before, one["unit"]])
    results.wide(lines)
    return rows
