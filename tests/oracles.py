"""Slow, obvious versions of the fast numeric routines."""

from __future__ import annotations

import math
from collections.abc import Sequence


def stuck(values: Sequence[float], resolution: float, floor: int, factor: int, changes: int) -> list[bool]:
    """Reading by reading: is it part of a flat run longer than max(floor, factor x longest before)?"""
    out: list[bool] = []
    longest = seen = count = 0
    before: float | None = None
    for value in values:
        step = float(round(value / resolution)) if resolution > 0 else value
        if before is not None and step == before:
            count += 1
        else:
            longest, seen = max(longest, count), seen + (before is not None)
            count, before = 1, step
        out.append(seen >= changes and count > max(floor, factor * longest))
    return out


def rate_of_change(at: Sequence[int], values: Sequence[float], limit: float, agree: int) -> list[bool]:
    """Reading by reading: bad while too fast from the last credible one, until ``agree`` in a row agree."""
    out: list[bool] = []
    good: tuple[int, float] | None = None
    pending: list[tuple[int, float]] = []
    for t, value in zip(at, values, strict=True):
        if good is None or math.isnan(limit) or abs(value - good[1]) * 1e6 <= limit * (t - good[0]):
            good, pending = (t, value), []
            out.append(False)
            continue
        if pending and abs(value - pending[-1][1]) * 1e6 > limit * (t - pending[-1][0]):
            pending = []
        pending.append((t, value))
        out.append(len(pending) < agree)
        if len(pending) >= agree:
            good, pending = (t, value), []
    return out


def hysteresis(values: Sequence[float], limit: float, deadband: float) -> list[bool]:
    """Beyond a high limit: on from reaching it until below it by more than the deadband."""
    out, on = [], False
    for value in values:
        on = value - limit >= 0 or (on and value - limit >= -deadband)
        out.append(on)
    return out


def n_of_m(beyond: Sequence[bool], n: int, m: int) -> list[bool]:
    """Reading by reading: is it beyond, and with it ``n`` or more of the last ``m``?"""
    return [on and sum(beyond[max(0, i + 1 - m) : i + 1]) >= n for i, on in enumerate(beyond)]


def a_span_ago(
    at: Sequence[int], values: Sequence[float], *, span: int, parts: int
) -> list[tuple[float, float] | None]:
    """Of each reading the instant and the level of the part that it is held against, in the unit of ``at``."""
    length, out = span / parts, list[tuple[float, float] | None]()
    for i, t in enumerate(at):
        known: dict[int, list[int]] = {}
        for j in range(i):
            known.setdefault(math.floor(at[j] / length), []).append(j)
        here = math.floor(t / length)
        newest = sorted(known)[-(parts + 1) :]
        old = [part for part in newest if part <= here - parts]
        mine = known[old[-1]] if old else []
        out.append((sum(at[j] for j in mine) / len(mine), sum(values[j] for j in mine) / len(mine)) if mine else None)
    return out


def spans(at: Sequence[int], abnormal: Sequence[bool], quiet: int, gap: int) -> list[tuple[int, int, int]]:
    """(onset, last abnormal, abnormal readings) of each event."""
    out: list[tuple[int, int, int]] = []
    normal, is_open, before = 0, False, None
    for t, odd in zip(at, abnormal, strict=True):
        if before is not None and t - before > gap:
            is_open = False
        before = t
        if odd:
            out, n = (out[:-1], out[-1]) if is_open else (out, (t, t, 0))
            out = [*out, (n[0], t, n[2] + 1)]
            normal, is_open = 0, True
        else:
            normal += 1
            is_open = is_open and normal < quiet
    return out


def rollup(at: Sequence[int], values: Sequence[float], qualities: Sequence[int]) -> dict[str, float]:
    """What the readings of one hour come to, reading by reading; ``mean`` and ``m2`` of those that count."""
    readings = sorted(zip(at, values, qualities, strict=True))
    low = min(readings, key=lambda r: (r[1], r[0]))
    high = max(readings, key=lambda r: (r[1], -r[0]))
    good = [value for _, value, quality in readings if quality == 0 and abs(value) <= 1e140]
    mean = math.fsum(good) / len(good) if good else 0.0
    points = (readings[0], low, high, readings[-1])
    found: dict[str, float] = {
        "readings": len(readings),
        "counted": len(good),
        "mean": mean,
        "m2": math.fsum((value - mean) ** 2 for value in good),
        "qualities": sum(quality << (2 * n) for n, (_, _, quality) in enumerate(points)),
    }
    for name, (instant, value, _) in zip(("first", "low", "high", "last"), points, strict=True):
        found |= {name: value, f"{name}_at": instant}
    return found


def chunks(
    sensors: Sequence[int], at: Sequence[int], values: Sequence[float], marks: Sequence[tuple[int, int]], most: int
) -> list[tuple[int, list[int], list[float], list[tuple[int, int]] | None]]:
    """Reading by reading into rows of one sensor and hour, with no more than ``most``; no marks where all are 0."""
    rows: list[tuple[int, list[int], list[float], list[tuple[int, int]]]] = []
    hour = 3_600_000_000
    for sensor, instant, value, mark in zip(sensors, at, values, marks, strict=True):
        last = rows[-1] if rows else None
        if last is None or last[0] != sensor or last[1][0] // hour != instant // hour or len(last[1]) == most:
            rows.append((sensor, [], [], []))
        for column, item in zip(rows[-1][1:], (instant, value, mark), strict=True):
            column.append(item)  # type: ignore[arg-type]
    return [(s, a, v, m if any(map(any, m)) else None) for s, a, v, m in rows]


def excursions(above: Sequence[bool], *, quiet: int, most: int) -> tuple[int, int]:
    """How many events begin in readings that are above a limit or not, and how many normal ones there were in the end
    since the last one above; ``quiet``: before the first; an event is over after ``most``."""
    begun = 0
    for one in above:
        if one:
            begun += quiet >= most
            quiet = 0
        else:
            quiet = min(most, quiet + 1)
    return begun, quiet


def nab_raw(
    scores: Sequence[Sequence[float]], windows: Sequence[Sequence[tuple[int, int]]], threshold: float,
    *, hit: float, false: float, miss: float,
) -> float:  # fmt: skip
    """NAB's raw score of all series at one threshold, detection by detection; windows by first and last row."""
    raw = 0.0
    for mine, spans in zip(scores, windows, strict=True):
        found = [i for i, score in enumerate(mine) if score >= threshold and i >= min(0.15 * len(mine) // 1, 750)]
        for left, right in spans:
            y = [-(right - i + 1) / (right - left + 1) for i in found if left <= i <= right]
            raw += hit * max(nab_curve(one) for one in y) / nab_curve(-1.0) if y else -miss
        for i in found:
            if any(left <= i <= right for left, right in spans):
                continue
            before = [(left, right) for left, right in spans if right < i]
            left, right = before[-1] if before else (0, 0)
            raw += false * (nab_curve((i - right) / max(right - left, 1)) if before else -1.0)
    return raw


def nab_curve(y: float) -> float:
    return -1.0 if y > 3.0 else 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0


def nab_best(
    scores: Sequence[Sequence[float]], windows: Sequence[Sequence[tuple[int, int]]],
    *, hit: float, false: float, miss: float,
) -> float:  # fmt: skip
    """The highest raw score of any threshold: every score that occurs is tried, and one above them all."""
    tried = {score for mine in scores for score in mine if score == score} | {math.inf}
    return max(nab_raw(scores, windows, threshold, hit=hit, false=false, miss=miss) for threshold in tried)


Activation = tuple[int, int, int, tuple[int, str]]
"""When it became active, returned and was acknowledged (in microseconds, a very large number for never), and whose."""


def in_bursts(found: Sequence[Activation], number: int, within: int) -> list[bool]:
    """Activation by activation: is it among ``number`` of its alarm that lie within so many microseconds?"""
    out = [False] * len(found)
    for alarm in {one[3] for one in found}:
        mine = sorted((one[0], k) for k, one in enumerate(found) if one[3] == alarm)
        for first in range(len(mine) - number + 1):
            group = mine[first : first + number]
            if group[-1][0] - group[0][0] <= within:
                for _, k in group:
                    out[k] = True
    return out


def floods(at: Sequence[int], window: int, begins: int, ends: int, end: int) -> list[tuple[int, int, int]]:
    """(start, end, activations), looking at each instant at which one comes or leaves the window."""
    out: list[tuple[int, int, int]] = []
    began: int | None = None
    for now in sorted({*at, *(t + window for t in at)}):
        count = sum(now - window < t <= now for t in at)
        if began is None and count > begins:
            began = now
        elif began is not None and count < ends:
            out.append((began, min(now, end), sum(began - window < t <= min(now, end) for t in at)))
            began = None
    return out


def stale_by_day(found: Sequence[Activation], start: int, end: int, day: int) -> list[int]:
    """Of each day: how many activations were stale at some time of it."""
    days = range(start, end, day)
    return [sum(max(one[0] + day, d) < min(one[1], d + day, end) for one in found) for d in days]


def covariance_of_plane(axes: Sequence[Sequence[float]], spread: Sequence[float], noise: float) -> list[list[float]]:
    """Of probabilistic PCA: the noise in every direction, and along each axis what is more than it."""
    size = len(axes[0])
    return [
        [
            (noise if i == j else 0.0)
            + sum((variance - noise) * axis[i] * axis[j] for axis, variance in zip(axes, spread, strict=True))
            for j in range(size)
        ]
        for i in range(size)
    ]


def vus_pr(score: Sequence[float], truth: Sequence[bool], *, buffers: Sequence[int], thresholds: int) -> float:
    """Threshold by threshold and row by row."""
    n = len(score)
    wanted = [k for k in range(n) if truth[k]]
    firsts = [k for k in wanted if k == 0 or not truth[k - 1]]
    lasts = [k for k in wanted if k == n - 1 or not truth[k + 1]]
    falling = sorted(score, reverse=True)
    areas = []
    for buffer in buffers:
        half, soft, zone = buffer // 2, [0.0] * n, [False] * n
        for first, last in zip(firsts, lasts, strict=True):
            for k in range(n):
                away = max(first - k, k - last, 0)
                if 0 < away <= half:
                    soft[k] += math.sqrt(1 - away / buffer)
                zone[k] = zone[k] or away <= half
        soft = [0.0 if truth[k] else min(soft[k], 1.0) for k in range(n)]
        number, of = 0, [0] * n
        for k in range(n):
            number += zone[k] and (k == 0 or not zone[k - 1])
            of[k] = number if zone[k] else 0
        area = before = 0.0
        for place in range(thresholds):
            limit = falling[int(place * (n - 1) / (thresholds - 1))]
            said = [k for k in range(n) if score[k] >= limit]
            hits, near = sum(truth[k] for k in said), sum(soft[k] for k in said)
            found = len({of[k] for k in said if of[k]}) / number
            recall = min((hits + near) / (len(wanted) + near / 2), 1.0) * found
            area += (recall - before) * (hits + near) / len(said)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas)
