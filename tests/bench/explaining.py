"""Whether the feature at fault is the one that contributes most: `make bench-explaining`.

A made machine: quantities that follow a common load, each in its own way. A fault moves one of them away from where the
load has it; every kind of model that is explained is asked what contributed.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import classification, explain
from mlops.classification import Classifier
from mlops.learning import splits
from mlops.learning.contract import Answers, Learned
from mlops.learning.examples import Examples, Track, everywhere
from sensors.columns import Float64, Int64
from tests.bench import results

FEW, MANY = 6, 24
ROWS = 600
SIZE = (5.0, 8.0)
"""Of a fault, in standard deviations of what the load leaves unexplained."""
GOAL = 0.9


class Distance:
    """How far now is from what is usual, as the squared Mahalanobis distance: a score that tells nothing of itself."""

    kind = "distance"

    def __init__(self, normal: Float64) -> None:
        self.mean = normal.mean(axis=0)
        self.inverse = np.linalg.inv(np.cov(normal.T))

    def parts(self) -> dict[str, Any]:
        return {"mean": self.mean, "inverse": self.inverse}

    def answer(self, examples: Examples) -> Answers:
        off = examples.now - self.mean
        return {"distance": np.einsum("ni,ij,nj->n", off, self.inverse, off)}


def machine(lot: np.random.Generator, *, width: int, rows: int) -> Float64:
    """(rows, width): a load that wanders, what follows it, and noise of size one."""
    load = np.convolve(lot.normal(0, 0.6, rows + 9), np.ones(10), "valid")
    return load[:, None] * np.linspace(0.2, 0.8, width) + lot.normal(0, 1, (rows, width)) + 20


def broken(lot: np.random.Generator, normal: Float64) -> tuple[Float64, Int64]:
    """Each row with a fault in one quantity, and in which."""
    which = lot.integers(normal.shape[1], size=len(normal))
    moved = normal.copy()
    moved[np.arange(len(normal)), which] += lot.uniform(*SIZE, len(normal))
    return moved, which


def classifier(lot: np.random.Generator, estimator: Any, *, width: int) -> Classifier:
    normal = machine(lot, width=width, rows=ROWS)
    moved, _ = broken(lot, machine(lot, width=width, rows=ROWS))
    value = np.empty((2 * ROWS, width))
    value[0::2], value[1::2] = normal, moved
    lessons = everywhere([Track("made", np.arange(2 * ROWS), value)], [np.tile([0.0, 1.0], ROWS)])
    inner = splits.in_turn(lessons, splits.blocks_of_time(lessons, length=40), folds=3, gap=0, seed=0)
    return classification.teach(
        lessons, lambda: estimator, inner=inner, outputs=("fault", "probability"), one_sided=True
    )


def found_first(learned: Learned, lot: np.random.Generator, *, width: int, trials: int, **also: Any) -> float:
    """The share of faults whose quantity contributes most."""
    moved, which = broken(lot, machine(lot, width=width, rows=trials))
    asked = everywhere([Track("made", np.arange(trials), moved)], [np.full(trials, np.nan)])
    told = explain.explanation(learned, asked, **also).contributions
    return float(np.mean(told.argmax(axis=1) == which))


def rows(*, trials: int, seed: int = 1) -> list[dict[str, Any]]:
    lot = np.random.default_rng(seed)
    discriminant = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01))
    forest = RandomForestClassifier(60, max_features=3, min_samples_leaf=2, random_state=seed)
    shares = {
        "forest": found_first(classifier(lot, forest, width=FEW), lot, width=FEW, trials=trials),
        "linear discriminant": found_first(classifier(lot, discriminant, width=FEW), lot, width=FEW, trials=trials),
    }
    for width, way in ((FEW, "all choices"), (MANY, "orders by lot")):
        normal = machine(lot, width=width, rows=ROWS)
        shares[f"distance, {width} features, {way}"] = found_first(
            Distance(normal), lot, width=width, trials=trials, usual=normal.mean(axis=0), rows=1
        )
    return [
        results.row(f"fault ranks first: {name}", share, "of faults", goal=f">= {GOAL}", ok=share >= GOAL,
                    detail=f"{trials} faults")
        for name, share in shares.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    found = rows(trials=parser.parse_args().trials)
    results.show(found)
    results.keep("explaining", found)


if __name__ == "__main__":
    main()
