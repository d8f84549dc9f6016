"""How urgent an order is, by a stated rule. Pure.

By the machine's criticality and whether what is wrong is severe, as for alarms (``agents.urgency`` uses the same
table); then by the time that is left: one step up where failure is expected within ``SOON_HOURS``, one down where not
within ``FAR_HOURS``. Without an estimate the time says nothing.
"""

from __future__ import annotations

PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""Most urgent first."""
BY_CRITICALITY = {
    "CRITICAL": ("HIGH", "CRITICAL"),
    "HIGH": ("MEDIUM", "HIGH"),
    "MEDIUM": ("LOW", "HIGH"),
    "LOW": ("LOW", "MEDIUM"),
}
"""Criticality of the machine -> priority, and priority where the deviation is severe."""
SOON_HOURS, FAR_HOURS = 24.0, 30 * 24.0


def priority(*, criticality: str, severe: bool, hours_to_failure: float | None = None) -> str:
    """``hours_to_failure``: the early bound of the expected time, None where it is not known."""
    place = PRIORITIES.index(BY_CRITICALITY[criticality][severe])
    if hours_to_failure is not None:
        place += (hours_to_failure > FAR_HOURS) - (hours_to_failure <= SOON_HOURS)
    return PRIORITIES[min(max(place, 0), len(PRIORITIES) - 1)]
