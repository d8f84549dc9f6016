"""The deadband that would quieten a sensor's limits: its readings judged anew with several, and one chosen. Pure.

Judged is by limits and zones alone, since nothing else has a deadband; each deadband is a side of the same replay. Out
is what would lose a labelled fault of which an alarm told in time, and what would leave nothing of the alarm. Of what
comes close to the fewest activations the smallest deadband wins: a larger one keeps an alarm standing for longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents import tuning
from agents.backtests.figures import FAULT, Activation, Window
from agents.backtests.machine import Setup, Side, with_proposal
from agents.backtests.proposal import LIMITS, Proposal
from sensors.columns import SensorTable

USING = ("limits", "zones")
BELOW, ABOVE = ("low_low", "low"), ("high", "high_high", "zone_c", "zone_d")
MOST_OF_THE_WAY = 0.5
"""A deadband that reaches further from the limit to where the sensor usually is keeps its alarm standing."""
STEPS = 6
"""Deadbands that are tried, each half of the one before."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a deadband would have come to: activations, and the labelled faults that an alarm became active in."""

    deadband: float
    alarms: int
    told: frozenset[Window]


def sides(setup: Setup, *, present: str, typical: float | None) -> dict[str, Side]:
    """By name: as things are, and with each deadband that is tried. ``typical``: where the one sensor usually is."""
    tried = {f"{one:g}": one for one in candidates(setup.table, typical=typical)}
    made = {present: Side(with_proposal(setup, Proposal(detectors=USING)))}
    return made | {
        name: Side(with_proposal(setup, Proposal(deadband=one, detectors=USING))) for name, one in tried.items()
    }


def candidates(table: SensorTable, *, typical: float | None) -> list[float]:
    """Deadbands larger than the sensor's, ascending: up to a part of the way from a limit to where it usually is."""
    if typical is None:
        return []
    ways = [typical - float(getattr(table, name)[0]) for name in BELOW]
    ways += [float(getattr(table, name)[0]) - typical for name in ABOVE]
    most = MOST_OF_THE_WAY * min((way for way in ways if way > 0), default=0.0)
    found = (float(f"{most / 2**step:.2g}") for step in reversed(range(STEPS)))
    return [one for one in found if one > float(table.deadband[0])]


def outcome(deadband: float, activations: Sequence[Activation], windows: Sequence[Window]) -> Tried:
    """``activations``: those of the period."""
    told = frozenset(window for window in windows if window.kind == FAULT and _told(window, activations))
    return Tried(deadband, len(activations), told)


def _told(window: Window, activations: Sequence[Activation]) -> bool:
    return any(
        window.from_at <= one.raised_at <= window.to_at and window.failure_mode in ("", one.failure_mode)
        for one in activations
    )


def choose(now: Tried, tried: Sequence[Tried]) -> Tried | None:
    """None where none would help."""
    fit = [one for one in tried if 0 < one.alarms < now.alarms and now.told <= one.told]
    fewest = min((one.alarms for one in fit), default=0)
    close = [one for one in fit if one.alarms <= tuning.NEAR * fewest]
    return min(close, key=lambda one: one.deadband, default=None)


def as_json(table: SensorTable, now: Tried, tried: Sequence[Tried], best: Tried | None) -> dict[str, object]:
    """What is kept: all that was tried, and what was found for which limits of the sensor."""
    after, faults = (best or now).alarms, len(now.told)
    return {
        "deadband": None if best is None else best.deadband,
        "words": tuning.words(now.alarms, after, faults) if best else "no deadband within the caps would help",
        "before": now.alarms,
        "after": after,
        "tried": [{"deadband": one.deadband, "alarms": one.alarms, "faults": len(one.told)} for one in tried],
        "of": settings({name: float(getattr(table, name)[0]) for name in (*LIMITS, "deadband")}),
    }


def settings(of: Mapping[str, float | None]) -> dict[str, float | None]:
    """What a deadband was found for, in the form in which it is kept: no limit is None."""
    return {name: None if value is None or math.isnan(value) else value for name, value in of.items()}
