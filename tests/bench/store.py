"""What storing readings and asking for them costs when there are many: ``make bench-store``.

In a database of its own, which is dropped at the end. Every sensor sends once a minute, values of two decimals. Some
have a year behind them; all have the days that make up the number of readings asked for. All days but the last one and
a half are compacted. What is stored is counted before a figure counts.
"""

from __future__ import annotations

import argparse
import io
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.test import Client

from config import embedded
from sensors import chunks, columns, compaction, partitions, series, store
from sensors.blocks import Readings
from sensors.columns import Columns, Int64
from sensors.models import Sensor, SensorPresence
from tests import factories, plant
from tests.bench import results
from tests.bench.results import row

TODAY = date(2026, 6, 30)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
YEAR, A_DAY = 365, 1_440
MINUTE_US, STEP_US = 60_000_000, 100_000
A_RUN, AT_ONCE, WARM, RUNS = 20_000, 1_000, 5, 25
"""Of a measured run: readings, sensors at most; how many runs come before, and how many are measured."""
FIRST, PROBES = 1_000, 10_000_000
"""Ids of sensors: of the plant's first one, and of those that are stored to measure only."""
BYTES_COLD, BYTES_HOT, LOG = 4, 24, 3_000_000_000
"""Of a reading; and what Postgres writes ahead."""
RNG = np.random.default_rng(7)


@dataclass(frozen=True, slots=True)
class Size:
    """``year``: sensors that have a year behind them; ``days``: what the others have, the last one half over."""

    sensors: int
    year: int
    days: int
    asked: int
    growth: tuple[int, ...]

    @property
    def readings(self) -> int:
        return self.sensors * (self.days * A_DAY - A_DAY // 2) + self.year * (YEAR + 1 - self.days) * A_DAY


FULL = Size(sensors=10_000, year=50, days=6, asked=200, growth=(10, 100, 1_000, 10_000, 100_000))
SMOKE = Size(sensors=20, year=2, days=3, asked=5, growth=(10, 100))


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def day_of(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def made(sensors: Int64, start: datetime, count: int, *, step_us: int = MINUTE_US) -> tuple[Int64, Readings]:
    """So many readings of each sensor, by sensor and instant."""
    at = columns.from_instant(start) + np.arange(count, dtype=np.int64) * step_us
    swing = 20 + (sensors % 50)[:, None] + 5 * np.sin(np.arange(count) / 180)
    value = np.round(swing + RNG.normal(scale=0.5, size=(len(sensors), count)), 2).ravel()
    zeros = np.zeros(len(value), np.uint8)
    return np.repeat(sensors, count), Readings(np.tile(at, len(sensors)), value, zeros, zeros)


def insert(sensor: Int64, readings: Readings) -> float:
    """Store as a run would; seconds."""
    taken = Columns(sensor, readings.at, readings.value, np.zeros(len(sensor), np.int32))
    began = time.perf_counter()
    with transaction.atomic():
        store.insert(taken, quality=readings.quality, reason=readings.reason)
    return time.perf_counter() - began


def groups(sensors: Int64, most: int) -> list[Int64]:
    return np.array_split(sensors, -(-len(sensors) // most))


def fill_day(ago: int, sensors: Int64) -> None:
    """A whole day of the sensors as blocks."""
    partitions.make_month(day_of(ago))
    for some in groups(sensors, 250):
        sensor, readings = made(some, partitions.bounds(day_of(ago))[0], A_DAY)
        with transaction.atomic():
            compaction.write(day_of(ago), sensor, readings)


def fill_newest(sensors: Int64) -> None:
    """Yesterday and today until noon, an hour at a time."""
    for some in groups(sensors, 300):
        for hours in range(36, 0, -1):
            insert(*made(some, NOON - timedelta(hours=hours), 60))


def stored() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sensor_id FROM sensors_latest UNION SELECT sensor_id FROM sensors_block")
        return store.count(sensor_id for (sensor_id,) in cursor.fetchall())


class Probe:
    """Stores runs of sensors of its own, to measure what storing costs: each of later instants, groups in turn."""

    def __init__(self, sensors: int, *, place: int) -> None:
        self.groups = groups(PROBES * place + np.arange(sensors, dtype=np.int64), AT_ONCE)
        self.runs = 0
        for _ in self.groups:  # opens the hours
            self.run()

    def run(self) -> float:
        """Microseconds a reading."""
        some = self.groups[self.runs % len(self.groups)]
        count = A_RUN // len(some)
        start = partitions.bounds(TODAY)[0] + timedelta(microseconds=self.runs // len(self.groups) * count * STEP_US)
        self.runs += 1
        self.last = made(some, start, count, step_us=STEP_US)
        return insert(*self.last) * 1e6 / (len(some) * count)

    def beside_copy(self) -> tuple[float, float]:
        """Microseconds a reading, and how many times what COPY of the same chunks into an empty table takes; medians.

        The two in turn, so that whatever else the machine does is done to both, and once what filling left behind is
        cleared away.
        """
        costs, ratios = [], []
        with connection.cursor() as cursor:
            cursor.execute("CHECKPOINT")
            for _ in range(WARM):
                self.run()
            cursor.execute("CREATE TABLE yardstick (LIKE sensors_chunk INCLUDING ALL)")
            for _ in range(RUNS):
                costs.append(self.run())
                sensor, readings = self.last
                taken = Columns(sensor, readings.at, readings.value, np.zeros(len(sensor), np.int32))
                body = io.BytesIO(chunks.rows(taken, quality=readings.quality, reason=readings.reason))
                began = time.perf_counter()
                cursor.copy_expert("COPY yardstick FROM STDIN WITH (FORMAT binary)", body)
                ratios.append(costs[-1] / ((time.perf_counter() - began) * 1e6 / len(sensor)))
            cursor.execute("DROP TABLE yardstick")
        return statistics.median(costs), statistics.median(ratios)

    @property
    def readings(self) -> int:
        return self.runs * A_RUN


def timed(ask: Callable[[], object], *, times: int) -> tuple[float, float]:
    """Milliseconds: median and 95th percentile. Asked a few times before, so that plans and pages are there."""
    for _ in range(3):
        ask()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took), float(np.percentile(took, 95))


def fill_fleet(size: Size) -> Client:
    """The sensors of the plant, with presence, alarms and orders; a client that is logged in to the admin."""
    site = factories.site(slug="fleet")
    for _ in range(max(1, size.sensors // 100)):
        plant.rows(site)
    machines = [factories.machine(site=site, tag=f"m{n}", name=f"m{n}") for n in range(max(1, size.sensors // 100))]
    sensors = Sensor.objects.bulk_create(
        Sensor(id=FIRST + n, site=site, equipment=machines[n % len(machines)], machine=machines[n % len(machines)],
               external_id=f"s{n}", name=f"s{n}", period_seconds=60)
        for n in range(size.sensors)
    )  # fmt: skip
    SensorPresence.objects.bulk_create(
        SensorPresence(sensor=sensor, heard_at=NOON, due_at=NOON, silent_since=NOON if sensor.pk % 100 == 0 else None)
        for sensor in sensors
    )
    client = Client(SERVER_NAME="localhost")
    client.force_login(factories.user(site=site, role="ADMIN", is_superuser=True, is_staff=True))
    return client


def ask(size: Size, client: Client) -> Iterator[dict[str, Any]]:
    """The questions, each of sensors by chance."""
    ids = FIRST + np.arange(size.sensors)

    def one(least: int = 0, below: int = size.sensors) -> int:
        return FIRST + int(RNG.integers(least, below))

    def a_day(end: datetime, *, below: int = size.sensors) -> series.Series:
        return series.read(one(below=below), start=end - timedelta(days=1), end=end, points=5_000)

    def a_year() -> series.Series:
        return series.read(one(below=size.year), start=NOON - timedelta(days=YEAR), end=NOON, points=1_000)

    cold = partitions.bounds(day_of(2))[1]
    assert np.isin(ids, series.newest()["sensor_id"]).all()
    assert a_day(NOON).total == a_day(cold).total == A_DAY
    assert a_year().total == YEAR * A_DAY - A_DAY // 2 + A_DAY // 2
    assert client.get("/admin/").status_code == 200
    for name, goal, question in (
        (f"newest value of all {size.sensors:,}", 20, series.newest),
        ("last 24 h of one", 10, lambda: a_day(NOON)),
        ("24 h of one, compacted", 10, lambda: a_day(cold)),
        ("a year of one in 1,000 points", 30, a_year),
        ("fleet health: the admin's first page", 100, lambda: client.get("/admin/")),
    ):
        half, most = timed(question, times=size.asked)
        yield row(f"{name}, p95", most, "ms", goal=f"below {goal}", ok=most < goal, detail=f"p50 {half:.3g}")


def fill(size: Size) -> Iterator[dict[str, Any]]:
    """Everything, with the cost of storing at three sizes on the way."""
    all_, year = FIRST + np.arange(size.sensors), FIRST + np.arange(size.year)
    store.make_partitions([day_of(1), TODAY])
    probe = Probe(AT_ONCE, place=1)
    costs = [(stored(), *probe.beside_copy())]
    for ago in range(size.days - 1, 1, -1):
        fill_day(ago, all_)
        if ago == size.days - 1:
            costs.append((stored(), *probe.beside_copy()))
    for ago in range(size.days, YEAR + 1):
        fill_day(ago, year)
    fill_newest(all_)
    costs.append((stored(), *probe.beside_copy()))
    counted = stored() - probe.readings
    wanted = size.sensors * ((size.days - 2) * A_DAY + A_DAY * 3 // 2) + size.year * (YEAR + 1 - size.days) * A_DAY
    if counted != wanted:
        raise AssertionError(f"{counted:,} readings are stored, not {wanted:,}")
    worst = max(ratio for *_, ratio in costs) / costs[0][2]
    said = (f"{n / 1e6:.3g} million: {cost:.2f} us, {ratio:.2f} x COPY into nothing" for n, cost, ratio in costs)
    yield row(
        "cost of a reading as the store grows", worst, "times", goal="within 1.3", ok=worst <= 1.3,
        detail="; ".join(said),
    )  # fmt: skip


def growth(size: Size) -> Iterator[dict[str, Any]]:
    """The cost of storing runs of the same size, of more and more sensors; a run of each in turn."""
    probes = [Probe(sensors, place=place) for place, sensors in enumerate(size.growth, start=2)]
    rounds = [[probe.run() for probe in probes] for _ in range(RUNS)]
    for probe in probes:
        if store.count(np.concatenate(probe.groups).tolist()) != probe.readings:
            raise AssertionError("not all readings are stored")
    costs = list(zip(size.growth, np.median(rounds, axis=0).tolist(), strict=True))
    for sensors, cost in costs:
        count = A_RUN // min(sensors, AT_ONCE)
        yield row(f"cost of a reading, {sensors:,} sensors", cost, "us", detail=f"{count} readings of each in a run")
    spread = [cost for sensors, cost in costs if sensors >= AT_ONCE] or [cost for _, cost in costs]
    worst = max(spread) / spread[0]
    yield row(
        "cost of a reading as sensors grow in number", worst, "times", goal="within 1.3", ok=worst <= 1.3,
        detail=f"from {AT_ONCE:,} sensors on: fewer bring more readings each and cost less",
    )  # fmt: skip


def space() -> Iterator[dict[str, Any]]:
    """What a reading takes, with all indexes, and rollups."""
    with connection.cursor() as cursor:
        size = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = ANY(%s::regclass[])"
        cursor.execute(f"SELECT ({size}), sum(readings) FROM sensors_block", [["sensors_block"]])
        cold, readings = cursor.fetchone()
        cursor.execute(f"SELECT ({size}), sum(cardinality(at)) FROM sensors_chunk", [["sensors_chunk", "sensors_hour"]])
        hot, loose = cursor.fetchone()
    each = float(cold / readings)
    yield row("bytes of a compacted reading", each, "bytes", goal="at most 4", ok=each <= 4, detail="rollups included")
    yield row("bytes of a reading not compacted yet", float(hot / loose), "bytes", detail="chunks and rollups")


def compact(size: Size) -> Iterator[dict[str, Any]]:
    """Yesterday, of as many sensors as there are."""
    before, began = stored(), time.perf_counter()
    done = compaction.compact(before=TODAY)
    took = time.perf_counter() - began
    if stored() != before or done.readings != size.sensors * A_DAY:
        raise AssertionError(f"{done.readings:,} readings were compacted, {stored():,} of {before:,} are there")
    yield row("compacting", done.readings / took, "readings/s", detail=f"{done.readings:,} readings")


def bench(size: Size) -> list[dict[str, Any]]:
    rows = [row("readings", size.readings, "stored")]
    for name, part in (
        ("filling", lambda: fill(size)),
        ("questions", lambda: ask(size, fill_fleet(size))), ("space", space),
        ("compacting", lambda: compact(size)), ("growth", lambda: growth(size)),
    ):  # fmt: skip
        began = time.perf_counter()
        found = list(part())
        rows += found
        results.show(found)
        say(f"({name}: {time.perf_counter() - began:.0f} s)")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    rows.append(row("memory of this process", memory, "MB", goal="below 400", ok=memory < 400))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small: whether it works, not how fast")
    parser.add_argument("--sensors", type=int, help="how many sensors")
    parser.add_argument("--days", type=int, help="days that all sensors have, at least 3")
    parser.add_argument("--year", type=int, help="sensors that have a year")
    options = parser.parse_args(arguments)
    size = SMOKE if options.smoke else FULL
    size = replace(size, **{n: v for n in ("sensors", "days", "year") if (v := getattr(options, n)) is not None})
    hot = size.sensors * A_DAY * 3 // 2 + sum(max(1, n // AT_ONCE) + RUNS for n in size.growth) * A_RUN
    needed = size.readings * BYTES_COLD + hot * BYTES_HOT + LOG
    free = shutil.disk_usage(embedded.HOME.parent).free
    say(f"{size.readings:,} readings; on disk for a while: about {needed / 1e9:.1f} GB of {free / 1e9:.0f} GB free.")
    if needed > free * 0.8:
        say("That is too little room.")
        return 1
    embedded.ensure_needed()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        rows = bench(size)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.show(rows)
    results.keep("store-smoke" if options.smoke else "store", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
