"""What each stage loads before its pure middle, and what it commits after it.

A step does the loading and the work, with no transaction open, and returns a ``Finish``: changes of the run's row,
what to write in the finishing transaction, and what to do after it. With ``only`` it works on some of the run's units
and nothing else: that is how quarantine finds the one that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.db.models import Q, Sum
from numpy.typing import NDArray

from agents import cargo as cargos
from agents import (
    causes,
    dead_letters,
    decide,
    detect,
    failpoints,
    failures,
    ingest,
    measures,
    notify,
    outcomes,
    running,
    sighted,
    validate,
)
from agents.cargo import Verdicts
from agents.doorbell import Bell
from agents.findings import Quality, Reason, Validated
from agents.ingest import Cargo
from agents.models import Run
from maintenance import (
    alarms,
    anomalies,
    digests,
    floods,
    hidden,
    notifications,
    operating,
    operating_hides,
    situations,
)
from mlops import machine_states
from mlops.state import State
from sensors import columns, labels, presence, roster, store
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable
from sensors.models import BatchPart

MOST_PARTS = 50_000
"""Of a run: each is a row to change, whatever is in it."""
Kind = TypeVar("Kind", bound=np.generic)
Units = Collection[int] | None


class PartsTaken(RuntimeError):
    """Parts that were waiting a moment ago are no more: somebody changed them by hand."""


def _no_bells() -> tuple[Bell, ...]:
    return ()


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Finish:
    """How a stage ends. ``commit`` runs inside the finishing transaction, ``after`` behind it."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    commit: Callable[[], tuple[Bell, ...]] = _no_bells
    after: Callable[[], None] = _nothing


def parts_to_take(run: Run) -> list[int]:
    """The parts a new run takes: from the oldest in its lanes on, as many as stay within the budget of readings."""
    waiting = BatchPart.objects.filter(lane__gte=run.lane, lane__lt=run.lane + run.lanes, state=BatchPart.State.WAITING)
    sizes = list(waiting.order_by("id").values_list("id", "readings")[:MOST_PARTS])
    count = ingest.within_budget([readings for _, readings in sizes], budget=settings.RUN_MAX_READINGS)
    return [part for part, _ in sizes[:count]]


def units_of(run: Run) -> list[int]:
    """What the run's stage can be divided into: parts where it reads them, then machines; none where neither."""
    if run.stage == Run.Stage.NOTIFY:
        return []
    if run.stage == Run.Stage.DECIDE:
        return sorted(int(machine) for machine in run.findings["clocks"])
    return list(BatchPart.objects.filter(run_id=run.pk).order_by("id").values_list("id", flat=True))


def piece_of(run: Run, units: Collection[int]) -> dict[str, Any]:
    """The fields of a run that carries only these of the run's units on from the same stage."""
    if run.stage == Run.Stage.DECIDE:
        clocks = {str(machine): run.findings["clocks"][str(machine)] for machine in units}
        return {"findings": run.findings | {"clocks": clocks}}
    readings = BatchPart.objects.filter(pk__in=units).aggregate(total=Sum("readings"))["total"] or 0
    if run.stage != Run.Stage.DETECT:
        return {"readings": readings}
    mine = cargos.of_parts(cargos.get(run), units)
    return {"readings": readings, "verdicts": cargos.unpack_verdicts(bytes(run.verdicts)).take(mine).pack()}


def ingest_step(run: Run, attempt: int, only: Units = None) -> Finish:
    mine = BatchPart.objects.filter(run_id=run.pk)
    owned = list(mine.order_by("id").values_list("id", flat=True))  # of a run that was in quarantine or is replayed
    packed = cargos.packed(BatchPart.objects.filter(pk__in=only or owned or parts_to_take(run)))
    decoded = [ingest.decode(part) for part in packed]
    most = ingest.within_days(decoded, most=settings.INGEST_MAX_DAYS)
    packed, decoded = packed[:most], decoded[:most]
    known = roster.table(ingest.sensors(decoded)).sensor
    refused = {refusal.part_id: refusal.reason for refusal in ingest.refusals(packed, decoded, known=known)}
    cargo = ingest.order(packed, decoded, without=refused)
    failpoints.taste(run.stage, cargo.columns.value)
    kept = [part for part in packed if part.id not in refused]
    taken = [part.id for part in kept]
    if owned and refused and not taken:
        raise failures.Refused("; ".join(refused.values()))

    def commit() -> tuple[Bell, ...]:
        free = Q(state=BatchPart.State.WAITING) | Q(run_id=run.pk)
        change = {"state": BatchPart.State.TAKEN, "run_id": run.pk}
        if BatchPart.objects.filter(free, pk__in=taken).update(**change) != len(taken):
            raise PartsTaken(str(run))
        for part_id, reason in refused.items():
            verdict = failures.judge(failures.Refused(reason), stage=run.stage, attempt=attempt)
            dead_letters.split_off(run, parts=[part_id], verdict=verdict, fields={"readings": 0})
        mine.filter(pk__in=owned).exclude(pk__in=taken).update(state=BatchPart.State.WAITING, run_id=None)
        return ()

    gathered = causes.gather(part.cause for part in kept if part.cause is not None)
    return Finish({"readings": len(cargo.part), "gathered": gathered}, commit, lambda: cargos.put(run, cargo))


def validate_step(run: Run, attempt: int, only: Units = None) -> Finish:
    cargo = cargos.get(run, only=only)
    failpoints.taste(run.stage, cargo.columns.value)
    table = roster.table(columns.distinct(cargo.columns.sensor))
    memory, _ = machine_states.load(np.unique(table.machine).tolist(), part="memory", added=validate.FIELDS)
    stored = _stored_before(cargo, memory, everything=attempt > 1)
    fresh = np.isnan(stored)
    validated = validate.validate(
        columns=cargo.columns.take(fresh),
        table=table,
        memory=memory,
        received=cargos.received(cargo)[fresh],
        clashes=cargo.columns.take(~fresh & (cargo.columns.value != stored)),
    )
    verdicts = _spread(fresh, validated)
    results = outcomes.settle(cargo, stored=stored, keep=verdicts.keep)
    kept = cargo.columns.take(verdicts.keep)
    good = _good_in_order(cargo, verdicts)
    watched = table.sensor[table.period > 0]
    said = running.words(
        cargo.columns, table, keep=verdicts.keep, quality=verdicts.quality, reason=verdicts.reason, late=verdicts.late
    )
    store.make_partitions(store.days_of(kept))

    def commit() -> tuple[Bell, ...]:
        presence.heard(cargo.columns, part=cargo.part, watched=watched)
        store.insert(kept, quality=verdicts.quality[verdicts.keep], reason=verdicts.reason[verdicts.keep])
        outcomes.write(results)
        machine_states.save(validated.memory, machine_of=_machine_of(table), part="memory", run_id=run.place)
        anomalies.record([sighted.fault(found) for found in validated.faults], run_id=run.pk)
        anomalies.close_faults(good)
        operating.hear(said)
        return ()

    return Finish({"verdicts": verdicts.pack()}, commit)


def _stored_before(cargo: Cargo, memory: State, *, everything: bool) -> Float64:
    """Value stored at each key, NaN where none is. Only what is not newer than the newest can be there already; a
    second attempt trusts nothing and looks all up."""
    sensor, at = cargo.columns.sensor, cargo.columns.at
    doubtful = np.full(len(at), everything)
    if len(memory.sensor) and not everything:
        heads = columns.starts(sensor)
        place = np.searchsorted(memory.sensor, sensor[heads]).clip(max=len(memory.sensor) - 1)
        known = (memory.sensor[place] == sensor[heads]) & memory.arrays["seen"][place].astype(np.bool_)
        newest = np.where(known, memory.arrays["newest"][place], np.iinfo(np.int64).min)
        doubtful = at <= np.repeat(newest, np.diff(np.append(heads, len(at))))
    stored = np.full(len(at), np.nan)
    stored[doubtful] = store.stored_values(sensor[doubtful], at[doubtful])
    return stored


def _good_in_order(cargo: Cargo, verdicts: Verdicts) -> Columns:
    """The readings that are good and in order, by sensor and instant."""
    in_order = ~verdicts.late & (verdicts.reason != Reason.OUT_OF_ORDER)
    return cargo.columns.take(verdicts.keep & in_order & (verdicts.quality == Quality.GOOD))


def _spread(fresh: Bool, validated: Validated) -> Verdicts:
    """The verdicts on the fresh readings, at their places among all readings of the cargo."""

    def at_places(values: NDArray[Kind]) -> NDArray[Kind]:
        spread = np.zeros(len(fresh), values.dtype)
        spread[fresh] = values
        return spread

    return Verdicts(
        at_places(validated.keep), at_places(validated.quality), at_places(validated.reason), at_places(validated.late)
    )


def _machine_of(table: SensorTable) -> dict[int, int]:
    return dict(zip(table.sensor.tolist(), table.machine.tolist(), strict=True))


def detect_step(run: Run, attempt: int, only: Units = None) -> Finish:
    cargo, verdicts = cargos.get(run), cargos.unpack_verdicts(bytes(run.verdicts))
    if only is not None:
        mine = cargos.of_parts(cargo, only)
        cargo, verdicts = cargos.take(cargo, mine), verdicts.take(mine)
    failpoints.taste(run.stage, cargo.columns.value)
    table = roster.table(columns.distinct(cargo.columns.sensor))
    machines = np.unique(table.machine).tolist()
    learned, seen = machine_states.load(machines, part="learned", added=detect.ADDED)
    rows = table.rows(cargo.columns.sensor)
    machine = table.machine[rows]
    frozen = np.zeros(len(machine), np.bool_)
    for alarmed, since in situations.alarmed(machines).items():
        frozen |= (machine == alarmed) & (cargo.columns.at >= columns.from_instant(since))
    frozen |= _not_as_usual(cargo.columns, machine=machine)
    frozen |= labels.in_fault(cargo.columns, machine=machine, until=table.fault_until[rows])
    newest = run.place - run.was_aside  # of what may have been judged before it
    overtaken = np.isin(machine, [m for m, last in seen.items() if last > newest])  # a replay comes late (P3)
    late = verdicts.late | overtaken
    detected = detect.detect(
        columns=cargo.columns,
        table=table,
        quality=verdicts.quality,
        reason=verdicts.reason,
        late=late,
        keep=verdicts.keep,
        frozen=frozen,
        state=learned,
    )
    in_order = verdicts.keep & ~late
    clocks = {int(m): int(cargo.columns.at[in_order & (machine == m)].max()) for m in np.unique(machine[in_order])}
    told = {str(int(m)): clocks.get(int(m)) for m in np.unique(machine)}

    def commit() -> tuple[Bell, ...]:
        anomalies.record([sighted.anomaly(found) for found in detected.anomalies], run_id=run.pk)
        machine_states.save(detected.state, machine_of=_machine_of(table), part="learned", run_id=run.place)
        return ()

    return Finish({"findings": {"clocks": told}}, commit)


def _not_as_usual(readings: Columns, *, machine: Int64) -> Bool:
    """Of each of n readings, whether its machine (array of length n) was out of service, or suppressed by design, when
    it was measured."""
    found = np.zeros(len(readings), np.bool_)
    if not len(readings):
        return found
    first, last = (columns.to_instant(int(at)) for at in (readings.at.min(), readings.at.max()))
    for worked_on, begin, end in hidden.not_as_usual(np.unique(machine).tolist(), first=first, last=last):
        mine = (machine == worked_on) & (readings.at >= columns.from_instant(begin))
        found |= mine if end is None else mine & (readings.at <= columns.from_instant(end))
    return found


def decide_step(run: Run, attempt: int, only: Units = None) -> Finish:
    clocks = {int(machine): clock for machine, clock in run.findings["clocks"].items()}
    if only is not None:
        clocks = {machine: clocks[machine] for machine in only}
    told: list[int] = []
    decide.decide(alarms.situations(clocks, clocks=clocks))  # what cannot be decided fails before anything is locked

    def commit() -> tuple[Bell, ...]:
        fresh = alarms.situations(clocks, clocks=clocks, lock=True)
        told.extend(alarms.apply(decide.decide(fresh), run_id=run.pk))
        operating_hides.end_passed(fresh)
        return ()

    return Finish(commit=commit, after=lambda: measures.alarms_of(run.pk) if told else None)


def notify_step(run: Run, attempt: int, only: Units = None) -> Finish:
    waiting = notifications.pending(run.pk)
    rows = notify.notify(waiting.transitions, waiting.recipients)

    def commit() -> tuple[Bell, ...]:
        ids = notifications.create(rows, run_id=run.pk)
        if floods.begin(transition.site_id for transition in waiting.transitions):
            ids = digests.hold_together(ids)
        return tuple(Bell("deliver", row) for row in ids)

    return Finish(commit=commit, after=lambda: cargos.drop(run))
