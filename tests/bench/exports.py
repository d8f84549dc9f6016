"""Exports of readings and of rows: rows a second and peak memory of each form, ``make bench-exports``.

Each file is made in a process of its own, so that its peak is its own: what the process grew by beyond what it had
after a small file of the same form. Beside each table, in the same run, what a view usually does: of rows all objects
of the ORM and ``csv.writer`` into a text, of readings all rows of one SELECT likewise.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection

from agents.exports import files, making
from agents.exports.known import MOST_ROWS, Asked, Form
from config import embedded
from sensors import columns, store
from sensors.columns import from_instant
from sensors.models import Event, Site
from tests import factories
from tests.bench import results
from tests.bench.results import row
from tests.factories import NOON

ROOT = Path(__file__).resolve().parents[2]
READINGS, SENSORS, EVENTS = 4_000_000, 20, 200_000
SMALL = timedelta(minutes=10)
NAIVE = "naive"
FILL = """
INSERT INTO sensors_event (site_id, type, subject, key, occurred_at, recorded_at, actor, data)
SELECT %(site)s, 'alarm.opened', 'alarm/' || n, 'bench/' || n, at, at, 'maria',
    jsonb_build_object('priority', 'HIGH', 'machine', n %% 100, 'title', 'Vibration of pump ' || n)
FROM (SELECT n, %(noon)s::timestamptz + n * interval '1 second' AS at FROM generate_series(1, %(events)s) AS n) AS made
"""


def fill(*, readings: int, events: int) -> Site:
    """Readings of some sensors, one a second, and events of the journal."""
    site = factories.site(slug="exports", name="Exports")
    machine = factories.machine(site=site, tag="P-101")
    each = readings // SENSORS
    at = from_instant(NOON) + np.arange(each, dtype=np.int64) * 1_000_000
    rng = np.random.default_rng(1)
    for n in range(SENSORS):
        sensor = factories.sensor(machine=machine, external_id=f"p101.{n}", unit="l/s")
        values = np.round(20 + rng.normal(size=each), 3)
        taken = columns.Columns(np.full(each, sensor.pk, np.int64), at, values, np.arange(each, dtype=np.int32))
        store.make_partitions(store.days_of(taken))
        store.insert(taken, quality=np.zeros(each, np.uint8), reason=np.zeros(each, np.uint8))
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"site": site.pk, "noon": NOON, "events": events})
    return site


# In a process of its own


def naive(asked: Asked) -> int:
    """All at once, as views are often written; how many bytes."""
    out = io.StringIO()
    writer = csv.writer(out)
    if asked.what == "events":
        for event in Event.objects.filter(
            site_id=asked.site_id, recorded_at__gte=asked.start, recorded_at__lt=asked.end
        ):
            shown = [event.pk, event.occurred_at.isoformat(), event.recorded_at.isoformat(), event.type, event.subject]
            writer.writerow([*shown, event.actor, json.dumps(event.data)])
        return len(out.getvalue())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sensor.id, sensor.external_id, machine.tag, measured_at, value, unit, quality FROM sensors_reading"
            " AS reading JOIN sensors_sensor AS sensor ON sensor.id = sensor_id JOIN sensors_equipment AS machine ON"
            " machine.id = sensor.machine_id WHERE sensor.site_id = %s AND measured_at >= %s AND measured_at < %s",
            [asked.site_id, asked.start, asked.end],
        )
        writer.writerows([*line[:3], line[3].isoformat(), *line[4:]] for line in cursor.fetchall())
    return len(out.getvalue())


def ours(asked: Asked, form: str) -> int:
    out = files.Pieces(lambda number, data: None)
    making.make(asked, form, out, most=MOST_ROWS[form])
    out.finish()
    return out.size


def peak() -> int:
    return 1_024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(database: str, what: str, form: str, site_id: int, seconds: float) -> None:
    """Make one file, and say what it took."""
    connection.settings_dict["NAME"] = database
    make: Callable[[Asked], int] = naive if form == NAIVE else lambda asked: ours(asked, form)
    make(Asked(what, site_id, NOON, NOON + SMALL))
    before, began = peak(), time.perf_counter()
    size = make(Asked(what, site_id, NOON, NOON + timedelta(seconds=seconds)))
    took = time.perf_counter() - began
    json.dump({"seconds": took, "grew": peak() - before, "size": size}, sys.stdout)


# The benchmark


def bench(*, readings: int = READINGS, events: int = EVENTS) -> Iterator[dict[str, Any]]:
    site = fill(readings=readings, events=events)
    each = readings // SENSORS
    for what, total, span, per_second in (("events", events, events, 1), ("readings", readings, each, SENSORS)):
        base = measured(what, NAIVE, site, span)
        yield from told(what, "naive: all rows, csv.writer", total, base)
        for form in Form.values:
            rows = min(total, MOST_ROWS[form] // 2 if form == Form.XLSX else total)
            found = measured(what, form, site, rows / per_second)
            yield from told(what, form, rows, found, base=(base, total))


def measured(what: str, form: str, site: Site, seconds: float) -> dict[str, float]:
    words = [connection.settings_dict["NAME"], what, form, str(site.pk), str(seconds)]
    command = [sys.executable, "-m", "tests.bench.exports", "--child", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def told(
    what: str, form: str, rows: int, found: dict[str, float], *, base: tuple[dict[str, float], int] | None = None
) -> Iterator[dict[str, Any]]:
    before = None if base is None else base[1] / base[0]["seconds"]
    detail = f"{rows:,} rows, {found['size'] / 1e6:,.1f} MB"
    yield row(f"{what}, {form}", rows / found["seconds"], "rows/s", baseline=before, detail=detail)
    grew = None if base is None else base[0]["grew"] / 1e6
    yield row(f"{what}, {form}: memory it grew by", found["grew"] / 1e6, "MB", baseline=grew)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=5)
    parser.add_argument("--readings", type=int, default=READINGS)
    parser.add_argument("--events", type=int, default=EVENTS)
    given = parser.parse_args(arguments)
    embedded.ensure_needed()
    if given.child:
        database, what, form, site_id, seconds = given.child
        child(database, what, form, int(site_id), float(seconds))
        return 0
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    found = []
    try:
        for one in bench(readings=given.readings, events=given.events):
            results.show([one])
            found.append(one)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.keep("exports", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
