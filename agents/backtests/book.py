"""What the flow would have stored of one machine: anomalies, alarms, orders, in memory. Pure.

It grows by the rules of the tables (``maintenance.anomalies``, ``situations``, ``alarms``, ``work_orders``), while
nobody acknowledges an alarm or closes an order; a test holds it against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents import urgency
from agents.backtests.figures import Activation, Found, Window
from agents.backtests.known import History
from maintenance import definitions
from maintenance.alarm_life import Action, AlarmState, Condition, OrderState, Situation
from maintenance.sightings import INSTRUMENT, MACHINE, Place, Sighting, first_good, merge
from maintenance.triage import Reason
from maintenance.verdicts import Step, Verdict
from sensors.columns import Columns

ORDER_OPENED, ORDER_OCCURRED = urgency.ORDER_OPENED, urgency.ORDER_OCCURRED
Key = tuple[str, int, str, int, bool]


def _key(sighting: Sighting) -> Key:
    return (sighting.nature, *sighting.identity)


@dataclass(frozen=True, slots=True)
class Machine:
    """What decide needs to know of a machine and its sensors; delays in microseconds, by sensor."""

    id: int
    site_id: int
    name: str
    criticality: str
    places: Mapping[int, Place]
    on_delay: Mapping[int, int]
    off_delay: Mapping[int, int]
    labels: tuple[Window, ...] = ()
    definitions: definitions.Book = field(default_factory=dict)


@dataclass(slots=True)
class Row:
    """An anomaly. ``decided``: as of ``alarm_life.Condition``."""

    id: int
    sighting: Sighting
    failure_mode: str
    decided: set[str] = field(default_factory=set)
    verdict: str = ""
    reasons: tuple[Reason, ...] = ()


class Book:
    """Of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rows: dict[Key, Row] = {}
        self.orders: list[tuple[int, bool]] = []
        self._unsettled: dict[int, Row] = {}
        self._standing: dict[int, Row] = {}  # faults of instruments that have not ended
        self._alarms: dict[str, AlarmState] = {}
        self._open_orders: dict[str, OrderState] = {}
        self._over: list[tuple[Activation, Row]] = []
        self._active: dict[str, tuple[Activation, Row]] = {}
        self._keys: set[str] = set()
        self._known = History(machine.labels)

    def record(self, sightings: Sequence[Sighting]) -> None:
        """New anomalies, and what known ones have grown to."""
        merged: dict[Key, Sighting] = {}
        for sighting in sightings:
            key = _key(sighting)
            merged[key] = merge(merged[key], sighting) if key in merged else sighting
        for nature in (MACHINE, INSTRUMENT):
            for identity, sighting in merged.items():
                if sighting.nature == nature:
                    self._store(identity, sighting)

    def is_settled(self, row: Row) -> bool:
        """Nothing more can come of it: decide looks at it no more."""
        return row.id not in self._unsettled

    def _store(self, key: Key, sighting: Sighting) -> None:
        row = self.rows.get(key)
        if row is None:
            mode = self.machine.places[sighting.sensor_id].mode(sighting)
            row = self.rows[key] = Row(len(self.rows) + 1, sighting, mode)
            self._unsettled[row.id] = row
            self._known.add(sighting, key=row.id, before=None)
        else:
            self._grow(row, merge(row.sighting, sighting))
        if row.sighting.nature == INSTRUMENT and row.sighting.ended_at is None:
            self._standing[row.id] = row

    def close_faults(self, good: Columns) -> None:
        """End the faults of instruments that read well again. ``good``: sorted by sensor and instant."""
        for row in list(self._standing.values()):
            end = first_good(good, row.sighting.sensor_id, since=row.sighting.last_at)
            if end is not None:
                self._grow(row, replace(row.sighting, ended_at=end))
                del self._standing[row.id]

    def _grow(self, row: Row, sighting: Sighting) -> None:
        self._known.add(sighting, key=row.id, before=row.sighting)
        row.sighting = sighting

    def situations(self, clock: int | None) -> list[Situation]:
        """What is to be decided, by failure mode. ``clock``: the newest reading that was judged."""
        conditions: dict[str, list[Condition]] = {}
        for row in self._unsettled.values():
            conditions.setdefault(row.failure_mode, []).append(self._condition(row))
        active = {mode for mode, alarm in self._alarms.items() if alarm.active}
        return [
            Situation(
                machine_id=self.machine.id,
                site_id=self.machine.site_id,
                machine=self.machine.name,
                failure_mode=mode,
                criticality=self.machine.criticality,
                clock=clock,
                conditions=tuple(conditions.get(mode, ())),
                alarm=self._alarms.get(mode),
                order=self._open_orders.get(mode),
            )
            for mode in sorted({*conditions, *active})
        ]

    def _condition(self, row: Row) -> Condition:
        seen = row.sighting
        return Condition(
            anomaly_id=row.id,
            sensor_id=seen.sensor_id,
            started_at=seen.started_at,
            last_at=seen.last_at,
            ended_at=seen.ended_at,
            peak_score=seen.peak_score,
            peak_at=seen.peak_at,
            kind=seen.kind,
            on_delay=self.machine.on_delay[seen.sensor_id],
            off_delay=self.machine.off_delay[seen.sensor_id],
            instrument=seen.nature == INSTRUMENT,
            retrospective=seen.retrospective,
            decided=frozenset(row.decided),
            facts=self._known.facts(seen),
            verdict=row.verdict,
            reasons=row.reasons,
            definition=self._definition(row),
        )

    def _definition(self, row: Row) -> definitions.Definition | None:
        place = self.machine.places[row.sighting.sensor_id]
        return definitions.resolve(
            self.machine.definitions,
            definitions.Subject(
                self.machine.site_id, self.machine.id, place.equipment_class, place.kind, row.sighting.kind,
                row.failure_mode,
            ),
        )  # fmt: skip

    def apply(self, verdicts: Sequence[Verdict]) -> None:
        """What was decided comes about; a decision that came about before does not do so again."""
        for verdict in verdicts:
            mode = verdict.situation.failure_mode
            fresh = [step for step in verdict.steps if step.key not in self._keys]
            self._keys |= {step.key for step in fresh}
            for step in fresh:
                if step.anomaly_id is not None and step.anomaly_id in self._unsettled:
                    self._unsettled[step.anomaly_id].decided.add(f"{step.action}:{step.reason}")
                if step.alarm is not None:
                    self._turn(mode, step, step.alarm)
                if step.order is not None:
                    self._order(mode, step, step.order)
            if verdict.alarm is not None:
                self._alarms[mode] = replace(verdict.alarm, id=verdict.alarm.id or len(self._alarms) + 1)
            for anomaly_id, judgement in verdict.triaged:
                self._unsettled[anomaly_id].verdict = judgement.verdict
                self._unsettled[anomaly_id].reasons = judgement.reasons
            for anomaly_id in verdict.settled:
                self._unsettled.pop(anomaly_id, None)

    def _turn(self, mode: str, step: Step, alarm: AlarmState) -> None:
        if step.action in (Action.OPENED, Action.REOPENED):
            cause = self._unsettled[step.anomaly_id or 0]
            seen = cause.sighting
            begun = Activation(self.machine.id, mode, seen.sensor_id, seen.kind, alarm.priority, step.at, None)
            self._active[mode] = begun, cause
        elif step.action is Action.RAISED:
            begun, cause = self._active[mode]
            self._active[mode] = replace(begun, priority=alarm.priority), cause
        elif step.action is Action.RETURNED and mode in self._active:  # an advisory was never an activation
            begun, cause = self._active.pop(mode)
            self._over.append((replace(begun, returned_at=step.at), cause))

    def _order(self, mode: str, step: Step, order: OrderState) -> None:
        self._open_orders[mode] = replace(order, id=order.id or len(self._open_orders) + 1)
        if step.action in (ORDER_OPENED, ORDER_OCCURRED):
            self.orders.append((step.at, step.action == ORDER_OPENED))

    @property
    def activations(self) -> tuple[Activation, ...]:
        """In order of their beginning; those that last without an end. Their kind is what its cause has grown to."""
        pairs = [*self._over, *self._active.values()]
        every = [replace(one, kind=cause.sighting.kind) for one, cause in pairs]
        return tuple(sorted(every, key=lambda one: (one.raised_at, one.failure_mode)))

    def found(self) -> Found:
        seen = (row.sighting for row in self.rows.values())
        anomalies = tuple((s.started_at, s.nature, s.detector) for s in seen if not s.retrospective)
        return Found(anomalies, self.activations, tuple(self.orders))
