"""Counts over time as a picture: one bar for each piece of a period, drawn on the server as ``sensors.chart`` draws.

Pure: numbers in, text out. Instants are int64 microseconds since the epoch, drawn in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sensors import ticks
from sensors.columns import to_instant

WIDTH, HEIGHT = 960, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 24, 44
APART = 0.2
"""Which share of a piece's width is left free."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Count ``k`` is of the piece of that length that begins ``k`` lengths after the start; the last may be cut by the
    end. ``line``: a count that is drawn across, with its name."""

    title: str
    start: int
    end: int
    length: int
    counts: Sequence[int]
    line: float | None = None
    line_name: str = ""


def svg(bars: Bars) -> str:
    """The picture as an ``<svg>`` element. Every text in it is escaped."""
    top = max([1.0, *map(float, bars.counts), *([bars.line] if bars.line is not None and any(bars.counts) else [])])
    return "".join(
        [
            f'<svg class="readings-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
            ' aria-labelledby="bars-title bars-desc" xmlns="http://www.w3.org/2000/svg">',
            f'<title id="bars-title">{escape(bars.title)}</title>',
            f'<desc id="bars-desc">{escape(describe(bars))}</desc>',
            *_grid(bars, top),
            *(_bar(bars, k, count, top) for k, count in enumerate(bars.counts) if count),
            *_line(bars, top),
            "</svg>",
        ]
    )


def describe(bars: Bars) -> str:
    """What the picture shows, in a sentence, for those who do not see it."""
    most = max(bars.counts, default=0)
    span = f"from {to_instant(bars.start):%Y-%m-%d %H:%M} to {to_instant(bars.end):%Y-%m-%d %H:%M} UTC"
    return f"{sum(bars.counts)} {span}, at most {most} in {ticks.span(bars.length / 1e6)}."


def _x(bars: Bars, at: float) -> float:
    return LEFT + (at - bars.start) / max(1, bars.end - bars.start) * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _bar(bars: Bars, k: int, count: int, top: float) -> str:
    at = bars.start + k * bars.length
    left, right = _x(bars, at), _x(bars, min(at + bars.length, bars.end))
    room, y = APART * (right - left) / 2, _y(count, top)
    return (
        f'<rect class="chart-bar" x="{left + room:.1f}" y="{y:.1f}" width="{right - left - 2 * room:.2f}"'
        f' height="{HEIGHT - BOTTOM - y:.1f}"><title>{to_instant(at):%Y-%m-%d %H:%M} UTC: {count}</title></rect>'
    )


def _grid(bars: Bars, top: float) -> list[str]:
    parts, bottom = [], HEIGHT - BOTTOM
    for value in ticks.of_values(0.0, top):
        y = _y(value, top)
        parts.append(f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, ticks.number(value), "chart-tick", anchor="end"))
    for at, label in ticks.of_time(bars.start, bars.end):
        x = _x(bars, at)
        parts.append(f'<line class="chart-notch" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(_text(x, bottom + 19, label, "chart-tick", anchor="middle"))
    parts.append(f'<line class="chart-axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 6, "time in UTC", "chart-unit", anchor="end"))
    return parts


def _line(bars: Bars, top: float) -> list[str]:
    if bars.line is None or bars.line > top:
        return []
    y = _y(bars.line, top)
    return [
        f'<line class="chart-limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
        _text(
            WIDTH - RIGHT - 4, y - 4, f"{bars.line_name} {ticks.number(bars.line)}", "chart-limit-name", anchor="end"
        ),
    ]


def _text(x: float, y: float, text: str, style: str, *, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
