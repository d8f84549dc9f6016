"""How well a sick sensor is told from a sick machine (P4): ``make bench-faults``.

Clean stretches of real series (SKAB's file without anomalies, the open NAB series up to their first label, the water
flow) get one injected fault each, of the sensor or of the machine, and go through ``validate`` and ``detect`` as they
do live, block by block with what is remembered carried on. What the same stretch shows without the fault does not
count. The labelled anomalies of NAB and of SKAB's valve are machine faults too, as they stand.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents import detect, judge_file, validate
from agents import water_flow as flow
from agents.findings import AnomalyFinding, SensorFault
from mlops.state import State
from sensors import columns
from sensors.columns import Columns, Float64, Int64
from sensors.connectors import csv as files
from tests.bench import detectors, results
from tests.bench.results import row

BLOCK, FEW = 250, 10
SEEDS = (1, 2, 3)
MOST, LEAST = 4000, 1800
AT = 0.7
LENGTH = 500
SECOND = columns.SECOND_US
WEEK = 168 * 3600 * SECOND
OWN_NOISE = 0.05
"""Of the series' spread: what redundant sensors of it differ by."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A clean stretch of one series. ``period``: usual microseconds between readings."""

    source: str
    name: str
    at: Int64
    value: Float64
    period: int

    @property
    def onset(self) -> int:
        return int(AT * len(self.at))

    @property
    def spread(self) -> float:
        """Before the fault: half of what its middle 68 % take up, or its deviation where that is nothing."""
        known = self.value[: self.onset]
        low, high = np.quantile(known, [0.16, 0.84])
        return float((high - low) / 2 or known.std() or 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """Readings of S sensors as they arrive. ``value``, ``at``, ``received``: (S, n); ``there``: which were sent."""

    value: Float64
    at: Int64
    received: Int64
    there: columns.Bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the flow said of a case, live."""

    faults: tuple[SensorFault, ...]
    anomalies: tuple[AnomalyFinding, ...]


Injection = Callable[[Stretch, np.random.Generator], Case]


# The live path


def judge(case: Case, period: int, *, redundant: bool = False, block: int = BLOCK, max_rate: float = np.nan) -> Found:
    """Validate and detect, in blocks of arrival; what is stored already is looked up as the stage does."""
    sensors, n = case.value.shape
    table = replace(
        judge_file.unconfigured(sensors), period=np.full(sensors, period), lateness=np.full(sensors, 300 * SECOND)
    )
    table = replace(table, max_rate=np.full(sensors, max_rate))
    if redundant:
        table = replace(table, group=np.ones(sensors, np.int64), declared=np.ones(sensors, np.bool_))
    memory = learned = State(np.empty(0, np.int64), {})
    stored: dict[tuple[int, int], float] = {}
    faults: dict[Any, SensorFault] = {}
    anomalies: dict[Any, AnomalyFinding] = {}
    ids = np.arange(1, sensors + 1)
    for first in range(0, n, block):
        part = slice(first, first + block)
        there = case.there[:, part].ravel()
        count = case.at[:, part].shape[1]
        sent = Columns(np.repeat(ids, count), case.at[:, part].ravel(), case.value[:, part].ravel(),
                        np.arange(sensors * count, dtype=np.int32)).take(there)  # fmt: skip
        received = case.received[:, part].ravel()[there]
        order = np.lexsort((sent.at, sent.sensor))
        sent, received = sent.take(order), received[order]
        before = np.array([stored.get(key, np.nan) for key in zip(sent.sensor.tolist(), sent.at.tolist(), strict=True)])
        fresh = np.isnan(before)
        clashes, mine = sent.take(~fresh & (sent.value != before)), sent.take(fresh)
        said = validate.validate(columns=mine, table=table, memory=memory, received=received[fresh], clashes=clashes)
        for sensor, at, value, kept in zip(
            mine.sensor.tolist(), mine.at.tolist(), mine.value.tolist(), said.keep, strict=True
        ):
            if kept:
                stored[sensor, at] = value
        memory = said.memory
        shown = detect.detect(columns=mine, table=table, quality=said.quality, reason=said.reason, late=said.late,
                              keep=said.keep, state=learned)  # fmt: skip
        learned = shown.state
        faults |= {(f.sensor_id, f.kind, f.started_at): f for f in said.faults if not f.retrospective}
        anomalies |= {(a.sensor_id, a.detector, a.started_at): a for a in shown.anomalies if not a.retrospective}
    return Found(tuple(faults.values()), tuple(anomalies.values()))


def plain(stretch: Stretch, value: Float64 | None = None) -> Case:
    """A sensor alone, each reading received a second after it was measured."""
    shown = (stretch.value if value is None else value)[None, :]
    return Case(shown, stretch.at[None, :], stretch.at[None, :] + SECOND, np.ones(shown.shape, np.bool_))


def several(stretch: Stretch, count: int, dice: np.random.Generator) -> Case:
    """Sensors of the same thing: each with noise and an offset of its own."""
    noise = dice.normal(0, OWN_NOISE * stretch.spread, (count, len(stretch.at)))
    value = stretch.value + noise + stretch.spread * dice.normal(0, 0.5, (count, 1))
    at = np.tile(stretch.at, (count, 1))
    return Case(value, at, at + SECOND, np.ones(value.shape, np.bool_))


# What is injected


def during(stretch: Stretch) -> slice:
    return slice(stretch.onset, stretch.onset + LENGTH)


def changed(stretch: Stretch, change: Callable[[Float64], Float64]) -> Case:
    """The readings of the fault changed by a function."""
    value = stretch.value.copy()
    value[during(stretch)] = change(value[during(stretch)])
    return plain(stretch, value)


def stuck(stretch: Stretch, dice: np.random.Generator) -> Case:
    return changed(stretch, lambda value: np.full(len(value), value[0]))


def spikes(size: float) -> Injection:
    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        def change(value: Float64) -> Float64:
            value = value.copy()
            value[dice.choice(len(value), 5, replace=False)] += size * stretch.spread * dice.choice([-1, 1])
            return value

        return changed(stretch, change)

    return inject


def gap(periods: int) -> Injection:
    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        case = plain(stretch)
        case.there[0, stretch.onset : stretch.onset + periods] = False
        return case

    return inject


def to_zero(stretch: Stretch, dice: np.random.Generator) -> Case:
    return changed(stretch, np.zeros_like)


def clipped(gain: float) -> Injection:
    """The signal grows until the sensor's end, a twentieth of its range above what it showed before, cuts it off."""

    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        known = stretch.value[: stretch.onset]
        middle, end = float(np.median(known)), float(known.max() + 0.05 * np.ptp(known))
        return changed(stretch, lambda value: np.minimum(middle + gain * (value - middle), end))

    return inject


def at_the_end(stretch: Stretch, dice: np.random.Generator) -> Case:
    known = stretch.value[: stretch.onset]
    return changed(stretch, lambda value: np.full(len(value), known.max() + 0.5 * np.ptp(known)))


def unit(a: float, b: float = 0.0) -> Injection:
    return lambda stretch, dice: changed(stretch, lambda value: a * value + b)


def drift(sizes: float, count: int) -> Injection:
    """One of ``count`` redundant sensors creeps away by so many spreads."""

    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        case = several(stretch, count, dice)
        part = case.value[0, during(stretch)]
        part += np.linspace(0, sizes * stretch.spread, len(part))
        return case

    return inject


def pace(factor: float) -> Injection:
    """The clock runs so many times as fast as it should; readings arrive as ever."""

    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        case = plain(stretch)
        at = stretch.at.copy()
        at[stretch.onset :] = at[stretch.onset] + ((at[stretch.onset :] - at[stretch.onset]) * factor).astype(np.int64)
        received = np.maximum(stretch.at, at) + SECOND if factor > 1 else stretch.at + SECOND
        return replace(case, at=at[None, :], received=received[None, :])

    return inject


def jump(seconds: float) -> Injection:
    """The clock is set forward (no more than is taken) or back."""

    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        case = plain(stretch)
        at = stretch.at.copy()
        at[during(stretch)] += int(seconds * SECOND) if seconds > 0 else int(-40.4 * stretch.period)
        return replace(case, at=at[None, :])

    return inject


def stands(stretch: Stretch, dice: np.random.Generator) -> Case:
    case = plain(stretch)
    at = stretch.at.copy()
    at[during(stretch)] = at[stretch.onset]
    return replace(case, at=at[None, :])


def shared(sizes: float, *, ramp: bool, count: int = 3) -> Injection:
    """The machine itself: all redundant sensors show it."""

    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        case = several(stretch, count, dice)
        n = case.value[:, during(stretch)].shape[1]
        case.value[:, during(stretch)] += stretch.spread * (np.linspace(0, sizes, n) if ramp else sizes)
        return case

    return inject


def variance(factor: float) -> Injection:
    def inject(stretch: Stretch, dice: np.random.Generator) -> Case:
        def change(value: Float64) -> Float64:
            return value + dice.normal(0, 1, len(value)) * np.linspace(0, factor * stretch.spread, len(value))

        return changed(stretch, change)

    return inject


def shift(sizes: float) -> Injection:
    return lambda stretch, dice: changed(stretch, lambda value: value + sizes * stretch.spread)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. ``right``: what a fault of the sensor may be told as, nothing where it is the machine's;
    ``rated``: with a ``max_rate`` of one and a half times what the sensor showed before; ``block``: readings a Run."""

    name: str
    inject: Injection
    right: frozenset[str] = frozenset()
    redundant: bool = False
    rated: bool = False
    block: int = BLOCK
    seeds: tuple[int, ...] = SEEDS[:1]

    @property
    def whose(self) -> str:
        return "sensor" if self.right else "machine"


STUCK, JUMP = frozenset({"STUCK", "SATURATION"}), frozenset({"SPIKE", "RATE_OF_CHANGE"})
RAIL, UNIT, CLOCK = frozenset({"SATURATION"}), frozenset({"UNIT_CHANGE"}), frozenset({"CLOCK"})
DRIFT, GAP = frozenset({"DRIFT"}), frozenset({"GAP"})
KINDS = (
    Kind("stuck", stuck, STUCK),
    Kind("spikes of 5 spreads", spikes(5), JUMP, seeds=SEEDS),
    Kind("spikes of 20 spreads", spikes(20), JUMP, seeds=SEEDS),
    Kind("spikes of 5 spreads, rate set", spikes(5), JUMP, rated=True, seeds=SEEDS),
    Kind("spikes of 20 spreads, rate set", spikes(20), JUMP, rated=True, seeds=SEEDS),
    Kind("drop-out of 30 readings", gap(30), GAP),
    Kind("drop-out to zero", to_zero, STUCK),
    Kind("saturation, gain 2", clipped(2), RAIL),
    Kind("saturation, gain 4", clipped(4), RAIL),
    Kind("at the end of the scale", at_the_end, STUCK),
    Kind("unit x 1,000", unit(1000), UNIT),
    Kind("unit bar to psi", unit(14.503774), UNIT),
    Kind("unit degrees C to F", unit(1.8, 32), UNIT),
    Kind("unit mm to in", unit(1 / 25.4), UNIT),
    Kind("drift of 2 spreads, one of three", drift(2, 3), DRIFT, redundant=True, seeds=SEEDS),
    Kind("drift of 5 spreads, one of three", drift(5, 3), DRIFT, redundant=True, seeds=SEEDS),
    Kind("drift of 5 spreads, one of two", drift(5, 2), DRIFT, redundant=True, seeds=SEEDS),
    Kind("clock at half its pace", pace(0.5), CLOCK),
    Kind("clock at twice its pace", pace(2.0), CLOCK),
    Kind("clock 4 min ahead", jump(240), CLOCK),
    Kind("clock set back by 40 periods", jump(-1), CLOCK, block=FEW),
    Kind("clock stands still", stands, CLOCK, block=FEW),
    Kind("shift of 3 spreads", shift(3)),
    Kind("shift of 10 spreads", shift(10)),
    Kind("growing variance, to 5 spreads", variance(5), seeds=SEEDS),
    Kind("shift of 5 spreads, all of three", shared(5, ramp=False), redundant=True, seeds=SEEDS),
    Kind("creeping by 5 spreads, all of three", shared(5, ramp=True), redundant=True, seeds=SEEDS),
)


# The series


def read_nab() -> Iterator[tuple[str, Int64, Float64, list[tuple[int, int]]]]:
    folder = results.DATA / "nab"
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text()) if folder.exists() else {}
    for path in sorted(folder.glob("data/*/*.csv")):
        at, value = detectors.series(path, column="value", time_column="timestamp")
        name = f"{path.parent.name}/{path.name}"
        yield name, at, value, [(detectors.instant(a), detectors.instant(b)) for a, b in labels.get(name, [])]


def read_skab(path: Any) -> tuple[Int64, dict[str, Float64], columns.Bool]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    at, first = np.unique(
        np.array([one["datetime"] for one in rows], "datetime64[us]").astype(np.int64), return_index=True
    )
    names = [name for name in rows[0] if name not in {"datetime", "anomaly", "changepoint"}]
    value = {name: np.array([float(one[name]) for one in rows])[first] for name in names}
    return at, value, np.array([float(one.get("anomaly") or 0) > 0 for one in rows])[first]


def stretches() -> Iterator[Stretch]:
    path = results.DATA / "skab" / "anomaly-free" / "anomaly-free.csv"
    if path.exists():
        at, value, _ = read_skab(path)
        for name, mine in value.items():
            yield stretch("SKAB", name, at, mine)
    for name, at, mine, windows in read_nab():
        end = min([start for start, _ in windows], default=at[-1] + 1)
        yield stretch("NAB", name, at[at < end], mine[at < end])
    layout = files.inspect(flow.path(), zone=ZoneInfo("Europe/Rome"))
    at, mine = detectors.series(flow.path(), column=layout.value_columns[0], time_column=layout.time_column)
    yield stretch("water flow", "flow", at, mine)


def stretch(source: str, name: str, at: Int64, value: Float64) -> Stretch:
    period = int(np.median(np.diff(at)) // SECOND * SECOND)
    return Stretch(source, name, at[:MOST], value[:MOST], period)


# What is counted

WORDS = ("sensor", "both", "machine", "nothing")
"""Whom the flow calls sick."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one case: the kinds of sensor fault and of anomaly that were not there without the fault."""

    faults: frozenset[str]
    anomalies: frozenset[str]

    @property
    def word(self) -> str:
        if self.faults:
            return "both" if self.anomalies else "sensor"
        return "machine" if self.anomalies else "nothing"


def outcome(found: Found, calm: Found, since: int, only: int | None = None) -> Outcome:
    """``since``: what began before is not counted, but for faults of a clock, whose stamps say nothing."""
    known = {(f.sensor_id, f.kind, f.started_at) for f in calm.faults}
    usual = {(a.sensor_id, a.started_at) for a in calm.anomalies}
    faults = {
        str(f.kind)
        for f in found.faults
        if (f.sensor_id, f.kind, f.started_at) not in known and (f.last_at >= since or f.kind == "CLOCK")
    }
    anomalies = {a.kind for a in found.anomalies if a.last_at >= since and (a.sensor_id, a.started_at) not in usual}
    return Outcome(frozenset(faults), frozenset(anomalies))


def injected(given: Sequence[Stretch], kinds: Sequence[Kind]) -> Iterator[tuple[Kind, list[Outcome]]]:
    """What came of each case of each kind, beside the same readings without it."""
    calm: dict[Any, Found] = {}
    for kind in kinds:
        outcomes = []
        for place, one in enumerate(given):
            fast = 1.5 * float(np.abs(np.diff(one.value) / np.diff(one.at) * SECOND)[: one.onset - 1].max())
            rate = fast if kind.rated else np.nan
            for seed in kind.seeds:
                case = kind.inject(one, np.random.default_rng((seed, place)))
                key = (place, seed if kind.redundant else 0, len(case.value), kind.rated, kind.block)
                if key not in calm:
                    dice = np.random.default_rng((seed, place))
                    clean = several(one, len(case.value), dice) if kind.redundant else plain(one)
                    calm[key] = judge(clean, one.period, redundant=kind.redundant, block=kind.block, max_rate=rate)
                found = judge(case, one.period, redundant=kind.redundant, block=kind.block, max_rate=rate)
                outcomes.append(outcome(found, calm[key], int(one.at[one.onset])))
        yield kind, outcomes


def labelled() -> Iterator[tuple[Kind, list[Outcome]]]:
    """The anomalies that others labelled: whether each was called the machine's or the sensor's."""
    nab: list[Outcome] = []
    for name, at, value, windows in read_nab():
        if windows:
            one = Stretch("NAB", name, at, value, int(np.median(np.diff(at)) // SECOND * SECOND))
            found = judge(plain(one), one.period)
            nab += [within(found, window) for window in windows]
    yield Kind("NAB, labelled windows", shift(0)), nab
    rig: list[Outcome] = []
    for path in sorted((results.DATA / "skab").glob("valve1/*.csv")):
        at, values, truth = read_skab(path)
        value = np.array(list(values.values()))
        several_at = np.tile(at, (len(value), 1))
        case = Case(value, several_at, several_at + SECOND, np.ones(value.shape, np.bool_))
        rig.append(within(judge(case, SECOND), (int(at[truth][0]), int(at[truth][-1]))))
    yield Kind("SKAB valve, labelled files", shift(0)), rig


def within(found: Found, window: tuple[int, int]) -> Outcome:
    faults = {str(f.kind) for f in found.faults if f.started_at <= window[1] and f.last_at >= window[0]}
    anomalies = {a.kind for a in found.anomalies if a.started_at <= window[1] and a.last_at >= window[0]}
    return Outcome(frozenset(faults), frozenset(anomalies))


def clean(given: Sequence[Stretch]) -> Iterator[dict[str, Any]]:
    """What is called a fault of the sensor where nothing was injected."""
    for source in dict.fromkeys(one.source for one in given):
        mine = [one for one in given if one.source == source]
        told: Counter[str] = Counter()
        for one in mine:
            told.update(str(f.kind) for f in judge(plain(one), one.period).faults)
        weeks = sum(int(one.at[-1] - one.at[0]) for one in mine) / WEEK
        detail = f"{weeks:.2f} sensor-weeks: " + (", ".join(f"{kind} {n}" for kind, n in told.most_common()) or "none")
        yield row(f"clean, {source}: sensor faults", sum(told.values()) / weeks, "a sensor and week", detail=detail)


def speed() -> Iterator[dict[str, Any]]:
    """Readings a second of ``validate`` alone, in this process, of sensors by fours at a measuring point or alone."""
    dice, sensors, readings = np.random.default_rng(1), 1000, 100
    ids = np.arange(1, sensors + 1)
    alone = replace(judge_file.unconfigured(sensors), period=np.full(sensors, SECOND))
    fours = replace(alone, group=np.arange(sensors) // 4 + 1, declared=np.ones(sensors, np.bool_))
    for name, table in (("alone", alone), ("by fours at a measuring point", fours)):
        memory, took = State(np.empty(0, np.int64), {}), []
        for block in range(12):
            at = (np.arange(readings) + block * readings) * SECOND
            value = dice.normal(20, 1, sensors * readings).round(2)
            given = Columns(np.repeat(ids, readings), np.tile(at, sensors), value, np.zeros(len(value), np.int32))
            began = time.perf_counter()
            memory = validate.validate(columns=given, table=table, memory=memory).memory
            took.append(time.perf_counter() - began)
        rate = sensors * readings / float(np.median(took[2:]))
        yield row(f"speed of validate: {sensors} sensors x {readings}, {name}", rate, "readings/s")


def report(every: Sequence[tuple[Kind, list[Outcome]]]) -> list[dict[str, Any]]:
    """Print the table; the same as rows."""
    rows: list[dict[str, Any]] = []
    table = [["sick is", "fault", "cases", *(f"{word}, %" for word in WORDS), "right kind, %", "told as"]]
    for kind, outcomes in every:
        if not outcomes:
            continue
        whose, name, n = kind.whose, kind.name, len(outcomes)
        share = {word: 100 * sum(one.word == word for one in outcomes) / n for word in WORDS}
        right = 100 * sum(bool(one.faults & kind.right) for one in outcomes) / n
        told = Counter(fault for one in outcomes for fault in one.faults)
        words = ", ".join(f"{fault} {count}" for fault, count in told.most_common())
        shown = f"{right:.0f}" if kind.right else ""
        table.append([f"the {whose}", name, str(n), *(f"{one:.0f}" for one in share.values()), shown, words])
        rows += [
            row(f"{whose}: {name}: called {word}", one, "% of the cases", detail=words) for word, one in share.items()
        ]
        if kind.right:
            rows.append(row(f"{whose}: {name}: of the right kind", right, "% of the cases"))
    results.wide(table)
    for whose, wrong, other in (("sensor", "machine", "the machine"), ("machine", "sensor", "the sensor")):
        mine = [one for kind, outcomes in every if kind.whose == whose for one in outcomes]
        if mine:
            called, beside = (100 * sum(one.word == word for one in mine) / len(mine) for word in (wrong, "both"))
            rows.append(row(f"fault of the {whose}: only {other} called sick", called, "% of the cases"))
            rows.append(row(f"fault of the {whose}: both called sick", beside, "% of the cases"))
    return rows


def main() -> int:
    given = [one for one in stretches() if len(one.at) >= LEAST or one.source == "water flow"]
    if len(given) == 1:
        sys.stdout.write(f"SKAB and NAB are left out: not at hand ({results.DATA}).\n")
    rows = report([*injected(given, KINDS), *labelled()])
    rows += [*clean(given), *speed()]
    results.show([one for one in rows if not one["name"].startswith(("sensor:", "machine:"))])
    results.keep("faults", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
