"""One machine judged anew from its readings, from cold, by the flow's own stages. Pure.

Validate judges once; then each side has its own detectors, limits and delays, and a book of what would be stored.
As in a replay, an alarm does not keep sensors from learning; what was known as a fault then does.
The result does not depend on how the readings are cut into slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents import decide, detect, sighted, validate
from agents.backtests.book import Book, Machine
from agents.backtests.proposal import Proposal
from agents.findings import Quality, Reason, Validated
from mlops import detectors
from mlops.detectors.contract import Detector
from mlops.state import State
from sensors.columns import SECOND_US, Bool, Columns, SensorTable

NOTHING = State(np.empty(0, np.int64), {})


@dataclass(frozen=True, slots=True)
class Setup:
    """How a machine is judged: its sensors, what decide needs to know, the detectors by name."""

    table: SensorTable
    machine: Machine
    using: Mapping[str, Detector]


def with_proposal(setup: Setup, proposal: Proposal) -> Setup:
    """The setup with what is proposed for its sensors in place of what is."""
    new = {name: np.nan if value is None else value for name, value in proposal.limits.items()}
    if proposal.deadband is not None:
        new["deadband"] = proposal.deadband
    table = replace(setup.table, **{name: np.full(len(setup.table), value) for name, value in new.items()})
    known = setup.machine
    if proposal.on_delay_seconds is not None:
        known = replace(known, on_delay=dict.fromkeys(known.places, proposal.on_delay_seconds * SECOND_US))
    if proposal.off_delay_seconds is not None:
        known = replace(known, off_delay=dict.fromkeys(known.places, proposal.off_delay_seconds * SECOND_US))
    made = setup.using
    if proposal.false_alarms_per_week is not None:
        made = detectors.default(false_alarms_per_week=proposal.false_alarms_per_week)
    if proposal.detectors is not None:
        made = {name: made[name] for name in proposal.detectors}
    return Setup(table, known, made)


class Side:
    """A setup, what its detectors have learned, and what came of it."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.book = Book(setup.machine)
        self._learned = NOTHING

    def take(self, columns: Columns, validated: Validated, good: Columns, in_fault: Bool) -> None:
        book = self.book
        book.record([sighted.fault(found) for found in validated.faults])
        book.close_faults(good)
        detected = detect.detect(
            columns=columns,
            table=self.setup.table,
            quality=validated.quality,
            reason=validated.reason,
            late=validated.late,
            keep=validated.keep,
            frozen=in_fault,
            state=self._learned,
            using=self.setup.using,
        )
        self._learned = detected.state
        book.record([sighted.anomaly(found) for found in detected.anomalies])
        in_order = validated.keep & ~validated.late
        clock = int(columns.at[in_order].max()) if in_order.any() else None
        book.apply(decide.decide(book.situations(clock)))


class Replay:
    """The machine's readings, slice after slice in order of time, to all sides."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self.sides = tuple(sides)
        self._memory = NOTHING

    def take(self, columns: Columns, in_fault: Bool) -> Validated:
        """The next readings, n > 0, sorted by sensor and instant; ``in_fault``: which teach nothing, since they
        were known to lie in a fault."""
        table = self.sides[0].setup.table
        validated = validate.validate(columns=columns, table=table, memory=self._memory)
        self._memory = validated.memory
        in_order = ~validated.late & (validated.reason != Reason.OUT_OF_ORDER)
        good = columns.take(validated.keep & in_order & (validated.quality == Quality.GOOD))
        for side in self.sides:
            side.take(columns, validated, good, in_fault)
        return validated
