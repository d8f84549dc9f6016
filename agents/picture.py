"""The picture of a judged file: each column with what was expected of it, the score below, abnormal stretches shaded.

The one module that imports matplotlib, which takes a second: only who draws imports it.
"""

from __future__ import annotations

from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.sketch import Stretches
from sensors.columns import Bool, Float64

MOST_COLUMNS = 12
WIDTH, HEIGHT = 14.0, 1.8  # inches; the height is of each part
STYLE: Any = {"svg.hashsalt": "bellwether", "text.parse_math": False, "axes.linewidth": 0.6, "font.size": 8.0}
VALUE, BAND, SCORE, ODD = "#1d3557", "#a8c5da", "#4f5d75", "#b23a48"


def draw(
    out: IO[bytes], suffix: str, columns: tuple[str, ...], found: Stretches, *, title: str, period: int | None
) -> None:
    """``suffix``: .png or .svg. ``period``: microseconds of a row where time is row numbers, None where it is instants.

    Of more than ``MOST_COLUMNS`` columns the first are drawn, and the title says so.
    """
    shown = columns[:MOST_COLUMNS]
    when: Any = found.at.astype("datetime64[us]") if period is None else found.at / period
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT * (len(shown) + 1) + 0.6), layout="constrained")
        parts = figure.subplots(len(shown) + 1, 1, sharex=True, squeeze=False)[:, 0]
        for k, name in enumerate(shown):
            _column(parts[k], when, found, k)
            parts[k].set_ylabel(_plain(name))
        parts[-1].fill_between(when, 0, found.score, color=SCORE, linewidth=0)
        parts[-1].axhline(0.5, color=ODD, linewidth=0.8, linestyle="--")
        parts[-1].set(ylim=(0, 1), ylabel="score", xlabel="time (UTC)" if period is None else "row number")
        for part in parts:
            _shade(part, when, found.abnormal)
            part.margins(x=0)
        left = f" (the first {MOST_COLUMNS} of {len(columns)} columns)" if len(columns) > len(shown) else ""
        figure.suptitle(_plain(title) + left, fontsize=10)
        figure.savefig(out, format=suffix[1:], dpi=100)


def _column(part: Axes, when: Any, found: Stretches, k: int) -> None:
    """The axis goes by the values: what was expected may lie far out."""
    least, most = found.least[:, k], found.most[:, k]
    low, high = (_finite(bound[:, k]) for bound in (found.low, found.high))
    if np.isfinite(least).any():
        bottom, top = float(np.nanmin(least)), float(np.nanmax(most))
        room = 0.1 * (top - bottom) or max(1.0, abs(top) * 0.1)
        part.set_ylim(bottom - room, top + room)
        low, high = np.clip(low, bottom - 2 * room, None), np.clip(high, None, top + 2 * room)
    part.fill_between(when, low, high, color=BAND, linewidth=0)
    part.fill_between(when, least, most, color=VALUE, linewidth=0)
    part.plot(when, (least + most) / 2, color=VALUE, linewidth=0.8)


def _shade(part: Axes, when: Any, abnormal: Bool) -> None:
    edges = np.flatnonzero(np.diff(abnormal.astype(np.int8), prepend=0, append=0))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        part.axvspan(when[first], when[min(int(end), len(when) - 1)], color=ODD, alpha=0.25, linewidth=0.5)


def _finite(bound: Float64) -> Float64:
    return np.where(np.isfinite(bound), bound, np.nan)


def _plain(text: str) -> str:
    return text.encode(errors="replace").decode()
