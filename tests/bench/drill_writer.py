"""The client of the drill (``tests.bench.drill``): sends batches through the real intake and all five stages.

Each batch is written down once it was accepted, with how many readings were by then: what was promised to be stored.
"""

from __future__ import annotations

import argparse
import json
import math
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from agents import sweeper
from agents.doorbell import Bell
from sensors import inbox
from sensors.models import Sensor, Site
from tests import factories

SENSORS, BATCH, AT_ONCE = 20, 500, 10
START = datetime(2026, 3, 1, tzinfo=UTC)
BEYOND = 97
"""Every so many batches one has values beyond a limit: there are alarms and orders to lose as well."""


def plant() -> list[Sensor]:
    """The site and its sensors; made once."""
    if found := list(Sensor.objects.filter(site__slug="drill").order_by("id")):
        return found
    site: Site = factories.site(slug="drill")
    return [
        factories.sensor(machine=factories.machine(site=site, tag=f"D-{n}"), external_id=f"drill-{n}", high=90.0)
        for n in range(SENSORS)
    ]


def body(number: int, sensors: list[Sensor]) -> bytes:
    sensor, first = sensors[number % len(sensors)], number // len(sensors) * BATCH
    beyond = 60.0 if number % BEYOND == 0 else 0.0
    at = [(START + timedelta(seconds=first + n)).isoformat() for n in range(BATCH)]
    values = [round(40 + 10 * math.sin((first + n) / 50) + beyond, 2) for n in range(BATCH)]
    return json.dumps({"sensor": sensor.external_id, "measured_at": at, "values": values}).encode()


def write(book: Path, *, first: int, batches: int | None) -> None:
    """From a batch on: so many, or without an end. After each few the flow is run until nothing waits."""
    sensors = plant()
    lanes: set[int] = set()
    with book.open("a", buffering=1) as lines:
        for number in range(first, first + batches) if batches is not None else count(first):
            taken = inbox.accept(
                site=sensors[0].site, user=None, body=body(number, sensors), received_at=datetime.now(UTC)
            )
            lines.write(f"{datetime.now(UTC).isoformat()} {number + 1} {(number + 1) * BATCH}\n")
            lanes.update(taken.lanes)
            if number % AT_ONCE == AT_ONCE - 1 or number + 1 == first + (batches or 0):
                sweeper.work_off([Bell("ingest", lane) for lane in lanes])
                lanes.clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--batches", type=int)
    asked = parser.parse_args()
    write(asked.book, first=asked.first, batches=asked.batches)
