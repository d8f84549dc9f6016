"""Whether the intake takes a request under the load there is. Pure: the figures come from ``agents.backlog``.

Three marks, each with its reason. For a request with readings of critical equipment every mark is a quarter higher:
what lies between is kept for it.

Age (503). A lane waits since its oldest waiting part came or since its latest run was due, whichever is later. A lane
whose run is being worked on, or backs off after a failure, waits for that run and not for a worker: its age is 0. The
mark is held against the lower median of the lanes in which something waits, so that one lane that is stuck, however
long, does not shut the intake for all others, and a lane that gets more than one run at a time can take does not
either. Workers that are dead or too few keep most lanes waiting, and that is what the mark is for. Parts that were held
back for an unknown sensor count no age: they were old before anybody could begin them.

Readings (503). All that waits and all that runs have taken and not stored. It bounds what the database holds, whatever
the reason, a stuck lane's own backlog too.

Share (429). Once what waits is half of what may, a site that holds more than its share is turned away and the others
go on. The share is the limit divided by the number of sites with a backlog and one more, for whom there is always room,
but never by more than there are sites: one of many that fills the intake alone gets half of it, the only site of an
installation all of it. Below half anybody may use what is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median_low

CROWDED = 0.5
RESERVE = 1.25


class Reason(StrEnum):
    """Why a request was refused: a label of the metrics, so there are few of them."""

    BACKLOG_AGE = "backlog-age"
    BACKLOG_READINGS = "backlog-readings"
    SITE_SHARE = "site-share"
    SITE_QUOTA = "site-quota"
    CLIENT_QUOTA = "client-quota"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait: the age in seconds, and the readings."""

    seconds: float
    readings: int

    @property
    def crowded(self) -> float:
        """From so many readings on the sites' shares count."""
        return self.readings * CROWDED


@dataclass(frozen=True, slots=True)
class Load:
    """What waits. ``lane_ages``: seconds, one for each lane in which something waits; ``site_readings``: by site id,
    filled only where the shares count; ``sites``: how many there are in all; ``throttles``: readings a second that
    clients who were slowed down may send, by user id."""

    readings: int
    lane_ages: tuple[float, ...]
    site_readings: Mapping[int, int]
    sites: int
    throttles: Mapping[int, int] = field(default_factory=dict)

    @property
    def age(self) -> float:
        return median_low(self.lane_ages) if self.lane_ages else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """``wait``: seconds until the request would be taken, where that is known."""

    reason: Reason
    detail: str
    wait: float | None = None


def client_rate(load: Load, *, user_id: int | None, agreed: int) -> int:
    """Readings a second that a client may send, 0 for any number: what was agreed, less where it was slowed down."""
    slowed = 0 if user_id is None else load.throttles.get(user_id, 0)
    return min(slowed, agreed) if slowed and agreed else slowed or agreed


def decide(load: Load, *, limits: Limits, site_id: int, critical: bool) -> Refusal | None:
    """Why a request of the site is refused, or None: it is taken. ``critical``: it has readings of critical
    equipment."""
    factor = RESERVE if critical else 1.0
    if load.age >= limits.seconds * factor:
        return Refusal(Reason.BACKLOG_AGE, f"Accepted readings have waited for {load.age:.0f} s; more is not taken.")
    if load.readings >= limits.readings * factor:
        return Refusal(Reason.BACKLOG_READINGS, f"{load.readings} accepted readings wait; more is not taken.")
    if load.readings < limits.crowded:
        return None
    busy = len({*load.site_readings, site_id})
    share = limits.readings / max(busy, min(busy + 1, load.sites)) * factor
    if (mine := load.site_readings.get(site_id, 0)) >= share:
        return Refusal(
            Reason.SITE_SHARE, f"{mine} accepted readings of this site wait, and its share is {share:.0f} at present."
        )
    return None
