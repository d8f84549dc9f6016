"""What ISA-18.2 asks of an alarm system: figures, their targets, and what counts as chattering, stale, a flood.

The values are data (``data/alarm_targets.json``, with provenance), read and checked once when this module is imported.
Pure: no Django.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data") / "alarm_targets.json"
LIMITS = frozenset(
    {
        "busy_hour", "busy_ten", "flood_begins", "flood_ends", "chattering", "chattering_seconds", "fleeting_seconds",
        "flapping", "flapping_seconds", "stale_seconds",
    }
)  # fmt: skip


class BadTargets(ValueError):
    """The data file of targets cannot be used."""


class Direction(StrEnum):
    """On which side of the target a figure is well; ``BELOW`` leaves the target itself out."""

    AT_MOST = "AT_MOST"
    AT_LEAST = "AT_LEAST"
    BELOW = "BELOW"


class Verdict(StrEnum):
    """``MANAGEABLE``: beyond the target and within the maximum. ``NONE``: there is no target, or no figure."""

    OK = "OK"
    MANAGEABLE = "MANAGEABLE"
    OVER = "OVER"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Target:
    """``checked`` is False where the values are general knowledge that no text at hand confirmed."""

    name: str
    title: str
    unit: str
    direction: Direction
    target: float | None
    maximum: float | None
    checked: bool
    source: str

    def verdict(self, value: float | None) -> Verdict:
        if value is None or self.target is None:
            return Verdict.NONE
        if self._within(value, self.target):
            return Verdict.OK
        return Verdict.MANAGEABLE if self.maximum is not None and value <= self.maximum else Verdict.OVER

    def _within(self, value: float, limit: float) -> bool:
        if self.direction is Direction.AT_LEAST:
            return value >= limit
        return value < limit if self.direction is Direction.BELOW else value <= limit

    @property
    def asked(self) -> str:
        """The target in words: ``at most 6, manageable 12``; ``[?]`` where it is not checked; empty without one."""
        if self.target is None:
            return ""
        words = f"{self.direction.lower().replace('_', ' ')} {self.target:g}"
        words += f", manageable {self.maximum:g}" if self.maximum is not None else ""
        return words if self.checked else f"{words} [?]"


@dataclass(frozen=True, slots=True)
class Targets:
    """``days``: how many days of data the figures are meant for. ``limits``: the values of ``LIMITS`` by name."""

    days: int
    metrics: tuple[Target, ...]
    limits: Mapping[str, int]


def read(text: str) -> Targets:
    """The targets in a JSON text. Raises ``BadTargets`` that says what is wrong and where."""
    try:
        data = json.loads(text)
        if not str(data["provenance"]["vocabulary"]).strip() or not str(data["provenance"]["checked"]).strip():
            raise BadTargets("provenance: say where the values come from, and what checked means")
        metrics = tuple(_target(entry, f"metrics/{n}") for n, entry in enumerate(data["metrics"]))
        limits = {name: _limit(entry, f"limits/{name}") for name, entry in data["limits"].items()}
        days = int(data["days"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadTargets(f"not a table of targets: {type(error).__name__} {error}") from error
    if len({metric.name for metric in metrics}) != len(metrics):
        raise BadTargets("metrics: a name comes twice")
    if set(limits) != LIMITS:
        raise BadTargets(f"limits: {', '.join(sorted(LIMITS ^ set(limits)))} missing or unknown")
    return Targets(days, metrics, limits)


def _target(entry: Mapping[str, Any], where: str) -> Target:
    if entry["direction"] not in set(Direction):
        raise BadTargets(f"{where}: {entry['direction']!r} is no direction")
    if not isinstance(entry["checked"], bool) or not str(entry["title"]).strip():
        raise BadTargets(f"{where}: needs a title, and checked true or false")
    target, maximum = entry.get("target"), entry.get("maximum")
    if target is not None and not str(entry["source"]).strip():
        raise BadTargets(f"{where}: a target needs its source")
    if maximum is not None and (target is None or maximum < target or entry["direction"] != Direction.AT_MOST):
        raise BadTargets(f"{where}: a maximum stands above a target of at most so much")
    return Target(
        entry["name"], entry["title"], entry["unit"], Direction(entry["direction"]), target, maximum, entry["checked"],
        entry["source"],
    )  # fmt: skip


def _limit(entry: Mapping[str, Any], where: str) -> int:
    value = entry["value"]
    if not isinstance(value, int) or value < 1:
        raise BadTargets(f"{where}: {value!r} is no whole number above 0")
    if not isinstance(entry["checked"], bool) or not str(entry["source"]).strip():
        raise BadTargets(f"{where}: needs its source, and checked true or false")
    return value


TARGETS = read(FILE.read_text("utf-8"))
