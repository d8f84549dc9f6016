"""From target, period and proposal to the result: machine after machine, slice after slice. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents import version
from agents.backtests import history, machine, search
from agents.backtests.figures import Figures, Period, Window
from agents.backtests.history import Asked
from agents.backtests.machine import Replay, Setup, Side
from agents.findings import Quality
from mlops import detectors
from sensors import labels, series
from sensors.columns import DAY_US, to_instant
from sensors.models import Equipment, Sensor

PRESENT, PROPOSED, LIVE = "present", "proposed", "live"
Tell = Callable[[int, int], None]
"""Called after each slice with how many are done, and how many there are."""


class NoReadings(Exception):
    """Nothing is stored of the target in the period; the message says from when to when there is."""


@dataclass(slots=True)
class Count:
    """Readings of the period, and those of them that were not judged because they cannot be right."""

    readings: int = 0
    left_out: int = 0
    taught: int = 0


def run(asked: Asked, *, tell: Tell, slice_us: int = DAY_US) -> dict[str, Any]:
    """The result as JSON: figures of each side, of what the flow itself found, and what they rest on.

    Raises ``NoReadings``.
    """
    machines = [(one, its, history.span(its)) for one, its in asked.target.machines()]
    plan = [(one, its, list(history.slices(part, length=slice_us))) for one, its, part in _parts(asked, machines)]
    windows = history.windows(asked.target, asked.period)
    figures: dict[str, Figures] = defaultdict(Figures)
    count, done, total = Count(), 0, sum(len(slices) for _, _, slices in plan)
    versions: dict[str, dict[str, str]] = {}
    sought: dict[str, Any] = {}
    for one, its, slices in plan:
        sides = _sides(asked, one, its)
        replay = Replay(list(sides.values()))
        for part in slices:
            _judge(replay, part, asked.period, count)
            done += 1
            tell(done, total)
        mine = windows.get(one.pk, ())
        if asked.proposal.seek:
            sides, sought = _found(sides, asked.period, mine)
        found = {name: side.book.found() for name, side in sides.items()}
        found[LIVE] = history.live(one, asked.target.sensor, asked.period)
        for name, its_found in found.items():
            figures[name].add(its_found, asked.period, mine)
        versions = {n: {d.name: d.version for d in side.setup.using.values()} for n, side in sides.items()}
    if not count.readings:
        raise NoReadings(_nothing(asked, [part for *_, part in machines if part is not None]))
    return {
        "readings": count.readings,
        "left_out": count.left_out,
        "taught": count.taught,
        "machines": len(plan),
        "detectors": versions,
        "code": version.current(),
        **{name: one.as_json() for name, one in figures.items()},
        **({"sought": sought} if sought else {}),
    }


Known = list[tuple[Equipment, list[Sensor], Period | None]]


def _parts(asked: Asked, machines: Known) -> list[tuple[Equipment, list[Sensor], Period]]:
    """Of each machine that has readings, what of the period and the look-back they cover."""
    start, end = asked.period.start - asked.look_back, asked.period.end
    return [
        (one, its, Period(max(start, part.start), min(end, part.end)))
        for one, its, part in machines
        if part is not None and part.start < end and part.end > asked.period.start
    ]


def _nothing(asked: Asked, stored: list[Period]) -> str:
    if not stored:
        return f"{asked.target} has no readings."
    first, last = to_instant(min(one.start for one in stored)), to_instant(max(one.end for one in stored))
    return (
        f"{asked.target} has no readings in the period; its first is of {first:%Y-%m-%d %H:%M}, its last of "
        f"{last:%Y-%m-%d %H:%M} UTC."
    )


def _sides(asked: Asked, one: Equipment, its: list[Sensor]) -> dict[str, Side]:
    table, known = history.of_machine(one, its)
    setup = Setup(table, known, detectors.DETECTORS)
    if asked.proposal.seek:
        return search.sides(setup, present=PRESENT, typical=history.typical(its[0], asked.period))
    sides = {PRESENT: Side(setup)}
    if asked.proposal:
        sides[PROPOSED] = Side(machine.with_proposal(setup, asked.proposal))
    return sides


def _found(sides: dict[str, Side], period: Period, windows: Sequence[Window]) -> tuple[dict[str, Side], dict[str, Any]]:
    """As things are and with the best of what was tried, if any is better; and what was found."""
    outcomes = {
        name: search.outcome(
            float(side.setup.table.deadband[0]),
            [one for one in side.book.activations if one.raised_at in period],
            windows,
        )
        for name, side in sides.items()
    }
    now = outcomes.pop(PRESENT)
    best = search.choose(now, list(outcomes.values()))
    kept = {PRESENT: sides[PRESENT]}
    if best is not None:
        kept[PROPOSED] = next(sides[name] for name, one in outcomes.items() if one is best)
    return kept, search.as_json(sides[PRESENT].setup.table, now, list(outcomes.values()), best)


def _judge(replay: Replay, part: Period, period: Period, count: Count) -> None:
    table = replay.sides[0].setup.table
    readings = series.raw(table.sensor.tolist(), start=part.start, end=part.end)
    if not len(readings):
        return
    rows = table.rows(readings.sensor)
    until = table.fault_until[rows]
    in_fault = labels.in_fault(readings, machine=table.machine[rows], until=until, as_known_then=True)
    validated = replay.take(readings, in_fault)
    counts = (readings.at >= period.start) & (readings.at < period.end)
    count.readings += int(counts.sum())
    count.taught += int((~counts).sum())
    count.left_out += int((counts & (validated.quality == np.uint8(Quality.BAD))).sum())
