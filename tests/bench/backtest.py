"""How fast stored readings are judged anew, and in how much memory: ``make bench-backtest``.

In a database of its own, which is dropped at the end: one machine, readings of every second, older days compacted. Each
is measured twice, the second time counts: the first one loads the compiled detectors.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection

from agents.backtests import proposal, work
from agents.backtests.figures import Period
from agents.backtests.history import Asked, Target
from config import embedded
from sensors import columns, compaction, store
from sensors.columns import DAY_US, Columns
from sensors.models import Sensor
from tests import factories
from tests.bench import results
from tests.bench.results import row

FIRST = date(2026, 6, 1)
SENSORS, DAYS, A_DAY = 5, 3, 86_400
ALONE, BOTH = "as things are", "beside a proposal"


def fill(sensors: list[Sensor]) -> None:
    """A reading a second and sensor; all days but the last are compacted."""
    noise = np.random.default_rng(7)
    for day in range(DAYS):
        start = columns.from_instant(datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), UTC))
        for sensor in sensors:
            at = start + np.arange(A_DAY, dtype=np.int64) * columns.SECOND_US
            value = np.round(20 + 5 * np.sin(np.arange(A_DAY) / 6_000) + noise.normal(scale=0.5, size=A_DAY), 2)
            taken = Columns(np.full(A_DAY, sensor.pk), at, value, np.zeros(A_DAY, np.int32))
            store.make_partitions(store.days_of(taken))
            nothing = np.zeros(A_DAY, np.uint8)
            store.insert(taken, quality=nothing, reason=nothing)
    compaction.compact(before=FIRST + timedelta(days=DAYS - 1))


def bench() -> Iterator[dict[str, Any]]:
    machine = factories.machine(site=factories.site())
    sensors = [factories.sensor(machine=machine, high=27.0, period_seconds=1) for _ in range(SENSORS)]
    fill(sensors)
    start = columns.from_instant(datetime.combine(FIRST, datetime.min.time(), UTC))
    for name, given in ((ALONE, {}), (BOTH, {"false_alarms_per_week": 5.0})):
        for days in (1, DAYS):
            proposed = proposal.read(given, present=None)
            asked = Asked(Target(machine.site, machine), Period(start, start + days * DAY_US), 0, proposed)
            for _ in range(2):
                began = time.perf_counter()
                found = work.run(asked, tell=lambda done, total: None)
                seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            assert found["readings"] == SENSORS * A_DAY * days
            yield row(f"{name}: {found['readings']} readings", found["readings"] / seconds, "readings/s",
                      detail=f"{found['present']['alarms']} alarms; peak {peak:.0f} MiB so far")  # fmt: skip


def main() -> int:
    embedded.ensure_needed()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    found = []
    try:
        for one in bench():
            results.show([one])
            found.append(one)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.keep("backtest", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
