"""Pictures of what a training was measured at, for its run in MLflow: PNG by the name of the file. Pure.

It imports matplotlib and shap, which take seconds and memory: only what trains imports it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from mlops import explain
from mlops.classification import Classifier
from mlops.drift import performance
from mlops.learning.contract import Answers, Learned, Signature
from mlops.learning.examples import Examples
from sensors.columns import Bool, Float64

SIZE = (6.4, 4.8)
STYLE: Any = {"text.parse_math": False, "axes.linewidth": 0.6, "font.size": 9.0, "axes.grid": True, "grid.alpha": 0.3}
OURS, TRUE, FAINT = "#1d3557", "#b23a48", "#a8c5da"
MOST_POINTS = 2_000
BINS = 10
EXPLAINED, EXPLAINED_BY_ASKING, MOST_ANSWERS, MOST_FEATURES = 100, 4, 64, 20
"""Questions that are explained where a model tells how its score comes about, and where it has to be asked, and how
often each."""

Draw = Callable[[Axes], None]


def draw(learned: Learned, answers: Answers, held: Examples, signature: Signature) -> dict[str, bytes]:
    """By the kind of the answers; of what was held out and has a truth."""
    drawn = dict(_of_answers(learned, answers, held))
    importance = importances(learned, held, signature)
    names = [one.name for one in signature.features]
    if len(names) > 1 and np.isfinite(importance).any():
        drawn["importance.png"] = lambda part: _importance(part, names, importance)
    return {name: png(one) for name, one in drawn.items()}


def png(one: Draw) -> bytes:
    """The same bytes for the same picture."""
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        one(figure.subplots())
        figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return out.getvalue()


def importances(learned: Learned, held: Examples, signature: Signature) -> Float64:
    """(features,): the mean size of what each feature adds to the score, over some questions spread over all."""
    is_open = isinstance(learned, explain.Open)
    most = min(len(held), EXPLAINED if is_open else EXPLAINED_BY_ASKING)
    some = held.take(np.unique(np.linspace(0, len(held) - 1, most).astype(np.int64)))
    found = explain.explanation(learned, some, rows=signature.rows, most=MOST_ANSWERS).contributions
    size = np.abs(np.where(np.isfinite(found), found, np.nan))
    known = np.isfinite(size).any(axis=0)
    told = np.full(size.shape[1], np.nan)
    told[known] = np.nanmean(size[:, known], axis=0)
    return told


def _of_answers(learned: Learned, answers: Answers, held: Examples) -> Iterator[tuple[str, Draw]]:
    truth = held.truth
    if isinstance(learned, Classifier):
        state, probability = (answers[name] for name in learned.outputs)
        said = np.isfinite(probability) & np.isfinite(truth)
        state, probability, truth = state[said], probability[said], truth[said]
        right = truth == learned.classes[1] if learned.is_one_sided else truth == state
        if learned.is_one_sided and right.any():
            yield "precision-recall.png", lambda part: _precision_recall(part, probability, right)
        if not learned.is_one_sided:
            yield "states.png", lambda part: _states(part, state, truth, learned.classes)
        yield "calibration.png", lambda part: _calibration(part, probability, right)
    elif (names := performance.quantiles(answers)) is not None:
        told = np.column_stack([answers[name] for name in names])
        said = np.isfinite(told).all(axis=1) & np.isfinite(truth)
        if said.any():
            yield from _of_values(told[said], truth[said])
            yield "calibration.png", lambda part: _shares_below(part, told[said], truth[said])
    elif "score" in answers:
        said = np.isfinite(answers["score"]) & np.isfinite(truth)
        right = truth[said] == 1
        if right.any():
            yield "precision-recall.png", lambda part: _precision_recall(part, answers["score"][said], right)
        yield "scores.png", lambda part: _scores(part, answers["score"][said], right)
    else:
        values = next(iter(answers.values()))
        said = np.isfinite(values) & np.isfinite(truth)
        if said.any():
            yield from _of_values(values[said][:, None], truth[said])


def _of_values(told: Float64, truth: Float64) -> Iterator[tuple[str, Draw]]:
    """``told``: (n, 1) or (n, 3), of which the middle one is the answer."""
    some = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), MOST_POINTS)).astype(np.int64))
    told, truth = told[some], truth[some]
    yield "predicted.png", lambda part: _predicted(part, told, truth)
    yield "residuals.png", lambda part: _residuals(part, told[:, told.shape[1] // 2], truth)


def _predicted(part: Axes, told: Float64, truth: Float64) -> None:
    if told.shape[1] > 1:
        part.vlines(truth, told[:, 0], told[:, 2], color=FAINT, linewidth=0.6, label="P10 to P90")
    part.plot(truth, told[:, told.shape[1] // 2], ".", color=OURS, markersize=3, label="predicted")
    ends = [float(truth.min()), float(truth.max())]
    part.plot(ends, ends, color=TRUE, linewidth=0.8, linestyle="--", label="as it was")
    part.set(xlabel="true", ylabel="predicted", title="Predicted beside true")
    part.legend()


def _residuals(part: Axes, told: Float64, truth: Float64) -> None:
    part.plot(truth, told - truth, ".", color=OURS, markersize=3)
    part.axhline(0.0, color=TRUE, linewidth=0.8, linestyle="--")
    part.set(xlabel="true", ylabel="predicted less true", title="Residuals")


def _shares_below(part: Axes, told: Float64, truth: Float64) -> None:
    wanted = (0.1, 0.5, 0.9)
    part.plot(wanted, [float(np.mean(truth <= column)) for column in told.T], "o-", color=OURS, label="observed")
    _diagonal(part, "Calibration of the quantiles", "quantile", "share of truths below it")


def _calibration(part: Axes, probability: Float64, right: Bool) -> None:
    """Ten bins of as many answers each."""
    order = np.argsort(probability, kind="stable")
    parts = [one for one in np.array_split(order, BINS) if len(one)]
    part.plot(
        [float(probability[one].mean()) for one in parts], [float(right[one].mean()) for one in parts], "o-",
        color=OURS, label="observed",
    )  # fmt: skip
    _diagonal(part, "Calibration", "probability", "share that was so")


def _diagonal(part: Axes, title: str, across: str, up: str) -> None:
    part.plot([0, 1], [0, 1], color=TRUE, linewidth=0.8, linestyle="--", label="as it should be")
    part.set(xlim=(0, 1), ylim=(0, 1), xlabel=across, ylabel=up, title=title)
    part.legend()


def _precision_recall(part: Axes, score: Float64, right: Bool) -> None:
    precision, recall, _ = precision_recall_curve(right, score)
    part.plot(recall, precision, color=OURS, drawstyle="steps-post", label="this")
    part.axhline(float(right.mean()), color=TRUE, linewidth=0.8, linestyle="--", label="by chance")
    part.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title="Precision and recall")
    part.legend()


def _scores(part: Axes, score: Float64, right: Bool) -> None:
    for mine, colour, label in ((score[~right], FAINT, "normal"), (score[right], TRUE, "faults")):
        if len(mine):
            part.hist(mine, bins=40, density=True, histtype="stepfilled", alpha=0.7, color=colour, label=label)
    part.set(xlabel="score", ylabel="density", title="Scores")
    part.legend()


def _states(part: Axes, state: Float64, truth: Float64, classes: Float64) -> None:
    table = np.array([[np.sum((truth == true) & (state == said)) for said in classes] for true in classes])
    part.imshow(table / np.maximum(table.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    part.grid(visible=False)
    for row, column in np.ndindex(*table.shape):
        share = table[row, column] / max(1, table[row].sum())
        part.text(column, row, f"{table[row, column]}", ha="center", va="center", color="w" if share > 0.5 else "k")
    names = [f"{one:g}" for one in classes]
    part.set(xlabel="named", ylabel="true", title="States")
    part.set_xticks(range(len(names)), names)
    part.set_yticks(range(len(names)), names)


def _importance(part: Axes, names: list[str], importance: Float64) -> None:
    order = np.argsort(np.nan_to_num(importance), kind="stable")[-MOST_FEATURES:]
    part.barh([names[k] for k in order], np.nan_to_num(importance)[order], color=OURS)
    part.set(xlabel="mean size of what it adds to the answer", title="Features")


TITLES: Mapping[str, str] = {
    "predicted.png": "Predicted beside true", "residuals.png": "Residuals", "calibration.png": "Calibration",
    "precision-recall.png": "Precision and recall", "scores.png": "Scores", "states.png": "States",
    "importance.png": "What each feature adds",
}  # fmt: skip
"""Of the files that may be drawn, as a card names them."""
