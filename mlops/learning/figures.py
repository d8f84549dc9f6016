"""Figures of answers beside the truth. Pure. All take (n,) arrays and raise ``ValueError`` where they are empty."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from sensors.columns import Bool, Float64, Int64


def rmse(answer: Float64, truth: Float64) -> float:
    """Root mean square error, in the unit of both."""
    return float(np.sqrt(np.mean((_some(answer) - truth) ** 2)))


def phm08(answer: Float64, truth: Float64) -> float:
    """The score of the PHM 2008 challenge, summed: late is worse than early, and 0 is perfect.

    exp(-d / 13) - 1 where the answer is d too small, exp(d / 10) - 1 where it is too large, both in cycles
    (Saxena et al., Damage propagation modeling for aircraft engine run-to-failure simulation, 2008).
    """
    error = _some(answer) - truth
    return float(np.sum(np.expm1(np.where(error < 0, -error / 13, error / 10))))


def pinball(answer: Float64, truth: Float64, *, quantile: float) -> float:
    """Mean quantile loss, in the unit of both; half the mean absolute error where ``quantile`` is a half."""
    error = truth - _some(answer)
    return float(np.mean(np.maximum(quantile * error, (quantile - 1) * error)))


def coverage(low: Float64, high: Float64, truth: Float64) -> float:
    """The share of truths within the interval, its ends included."""
    return float(np.mean((truth >= _some(low)) & (truth <= high)))


def confusion(alarm: Bool, truth: Bool) -> dict[str, float]:
    """Precision, recall, F1 (0 where nothing is found) and the rate of false alarms among those that are none."""
    hit = int(np.sum(_some(alarm) & truth))
    false, missed, quiet = int(np.sum(alarm & ~truth)), int(np.sum(~alarm & truth)), int(np.sum(~alarm & ~truth))
    return {
        "precision": hit / max(1, hit + false),
        "recall": hit / max(1, hit + missed),
        "f1": 2 * hit / max(1, 2 * hit + false + missed),
        "false_alarms": false / max(1, false + quiet),
    }


def pr_auc(score: Float64, truth: Bool) -> float:
    """Area below precision over recall, as average precision: that of a coin is the share of the true."""
    return float(average_precision_score(truth, _some(score))) if truth.any() else 0.0


def accuracy(answer: Int64 | Float64, truth: Int64 | Float64) -> float:
    return float(np.mean(_some(answer) == truth))


def brier(probability: Float64, truth: Bool) -> float:
    """Mean square of what the probability is off by; that of always saying the share p of the true is p (1 - p)."""
    return float(np.mean((_some(probability) - truth) ** 2))


def calibration_error(probability: Float64, truth: Bool, *, bins: int = 10) -> float:
    """By how much the share of the true differs from the probability that was said, on average over ``bins`` of equal
    width (expected calibration error)."""
    place = np.minimum((_some(probability) * bins).astype(np.int64), bins - 1)
    said = np.bincount(place, probability, minlength=bins)
    found = np.bincount(place, truth, minlength=bins)
    return float(np.abs(said - found).sum() / len(probability))


def _some(answer: Any) -> Any:
    if not len(answer):
        raise ValueError("no answers: there is nothing to measure")
    return answer
