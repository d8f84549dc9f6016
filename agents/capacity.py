"""What so many sensors ask of an installation, and what of it is used up first. Pure.

The figures were measured by the commands that their lines name; docs/performance.md tells how and when, docs/scaling.md
what comes of them. What was not measured at such a size grows in proportion, which is said of it (``by_proportion``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEASURED_REQUESTS = (1, 100, 1000)
"""Readings in a request, for which the processors' time was measured (`python -m tests.bench.throughput`)."""
ALL_US = (2700.0, 4100.0, 7600.0)
"""Microseconds of a processor that a request takes, all processes together."""
WEB_US = (1200.0, 1600.0, 2500.0)
POSTGRES_US = (600.0, 940.0, 1500.0)

FRESH_BYTES, COMPACTED_BYTES = 25.0, 2.6
"""A reading on disk before and after its day is compacted, rollups included (`make bench-store`)."""
COMPACTED_PER_SECOND = 949_000.0
"""Readings that are compacted in a second (`make bench-store`)."""
LEARNED_BYTES = 3.8 * 1024
"""What is learned of a sensor, read and written in each run that brings readings of it (`make bench-profile`)."""
REMEMBERED_BYTES = 250.0
"""What the web server remembers of a sensor (`tests/unit/test_capacity.py` measures it)."""
WORKER_MIB = 277.0
"""The largest of our processes with 1,000 sensors (`python -m tests.bench.throughput`)."""
OVERVIEW_MS, NEWEST_MS, ASKED_SENSORS = 67.0, 2.9, 10_000
"""p95 of the admin's first page, and of the newest values of all sensors, with so many of them (`make bench-store`)."""

WEB_THREADS, OTHER_CONNECTIONS = 16, 25
"""Connections to Postgres of a web server (``config.supervisor.WEB_THREADS``), and of the other processes (counted)."""
RUNS_PER_SECOND = 1.0
"""Of a busy lane: a run of many readings takes about a second. Learned state is written once a run."""
PAGE_MS, QUERY_MS = 2000.0, 1000.0
"""The goals for pages and for queries."""
FREE = 0.5
"""Part of the processors that stays free: latency was measured at half of the most that is taken."""
DISK_USED = 0.8
"""Part of the disk that may be full: below 20 % free an alert fires."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Sensors, and how they are read and sent. ``days``: that readings are kept."""

    sensors: int
    per_minute: float
    per_request: int = 100
    days: int = 365
    fresh_days: int = 3

    @property
    def readings(self) -> float:
        """A second."""
        return self.sensors * self.per_minute / 60

    @property
    def requests(self) -> float:
        """A second."""
        return self.readings / self.per_request


@dataclass(frozen=True, slots=True)
class Place:
    """The machine at hand, and the settings that bound what it takes."""

    processors: float = 2.0
    memory_mib: float = 1024.0
    disk_gb: float = 500.0
    write_mb: float = 100.0
    backlog_readings: int = 2_000_000
    backlog_seconds: float = 60.0
    run_readings: int = 200_000


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that is needed, how much of it, how much there is, for how many such sensors that would be enough, and
    what to do where it is not."""

    name: str
    needed: float
    at_hand: float
    enough_for: float
    then: str
    by_proportion: bool = False


def request_us(measured: tuple[float, ...], readings: int) -> float:
    """Between the measured sizes in a straight line; beyond the largest as much a reading as there."""
    sizes = MEASURED_REQUESTS
    if readings >= sizes[-1]:
        return measured[-1] * readings / sizes[-1]
    for low, high, below, above in zip(sizes, sizes[1:], measured, measured[1:], strict=False):
        if readings <= high:
            return below + (above - below) * (readings - low) / (high - low)
    raise ValueError(f"{readings} readings in a request")


def needs(fleet: Fleet, place: Place) -> tuple[Need, ...]:
    """All of them, what is used up first in front."""
    found = (*_processors(fleet, place), *_disk(fleet, place), *_memory(fleet, place), *_answers(fleet, place))
    return tuple(sorted(found, key=lambda need: need.enough_for))


def _need(fleet: Fleet, name: str, needed: float, at_hand: float, then: str, *, by_proportion: bool = False) -> Need:
    """Of something that grows with the number of sensors."""
    return Need(name, needed, at_hand, fleet.sensors * at_hand / needed, then, by_proportion)


def _processors(fleet: Fleet, place: Place) -> tuple[Need, ...]:
    busy = [fleet.requests * request_us(us, fleet.per_request) / 1e6 for us in (ALL_US, WEB_US, POSTGRES_US)]
    free, compacting = place.processors * (1 - FREE), fleet.readings / COMPACTED_PER_SECOND
    return (
        _need(fleet, "processors, all processes", busy[0], free, "more readings in a request, or more processors"),
        _need(fleet, "processor of one web server", busy[1], 1 - FREE, "another web server behind the proxy"),
        _need(fleet, "processors of Postgres", busy[2], free, "a machine of its own for Postgres"),
        _need(fleet, "processor that compacts", compacting, 1 - FREE, "two installations"),
    )


def _disk(fleet: Fleet, place: Place) -> tuple[Need, ...]:
    fresh = min(fleet.fresh_days, fleet.days)
    stored = fleet.readings * 86_400 * (fresh * FRESH_BYTES + (fleet.days - fresh) * COMPACTED_BYTES)
    learned = fleet.sensors * min(fleet.per_minute / 60, RUNS_PER_SECOND) * LEARNED_BYTES
    written = 2 * (learned + fleet.readings * FRESH_BYTES)
    full = (stored + fleet.sensors * LEARNED_BYTES) / 1e9
    return (
        _need(fleet, "disk, GB", full, place.disk_gb * DISK_USED, "a smaller READINGS_RETENTION_DAYS, or more disk"),
        _need(fleet, "disk writes with the log, MB/s", written / 1e6, place.write_mb,
              "a faster disk, or two installations", by_proportion=True),
    )  # fmt: skip


def _memory(fleet: Fleet, place: Place) -> tuple[Need, ...]:
    """A run holds what is learned of each sensor that it brings readings of, and at most ``run_readings`` of them."""
    room = place.memory_mib - WORKER_MIB
    each, known = LEARNED_BYTES / 2**20, fleet.sensors * REMEMBERED_BYTES / 2**20
    learned = min(fleet.sensors, place.run_readings) * each
    enough_for = math.inf if room >= place.run_readings * each else room / each
    return (
        _need(fleet, "sensors known to a web server, MiB", known, room, "more memory", by_proportion=True),
        Need("learned state in a worker, MiB", learned, room, enough_for,
             "a smaller RUN_MAX_READINGS, or more memory", by_proportion=True),
    )  # fmt: skip


def _answers(fleet: Fleet, place: Place) -> tuple[Need, ...]:
    asked = fleet.sensors / ASKED_SENSORS
    waiting = fleet.readings * place.backlog_seconds
    return (
        _need(fleet, "first page of the admin, ms", OVERVIEW_MS * asked, PAGE_MS, "people of one site each",
              by_proportion=True),
        _need(fleet, "newest values of all sensors, ms", NEWEST_MS * asked, QUERY_MS, "ask by site or machine",
              by_proportion=True),
        _need(fleet, "readings of a minute's standstill", waiting, float(place.backlog_readings),
              "a larger INTAKE_MAX_BACKLOG_READINGS"),
    )  # fmt: skip


def web_servers(fleet: Fleet) -> int:
    """Each keeps half of its one processor free."""
    return max(1, math.ceil(fleet.requests * request_us(WEB_US, fleet.per_request) / 1e6 / (1 - FREE)))


def connections(fleet: Fleet) -> int:
    """To Postgres, of one node with as many web servers as it takes."""
    return web_servers(fleet) * WEB_THREADS + OTHER_CONNECTIONS


def least(fleet: Fleet, *, per_minute: float | None) -> int:
    """How many share the requests, where each may send so many."""
    return max(1, math.ceil(fleet.requests * 60 / per_minute)) if per_minute else 1
