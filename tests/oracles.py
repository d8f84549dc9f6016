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
