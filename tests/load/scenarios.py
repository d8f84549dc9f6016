"""What Locust sends and when: arrivals at a given rate, and of each the body that its number stands for. Pure.

Whatever a reading's value is follows from its sensor and step, so that what is stored can be held against what was sent
row by row without keeping what was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.load import bodies

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
ACCEPTED = 202
PATIENCE = 120.0
"""Seconds that what is on its way may take after the last arrival."""
COLUMNS = ("number", "due", "sent", "seconds", "status", "accepted")
"""What is noted of each request; a status of 0 is no answer."""
LATER = (429, 503)
"""Refused for now: too many, or too busy."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests of ``sensors`` x ``instants`` readings. ``pace``: pairs of requests a second and the part of the time
    for which they come, repeated every ``period`` seconds, three times at least."""

    name: str
    sensors: int
    instants: int
    pace: tuple[tuple[float, float], ...]
    period: float = 15.0

    @property
    def readings(self) -> int:
        return self.sensors * self.instants

    @property
    def rate(self) -> float:
        """Requests a second on average."""
        return sum(rate * part for rate, part in self.pace) / sum(part for _, part in self.pace)


STEADY = Scenario("steady", 1, 1, ((103.0, 1.0),))
PEAK = Scenario("peak", 10, 10, ((105.0, 1.0),))
BURST = Scenario("burst", 10, 10, ((20.0, 0.8), (250.0, 0.2)))
SOAK = Scenario("soak", 10, 10, ((40.0, 1.0),))
SCENARIOS = (STEADY, PEAK, BURST, SOAK)


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: ``scenario`` by its name; ``begins``: seconds since 1970 of step 0, ``first``: the first step that
    is sent; ``plant``: how many sensors there are."""

    url: str
    username: str
    password: str
    scenario: str
    seconds: float
    seed: int
    begins: int
    first: int
    plant: int
    out: str
    connections: int = 64


def arrivals(scenario: Scenario, *, seconds: float, seed: int) -> Float64:
    """The instants at which requests arrive, in seconds from the beginning: a Poisson process at the pace's rate, none
    of which waits for the answer to another."""
    dice = np.random.default_rng(seed)
    whole, period = sum(part for _, part in scenario.pace), min(scenario.period, seconds / 3)
    found, at, turn = [], 0.0, 0
    while at < seconds:
        rate, part = scenario.pace[turn % len(scenario.pace)]
        length = min(period * part / whole, seconds - at)
        found.append(np.sort(at + dice.uniform(0, length, dice.poisson(rate * length))))
        at, turn = at + period * part / whole, turn + 1
    return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns, one entry a reading; ``hundredths``: of the value."""

    sensor: Int64
    step: Int64
    hundredths: Int64


def readings(scenario: Scenario, number: Int64, *, first: int, plant: int) -> Readings:
    """What the requests of these numbers hold, by instant: those of a stream (some sensors of the plant's) follow each
    other, a second of event time from one instant to the next."""
    streams = plant // scenario.sensors
    stream, turn = number % streams, number // streams
    step = (first + turn * scenario.instants)[:, None, None] + np.arange(scenario.instants)[None, :, None]
    sensor = (stream * scenario.sensors)[:, None, None] + np.arange(scenario.sensors)[None, None, :]
    step, sensor = (column.ravel() for column in np.broadcast_arrays(step, sensor))
    normal = 4_000 + (sensor * 7_919 + step * 104_729 + sensor * step * 31) % 2_000
    above = bodies.is_above(sensor, step)
    return Readings(sensor, step, normal + np.where(above, round(bodies.HIGH * 100), 0))


def body(scenario: Scenario, number: int, *, first: int, begins: int, plant: int) -> bytes:
    """JSON of the readings of one request; ``begins``: seconds since 1970 of step 0."""
    found = readings(scenario, np.array([number]), first=first, plant=plant)
    instants = np.datetime_as_string((begins + found.step).astype("datetime64[s]"))
    items = [
        f'{{"sensor":"{bodies.name_of(sensor)}","measured_at":"{at}Z","value":{value / 100:.2f}}}'
        for sensor, at, value in zip(found.sensor.tolist(), instants.tolist(), found.hundredths.tolist(), strict=True)
    ]
    return f"[{','.join(items)}]".encode()


@dataclass(frozen=True, slots=True)
class Books:
    """Readings: accepted, and what is wrong with those that are stored."""

    accepted: int
    lost: int
    foreign: int
    changed: int
    doubled: int


def reconcile(sent: Readings, unsure: Readings, stored: Readings) -> Books:
    """Hold what is stored against what was sent and accepted, row by row.

    ``unsure``: of requests without an answer, which may be there or not. ``foreign``: stored, and never accepted;
    ``changed``: stored with another value; ``doubled``: rows beyond the first of a sensor and instant.
    """
    (mine, value), (maybe, _), (there, found) = (_keyed(one) for one in (sent, unsure, stored))
    unique, first = np.unique(there, return_index=True)
    known = np.isin(mine, unique)
    place = np.searchsorted(unique, mine[known])
    return Books(
        accepted=len(mine),
        lost=int((~known).sum()),
        foreign=int((~np.isin(unique, np.concatenate([mine, maybe]))).sum()),
        changed=int((found[first][place] != value[known]).sum()),
        doubled=len(there) - len(unique),
    )


def _keyed(readings: Readings) -> tuple[Int64, Int64]:
    return readings.sensor * 10_000_000 + readings.step, readings.hundredths


def split(status: Sequence[int]) -> tuple[int, int, int]:
    """How many answers were of success, refused for now, and anything else."""
    taken = sum(200 <= one < 300 for one in status)
    later = sum(one in LATER for one in status)
    return taken, later, len(status) - taken - later
