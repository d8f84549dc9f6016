"""A value so far ahead, with its interval, from a quantity's own past. Pure: numpy in, numpy out.

Several *members* forecast side by side: references (the last value, that of the season before) and estimators, which
say how far the value will be from a reference in units of how far that was wrong of late. Each is believed the more,
the less it was wrong of late (Bates and Granger, The combination of forecasts, 1969). The interval is made of errors of
later instants than were fitted on (split conformal prediction: Vovk, Gammerman and Shafer, Algorithmic learning in a
random world, 2005) and of the latest errors of the track itself, so that it follows a change (Gibbs and Candès,
Adaptive conformal inference under distribution shift, 2021, pursue the same by steps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import clone

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples, Track
from mlops.seasons import Past, Plan, mean, past_of
from sensors.columns import Bool, Float64, Int64

LEVELS = np.linspace(0.01, 0.99, 99)
"""At which the errors of later instants are kept."""
ASKED = (0.1, 0.5, 0.9)
OUTPUTS = ("p10", "p50", "p90")
FOLDS = 3
"""Forecasts of later instants by what was fitted on earlier ones, of which the errors are kept."""
FIRST_SHARE = 0.4
FEWEST = 20
"""Examples to fit on."""
MIDDLE = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Quantiles of the members' forecasts whose mean is taken: one that is far off moves it little."""
PULLED_IN = 0.01
"""The share at either end, beyond which a truth teaches no more."""


@dataclass(frozen=True, slots=True)
class Belief:
    """``recent``: how many of the latest errors of a track are looked at. ``trust``: a member that was wrong by half as
    much is believed 2 ** trust times as much. ``kept``: as how many errors of a track the kept ones weigh."""

    recent: int
    trust: float
    kept: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """``references``: members by name; ``estimators``: members that begin with the first of them. ``errors``: (99,)
    quantiles of scaled errors of later instants than were fitted on."""

    plan: Plan
    belief: Belief
    references: tuple[str, ...]
    estimators: tuple[Any, ...]
    errors: Float64

    kind = "ahead"

    def parts(self) -> dict[str, Any]:
        return {
            "plan": asdict(self.plan), "belief": asdict(self.belief), "references": list(self.references),
            "estimators": list(self.estimators), "errors": self.errors,
        }  # fmt: skip

    def answer(self, examples: Examples) -> Answers:
        found = np.full((len(examples), len(ASKED)), np.nan)
        for number in np.unique(examples.track):
            mine = np.flatnonzero(examples.track == number)
            end = examples.end[mine]
            found[mine] = self._of_track(head(examples.tracks[number], int(end.max())), end)
        return {name: found[:, place] for place, name in enumerate(OUTPUTS)}

    def _of_track(self, track: Track, end: Int64) -> Float64:
        """(n, 3)"""
        past = past_of(track, self.plan)
        now = past.row[end - 1]
        combined = _with_before(now, self.plan, self.belief)
        every = _with_before(combined, self.plan, self.belief)
        guesses = members(past, every, self.references, self.estimators)
        middle, scale = np.full((2, len(past.value)), np.nan)
        middle[combined] = believed(past, combined, guesses, self.belief)
        scale[combined] = past.scale(combined)
        error = (past.ahead() - middle) / scale
        return middle[now, None] + scale[now, None] * self._spread(before(error, now, self.plan, self.belief))

    def _spread(self, recent: Float64) -> Float64:
        """(n, 3): quantiles of the kept errors and each question's (n, recent) own; the middle is left where it is, as
        the median of few errors that hang together is no better."""
        kept = np.broadcast_to(self.errors, (len(recent), len(self.errors)))
        weight = np.concatenate(
            [np.full(kept.shape, self.belief.kept / len(self.errors)), np.isfinite(recent).astype(np.float64)], axis=1
        )
        low, _, high = weighted_quantiles(np.concatenate([kept, np.nan_to_num(recent)], axis=1), weight, ASKED).T
        return np.stack([np.minimum(low, 0.0), np.zeros(len(low)), np.maximum(high, 0.0)], axis=1)


def from_parts(parts: Mapping[str, Any]) -> Ahead:
    plan = Plan(**{**parts["plan"], "seasons": tuple(parts["plan"]["seasons"])})
    belief = Belief(**parts["belief"])
    return Ahead(plan, belief, tuple(parts["references"]), tuple(parts["estimators"]), parts["errors"])


def looks_back(plan: Plan, *, recent: int) -> int:
    """Rows: of the errors of those that were combined, of the members', and of what these look at."""
    return plan.reach + 2 * (plan.ahead + recent)


def members(past: Past, rows: Int64, references: Sequence[str], estimators: Sequence[Any]) -> Float64:
    """(members, g): forecasts at these rows of the grid, NaN elsewhere and where one says nothing."""
    found = np.full((len(references) + len(estimators), len(past.value)), np.nan)
    for place, name in enumerate(references):
        found[place, rows] = past.reference(rows, name)
    if estimators:
        base, scale = found[0, rows], past.scale(rows)
        seen = past.features(rows, base, scale)
        for place, estimator in enumerate(estimators, start=len(references)):
            found[place, rows] = base + scale * estimator.predict(seen)
    return found


def believed(past: Past, rows: Int64, guesses: Float64, belief: Belief) -> Float64:
    """(n,): the middle of the members' forecasts at these rows, weighted by how little each was wrong before."""
    wrong = np.stack([mean(before(np.abs(past.ahead() - one), rows, past.plan, belief)) for one in guesses])
    least = np.nanmin(np.where(np.isfinite(wrong), wrong, np.inf), axis=0)
    ratio = np.maximum(wrong, 1e-12) / np.maximum(least, 1e-12)
    weight = np.where(np.isfinite(ratio), np.nan_to_num(ratio, nan=1.0) ** -belief.trust, 0.0)
    weight = np.where(weight.sum(axis=0) > 0, weight, 1.0) * np.isfinite(guesses[:, rows])
    combined = mean(weighted_quantiles(np.nan_to_num(guesses[:, rows]).T, weight.T, MIDDLE))
    return np.where(weight.any(axis=0), combined, np.nan)


def before(error: Float64, rows: Int64, plan: Plan, belief: Belief) -> Float64:
    """(n, recent): of (g,) errors by the row they were made at, the latest that are known at each of these rows."""
    made = rows[:, None] - plan.ahead - np.arange(belief.recent)
    return np.where(made >= 0, error[np.maximum(made, 0)], np.nan)


def _with_before(rows: Int64, plan: Plan, belief: Belief) -> Int64:
    made = np.unique(rows[:, None] - plan.ahead - np.arange(belief.recent))
    return np.union1d(rows, made[made >= 0])


def teach(
    examples: Examples, plan: Plan, make: Sequence[Any], *, references: tuple[str, ...], belief: Belief
) -> Ahead:  # fmt: skip
    """Fit copies of the estimators of ``make`` on these; errors are those of fits on earlier instants alone.

    Raises ``ValueError`` where too few of the examples can be learned from.
    """
    tracks = np.unique(examples.track)
    lessons = [_lesson(examples.take(examples.track == number), plan, references[0]) for number in tracks]
    if sum(len(lesson.wanted) for lesson in lessons) < FEWEST:
        raise ValueError(f"fewer than {FEWEST} instants with a known truth: too few to learn a forecast from")
    folds = _folds(lessons, make)
    errors = np.concatenate(
        [_errors(lesson, guess, references, belief) for lesson, guess in zip(lessons, folds, strict=True)]
    )
    if not len(errors):
        raise ValueError("too few instants to learn a forecast from and to keep later ones for its errors")
    everything = [np.ones(len(lesson.wanted), np.bool_) for lesson in lessons]
    fitted = tuple(_fit(one, lessons, everything) for one in make)
    return Ahead(plan, belief, references, fitted, np.quantile(errors, LEVELS))


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What one track teaches. ``rows``: (n,) on the grid of ``past``; ``truth``: (n,); ``base``, ``scale``, ``seen``:
    reference, unit of errors and (n, k) features there; ``wanted``: (n,) in that unit, from the reference."""

    past: Past
    rows: Int64
    truth: Float64
    base: Float64
    scale: Float64
    seen: Float64

    @property
    def wanted(self) -> Float64:
        return (self.truth - self.base) / self.scale

    def share(self, ahead: int = 0) -> Float64:
        """(n,): at which part of the track each is asked, or so many rows later."""
        return (self.rows + ahead) / len(self.past.value)


def _lesson(mine: Examples, plan: Plan, reference: str) -> _Lesson:
    """Of the questions about one track."""
    past = past_of(head(mine.tracks[mine.track[0]], int(mine.end.max())), plan)
    rows = past.row[mine.end - 1]
    told = np.isfinite(mine.truth) & np.isfinite(past.reference(rows, reference))
    rows, truth = rows[told], mine.truth[told]
    base, scale = past.reference(rows, reference), past.scale(rows)
    return _Lesson(past, rows, truth, base, scale, past.features(rows, base, scale))


def _folds(lessons: Sequence[_Lesson], make: Sequence[Any]) -> list[Float64]:
    """Of each track (estimators, g): forecasts by what was fitted on truths that were known before; NaN elsewhere."""
    ahead = lessons[0].past.plan.ahead
    found = [np.full((len(make), len(lesson.past.value)), np.nan) for lesson in lessons]
    edges = np.quantile(np.concatenate([lesson.share() for lesson in lessons]), np.linspace(FIRST_SHARE, 1, FOLDS + 1))
    for first, last in pairwise([*edges[:-1], np.inf]):
        known = [lesson.share(ahead) < first for lesson in lessons]
        if sum(int(one.sum()) for one in known) < FEWEST:
            continue
        for place, estimator in enumerate(make):
            fitted = _fit(estimator, lessons, known)
            for lesson, guess in zip(lessons, found, strict=True):
                inside = (lesson.share() >= first) & (lesson.share() < last)
                if inside.any():
                    guessed = fitted.predict(lesson.seen[inside])
                    guess[place, lesson.rows[inside]] = lesson.base[inside] + lesson.scale[inside] * guessed
    return found


def _errors(lesson: _Lesson, guess: Float64, references: tuple[str, ...], belief: Belief) -> Float64:
    """In their unit, where every member says something."""
    every = np.arange(len(lesson.past.value))
    guesses = np.concatenate([members(lesson.past, every, references, ()), guess])
    error = (lesson.truth - believed(lesson.past, lesson.rows, guesses, belief)) / lesson.scale
    told: Float64 = error[np.isfinite(error) & np.isfinite(guesses[:, lesson.rows]).all(axis=0)]
    return told


def _fit(estimator: Any, lessons: Sequence[_Lesson], which: Sequence[Bool]) -> Any:
    wanted = np.concatenate([lesson.wanted[one] for lesson, one in zip(lessons, which, strict=True)])
    seen = np.concatenate([lesson.seen[one] for lesson, one in zip(lessons, which, strict=True)])
    low, high = np.quantile(wanted, [PULLED_IN, 1 - PULLED_IN])
    return clone(estimator).fit(seen, np.clip(wanted, low, high))


def head(track: Track, rows: int) -> Track:
    """Its first rows: what is known by then."""
    return replace(track, at=track.at[:rows], value=track.value[:rows])


def weighted_quantiles(values: Float64, weight: Float64, levels: Sequence[float]) -> Float64:
    """(n, levels) of (n, m): the least value below which, itself included, lies so much of its row's weight."""
    order = np.argsort(values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    wanted = below[:, -1:] * np.asarray(levels)
    place = (below[:, None, :] < wanted[:, :, None]).sum(axis=2)
    return np.take_along_axis(values, np.minimum(place, values.shape[1] - 1), axis=1)
