"""What came of judging readings, counted: anomalies, alarms, chatter, orders, overlap with labels. Pure.

Instants are int64 microseconds since the epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sensors.columns import SECOND_US, to_instant

MINUTE = 60 * SECOND_US
CHATTER = 3
"""So many activations of one alarm within a minute are chatter, and one that returns within a minute is fleeting: as
tools count them for the metrics of ISA-18.2 and IEC 62682."""
FAULT, EXPECTED = "FAULT", "EXPECTED"
MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end)."""

    start: int
    end: int

    def __contains__(self, at: int) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Activation:
    """An alarm's being active once. ``returned_at`` None: it still is. ``sensor_id`` and ``kind``: of its cause."""

    machine_id: int
    failure_mode: str
    sensor_id: int
    kind: str
    priority: str
    raised_at: int
    returned_at: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """What people found to be true of a window, both ends of it included; ``sensor_id`` None: of the machine.
    ``made_at``: when they said so."""

    machine_id: int
    sensor_id: int | None
    kind: str
    from_at: int
    to_at: int
    failure_mode: str = ""
    made_at: int = 0

    def touches(self, activation: Activation) -> bool:
        """A fault is the machine's, whichever sensor tells of it; what is expected of a sensor is so of that one."""
        mine = self.kind == FAULT or self.sensor_id in (None, activation.sensor_id)
        until = activation.returned_at
        there = activation.raised_at <= self.to_at and (until is None or until >= self.from_at)
        return mine and there and activation.machine_id == self.machine_id


@dataclass(frozen=True, slots=True)
class Found:
    """What one machine's readings led to. ``anomalies``: beginning, nature and detector of each; ``orders``: instant of
    each opening (True) and of each further occurrence (False)."""

    anomalies: tuple[tuple[int, str, str], ...] = ()
    activations: tuple[Activation, ...] = ()
    orders: tuple[tuple[int, bool], ...] = ()


@dataclass(slots=True)
class Figures:
    """The sum over machines. ``alarm_us``: time in which any alarm of a machine was active, ``of_us``: of how much."""

    machine_anomalies: int = 0
    instrument_anomalies: int = 0
    by_detector: Counter[str] = field(default_factory=Counter)
    alarms: int = 0
    by_priority: Counter[str] = field(default_factory=Counter)
    chattering: int = 0
    fleeting: int = 0
    orders_opened: int = 0
    order_occurrences: int = 0
    alarm_us: int = 0
    of_us: int = 0
    faults_found: int = 0
    faults_missed: int = 0
    missed: list[Window] = field(default_factory=list)
    in_faults: int = 0
    in_expected: int = 0
    in_false_alarms: int = 0
    outside_labels: int = 0
    listed: list[Activation] = field(default_factory=list)

    def add(self, found: Found, period: Period, windows: Sequence[Window]) -> None:
        """What began in the period counts; time in alarm also where it began before. ``windows``: of the machine."""
        for began, nature, detector in found.anomalies:
            if began in period:
                self.machine_anomalies += nature == "MACHINE"
                self.instrument_anomalies += nature != "MACHINE"
                self.by_detector[detector] += 1
        for at, is_new in found.orders:
            if at in period:
                self.orders_opened += is_new
                self.order_occurrences += not is_new
        counted = [one for one in found.activations if one.raised_at in period]
        self.alarms += len(counted)
        self.by_priority.update(one.priority for one in counted)
        self.chattering += chattering(counted)
        self.fleeting += sum(map(is_fleeting, counted))
        self.alarm_us += active(found.activations, period)
        self.of_us += period.end - period.start
        self._hold_against(windows, counted, found.activations, period)
        self.listed += counted[: MOST_LISTED - len(self.listed)]

    def _hold_against(
        self, windows: Sequence[Window], counted: Sequence[Activation], every: Sequence[Activation], period: Period
    ) -> None:
        for window in windows:
            if window.kind == FAULT and window.from_at < period.end and window.to_at >= period.start:
                is_found = any(window.touches(one) for one in every)
                self.faults_found += is_found
                self.faults_missed += not is_found
                if not is_found and len(self.missed) < MOST_LISTED:
                    self.missed.append(window)
        for one in counted:
            kinds = {window.kind for window in windows if window.touches(one)}
            self.in_faults += FAULT in kinds
            self.in_expected += FAULT not in kinds and EXPECTED in kinds
            self.in_false_alarms += bool(kinds) and not kinds & {FAULT, EXPECTED}
            self.outside_labels += not kinds

    def as_json(self) -> dict[str, object]:
        plain = ("machine_anomalies", "instrument_anomalies", "alarms", "chattering", "fleeting", "orders_opened",
                 "order_occurrences", "faults_found", "faults_missed", "in_faults", "in_expected", "in_false_alarms",
                 "outside_labels")  # fmt: skip
        return {
            **{name: getattr(self, name) for name in plain},
            "by_detector": dict(sorted(self.by_detector.items())),
            "by_priority": dict(sorted(self.by_priority.items())),
            "alarm_seconds": self.alarm_us // SECOND_US,
            "alarm_share": round(self.alarm_us / self.of_us, 6) if self.of_us else 0.0,
            "missed": [
                {"machine": one.machine_id, "sensor": one.sensor_id, "failure_mode": one.failure_mode,
                 "from_at": _iso(one.from_at), "to_at": _iso(one.to_at)}
                for one in self.missed
            ],
            "listed": [_activation(one) for one in sorted(self.listed, key=lambda one: one.raised_at)],
        }  # fmt: skip


def _activation(one: Activation) -> dict[str, object]:
    return {
        "machine": one.machine_id, "failure_mode": one.failure_mode, "sensor": one.sensor_id, "kind": one.kind,
        "priority": one.priority, "raised_at": _iso(one.raised_at),
        "returned_at": None if one.returned_at is None else _iso(one.returned_at),
    }  # fmt: skip


def _iso(at: int) -> str:
    return to_instant(at).isoformat()


def chattering(activations: Sequence[Activation]) -> int:
    """Activations that are among ``CHATTER`` or more of the same alarm within a minute."""
    by_alarm: dict[tuple[int, str], list[int]] = {}
    for one in activations:
        by_alarm.setdefault((one.machine_id, one.failure_mode), []).append(one.raised_at)
    count = 0
    for instants in map(sorted, by_alarm.values()):
        among: set[int] = set()
        for first in range(len(instants) - CHATTER + 1):
            if instants[first + CHATTER - 1] - instants[first] < MINUTE:
                among |= set(range(first, first + CHATTER))
        count += len(among)
    return count


def is_fleeting(one: Activation) -> bool:
    return one.returned_at is not None and one.returned_at - one.raised_at < MINUTE


def active(activations: Sequence[Activation], period: Period) -> int:
    """Microseconds of the period in which one or more are active."""
    total, reached = 0, period.start
    for one in sorted(activations, key=lambda one: one.raised_at):
        start = max(one.raised_at, reached)
        end = period.end if one.returned_at is None else min(one.returned_at, period.end)
        if end > start:
            total, reached = total + end - start, end
    return total
