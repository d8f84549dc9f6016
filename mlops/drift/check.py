"""A later window against the reference of its regime: which features drifted, and how that is known. Pure.

A drift is what differs more than the windows of the reference differ among each other (q), and by so much that it
matters (effect): both must say so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mlops.drift import discovery, reference
from mlops.drift.reference import PROBABILITY, Reference
from mlops.drift.windows import Window
from sensors.columns import Float64, Int64

ASPECTS = ("level", "spread", "level beside the others", "spread beside the others")
MOST_EFFECT = 99.0
LEAST_SHARE = 0.5
"""Of the usual number of readings: a window with fewer says nothing of a spread."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """``false_share``: of features called drifted those that are not, at most; where none is, it is also the chance of
    a false check. ``least_effect``: in spreads of the reference. ``any_dependence``: see ``discovery.q_values``.
    ``in_a_row``: of so many windows, one after the other, each must say so of a feature. ``freedom``: the share of the
    degrees of freedom that Student's t gets: 2 / (kurtosis - 1) of the windows' sums, 1 where they are normal."""

    false_share: float = 0.05
    least_effect: float = 0.3
    any_dependence: bool = False
    in_a_row: int = 1
    freedom: float = 1.0


USUAL = Criteria()
LIVE = Criteria(false_share=0.01, in_a_row=2, freedom=0.4)
"""Stricter than of who asks once: a plant has many machines, and each is looked at every hour. Sums of windows have
longer tails than the normal distribution, taken as those of Laplace's here, of kurtosis 6: single ones are far off more
often than Student's t has it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said of one feature. NaN = not judged.

    ``aspect``: what differs most (``ASPECTS``), of the values or of what the other features leave unsaid of it.
    ``statistic``: Student's t of it; ``p``: for all aspects together; ``q``: over all features. ``effect``: the
    Wasserstein distance to the reference in spreads of the reference, at most 99 (where the reference never varied:
    the share of readings that differ); ``shift``: of the mean, likewise. ``reason``: why drifted, or why not.
    """

    feature: str
    aspect: str
    statistic: float
    p: float
    q: float
    effect: float
    shift: float
    drifted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``findings``: in the order of the features; ``judged``: how many of them could be."""

    regime: str
    drifted: bool
    judged: int
    findings: tuple[Finding, ...]
    reason: str


def check(known: Reference, window: Window, criteria: Criteria = USUAL) -> Verdict:
    """The last readings of the window count, as many as ``in_a_row`` windows of the reference have."""
    ends = [len(window) - back * known.rows for back in range(criteria.in_a_row)]
    newest, *before = [findings(known, window.part(end - known.rows, end), criteria) for end in ends]
    return verdict(known.regime, tuple(lasting(*each) for each in zip(newest, *before, strict=True)))


def lasting(newest: Finding, *before: Finding) -> Finding:
    """Of one feature: what is said of its newest window, drifted only where it had drifted in those before, too."""
    if not newest.drifted or all(one.drifted for one in before):
        return newest
    return replace(newest, drifted=False, reason=f"{newest.reason}, but not in the window before: it may be chance")


def findings(known: Reference, window: Window, criteria: Criteria) -> list[Finding]:
    """Of every feature in one window, as long as those of the reference or shorter."""
    channels = known.channels(window)
    counts = np.sum(~np.isnan(channels), axis=0)
    t, p = deviations(known, channels, counts, freedom=criteria.freedom)
    judged = ~np.isnan(p)
    best = np.argmin(np.where(judged, p, np.inf), axis=0)
    together = np.minimum(1.0, p[best, np.arange(p.shape[1])] * judged.sum(axis=0))
    q = discovery.q_values(together, any_dependence=criteria.any_dependence)
    effect, shift, wider = (by_aspect(known, np.tile(one, (2, 1))) for one in sizes(known, channels))
    found = []
    for k, name in enumerate(known.features):
        here, aspect = (best[k], k), ASPECTS[best[k]]
        drifted = bool(q[k] <= criteria.false_share and effect[here] >= criteria.least_effect)
        size = (float(effect[here]), float(shift[here]), float(wider[here]))
        reason = words(aspect, float(q[k]), size, criteria)
        if np.isnan(q[k]):
            reason = f"not judged: {counts[k]} readings, and a window of the reference has {known.rows}"
        figures = (float(t[here]), float(together[k]), float(q[k]), *size[:2])
        found.append(Finding(name, aspect, *figures, drifted, reason))
    return found


def deviations(known: Reference, channels: Float64, counts: Int64, *, freedom: float) -> tuple[Float64, Float64]:
    """(4, F) each, by ``ASPECTS``: Student's t of a window's sums beside those of the reference, and its p.

    A window with fewer readings than those of the reference varies more, in proportion.
    """
    summed = reference.sums(channels, known.edges, known.unit)
    summed[:, counts < LEAST_SHARE * known.rows] = np.nan
    shorter = known.rows / np.clip(counts, 1, known.rows)
    t = (summed - known.usual) / np.sqrt(known.scatter * (shorter + 1 / known.effective))
    free = np.maximum(freedom * (known.effective - 1), 1.0)
    return by_aspect(known, t), by_aspect(known, 2 * special.stdtr(free, -np.abs(t)))


def by_aspect(known: Reference, of_channels: Float64) -> Float64:
    """(2, C) of level and spread -> (4, F), in the order of ``ASPECTS``; NaN where the others do not know a feature."""
    own = len(known.features)
    out = np.full((len(ASPECTS), own), np.nan)
    out[:2] = of_channels[:, :own]
    out[2:, known.related] = of_channels[:, own:]
    return out


def sizes(known: Reference, channels: Float64) -> tuple[Float64, Float64, Float64]:
    """(C,) each: Wasserstein distance and shift of the mean in units of the reference, and its spread as a multiple."""
    effect, shift, wider = np.full((3, channels.shape[1]), np.nan)
    for k, column in enumerate(channels.T):
        there = column[~np.isnan(column)]
        if len(there):
            edges = known.edges[:, k]
            found = np.quantile(there, PROBABILITY)
            off = (found - edges) / known.unit[k]
            varied = edges[0] < edges[-1]
            effect[k] = np.mean(np.abs(off)) if varied else np.mean(there != edges[0])
            shift[k] = np.mean(off)
            wider[k] = found.std() / known.unit[k]
    return np.minimum(effect, MOST_EFFECT), np.clip(shift, -MOST_EFFECT, MOST_EFFECT), wider


def words(aspect: str, q: float, size: tuple[float, float, float], criteria: Criteria) -> str:
    effect, shift, wider = size
    if not q <= criteria.false_share:
        return f"no more than the windows of the reference differ among each other (q {q:.2g})"
    if effect < criteria.least_effect:
        return f"certain, but too small to matter ({effect:.2g} spreads)"
    beside = " of what the others leave unsaid" if aspect in ASPECTS[2:] else ""
    if aspect in (ASPECTS[1], ASPECTS[3]):
        return f"spread{beside} is {wider:.2g} times that of the reference (q {q:.2g})"
    return f"level{beside} is {abs(shift):.2g} spreads {'above' if shift > 0 else 'below'} the reference (q {q:.2g})"


def verdict(regime: str, findings: tuple[Finding, ...]) -> Verdict:
    drifted = [one.feature for one in findings if one.drifted]
    judged = sum(not np.isnan(one.p) for one in findings)
    if drifted:
        reason = f"{len(drifted)} of {judged} features drifted: {', '.join(drifted)}"
    elif judged:
        reason = f"none of {judged} features drifted"
    else:
        reason = "nothing could be judged"
    return Verdict(regime, bool(drifted), judged, findings, reason)
