"""Whether a split or a feature gives the truth away. Pure.

A leak is the commonest reason for figures that nobody ever sees again in use, so that it fails the training.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata, spearmanr

from mlops.learning.contract import Signature
from mlops.learning.examples import Examples
from sensors.columns import Bool, Float64

FEW_VALUES, FEW_CLASSES = 10, 20
ENOUGH_ROWS = 8
TELLS_ALL = 0.999
"""Of rank correlation, or of the area under the ROC curve: above it a feature alone says what is asked."""
MOST_TWINS = 0.01


class Leak(Exception):
    """What gives the truth away; the message names it."""


def check(learn: Examples, held: Examples, signature: Signature, *, admitted: Mapping[str, str]) -> None:
    """``admitted``: features that may tell all, and why that is no leak. Raises ``Leak``."""
    for examples in (learn, held):
        if not len(examples):
            raise Leak("nothing is left to learn from, or to hold out")
        in_order(examples)
    later(learn, held)
    no_twins(learn, held, rows=signature.rows)
    names = [feature.name for feature in signature.features]
    for number, name in enumerate(names):
        if name not in admitted and (how := tells(learn.now[:, number], learn.truth)):
            raise Leak(f"The feature {name} {how}: it is made of what is asked, or comes after it.")


def in_order(examples: Examples) -> None:
    """Raises ``Leak`` where the time of a track does not ascend, or a question lies outside of it."""
    lengths = np.array([len(track.at) for track in examples.tracks], np.int64)
    for track in examples.tracks:
        if np.any(np.diff(track.at) <= 0):
            raise Leak(f"The time of {track.unit} does not ascend: rows are shuffled or doubled.")
    if np.any(examples.end < 1) or np.any(examples.end > lengths[examples.track]):
        raise Leak("A question is asked at an instant that its track does not have.")


def later(learn: Examples, held: Examples) -> None:
    """Raises ``Leak`` where something held out of a machine is not later than all that was learned of it."""
    last: dict[str, int] = {}
    for number, at in zip(learn.track.tolist(), learn.at.tolist(), strict=True):
        unit = learn.tracks[number].unit
        last[unit] = max(at, last.get(unit, at))
    for number, at in zip(held.track.tolist(), held.at.tolist(), strict=True):
        unit = held.tracks[number].unit
        if at <= last.get(unit, at - 1):
            raise Leak(f"What is held out of {unit} is not later than what is learned from it.")


def no_twins(learn: Examples, held: Examples, *, rows: int) -> None:
    """Raises ``Leak`` where what is held out was learned from under another name."""
    known = {key for key in _keys(learn, rows) if key}
    keys = _keys(held, rows)
    twins = sum(key in known for key in keys if key)
    if twins > MOST_TWINS * len(keys):
        raise Leak(f"{twins} of {len(keys)} questions held out were learned from as well: the data has duplicates.")


def _keys(examples: Examples, rows: int) -> list[bytes]:
    """What each question looks at; nothing where that has too few different values to be told from another one: a
    switch, or a series that stands still, looks like many others."""
    found = []
    for number, end in zip(examples.track.tolist(), examples.end.tolist(), strict=True):
        seen = examples.tracks[number].value[max(0, end - min(rows, ENOUGH_ROWS)) : end]
        different = len(np.unique(seen))
        found.append(seen.tobytes() if seen.size > 1 and different >= min(ENOUGH_ROWS, seen.size) else b"")
    return found


def tells(feature: Float64, truth: Float64) -> str:
    """How a feature alone says what is asked, "" where it does not. Both (n,)."""
    known = np.isfinite(feature) & np.isfinite(truth)
    feature, truth = feature[known], truth[known]
    if len(feature) < ENOUGH_ROWS or np.all(feature == feature[0]) or np.all(truth == truth[0]):
        return ""
    classes = np.unique(truth)
    if len(classes) > FEW_CLASSES:
        return "ranks as the truth does" if abs(spearmanr(feature, truth).statistic) > TELLS_ALL else ""
    for one in classes:
        mine = truth == one
        if mine.sum() < ENOUGH_ROWS:
            continue
        if _apart(feature, mine) > TELLS_ALL:
            return f"alone parts {one:g} from the others"
        if value := _says(feature, mine):
            return f"is {value} only where the truth is {one:g}"
    return ""


def _apart(feature: Float64, mine: Bool) -> float:
    """Area under the ROC curve, whichever way round."""
    n, m = int(mine.sum()), int((~mine).sum())
    area = (rankdata(feature)[mine].sum() - n * (n + 1) / 2) / (n * m)
    return float(max(area, 1 - area))


def _says(feature: Float64, mine: Bool) -> str:
    """The value of a feature of few values that is seen where a rare truth is, and never elsewhere."""
    values, place = np.unique(feature, return_inverse=True)
    if len(values) > FEW_VALUES or mine.mean() > 0.5:
        return ""
    seen, hits = np.bincount(place), np.bincount(place, weights=mine)
    for value, count, hit in zip(values, seen, hits, strict=True):
        if count >= ENOUGH_ROWS and hit == count:
            return f"{value:g}"
    return ""
