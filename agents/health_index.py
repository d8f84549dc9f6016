"""The health index of a machine, pure: 0 to 100 from its anomalies, prognosis, age and overdue work.

Each part is 0 to 100, or unknown (None). The index is the mean of the known parts by ``WEIGHTS``, and no higher than
the worst open alarm lets it be (``CAPS``):

    anomalies  100 * 2 ** -(sum of severity * freshness / ANOMALIES_HALVE)
    prognosis  100 * time left / HORIZON, 100 at most; of several models the lowest
    age        100 * (1 - used / design life), 0 at least
    overdue    100 * 2 ** -(sum of urgency * (1 + days late / 30, 2 at most) / OVERDUE_HALVES)

Age and paperwork alone say nothing of a machine's condition: where anomalies and prognosis are unknown and no alarm is
open, so is the index. Weights and scales are choices, not measurements; ``docs/models/health.md`` says why these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.urgency import SEVERE_KINDS, SEVERE_SCORE

DAY = 86_400.0
BEST = 100.0
WEIGHTS: Mapping[str, float] = {"anomalies": 0.4, "prognosis": 0.3, "overdue": 0.2, "age": 0.1}
CAPS: Mapping[str, float] = {"CRITICAL": 25.0, "HIGH": 50.0, "MEDIUM": 75.0, "LOW": 90.0}
"""The most that an open alarm of a priority leaves of the index; an advisory asks for nothing and limits nothing."""
CONDITION = ("anomalies", "prognosis")
WINDOW_DAYS = 7.0
"""An anomaly counts less from day to day, and after so many no more; a prognosis holds as long."""
SEVERE = 3.0
"""What a severe anomaly counts; any other counts 1 to 2, by its score."""
ANOMALIES_HALVE = 4.0
HORIZON_DAYS = 30.0
"""With more time left than this nothing is wrong yet."""
LIFE_YEARS = 20.0
"""The service life that API 610 asks of pumps and API 617 of compressors."""
LIFE_HOURS = LIFE_YEARS * 8_766
URGENCY: Mapping[str, float] = {"CRITICAL": 2.0, "HIGH": 1.5, "MEDIUM": 1.0, "LOW": 0.5}
OVERDUE_HALVES = 3.0
LEVELS = ((80.0, "good"), (60.0, "fair"), (40.0, "poor"), (0.0, "bad"))
"""From which index on it is called what."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A credible anomaly. ``ago``: seconds since its newest abnormal reading, 0 while it lasts."""

    kind: str
    score: float
    ago: float

    @property
    def is_severe(self) -> bool:
        return self.kind in SEVERE_KINDS or self.score >= SEVERE_SCORE

    @property
    def load(self) -> float:
        severity = SEVERE if self.is_severe else 1.0 + min(max(self.score, 0.0), 1.0)
        return severity * min(max(1.0 - self.ago / (WINDOW_DAYS * DAY), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Late:
    """Work that should have been done. ``late``: seconds since then."""

    priority: str
    late: float

    @property
    def load(self) -> float:
        return URGENCY[self.priority] * (1.0 + min(max(self.late, 0.0) / (30 * DAY), 1.0))


@dataclass(frozen=True, slots=True)
class Index:
    """``value`` None: unknown. ``limited_by``: the priority of the alarm that holds it down, empty where none does."""

    value: float | None
    parts: Mapping[str, float | None]
    limited_by: str

    @property
    def level(self) -> str:
        if self.value is None:
            return "unknown"
        return next(name for least, name in LEVELS if self.value >= least)


def anomalies(seen: Iterable[Sighting]) -> float:
    """
    >>> anomalies([]), round(anomalies([Sighting("LIMIT_HIGH_HIGH", 1.0, 0.0)]))
    (100.0, 59)
    """
    return float(BEST * 2.0 ** -(sum(sorted(one.load for one in seen)) / ANOMALIES_HALVE))


def time_left(seconds: float) -> float:
    return BEST * min(max(seconds / (HORIZON_DAYS * DAY), 0.0), 1.0)


def age(*, years: float | None, hours: float | None) -> float | None:
    """By the hours it ran, where a meter counts them, else by the years since it is known to have been there."""
    if hours is None and years is None:
        return None
    used = hours / LIFE_HOURS if hours is not None else (years or 0.0) / LIFE_YEARS
    return BEST * min(max(1.0 - used, 0.0), 1.0)


def overdue(work: Iterable[Late]) -> float:
    return float(BEST * 2.0 ** -(sum(sorted(one.load for one in work)) / OVERDUE_HALVES))


def index(parts: Mapping[str, float | None], *, alarms: Iterable[str]) -> Index:
    """Of the parts named as in ``WEIGHTS``; ``alarms``: the priorities of those that are open.

    >>> index({"anomalies": 80.0, "prognosis": None, "overdue": 50.0, "age": 90.0}, alarms=["HIGH"]).value
    50.0
    """
    limits = {CAPS[one]: one for one in alarms if one in CAPS}
    known = {name: value for name, value in parts.items() if value is not None}
    if not known or not (limits or any(name in known for name in CONDITION)):
        return Index(None, parts, "")
    mean = sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)
    lowest = min(limits, default=BEST)
    if lowest < mean:
        return Index(lowest, parts, limits[lowest])
    return Index(min(max(mean, 0.0), BEST), parts, "")
