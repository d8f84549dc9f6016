"""The values that pass between the stages, on one page.

Pure: no Django. Many readings are columns (see ``sensors.columns``); what is rare, a fault or an anomaly, is a
value. Instants are int64 microseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from mlops.state import State
from sensors.columns import Bool, UInt8


class Quality(IntEnum):
    """Quality of a reading, by the classes of OPC UA status codes."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Reason(IntEnum):
    """Why a reading has the quality it has, or why it is set apart. Where several apply, see ``PRECEDENCE``."""

    NONE = 0
    PHYSICAL_LIMIT = 1  # outside what the sensor can measure: bad
    RATE_OF_CHANGE = 2  # faster than the machine can change: bad
    SPIKE = 3  # out and back, both faster than the machine can change: bad
    STUCK = 4  # identical for longer than it ever was: bad
    CALIBRATION_OVERDUE = 5  # uncertain
    OUT_OF_ORDER = 6  # older than the newest, within the lateness budget: good, does not teach
    AFTER_GAP = 7  # the first one after a gap: good
    LATE = 8  # older than the lateness budget allows: good, judged in retrospect only
    SATURATED = 9  # identical with the largest or smallest value there ever was, again and again: bad
    UNIT_CHANGE = 10  # level and spread went by the factor between two units, or seem to: bad
    CLOCK_AHEAD = 11  # measured after it was received: bad
    CLOCK_RATE = 12  # time stamps closer together or further apart than its period, as they never were: uncertain
    DRIFT = 13  # has left two or more that measure the same thing: bad
    DISAGREEMENT = 14  # no longer goes with its neighbours, and which is wrong is not known: uncertain


PRECEDENCE = (
    Reason.PHYSICAL_LIMIT, Reason.RATE_OF_CHANGE, Reason.SPIKE, Reason.UNIT_CHANGE, Reason.CLOCK_AHEAD,
    Reason.SATURATED, Reason.STUCK, Reason.DRIFT, Reason.DISAGREEMENT, Reason.CLOCK_RATE, Reason.CALIBRATION_OVERDUE,
    Reason.OUT_OF_ORDER, Reason.AFTER_GAP, Reason.LATE, Reason.NONE,
)  # fmt: skip
"""Of several reasons for a reading the first of these is kept: bad before uncertain before good."""
BAD = (
    Reason.PHYSICAL_LIMIT, Reason.RATE_OF_CHANGE, Reason.SPIKE, Reason.UNIT_CHANGE, Reason.CLOCK_AHEAD,
    Reason.SATURATED, Reason.STUCK, Reason.DRIFT,
)  # fmt: skip
UNCERTAIN = (Reason.DISAGREEMENT, Reason.CLOCK_RATE, Reason.CALIBRATION_OVERDUE)


class FaultKind(StrEnum):
    """Kinds of instrumentation fault (P4): the machine cannot have produced this data."""

    PHYSICAL_LIMIT = "PHYSICAL_LIMIT"
    RATE_OF_CHANGE = "RATE_OF_CHANGE"
    SPIKE = "SPIKE"
    STUCK = "STUCK"
    GAP = "GAP"
    CALIBRATION = "CALIBRATION"
    SATURATION = "SATURATION"
    UNIT_CHANGE = "UNIT_CHANGE"
    CLOCK = "CLOCK"
    DRIFT = "DRIFT"


@dataclass(frozen=True, slots=True)
class SensorFault:
    """A stretch of readings of one sensor that the machine cannot have produced.

    Identity: sensor, kind and ``started_at``; the same fault seen again by the next Run keeps it.
    """

    sensor_id: int
    kind: FaultKind
    started_at: int
    last_at: int
    readings: int
    detail: str
    retrospective: bool = False  # found in late data: it opens nothing


@dataclass(frozen=True, slots=True)
class Validated:
    """What validate says of n readings: arrays of length n in the order of the columns it was given."""

    keep: Bool  # to be stored: not a duplicate within the Run
    quality: UInt8
    reason: UInt8
    late: Bool
    faults: tuple[SensorFault, ...]
    memory: State


@dataclass(frozen=True, slots=True)
class AnomalyFinding:
    """A stretch of one sensor's readings that a detector judged abnormal.

    Identity: sensor, detector and ``started_at``; while it lasts, each Run reports it again with what it has grown
    to. ``ended_at`` is None while it lasts; ``last_at`` is the newest abnormal reading.
    """

    sensor_id: int
    detector: str
    detector_version: str
    kind: str
    started_at: int
    ended_at: int | None
    last_at: int
    readings: int
    peak_score: float
    peak_at: int
    observed: float
    expected_low: float | None
    expected_high: float | None
    window_from: int
    window_to: int
    retrospective: bool
    contributors: tuple[tuple[int, float], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Detected:
    """What detect says of a Run."""

    anomalies: tuple[AnomalyFinding, ...]
    state: State
