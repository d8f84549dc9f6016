"""Stage 4, pure: readings that are good enough, judged by every detector; verdicts become anomalies.

Readings in order teach. Late and out-of-order ones are judged on a scratch copy of the state that is thrown away
(P5); what they show is reported as complete and in retrospect, never as part of a live event.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from agents.findings import AnomalyFinding, Detected, Quality, Reason
from mlops import detectors
from mlops.detectors import contract, events
from mlops.state import Array, Fields, State, align
from sensors.columns import Bool, Columns, Int64, SensorTable, UInt8, distinct

EVENTS = "events."
LEARNED = "learned."


def detect(
    *,
    columns: Columns,
    table: SensorTable,
    quality: UInt8,
    reason: UInt8,
    late: Bool,
    state: State,
    keep: Bool | None = None,
    using: Mapping[str, contract.Detector] = detectors.DETECTORS,
) -> Detected:
    """Judge the readings of one Run.

    ``columns``: n readings sorted by (sensor, at); ``quality``, ``reason``, ``late``, ``keep``: what validate said of
    them, length n (``keep`` None = all). ``state``: what all detectors remember, in arrays named
    ``<detector>.learned.<name>`` and ``<detector>.events.<name>``; sensors it lacks start cold. Raises ``KeyError``
    where a sensor is not in the table.
    """
    table.rows(distinct(columns.sensor))
    usable = quality != int(Quality.BAD)
    if keep is not None:
        usable &= keep
    apart = late | (reason == int(Reason.OUT_OF_ORDER))
    found: list[AnomalyFinding] = []
    arrays: dict[str, Array] = {}
    grown = align(state, distinct(columns.sensor), {})
    for detector in using.values():
        part = align(named(state, detector.name), grown.sensor, all_fields(detector))
        found += judge(detector, columns.take(usable & apart), table, part, retrospective=True)[0]
        live, part = judge(detector, columns.take(usable & ~apart), table, part, retrospective=False)
        found += live
        arrays |= {f"{detector.name}.{name}": array for name, array in part.arrays.items()}
    others = {n: a for n, a in state.arrays.items() if n.split(".")[0] not in using}
    kept = align(State(state.sensor, others), grown.sensor, {n: blank(a) for n, a in others.items()})
    found.sort(key=lambda a: (a.sensor_id, a.started_at, a.detector, a.retrospective))
    return Detected(tuple(found), State(grown.sensor, {**kept.arrays, **arrays}))


def blank(array: Array) -> tuple[type[np.generic], tuple[int, ...], float]:
    return array.dtype.type, array.shape[1:], 0.0


def all_fields(detector: contract.Detector) -> Fields:
    """The arrays of a detector and of its events, by the names they have within its part of the state."""
    return {LEARNED + n: f for n, f in detector.fields.items()} | {EVENTS + n: f for n, f in events.FIELDS.items()}


def named(state: State, prefix: str) -> State:
    """The arrays whose name begins with the prefix and a dot, without it."""
    whole = prefix + "."
    return State(state.sensor, {n[len(whole) :]: a for n, a in state.arrays.items() if n.startswith(whole)})


def judge(
    detector: contract.Detector, columns: Columns, table: SensorTable, part: State, *, retrospective: bool
) -> tuple[list[AnomalyFinding], State]:
    """One detector over readings of one kind: what it found, and its part of the state after them."""
    if not len(columns):
        return [], part
    ids = distinct(columns.sensor)
    rows = np.searchsorted(part.sensor, ids)
    here = part.take(rows)
    block = contract.block(columns, here)
    scores, learned = detector.judge(
        block, table.take(table.rows(ids)), named_learned(here), np.zeros(len(ids), np.bool_)
    )
    before = State(ids, {n: a for n, a in named(here, "events").arrays.items()})
    if retrospective:
        before = align(State(np.empty(0, np.int64), {}), ids, events.FIELDS)
    formed, after = events.form(block, scores, before)
    fresh = {LEARNED + n: a for n, a in learned.arrays.items()} | {EVENTS + n: a for n, a in after.arrays.items()}
    return [finding(detector, event, retrospective) for event in formed], put(part, rows, fresh)


def named_learned(state: State) -> State:
    return named(state, LEARNED.rstrip("."))


def put(state: State, rows: Int64, arrays: Mapping[str, Array]) -> State:
    """The state with these rows replaced."""
    changed = {name: array.copy() for name, array in state.arrays.items()}
    for name, array in arrays.items():
        changed[name][rows] = array
    return State(state.sensor, changed)


def finding(detector: contract.Detector, event: events.Event, retrospective: bool) -> AnomalyFinding:
    return AnomalyFinding(
        sensor_id=event.sensor,
        detector=detector.name,
        detector_version=detector.version,
        kind=detector.kinds[event.kind - 1],
        started_at=event.started_at,
        ended_at=(event.ended_at or event.last_at) if retrospective else event.ended_at,
        last_at=event.last_at,
        readings=event.readings,
        peak_score=event.peak,
        peak_at=event.peak_at,
        observed=event.observed,
        expected_low=bound(event.low),
        expected_high=bound(event.high),
        window_from=min(event.since, event.started_at),
        window_to=event.last_at,
        retrospective=retrospective,
        contributors=((event.sensor, 1.0),),
    )


def bound(value: float) -> float | None:
    return value if math.isfinite(value) else None
