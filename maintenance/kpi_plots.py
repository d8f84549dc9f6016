"""Pictures of the figures of maintenance: what was lost by whom, and how long machines last. As ``sensors.chart``.

Pure: numbers in, text out. Every text in them is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from maintenance.survival import Curve
from sensors import ticks

WIDTH, HEIGHT = 960, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 24, 44
MOST_BARS, LONGEST_NAME = 12, 14
DAY = 24.0


def pareto(title: str, unit: str, names: Sequence[str], values: Sequence[float], so_far: Sequence[float]) -> str:
    """Bars, the heaviest first, and the line of what they come to together (0 to 1)."""
    names, values, so_far = names[:MOST_BARS], values[:MOST_BARS], so_far[:MOST_BARS]
    top = max([*values, 0.0]) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names))
    parts, points = _grid(0.0, top, unit), []
    for n, (name, value, share) in enumerate(zip(names, values, so_far, strict=True)):
        x, y = LEFT + n * step, _y(value, top)
        told = escape(f"{name}: {ticks.number(value)} {unit}")
        parts.append(
            f'<rect class="chart-bar" x="{x + step * 0.1:.1f}" y="{y:.1f}" width="{step * 0.8:.1f}"'
            f' height="{HEIGHT - BOTTOM - y:.1f}"><title>{told}</title></rect>'
        )
        short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        parts.append(_text(x + step / 2, HEIGHT - BOTTOM + 18, short, "chart-tick", anchor="middle"))
        points.append(f"{x + step / 2:.1f} {_y(share, 1.0):.1f}")
    if points:
        parts.append(f'<path class="chart-limit" fill="none" d="M{"L".join(points)}"/>')
        parts.append(_text(WIDTH - RIGHT, TOP - 8, "line: together, 0 to 100 %", "chart-unit", anchor="end"))
    told = f"{len(names)} bars; the first, {names[0]}, has {ticks.number(values[0])} {unit}." if names else "Nothing."
    return _svg("pareto", title, told, parts)


def lasting(title: str, curve: Curve) -> str:
    """The share of machines that runs on without a failure, over days, with its 95 % band."""
    longest = curve.longest / DAY or 1.0
    parts = _grid(0.0, 1.0, "share")
    for at in ticks.of_values(0.0, longest):
        x = _x(at, longest)
        parts.append(_text(x, HEIGHT - BOTTOM + 18, ticks.number(at), "chart-tick", anchor="middle"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 6, "days since a failure", "chart-unit", anchor="end"))
    days = [hours / DAY for hours in curve.time.tolist()]
    for style, share in (("chart-limit", curve.low), ("chart-limit", curve.high), ("chart-line", curve.share)):
        parts.append(f'<path class="{style}" fill="none" d="{_steps(days, share.tolist(), longest)}"/>')
    median = "none by half" if curve.median is None else f"half by day {ticks.number(curve.median / DAY)}"
    return _svg("lasting", title, f"{curve.ended} times ended, {curve.running} still running; {median}.", parts)


def _steps(days: Sequence[float], share: Sequence[float], longest: float) -> str:
    path, before = [f"M{LEFT:.1f} {_y(1.0, 1.0):.1f}"], 1.0
    for day, now in zip(days, share, strict=True):
        path.append(f"L{_x(day, longest):.1f} {_y(before, 1.0):.1f}L{_x(day, longest):.1f} {_y(now, 1.0):.1f}")
        before = now
    path.append(f"L{WIDTH - RIGHT:.1f} {_y(before, 1.0):.1f}")
    return "".join(path)


def _x(value: float, longest: float) -> float:
    return LEFT + value / longest * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _grid(low: float, top: float, unit: str) -> list[str]:
    parts = []
    for value in ticks.of_values(low, top):
        y = _y(value, top)
        parts.append(f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, ticks.number(value), "chart-tick", anchor="end"))
    parts.append(_text(8, TOP - 8, unit, "chart-unit"))
    return parts


def _svg(name: str, title: str, told: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="readings-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title'
        f' {name}-desc" xmlns="http://www.w3.org/2000/svg"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(told)}</desc>{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
