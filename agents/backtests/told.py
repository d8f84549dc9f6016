"""A backtest's result for people, line by line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

SIDES = ("present", "proposed", "live")
ABOUT = {
    "present": "judged anew as things are",
    "proposed": "judged anew with what is proposed",
    "live": "what the flow found when the readings came",
}
LINES = (
    ("machine_anomalies", "Anomalies of the machine"),
    ("instrument_anomalies", "Faults of instruments"),
    ("alarms", "Alarms (activations)"),
    ("chattering", "of these chattering"),
    ("fleeting", "of these fleeting"),
    ("alarm_share", "Time in alarm"),
    ("orders_opened", "Work orders opened"),
    ("order_occurrences", "Further occurrences"),
    ("faults_found", "Known faults found"),
    ("faults_missed", "Known faults missed"),
    ("in_faults", "Alarms in known faults"),
    ("in_expected", "Alarms in what was expected"),
    ("in_false_alarms", "Alarms in known false alarms"),
    ("outside_labels", "Alarms outside of any label"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of each side, in the order of ``sides``."""

    name: str
    values: tuple[str, ...]


def sides(result: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(side for side in SIDES if side in result)


def lines(result: Mapping[str, Any]) -> list[Line]:
    shown = sides(result)
    return [Line(text, tuple(_figure(name, result[side]) for side in shown)) for name, text in LINES]


def _figure(name: str, figures: Mapping[str, Any]) -> str:
    if name != "alarm_share":
        return str(figures[name])
    spent = timedelta(seconds=figures["alarm_seconds"])
    return f"{figures['alarm_share']:.2%} ({spent})" if spent else "0"


def sought(result: Mapping[str, Any]) -> str:
    """In one line: what was found for the sensor, and what it would have come to."""
    found = result["sought"]
    if found["deadband"] is None:
        return f"Deadband: {found['words']}."
    return f"Deadband {found['deadband']:g} in place of {found['of']['deadband']:g}: {found['words']}."


def proposal(proposed: Mapping[str, Any]) -> str:
    """In one line."""
    if not proposed:
        return "nothing: as things are"
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in proposed.items())


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"
