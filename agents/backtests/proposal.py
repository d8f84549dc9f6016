"""What a backtest proposes in place of how sensors are judged now. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

LIMITS = ("low_low", "low", "high", "high_high")
DELAYS = ("on_delay_seconds", "off_delay_seconds")
OF_A_SENSOR = (*LIMITS, "deadband")
"""What has the unit of a sensor, and so can be proposed for one only."""
SEEKABLE = ("deadband",)
NAMES = (*OF_A_SENSOR, *DELAYS, "false_alarms_per_week", "detectors", "seek")
DETECTORS = ("limits", "rate", "zones", "adaptive", "relation")
"""The detectors by name; a test holds them equal to ``mlops.detectors``, which the web process does not import."""
LONGEST_DELAY = 30 * 24 * 3600
LOOK_BACK_DAYS = 14


class BadProposal(ValueError):
    """Something proposed cannot be; ``name`` says which of ``NAMES``."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to differ; None, and a limit that is not named, stay as they are. A limit that is None is taken away.

    ``seek``: what is to be found (one of ``SEEKABLE``) while all else stays as it is; empty: nothing.
    """

    limits: Mapping[str, float | None] = field(default_factory=dict)
    deadband: float | None = None
    on_delay_seconds: int | None = None
    off_delay_seconds: int | None = None
    false_alarms_per_week: float | None = None
    detectors: tuple[str, ...] | None = None
    seek: str = ""

    def __bool__(self) -> bool:
        return bool(self.as_json())

    def as_json(self) -> dict[str, object]:
        """What ``read`` takes: the names that differ and how."""
        others = {name: getattr(self, name) for name in ("deadband", *DELAYS, "false_alarms_per_week")}
        named: dict[str, object] = {**self.limits, **{n: value for n, value in others.items() if value is not None}}
        if self.detectors is not None:
            named["detectors"] = list(self.detectors)
        return {**named, "seek": self.seek} if self.seek else named


def read(given: Mapping[str, object], *, present: Mapping[str, float | None] | None) -> Proposal:
    """The proposal. ``present``: the limits of the sensor as they are, physical ones too; None where the proposal is
    for more than one sensor. Raises ``BadProposal``."""
    for name in given:
        if name not in NAMES:
            raise BadProposal(name, f"There is no setting {name!r}: there are {', '.join(NAMES)}.")
        if name in OF_A_SENSOR and present is None:
            raise BadProposal(name, "A limit is proposed for one sensor: it has the sensor's unit.")
    limits = {name: _number(name, given[name], none=True) for name in LIMITS if name in given}
    _check_order(limits, present or {})
    return Proposal(
        limits=limits,
        deadband=_at_least_0("deadband", given.get("deadband")),
        on_delay_seconds=_delay("on_delay_seconds", given.get("on_delay_seconds")),
        off_delay_seconds=_delay("off_delay_seconds", given.get("off_delay_seconds")),
        false_alarms_per_week=_budget(given.get("false_alarms_per_week")),
        detectors=_detectors(given.get("detectors")),
        seek=_seek(given, present=present),
    )


def _seek(given: Mapping[str, object], *, present: Mapping[str, float | None] | None) -> str:
    if "seek" not in given:
        return ""
    if given["seek"] not in SEEKABLE:
        raise BadProposal("seek", f"What can be found is {', '.join(SEEKABLE)}.")
    if present is None:
        raise BadProposal("seek", "A deadband is found for one sensor: it has the sensor's unit.")
    if len(given) > 1:
        raise BadProposal("seek", "What is to be found is found with all else as it is: propose nothing beside it.")
    return str(given["seek"])


def _check_order(limits: Mapping[str, float | None], present: Mapping[str, float | None]) -> None:
    """As the sensor's own are checked, with what is proposed in their place."""
    merged = {**present, **limits}
    names = [n for n in ("physical_low", *LIMITS, "physical_high") if merged.get(n) is not None]
    for lower, higher in pairwise(names):
        low, high = merged[lower], merged[higher]
        if low is not None and high is not None and low >= high and {lower, higher} & set(limits):
            wrong = lower if lower in limits else higher
            raise BadProposal(wrong, f"{lower} ({low:g}) must be below {higher} ({high:g}).")


def _number(name: str, value: object, *, none: bool = False) -> float | None:
    if value is None and none:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadProposal(name, "A finite number is needed.")
    return float(value)


def _at_least_0(name: str, value: object) -> float | None:
    number = _number(name, value, none=True)
    if number is not None and number < 0:
        raise BadProposal(name, "It must be 0 or more.")
    return number


def _delay(name: str, value: object) -> int | None:
    number = _at_least_0(name, value)
    if number is not None and (number != int(number) or number > LONGEST_DELAY):
        raise BadProposal(name, f"Whole seconds are needed, at most {LONGEST_DELAY}.")
    return None if number is None else int(number)


def _budget(value: object) -> float | None:
    number = _number("false_alarms_per_week", value, none=True)
    if number is not None and not 1e-6 <= number <= 1e6:
        raise BadProposal("false_alarms_per_week", "It must be more than 0, as 0.2 or 3: of each sensor.")
    return number


def _detectors(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(name in DETECTORS for name in value):
        raise BadProposal("detectors", f"Name one or more of {', '.join(DETECTORS)}.")
    return tuple(name for name in DETECTORS if name in value)
