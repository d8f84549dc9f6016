"""A sensor's readings as a picture: one SVG, drawn on the server, readable without a script.

Pure: arrays in, text out. Instants are int64 microseconds since the epoch, drawn in UTC. Colours come from the
style sheet (``sensors/chart.css``) by class, so the picture follows the page's light or dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from sensors import ticks
from sensors.columns import Bool, Float64, Int64, to_instant

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 44
GAP_FACTOR = 6
"""A step longer than so many median steps is drawn as a gap, not as a line."""
LIMIT_REACH = 1.5
"""A limit further from the readings than so many of their spans is named, not drawn: it would flatten them."""
LEAST_WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Limit:
    """A horizontal line; ``severe`` for the outer pair."""

    name: str
    value: float
    severe: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A shaded stretch of time; ``low`` to ``high`` bounds it in value, None leaves it open to that side.

    ``style``: ``machine`` or ``instrument`` (an anomaly), or ``expected``.
    """

    start: int
    end: int
    label: str
    style: str
    low: float | None = None
    high: float | None = None
    href: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """n readings in order of time, and what to draw around them, from ``start`` to ``end``."""

    title: str
    unit: str
    start: int
    end: int
    at: Int64
    value: Float64
    bad: Bool
    limits: Sequence[Limit] = ()
    stretches: Sequence[Stretch] = ()


@dataclass(frozen=True, slots=True)
class _Frame:
    start: int
    end: int
    low: float
    high: float

    def x(self, at: float) -> float:
        share = (at - self.start) / max(1, self.end - self.start)
        return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - min(1.0, max(0.0, share)) * (HEIGHT - TOP - BOTTOM)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def svg(picture: Picture) -> str:
    """The picture as an ``<svg>`` element. Every text in it is escaped; without readings it says so."""
    frame = _frame(picture)
    parts = [
        f'<svg class="readings-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' aria-labelledby="chart-title chart-desc" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="chart-title">{escape(picture.title)}</title>',
        f'<desc id="chart-desc">{escape(describe(picture))}</desc>',
        *_grid(frame, picture.unit),
        *(_stretch(frame, s) for s in sorted(picture.stretches, key=lambda s: s.style != "expected")),
        *_limits(frame, picture.limits),
        *_line(frame, picture),
        *_bad(frame, picture),
        *_legend(picture, [limit for limit in picture.limits if not frame.holds(limit.value)]),
    ]
    if not len(picture.at):
        parts.append(_text(WIDTH / 2, HEIGHT / 2, "No readings in this period", "chart-empty", anchor="middle"))
    return "".join([*parts, "</svg>"])


def describe(picture: Picture) -> str:
    """What the picture shows, in a sentence, for those who do not see it."""
    span = f"from {_long(picture.start)} to {_long(picture.end)}"
    if not len(picture.at):
        return f"No readings {span}."
    unit = f" {picture.unit}" if picture.unit else ""
    anomalies = sum(1 for s in picture.stretches if s.style != "expected")
    return (
        f"Readings {span}, lowest {ticks.number(float(picture.value.min()))}{unit}, highest "
        f"{ticks.number(float(picture.value.max()))}{unit}; anomalies: {anomalies}, "
        f"of bad quality: {int(picture.bad.sum())}."
    )


def _frame(picture: Picture) -> _Frame:
    if not len(picture.at):
        return _Frame(picture.start, picture.end, 0.0, 1.0)
    low, high = float(picture.value.min()), float(picture.value.max())
    span = (high - low) or abs(high) * 0.1 or 1.0
    wanted = [limit.value for limit in picture.limits]
    wanted += [v for s in picture.stretches for v in (s.low, s.high) if v is not None]
    near = [v for v in wanted if low - LIMIT_REACH * span <= v <= high + LIMIT_REACH * span]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.06 * ((high - low) or span)
    return _Frame(picture.start, picture.end, low - margin, high + margin)


def _grid(frame: _Frame, unit: str) -> list[str]:
    parts, bottom = [], HEIGHT - BOTTOM
    for value in ticks.of_values(frame.low, frame.high):
        y = frame.y(value)
        parts.append(f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, ticks.number(value), "chart-tick", anchor="end"))
    for at, label in ticks.of_time(frame.start, frame.end):
        x = frame.x(at)
        parts.append(f'<line class="chart-notch" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(_text(x, bottom + 19, label, "chart-tick", anchor="middle"))
    parts.append(f'<line class="chart-axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 6, "time in UTC", "chart-unit", anchor="end"))
    if unit:
        parts.append(_text(8, TOP - 14, unit, "chart-unit"))
    return parts


def _stretch(frame: _Frame, stretch: Stretch) -> str:
    left, right = frame.x(stretch.start), frame.x(stretch.end)
    if right - left < LEAST_WIDTH:
        middle = (left + right) / 2
        left, right = middle - LEAST_WIDTH / 2, middle + LEAST_WIDTH / 2
    top = TOP if stretch.high is None else frame.y(stretch.high)
    bottom = HEIGHT - BOTTOM if stretch.low is None else frame.y(stretch.low)
    rectangle = (
        f'<rect class="chart-{escape(stretch.style)}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}"'
        f' height="{max(1.0, bottom - top):.1f}"><title>{escape(stretch.label)}</title></rect>'
    )
    return f'<a href="{escape(stretch.href)}">{rectangle}</a>' if stretch.href else rectangle


def _limits(frame: _Frame, limits: Sequence[Limit]) -> list[str]:
    parts = []
    for limit in limits:
        if not frame.holds(limit.value):
            continue
        y, style = frame.y(limit.value), "chart-limit-severe" if limit.severe else "chart-limit"
        parts.append(f'<line class="{style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{limit.name} {ticks.number(limit.value)}"
        below = limit.severe and limit.name.startswith("low") and y + 15 < HEIGHT - BOTTOM
        beside = y + 13 if below else y - 4
        parts.append(_text(WIDTH - RIGHT - 4, beside, label, f"{style}-name", anchor="end"))
    return parts


def _line(frame: _Frame, picture: Picture) -> list[str]:
    if not len(picture.at):
        return []
    steps = np.diff(picture.at)
    gap = GAP_FACTOR * float(np.median(steps)) if len(steps) else math.inf
    path, dots = [], []
    pieces = np.split(np.arange(len(picture.at)), np.flatnonzero(steps > gap) + 1)
    for piece in pieces:
        points = [(frame.x(int(picture.at[i])), frame.y(float(picture.value[i]))) for i in piece]
        if len(points) == 1:
            dots.append(f'<circle class="chart-dot" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="1.8"/>')
        else:
            path.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points))
    return [f'<path class="chart-line" fill="none" d="{"".join(path)}"/>', *dots]


def _bad(frame: _Frame, picture: Picture) -> list[str]:
    marks = []
    for i in np.flatnonzero(picture.bad):
        x, y = frame.x(int(picture.at[i])), frame.y(float(picture.value[i]))
        marks.append(f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8")
    return [f'<path class="chart-bad" fill="none" d="{"".join(marks)}"/>'] if marks else []


def _legend(picture: Picture, out_of_view: Sequence[Limit]) -> list[str]:
    styles = {s.style for s in picture.stretches}
    entries = [("chart-line", "readings")]
    entries += [("chart-bad", "bad quality")] if picture.bad.any() else []
    entries += [("chart-machine", "anomaly of the machine")] if "machine" in styles else []
    entries += [("chart-instrument", "fault of the sensor")] if "instrument" in styles else []
    entries += [("chart-expected", "expected")] if "expected" in styles else []
    parts, x = [], float(LEFT)
    for style, label in entries:
        parts.append(f'<rect class="{style} chart-key" x="{x:.0f}" y="10" width="14" height="8"/>')
        parts.append(_text(x + 20, 18, label, "chart-name"))
        x += 34 + 6.6 * len(label)
    if out_of_view:
        names = ", ".join(f"{limit.name} {ticks.number(limit.value)}" for limit in out_of_view)
        parts.append(_text(WIDTH - RIGHT, 18, f"out of view: {names}", "chart-unit", anchor="end"))
    return parts


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _long(at: int) -> str:
    return f"{to_instant(at):%Y-%m-%d %H:%M} UTC"
