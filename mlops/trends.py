"""Means and slopes of many columns over the last instants, at every instant, from what is known by then. Pure.

Sums up to each instant are kept, so that a window of any length costs as much as another one.
"""

from __future__ import annotations

import numpy as np

from sensors.columns import Float64, Int64

FEWEST = 5
"""Readings: a slope through fewer is not known."""


def means(value: Float64, ends: Int64, *, rows: int) -> Float64:
    """(n, columns): means of the last ``rows`` before each of the ``ends``, NaN where none of them is known."""
    known = np.isfinite(value)
    count = _between(known.astype(np.float64), ends, rows)
    total = _between(np.where(known, value, 0.0), ends, rows)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def slopes(value: Float64, ends: Int64, *, rows: int) -> Float64:
    """(n, columns): by how much the straight line of least squares through the last ``rows`` rises over as many rows,
    also where fewer are there yet; NaN where fewer than ``FEWEST`` are known."""
    known = np.isfinite(value)
    place, one = np.arange(len(value), dtype=np.float64)[:, None], known.astype(np.float64)
    filled = np.where(known, value, 0.0)
    count, total = _between(one, ends, rows), _between(filled, ends, rows)
    first, second = _between(one * place, ends, rows), _between(one * place**2, ends, rows)
    both = _between(filled * place, ends, rows)
    wide = count * second - first**2
    enough = (count >= FEWEST) & (wide > 0)
    return np.divide(rows * (count * both - first * total), wide, out=np.full_like(wide, np.nan), where=enough)


def _between(value: Float64, ends: Int64, rows: int) -> Float64:
    sums = np.concatenate([np.zeros((1, value.shape[1])), np.cumsum(value, axis=0)])
    return np.asarray(sums[ends] - sums[np.maximum(ends - rows, 0)])
