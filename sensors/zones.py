"""Zones of vibration by ISO 20816-3: where they begin for a sensor, or why it is not graded. Pure.

The boundaries are data (``data/vibration_zones.json``, with provenance), read and checked once when this is imported.
They are of velocity, r.m.s., and hold for a machine group and a class of support: without both there is no grade, and
neither for displacement, acceleration or peak values, which cannot be converted without the spectrum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("data") / "vibration_zones.json"
VIBRATION = "VIBRATION"
VELOCITIES = {"mm/s": 1.0, "m/s": 0.001, "cm/s": 0.1, "in/s": 1 / 25.4, "ips": 1 / 25.4}
"""Unit of velocity -> how many of it are one mm/s."""
SAYS_RMS = ("rms", "r.m.s.", "eff")


class BadZones(ValueError):
    """The data file of zones cannot be used."""


@dataclass(frozen=True, slots=True)
class Zones:
    """From where on vibration is in zone B, C and D, in the sensor's unit."""

    a_b: float
    b_c: float
    c_d: float

    def of(self, value: float) -> str:
        """The zone of a value; a boundary belongs to the zone above it."""
        return "ABCD"[(value >= self.a_b) + (value >= self.b_c) + (value >= self.c_d)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a sensor is not graded. ``of_vibration``: it measures vibration, so that somebody will want to know."""

    reason: str
    of_vibration: bool


Key = tuple[int, str]


def read(text: str) -> Mapping[Key, Zones]:
    """The boundaries in a JSON text, in mm/s. Raises ``BadZones``."""
    try:
        data = json.loads(text)
        if not data["provenance"]["standard"].strip() or data["unit"] != "mm/s":
            raise BadZones("say where the boundaries come from, and give them in mm/s")
        rows = [((one["group"], one["support"]), Zones(one["a_b"], one["b_c"], one["c_d"])) for one in data["zones"]]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadZones(f"not a table of zones: {type(error).__name__} {error}") from error
    if len(dict(rows)) != len(rows):
        raise BadZones("a group and support come twice")
    for key, zones in rows:
        if not 0 < zones.a_b < zones.b_c < zones.c_d:
            raise BadZones(f"{key}: the boundaries do not ascend")
    return dict(rows)


TABLE = read(FILE.read_text("utf-8"))


def of(*, kind: str, unit: str, group: int | None, support: str) -> Zones | Refusal:
    """The zones of a sensor of this kind and unit on a machine of this group and support."""
    if kind != VIBRATION:
        return Refusal("It does not measure vibration.", of_vibration=False)
    factor = _velocity(unit)
    if factor is None:
        return Refusal(
            f"Its unit ({unit or 'none'}) is no r.m.s. velocity such as mm/s or in/s; displacement, acceleration and "
            "peak values cannot be converted.",
            of_vibration=True,
        )
    if group is None or not support:
        lacks = {"machine group": group is None, "support class": not support}
        missing = " and ".join(name for name, lacking in lacks.items() if lacking)
        return Refusal(f"Its equipment has no {missing}.", of_vibration=True)
    found = TABLE[group, support]
    return Zones(found.a_b * factor, found.b_c * factor, found.c_d * factor)


def _velocity(unit: str) -> float | None:
    """How many of the unit are one mm/s; None where it is no velocity, or says that it is not r.m.s."""
    word, *rest = unit.strip().lower().split() or [""]
    fits = not rest or (len(rest) == 1 and rest[0].strip("()") in SAYS_RMS)
    return VELOCITIES.get(word) if fits else None
