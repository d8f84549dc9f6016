"""Alarms on real data, of naive limits beside ours: ``make bench-alarms``.

Naive limits are what a plant without anything else sets: the mean of the training part and three of its standard
deviations to both sides, an alarm for each sensor and side, no delay and no deadband. Ours are the shipped detectors,
whose findings go through decide: an alarm for each machine and failure mode. Once with nothing configured, once with
the same limits, and once with these, a deadband of one standard deviation and a minute's delays. Nobody acknowledges.

Only what comes after the training part counts. A fault is found where an alarm becomes active in its window: one that
is always on finds nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents import decide
from maintenance import failure_modes, isa182
from maintenance.alarm_life import PRIORITIES, Condition, Situation
from maintenance.isa182 import NEVER, Activations
from mlops import detectors
from sensors.columns import DAY_US, SECOND_US, Bool, Float64, Int64, SensorTable
from tests.bench import judging, nab, nab_scoring, results, skab
from tests.bench.results import row

SIGMAS = 3.0
DELAY = 60 * SECOND_US
MANY, LONGEST = 1_000_000, 5.0
NAIVE, PLAIN, LIMITS, TUNED = "naive limits", "ours", "ours, same limits", "ours, same limits, deadband and delays"
GROUPS = {
    "NAB ambient temperature": "realKnownCause/ambient_temperature_system_failure.csv",
    "NAB machine temperature": "realKnownCause/machine_temperature_system_failure.csv",
    "NAB servers": "realAWSCloudwatch/",
}
KINDS = {
    "Accelerometer": "VIBRATION", "Current": "CURRENT", "Pressure": "PRESSURE", "Temperature": "TEMPERATURE",
    "Thermocouple": "TEMPERATURE", "Voltage": "VOLTAGE", "Volume Flow": "FLOW",
}  # fmt: skip
"""Kind of sensor by how SKAB's columns begin."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One machine with k sensors over n rows. ``training``: rows that teach and do not count; ``faults``: first and
    last instant of each labelled fault that counts."""

    at: Int64
    value: Float64
    kinds: tuple[str, ...]
    training: int
    faults: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        return int(self.at[self.training])

    @property
    def end(self) -> int:
        return int(self.at[-1]) + 1

    @property
    def low(self) -> Float64:
        return self._mean - SIGMAS * self.spread

    @property
    def high(self) -> Float64:
        return self._mean + SIGMAS * self.spread

    @property
    def spread(self) -> Float64:
        return np.asarray(self.value[:, : self.training].std(axis=1))

    @property
    def _mean(self) -> Float64:
        return np.asarray(self.value[:, : self.training].mean(axis=1))


@dataclass(frozen=True, slots=True)
class Found:
    """What came of some trials together. ``chattering``, ``fleeting``: alarms; ``flooded``: share of the time;
    ``outside``: activations outside every fault."""

    days: float
    activations: int
    chattering: int
    fleeting: int
    floods: int
    flooded: float
    faults: int
    missed: int
    outside: int

    @property
    def a_day(self) -> float:
        return self.activations / self.days


def load() -> dict[str, list[Trial]]:
    """By group; what is not at hand is not there."""
    groups: dict[str, list[Trial]] = {}
    if skab.FOLDER.exists():
        groups["SKAB"] = [of_rig(rig) for rig in skab.load(sorted(skab.FOLDER.glob("*/*.csv")))]
    if nab.FOLDER.exists():
        corpus = nab_scoring.load(nab.FOLDER)
        for group, begins in GROUPS.items():
            groups[group] = [of_series(one) for name, one in corpus.items() if name.startswith(begins)]
    return {group: trials for group, trials in groups.items() if trials}


def of_rig(rig: skab.Rig) -> Trial:
    kinds = tuple(next(kind for begins, kind in KINDS.items() if name.startswith(begins)) for name in rig.sensors)
    at = rig.at[skab.TRAINING :]
    stretches = skab.stretches(rig.truth[skab.TRAINING :])
    return Trial(rig.at, rig.value, kinds, skab.TRAINING, tuple((int(at[a]), int(at[b])) for a, b in stretches))


def of_series(series: nab_scoring.Series) -> Trial:
    at = nab.instants(series)
    faults = tuple((int(at[a]), int(at[b])) for a, b in series.windows if b >= series.probation)
    kind = "TEMPERATURE" if "temperature" in series.name else "OTHER"
    return Trial(at, series.value[None, :], (kind,), series.probation, faults)


# Who alarms


def naive(trial: Trial) -> Activations:
    """Active from the first reading beyond a limit to the first one inside; each sensor and side is an alarm."""
    parts = []
    for sensor, value in enumerate(trial.value, start=1):
        for side, beyond in (("LO", value < trial.low[sensor - 1]), ("HI", value > trial.high[sensor - 1])):
            parts.append(_runs(trial, sensor, side, beyond))
    return _together(parts)


def _runs(trial: Trial, sensor: int, side: str, beyond: Bool) -> Activations:
    edges = np.flatnonzero(np.diff(beyond.astype(np.int8), prepend=0, append=0))
    over = np.append(trial.at, NEVER)[edges[1::2]]
    return _activations(trial.at[edges[::2]], over, sensor, side)


def _activations(at: Int64, returned: Int64, machine: int, mode: str) -> Activations:
    n = len(at)
    return Activations(
        np.asarray(at, np.int64), np.asarray(returned, np.int64), np.full(n, NEVER), np.full(n, machine, np.int64),
        np.full(n, mode, "U3"), np.full(n, PRIORITIES.index("MEDIUM"), np.int64),
    )  # fmt: skip


def _together(parts: Sequence[Activations]) -> Activations:
    names = ("at", "returned", "acknowledged", "machine", "mode", "priority")
    return Activations(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def ours(trials: Sequence[Trial], *, limits: bool = False, deadband: float = 0.0, delay: int = 0) -> list[Activations]:
    """Of each trial. ``limits``: those of the naive way are set; ``deadband``: in standard deviations."""
    using = detectors.DETECTORS if limits else judging.SHIPPED
    series = [judging.Series(k + 1, trial.at, value) for k, trial in enumerate(trials) for value in trial.value]
    configured = _configured(trials, deadband=deadband) if limits else None
    conditions: list[dict[str, list[Condition]]] = [{} for _ in trials]
    for name, detector in using.items():
        judged = iter(judging.judge(series, using={name: detector}, configured=configured))
        for trial, mine in zip(trials, conditions, strict=True):
            for k, kind in enumerate(trial.kinds):
                for event in next(judged).events:
                    said = detector.kinds[event.kind - 1]
                    mode = failure_modes.CATALOGUE.mode_of(sensor_kind=kind, anomaly_kind=said)
                    known = mine.setdefault(mode, [])
                    known.append(
                        Condition(
                            anomaly_id=len(known) + 1,
                            sensor_id=k + 1,
                            started_at=event.started_at,
                            last_at=event.last_at,
                            ended_at=event.ended_at,
                            peak_score=event.peak,
                            peak_at=event.peak_at,
                            kind=said,
                            on_delay=delay,
                            off_delay=delay,
                        )
                    )
    return [_together([_nothing(), *(_decided(trial, m, c) for m, c in mine.items())])
            for trial, mine in zip(trials, conditions, strict=True)]  # fmt: skip


def _configured(trials: Sequence[Trial], *, deadband: float) -> SensorTable:
    blank = judging.table([k + 1 for k, trial in enumerate(trials) for _ in trial.value])
    low, high, spread = (
        np.concatenate([getattr(trial, name) for trial in trials]) for name in ("low", "high", "spread")
    )
    return replace(blank, low=low, high=high, deadband=deadband * spread)


def _nothing() -> Activations:
    return _activations(np.empty(0, np.int64), np.empty(0, np.int64), 1, "UNK")


def _decided(trial: Trial, mode: str, conditions: Sequence[Condition]) -> Activations:
    """What the pure stage makes of all that was found, up to the last reading."""
    situation = Situation(1, 1, "machine", mode, "MEDIUM", int(trial.at[-1]), tuple(conditions))
    (verdict,) = decide.decide([situation])
    steps = [step for step in verdict.steps if step.action in ("OPENED", "REOPENED", "RETURNED")]
    on = [step.at for step in steps if step.action != "RETURNED"]
    off = [step.at for step in steps if step.action == "RETURNED"]
    over = [*off, NEVER] if len(off) < len(on) else off
    return _activations(np.array(on, np.int64), np.array(over, np.int64), 1, mode)


# What is counted


def count(trials: Sequence[Trial], activations: Sequence[Activations]) -> Found:
    """Each trial is an operator's whole screen."""
    days, flooded, totals = 0.0, 0.0, np.zeros(7, np.int64)
    for trial, found in zip(trials, activations, strict=True):
        inside = found.take(found.at >= trial.start)
        report = isa182.report(inside, start=trial.start, end=trial.end)
        values = {figure.target.name: figure.value or 0.0 for figure in report.figures}
        hit = [bool(((inside.at >= first) & (inside.at <= last)).any()) for first, last in trial.faults]
        among = np.zeros(len(inside), np.bool_)
        for first, last in trial.faults:
            among |= (inside.at >= first) & (inside.at <= last)
        days += report.days
        flooded += values["flood_share"] * report.days
        totals += [
            report.activations, int(values["chattering"]), int(values["fleeting"]), len(report.floods), len(hit),
            len(hit) - sum(hit), int((~among).sum()),
        ]  # fmt: skip
    made, chattering, fleeting, floods, faults, missed, outside = map(int, totals)
    return Found(days, made, chattering, fleeting, floods, flooded / days, faults, missed, outside)


def compare(trials: Sequence[Trial]) -> dict[str, Found]:
    made = {
        NAIVE: [naive(trial) for trial in trials],
        PLAIN: ours(trials),
        LIMITS: ours(trials, limits=True),
        TUNED: ours(trials, limits=True, deadband=1.0, delay=DELAY),
    }
    return {name: count(trials, activations) for name, activations in made.items()}


# Rows, which are kept, and the table, which is printed


def figures(group: str, found: Mapping[str, Found]) -> Iterator[dict[str, Any]]:
    for name, one in found.items():
        before = found[NAIVE] if name != NAIVE else None
        yield row(f"{group}, {name}: alarms", one.a_day, "a machine and day", baseline=before and before.a_day)
        yield row(f"{group}, {name}: chattering", one.chattering, "alarms")
        yield row(f"{group}, {name}: fleeting", one.fleeting, "alarms")
        yield row(f"{group}, {name}: floods", one.floods, "floods", detail=f"{one.flooded:.2f} % of the time")
        yield row(f"{group}, {name}: missed", one.missed, f"faults of {one.faults}")
        yield row(f"{group}, {name}: outside faults", one.outside, f"of {one.activations} activations")


def overview(groups: Mapping[str, Mapping[str, Found]]) -> Iterator[list[str]]:
    yield ["data", "alarms by", "machine days", "activations", "a machine and day", "chattering alarms",
           "fleeting alarms", "floods", "time in flood, %", "faults missed", "activations outside faults"]  # fmt: skip
    for group, found in groups.items():
        for name, one in found.items():
            yield [group, name, f"{one.days:.1f}", str(one.activations), f"{one.a_day:.2f}", str(one.chattering),
                   str(one.fleeting), str(one.floods), f"{one.flooded:.2f}", f"{one.missed} of {one.faults}",
                   str(one.outside)]  # fmt: skip


def bench(groups: Mapping[str, Sequence[Trial]]) -> list[dict[str, Any]]:
    found = {group: compare(trials) for group, trials in groups.items()}
    results.wide(overview(found))
    rows = [one for group, mine in found.items() for one in figures(group, mine)]
    results.show([one for one in rows if one["name"].endswith((": alarms", ": missed"))])
    return rows


def speed() -> list[dict[str, Any]]:
    """The report on a year with a million activations, once they are read."""
    dice, year = np.random.default_rng(1), 365 * DAY_US
    at = dice.integers(0, year, MANY)
    lasts = dice.integers(SECOND_US, DAY_US, MANY)
    seen = np.where(dice.random(MANY) < 0.5, at + lasts // 2, NEVER)
    machine, mode = dice.integers(1, 2_000, MANY), dice.choice(["LOO", "VIB", "OHE", "UNK"], MANY)
    found = Activations(at, at + lasts, seen, machine, mode, dice.integers(0, len(PRIORITIES), MANY))
    began = time.perf_counter()
    isa182.report(found, start=0, end=year)
    took = time.perf_counter() - began
    rows = [row(f"report on {MANY:,} activations", took, "s", goal=f"< {LONGEST:g}", ok=took < LONGEST)]
    results.show(rows)
    return rows


def main() -> int:
    quick, groups = speed(), load()
    if not groups:
        sys.stdout.write(f"Left out: neither SKAB nor NAB is at hand ({results.DATA}).\n")
        return 0
    told = ", ".join(f"{group}: {len(trials)}" for group, trials in groups.items())
    sys.stdout.write(f"Machines by data set: {told}; ours = {judging.VERSIONS}, decide\n\n")
    results.keep("alarms", [*quick, *bench(groups)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
