"""Stage 4, pure: readings that are good enough, judged by every detector; verdicts become anomalies.

Readings in order teach. Late and out-of-order ones are judged on a scratch copy of the state that is thrown away
(P5); what they show is reported as complete and in retrospect, never as part of a live event.

What people know counts here, for every detector alike:

- **Regimes.** Of each sensor the state keeps the instant from which on it was learned. With the first reading in order
  of a regime that is newer than that, all that was learned of the sensor is forgotten, and what was found and not over
  ends. A late reading of another regime than the one that was learned meets a detector that knows nothing.
- **Frozen readings** are judged and teach nothing: see ``Detector.judge``.

A detector that looks at all sensors of a machine (``Detector.by_machine``) judges them in order only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agents.findings import AnomalyFinding, Detected, Quality, Reason
from mlops import detectors
from mlops.detectors import contract, events
from mlops.detectors.contract import Scores
from mlops.state import Array, Fields, State, align, cold
from sensors.columns import Bool, Columns, Int64, SensorTable, UInt8, distinct, starts

EVENTS = "events."
SINCE = "regime.since"
ADDED: Fields = {SINCE: (np.int64, (), 0)}
"""Beside the detectors' arrays: the regime that a sensor's were learned in. States of earlier versions lack it."""
EVENT_FIELDS = {EVENTS + name: field for name, field in events.FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which of n readings are judged, and how. ``anew``: in order, the first of a regime that nothing was learned in
    yet and all after it; ``live``: the others in order; ``late``: apart, in the regime that was learned; ``strange``:
    apart, in another one."""

    live: Bool
    anew: Bool
    late: Bool
    strange: Bool


def detect(
    *,
    columns: Columns,
    table: SensorTable,
    quality: UInt8,
    reason: UInt8,
    late: Bool,
    state: State,
    keep: Bool | None = None,
    frozen: Bool | None = None,
    using: Mapping[str, contract.Detector] = detectors.DETECTORS,
) -> Detected:
    """Judge the readings of one Run.

    ``columns``: n readings sorted by (sensor, at); ``quality``, ``reason``, ``late``, ``keep``: what validate said of
    them, length n (``keep`` None = all). ``frozen``: which of them must teach nothing, length n (None = none).
    ``state``: what all detectors remember, in arrays named ``<detector>.learned.<name>`` and
    ``<detector>.events.<name>``, and ``SINCE``; sensors it lacks start cold. Raises ``KeyError`` where a sensor is not
    in the table.
    """
    ids = distinct(columns.sensor)
    usable = quality != int(Quality.BAD)
    if keep is not None:
        usable &= keep
    apart = late | (reason == int(Reason.OUT_OF_ORDER))
    grown = align(state, ids, ADDED)
    kinds, renewed = sort(columns, table, usable, apart, grown)
    still = np.zeros(len(columns), np.bool_) if frozen is None else frozen
    found: list[AnomalyFinding] = []
    arrays: dict[str, Array] = {SINCE: np.maximum(grown.arrays[SINCE], renewed)}
    for detector in using.values():
        part = align(named(state, detector.name), grown.sensor, all_fields(detector))
        if not (renewed.any() or is_needed(detector, table, part)):
            arrays |= {f"{detector.name}.{name}": array for name, array in part.arrays.items()}
            continue
        found += in_retrospect(detector, columns, table, part, kinds)
        way = together if detector.by_machine else in_order
        judged, part = way(detector, columns, table, part, still, kinds, renewed)
        found += judged
        arrays |= {f"{detector.name}.{name}": array for name, array in part.arrays.items()}
    others = {n: a for n, a in state.arrays.items() if n.split(".")[0] not in using and n not in ADDED}
    kept = align(State(state.sensor, others), grown.sensor, {n: blank(a) for n, a in others.items()})
    found.sort(key=lambda a: (a.sensor_id, a.started_at, a.detector, a.retrospective))
    return Detected(tuple(found), State(grown.sensor, {**kept.arrays, **arrays}))


def is_needed(detector: contract.Detector, table: SensorTable, part: State) -> bool:
    """Whether it can find anything: it looks at one of the sensors, or has found something that is not over."""
    set_ = [~np.isnan(getattr(table, name)) for name in detector.needs]
    return not set_ or bool(np.any(set_)) or bool(part.arrays[f"{EVENTS}open"].any())


def sort(columns: Columns, table: SensorTable, usable: Bool, apart: Bool, state: State) -> tuple[Kinds, Int64]:
    """How each reading is judged; and of each row of the state the regime that it begins with them, 0 = none."""
    heads = starts(columns.sensor)
    ids, counts = columns.sensor[heads], np.diff(np.append(heads, len(columns)))
    rows = np.searchsorted(state.sensor, ids)
    regime, since = table.regime[table.rows(ids)], np.asarray(state.arrays[SINCE], np.int64)[rows]
    behind = since < regime
    inside = (columns.at >= np.repeat(regime, counts)) | np.repeat(regime == 0, counts)
    anew = inside & np.repeat(behind, counts)
    strange = inside == np.repeat(behind, counts)
    kinds = Kinds(usable & ~apart & ~anew, usable & ~apart & anew, usable & apart & ~strange, usable & apart & strange)
    renewed = np.zeros(len(state.sensor), np.int64)
    begins = np.isin(ids, columns.sensor[kinds.anew])
    renewed[rows[begins]] = regime[begins]
    return kinds, renewed


def in_retrospect(
    detector: contract.Detector, columns: Columns, table: SensorTable, part: State, kinds: Kinds
) -> list[AnomalyFinding]:
    """The readings that are apart, on a copy of what was learned, or of nothing. What stands side by side was judged
    when its instant was over: one reading that comes later is not judged again."""
    if detector.by_machine:
        return []
    found, _ = judge(detector, columns.take(kinds.late), table, part, retrospective=True)
    if kinds.strange.any():
        nothing = cold(part.sensor, all_fields(detector))
        found += judge(detector, columns.take(kinds.strange), table, nothing, retrospective=True)[0]
    return found


def in_order(
    detector: contract.Detector,
    columns: Columns,
    table: SensorTable,
    part: State,
    frozen: Bool,
    kinds: Kinds,
    renewed: Int64,
) -> tuple[list[AnomalyFinding], State]:
    """Each sensor's readings up to the regime that begins with them, if one does, and those after it."""
    live, part = judge(detector, columns.take(kinds.live), table, part, frozen=frozen[kinds.live])
    ended, part = begin_anew(detector, part, renewed, all_fields(detector))
    begun, part = judge(detector, columns.take(kinds.anew), table, part, frozen=frozen[kinds.anew])
    return [*live, *ended, *begun], part


def together(
    detector: contract.Detector,
    columns: Columns,
    table: SensorTable,
    part: State,
    frozen: Bool,
    kinds: Kinds,
    renewed: Int64,
) -> tuple[list[AnomalyFinding], State]:
    """The same where the sensors of a machine are judged side by side: in one go, since of another sensor no regime
    begins; the detector forgets by itself, and here only the events are parted."""
    mine = kinds.live | kinds.anew
    if not mine.any():
        return [], part
    columns, anew = columns.take(mine), kinds.anew[mine]
    scores, part = score(detector, columns, table, part, frozen[mine])
    live, part = form(detector, columns, scores, np.flatnonzero(~anew), part)
    ended, part = begin_anew(detector, part, renewed, EVENT_FIELDS)
    begun, part = form(detector, columns, scores, np.flatnonzero(anew), part)
    return [*live, *ended, *begun], part


def begin_anew(
    detector: contract.Detector, part: State, regime: Int64, forgets: Fields
) -> tuple[list[AnomalyFinding], State]:
    """Forget these arrays of the rows that begin a regime; what was open in them ends with what went before."""
    rows = np.flatnonzero(regime)
    if not len(rows):
        return [], part
    ended = events.cut(named(part, EVENTS.rstrip(".")), rows, regime[rows])
    fresh = cold(part.sensor[rows], forgets)
    return [finding(detector, event, False) for event in ended], put(part, rows, fresh.arrays)


def blank(array: Array) -> tuple[type[np.generic], tuple[int, ...], float]:
    return array.dtype.type, array.shape[1:], 0.0


def all_fields(detector: contract.Detector) -> Fields:
    """The arrays of a detector and of its events, by the names they have within its part of the state."""
    whole = learned_by(detector) + "."
    return {whole + n: f for n, f in detector.fields.items()} | EVENT_FIELDS


def named(state: State, prefix: str) -> State:
    """The arrays whose name begins with the prefix and a dot, without it."""
    whole = prefix + "."
    return State(state.sensor, {n[len(whole) :]: a for n, a in state.arrays.items() if n.startswith(whole)})


def judge(
    detector: contract.Detector,
    columns: Columns,
    table: SensorTable,
    part: State,
    *,
    frozen: Bool | None = None,
    retrospective: bool = False,
) -> tuple[list[AnomalyFinding], State]:
    """One detector over readings of one kind: what it found, and its part of the state after them."""
    if not len(columns):
        return [], part
    still = np.zeros(len(columns), np.bool_) if frozen is None else frozen
    scores, part = score(detector, columns, table, part, still)
    return form(detector, columns, scores, np.arange(len(columns)), part, retrospective=retrospective)


def score(
    detector: contract.Detector, columns: Columns, table: SensorTable, part: State, frozen: Bool
) -> tuple[Scores, State]:
    """What a detector says of readings, and its part of the state when it has learned from them."""
    ids = distinct(columns.sensor)
    if detector.by_machine:
        machines = distinct(np.sort(table.machine[table.rows(ids)]))
        ids = table.sensor[np.isin(table.machine, machines)]
    whole = learned_by(detector)
    known = np.flatnonzero(np.isin(part.sensor, ids))
    here = named(part.take(known), whole)
    if len(known) < len(ids):
        here = align(here, ids, detector.fields)
    scores, learned = detector.judge(contract.block(columns, here), table.take(table.rows(ids)), here, frozen)
    rows = np.searchsorted(ids, part.sensor[known])
    return scores, put(part, known, {f"{whole}.{name}": array[rows] for name, array in learned.arrays.items()})


def form(
    detector: contract.Detector,
    columns: Columns,
    scores: Scores,
    index: Int64,
    part: State,
    *,
    retrospective: bool = False,
) -> tuple[list[AnomalyFinding], State]:
    """The events of some of the readings that were scored."""
    if not len(index):
        return [], part
    if len(index) < len(columns):
        columns, scores = columns.take(index), scores.take(index)
    ids = distinct(columns.sensor)
    rows = np.searchsorted(part.sensor, ids)
    before = cold(ids, events.FIELDS) if retrospective else named(part.take(rows), EVENTS.rstrip("."))
    formed, after = events.form(contract.block(columns, before), scores, before)
    found = [finding(detector, event, retrospective) for event in formed]
    return found, put(part, rows, {EVENTS + name: array for name, array in after.arrays.items()})


def learned_by(detector: contract.Detector) -> str:
    """Where a detector's arrays are. Another version of it starts cold; what is open stays, whoever opened it."""
    return f"learned.{detector.version}"


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
        contributors=event.contributors or ((event.sensor, 1.0),),
    )


def bound(value: float) -> float | None:
    return value if math.isfinite(value) else None
