"""Figures of answers about rows of time, where what is to be found is a stretch of rows and not a row. Pure."""

from __future__ import annotations

import numpy as np

from sensors.columns import Bool, Float64

THRESHOLDS = 250
BUFFERS = tuple(range(0, 101, 10))
"""Rows around a stretch in which an alarm still counts for something, half on each side."""


def stretches(rows: Bool) -> list[tuple[int, int]]:
    """First and last position of each run of true rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(rows, np.int8), [0]])))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def events(alarm: Bool, truth: Bool) -> tuple[int, int, int]:
    """How many stretches there are, in how many an alarm begins, and how many alarms begin outside.

    An alarm that is always on finds nothing.
    """
    onsets = np.array([first for first, _ in stretches(alarm)], np.int64)
    wanted = stretches(truth)
    found = sum(bool(((onsets >= first) & (onsets <= last)).any()) for first, last in wanted)
    return len(wanted), found, int((~truth[onsets]).sum())


def vus_pr(score: Float64, truth: Bool, *, buffers: tuple[int, ...] = BUFFERS) -> float:
    """Volume under the surface of precision over recall over the width of a buffer, of one series; 0 to 1, higher is
    better, 0 where nothing is true.

    Rows near a stretch are true in part, the less the further away; recall is lowered by the share of stretches missed
    altogether. As TSB-AD counts it, for these widths (Paparrizos et al., Volume under the surface, 2022; Liu and
    Paparrizos, The elephant in the room, 2024).
    """
    wanted = stretches(truth)
    if not wanted:
        return 0.0
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    threshold = falling[np.linspace(0, len(score) - 1, THRESHOLDS).astype(np.int64)]
    said = np.searchsorted(-falling, -threshold, side="right")
    hits = np.cumsum(truth[order])[said - 1]
    areas = []
    for buffer in buffers:
        near = np.cumsum(np.where(truth, 0.0, softened(wanted, len(truth), buffer))[order])[said - 1]
        highest = np.array([score[first : last + 1].max() for first, last in widened(wanted, len(truth), buffer // 2)])
        found = (highest[:, None] >= threshold).mean(axis=0)
        recall = np.minimum((hits + near) / (len(truth[truth]) + near / 2), 1.0) * found
        areas.append(float(np.sum(np.diff(recall, prepend=0.0) * (hits + near) / said)))
    return float(np.mean(areas))


def softened(wanted: list[tuple[int, int]], rows: int, buffer: int) -> Float64:
    """(rows,): how true each row around a stretch is, by sqrt(1 - distance / buffer) up to half the buffer."""
    out = np.zeros(rows)
    away = np.arange(1, buffer // 2 + 1)
    weight = np.sqrt(1.0 - away / max(buffer, 1))
    for first, last in wanted:
        before, after = first - away, last + away
        out[before[before >= 0]] += weight[before >= 0]
        out[after[after < rows]] += weight[after < rows]
    return np.minimum(out, 1.0)


def widened(wanted: list[tuple[int, int]], rows: int, half: int) -> list[tuple[int, int]]:
    """The stretches with as many rows on each side, as one where they meet."""
    out: list[tuple[int, int]] = []
    for first, last in wanted:
        first, last = max(first - half, 0), min(last + half, rows - 1)
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out
