"""Triage, pure: whether an anomaly is credible, doubtful or a false positive, and by name why.

What people say of the window comes first: a fault is credible, an expected or false one is not. Otherwise the reasons
below are added up (``POINTS``); from ``DOUBTFUL_FROM`` points on it is doubtful. History alone makes a false positive
only where this detector has nearly always been wrong on this sensor, and then not where a limit that people set was
passed, not on a critical machine, and not once another sensor of the machine agrees.

Every fact is of event time and known by the instant it is used for, so that how readings were cut into runs plays no
part: earlier anomalies by their onset, faults of the instrument by their end, other sensors by their onset. Instants
and spans are int64 microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    CREDIBLE = "CREDIBLE"
    DOUBTFUL = "DOUBTFUL"
    FALSE_POSITIVE = "FALSE_POSITIVE"


FAULT, EXPECTED, FALSE_ALARM = "FAULT", "EXPECTED", "FALSE_ALARM"
"""Kinds of labels."""
GAP, CALIBRATION = "GAP", "CALIBRATION"
"""Kinds of faults of an instrument that say nothing of single readings."""
SET_BY_PEOPLE = ("LIMIT_", "RATE_", "ZONE_")
"""How the kinds of anomalies begin that passed a limit people set."""
CRITICAL = "CRITICAL"

HOUR = 3_600_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
OFTEN = 4
"""Anomalies of one sensor and detector. Where 0.5 false ones a week are asked for, chance has so many in one of 570."""
BAD_SHARE = 0.1
GAP_SHARE = 0.25
"""Of the day before."""
RARELY_REAL = 0.5
NEARLY_NEVER_REAL = 0.2
"""Upper end of the interval of the share that was real: four false ones and none real, and sixteen."""
Z = 1.959963984540054  # 95 %, both sides

POINTS = {
    "nearly-always-false": 4,
    "often-false": 2,
    "flapping": 2,
    "unsteady": 1,
    "instrument-fault": 2,
    "bad-readings": 2,
    "gaps": 1,
    "calibration-overdue": 1,
    "neighbours-agree": -2,
    "often-real": -2,
    "labelled-fault": 0,
    "labelled-false": 0,
    "expected": 0,
}
"""Each reason with what it counts for doubt; those of no points decide alone."""
DOUBTFUL_FROM = 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """A fault of the sensor's instrument, ``ended_at`` None while it lasts."""

    kind: str
    started_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What history knows of an anomaly. Nothing known = nothing against it.

    ``onsets``: of earlier anomalies of the same sensor and detector, of the week before, the newest ``OFTEN`` at least.
    ``real``, ``false``: how many earlier ones people labelled so. ``labels``: kind and end of each label whose window
    holds the onset. ``faults``: of the sensor's instrument, those that ended in the day before the onset or stood at
    it. ``neighbour_at``: the first onset of an anomaly of another sensor of the machine, from an hour before on.
    """

    onsets: tuple[int, ...] = ()
    real: int = 0
    false: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    faults: tuple[Stretch, ...] = ()
    neighbour_at: int | None = None


NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class Reason:
    """``name`` is one of ``POINTS``; ``detail`` says it in words, with its figures."""

    name: str
    points: int
    detail: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """``since``: the instant from which on it counts, the onset unless it is held back; None = as long as nothing else
    becomes known, never."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    since: int | None


def judge(facts: Facts, *, started_at: int, last_at: int, kind: str, criticality: str) -> Judgement:
    """What is made of an anomaly that began at ``started_at`` and was seen last at ``last_at``, as known now.

    ``criticality``: of its machine.
    """
    said = {label for label, _ in facts.labels}
    if FAULT in said:
        return _decided(Verdict.CREDIBLE, "labelled-fault", "somebody found a fault", since=started_at)
    if FALSE_ALARM in said:
        return _decided(Verdict.FALSE_POSITIVE, "labelled-false", "somebody called it a false alarm", since=None)
    expected = max([started_at, *(end + 1 for label, end in facts.labels if label == EXPECTED)])
    reasons = tuple(sorted(_reasons(facts, at=started_at, last_at=last_at, kind=kind), key=lambda r: -r.points))
    silenced = (
        any(reason.name == "nearly-always-false" for reason in reasons)
        and not kind.startswith(SET_BY_PEOPLE)
        and criticality != CRITICAL
    )
    since = _since(expected, facts.neighbour_at) if silenced else expected
    if last_at < expected:
        return _decided(Verdict.FALSE_POSITIVE, "expected", "it began in a window that is labelled so", since=since)
    if since is None or last_at < since:
        return Judgement(Verdict.FALSE_POSITIVE, reasons, since)
    doubtful = sum(reason.points for reason in reasons) >= DOUBTFUL_FROM
    return Judgement(Verdict.DOUBTFUL if doubtful else Verdict.CREDIBLE, reasons, since)


def _since(expected: int, neighbour_at: int | None) -> int | None:
    return None if neighbour_at is None else max(expected, neighbour_at)


def _decided(verdict: Verdict, name: str, detail: str, *, since: int | None) -> Judgement:
    return Judgement(verdict, (_reason(name, detail),), since)


def _reason(name: str, detail: str) -> Reason:
    return Reason(name, POINTS[name], detail)


def _reasons(facts: Facts, *, at: int, last_at: int, kind: str) -> Iterator[Reason]:
    yield from _of_labels(facts)
    if not kind.startswith(SET_BY_PEOPLE):
        yield from _of_steadiness(facts, at=at)
    yield from _of_data(facts.faults, at=at)
    if facts.neighbour_at is not None and facts.neighbour_at <= last_at:
        yield _reason("neighbours-agree", "another sensor of the machine was abnormal at the same time")


def _of_labels(facts: Facts) -> Iterator[Reason]:
    low, high = wilson(facts.real, facts.false)
    told = f"of {facts.real + facts.false} earlier ones that people judged {facts.real} were real"
    if high < NEARLY_NEVER_REAL:
        yield _reason("nearly-always-false", f"{told}: at most {high:.0%}")
    elif high < RARELY_REAL:
        yield _reason("often-false", f"{told}: at most {high:.0%}")
    elif low > RARELY_REAL:
        yield _reason("often-real", f"{told}: at least {low:.0%}")


def _of_steadiness(facts: Facts, *, at: int) -> Iterator[Reason]:
    for name, span, words in (("flapping", DAY, "day"), ("unsteady", WEEK, "week")):
        count = sum(at - span <= onset < at for onset in facts.onsets)
        if count >= OFTEN:
            yield _reason(name, f"the detector found {OFTEN} or more on this sensor in the {words} before")


def _of_data(faults: Iterable[Stretch], *, at: int) -> Iterator[Reason]:
    faults = tuple(faults)
    over = [f for f in faults if f.kind != CALIBRATION and f.ended_at is not None and f.ended_at <= at]
    bad, gaps = [f for f in over if f.kind != GAP], [f for f in over if f.kind == GAP]
    if any((f.ended_at or 0) > at - HOUR for f in bad):
        yield _reason("instrument-fault", "its instrument was at fault within the hour before")
    if (share := covered(bad, start=at - DAY, end=at)) >= BAD_SHARE:
        yield _reason("bad-readings", f"its instrument was at fault for {share:.0%} of the day before")
    if (share := covered(gaps, start=at - DAY, end=at)) >= GAP_SHARE:
        yield _reason("gaps", f"no readings came for {share:.0%} of the day before")
    if any(f.kind == CALIBRATION and f.started_at <= at and (f.ended_at is None or f.ended_at > at) for f in faults):
        yield _reason("calibration-overdue", "the calibration of its instrument was overdue")


def covered(stretches: Iterable[Stretch], *, start: int, end: int) -> float:
    """The share of [start, end) in which one of the stretches stands, all of them ended."""
    total, reached = 0, start
    for stretch in sorted(stretches, key=lambda s: s.started_at):
        until = min(end, stretch.ended_at or 0)
        total += max(0, until - max(reached, stretch.started_at))
        reached = max(reached, until)
    return total / (end - start)


def wilson(real: int, false: int) -> tuple[float, float]:
    """The 95 % interval of the share that is real, where so many were found real and false; (0, 1) where none.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212;
    recommended for few observations by Brown, Cai and DasGupta, Statistical Science 16 (2001), 101-133. Its centre is
    the share with two real and two false ones added, so that few labels prove little.

    >>> [round(end, 3) for end in wilson(0, 4)]
    [0.0, 0.49]
    """
    n = real + false
    if not n:
        return 0.0, 1.0
    share, spread = real / n, Z * Z / n
    centre = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))
