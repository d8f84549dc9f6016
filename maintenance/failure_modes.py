"""Failure modes in the vocabulary of ISO 14224, and which one a deviation of a sensor points to.

Codes and rules are data (``data/failure_modes.json``, with provenance), read and checked once when this module is
imported. Pure: no Django.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNKNOWN = "UNK"
ALL = "ALL"
"""In a list of failure modes, for every one."""
INSTRUMENT = "AIR"
FILE = Path(__file__).with_name("data") / "failure_modes.json"
DIRECTIONS = frozenset({"LOW", "HIGH", "ANY"})
KINDS = frozenset(
    {"FLOW", "LEVEL", "PRESSURE", "TEMPERATURE", "VIBRATION", "SPEED", "CURRENT", "VOLTAGE", "POWER", "OTHER"}
)
"""Kinds of sensor, as ``sensors.models.Sensor.Kind`` has them; a test holds the two equal."""


class BadCatalogue(ValueError):
    """The data file of failure modes cannot be used."""


@dataclass(frozen=True, slots=True)
class Mode:
    """``checked`` is False where the code is general knowledge that no text at hand confirmed."""

    code: str
    name: str
    checked: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A deviation of a kind of sensor in a direction points to a mode; without classes, on any equipment."""

    kind: str
    direction: str
    mode: str
    equipment_classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    modes: Mapping[str, Mode]
    rules: tuple[Rule, ...]

    def mode_of(self, *, sensor_kind: str, anomaly_kind: str, equipment_class: str = "") -> str:
        """Code of the mode: of the first rule that fits, ``UNK`` where none does."""
        towards = direction(anomaly_kind)
        for rule in self.rules:
            fits = not rule.equipment_classes or equipment_class.upper() in rule.equipment_classes
            if rule.kind == sensor_kind and rule.direction in {"ANY", towards} and fits:
                return rule.mode
        return UNKNOWN


def direction(anomaly_kind: str) -> str:
    """``LOW`` or ``HIGH`` of kinds such as LIMIT_LOW_LOW or DEVIATION_HIGH, else ``ANY``."""
    last = anomaly_kind.rpartition("_")[2]
    return last if last in {"LOW", "HIGH"} else "ANY"


def read(text: str) -> Catalogue:
    """The catalogue in a JSON text. Raises ``BadCatalogue`` that says what is wrong and where."""
    try:
        data = json.loads(text)
        if not str(data["provenance"]["vocabulary"]).strip() or not str(data["provenance"]["rules"]).strip():
            raise BadCatalogue("provenance: say where the codes and the rules come from")
        modes = [_mode(entry, f"modes/{n}") for n, entry in enumerate(data["modes"])]
        known = {mode.code: mode for mode in modes}
        rules = tuple(_rule(entry, f"rules/{n}", known) for n, entry in enumerate(data["rules"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadCatalogue(f"not a catalogue of failure modes: {type(error).__name__} {error}") from error
    if len(known) != len(modes):
        raise BadCatalogue("modes: a code comes twice")
    if missing := {UNKNOWN, INSTRUMENT} - set(known):
        raise BadCatalogue(f"modes: {', '.join(sorted(missing))} must be among them")
    return Catalogue(known, rules)


def _mode(entry: Mapping[str, Any], where: str) -> Mode:
    code, name, checked = entry["code"], entry["name"], entry["checked"]
    if not (isinstance(code, str) and len(code) == 3 and code.isalpha() and code.isupper()):
        raise BadCatalogue(f"{where}: {code!r} is no code of three capital letters")
    if not isinstance(name, str) or not name.strip() or not isinstance(checked, bool):
        raise BadCatalogue(f"{where}: needs a name, and checked true or false")
    return Mode(code, name, checked)


def _rule(entry: Mapping[str, Any], where: str, known: Mapping[str, Mode]) -> Rule:
    if unknown := set(entry) - {"kind", "direction", "mode", "equipment_classes"}:
        raise BadCatalogue(f"{where}: unknown member {sorted(unknown)[0]!r}")
    rule = Rule(entry["kind"], entry["direction"], entry["mode"], frozenset(entry.get("equipment_classes", ())))
    for value, allowed, what in (
        (rule.kind, KINDS, "kind of sensor"),
        (rule.direction, DIRECTIONS, "direction"),
        (rule.mode, known, "mode"),
    ):
        if value not in allowed:
            raise BadCatalogue(f"{where}: {value!r} is no {what}")
    return rule


CATALOGUE = read(FILE.read_text("utf-8"))
CODES = tuple(CATALOGUE.modes)


def not_modes(said: Any) -> str:
    """What is wrong with a list of failure modes that are hidden; empty where nothing is."""
    if not isinstance(said, list) or len(said) != len({*map(str, said)}):
        return "A list of failure modes, each once."
    if ALL in said and len(said) > 1:
        return f"{ALL} is all of them: name no others beside it."
    unknown = [mode for mode in said if mode != ALL and mode not in CATALOGUE.modes]
    return f"There is no failure mode {unknown[0]}." if unknown else ""
