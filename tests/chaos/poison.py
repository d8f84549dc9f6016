"""One part of two hundred that its stage does not survive: how soon the other 199 are done, and what of the one.

For each stage that reads readings, and for both ways to fail (raise, kill the process), a lane gets 200 requests
before the service starts, so that one run takes them all; one of them holds a value that ``BELLWETHER_POISON`` names.
The time counts from the run's entering quarantine to the last stage of the 199 others, by the database's record of
attempts. Then the service starts again without poison and replays what was set aside.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import results
from tests.bench.results import row
from tests.chaos.service import Service, until

PARTS = 200
READINGS = 3
LEASE = 8
GOAL_SECONDS = 30
PATIENCE = 240.0
CASES = tuple(itertools.product(("INGEST", "VALIDATE", "DETECT"), ("raise", "kill")))

SEND = """
import json
from datetime import UTC, datetime, timedelta
from sensors import fleet, inbox, onboarding
from sensors.models import Equipment, Sensor
site, _ = onboarding.site(slug="poison", name="Poison")
start = datetime(2026, 1, 1, tzinfo=UTC)
lanes = {{}}
for name, value in json.loads('''{values}''').items():
    machine = fleet.save_equipment(Equipment(site=site, tag=name, name=name))
    fleet.save_sensor(Sensor(site=site, equipment=machine, external_id=name, name=name))
    lanes[name] = machine.lane
    for part in range({parts}):
        items = [
            dict(sensor=name, measured_at=(start + timedelta(minutes={readings} * part + n)).isoformat(),
                 value=value if part == 77 and n == 1 else 1.0 + n)
            for n in range({readings})
        ]
        inbox.accept(site=site, user=None, body=json.dumps(items).encode(), received_at=start + timedelta(days=30))
print(json.dumps(lanes))
"""
ON_THE_WAY = (
    "SELECT (SELECT count(*) FROM sensors_batchpart WHERE state IN ('WAITING', 'TAKEN'))"
    " + (SELECT count(*) FROM agents_run WHERE status NOT IN ('DONE', 'FAILED'))"
)
ENTERED = (
    "SELECT a.ended_at FROM agents_stageattempt a JOIN agents_run r ON r.id = a.run_id"
    " WHERE r.lane = %s AND a.outcome = 'QUARANTINE' ORDER BY a.id LIMIT 1"
)
TRIALS = (
    "SELECT a.error FROM agents_stageattempt a JOIN agents_run r ON r.id = a.run_id"
    " WHERE r.lane = %s AND a.outcome = 'SEARCHED' ORDER BY a.id LIMIT 1"
)
ENDED = (
    "SELECT max(r.finished_at), count(p.id) FROM agents_run r JOIN sensors_batchpart p ON p.run_id = r.id"
    " WHERE r.lane = %s AND r.status = 'DONE' AND p.state = 'STORED'"
)
SET_ASIDE = (
    "SELECT r.stage, r.error_class, count(p.id) FROM agents_run r JOIN sensors_batchpart p ON p.run_id = r.id"
    " WHERE r.lane = %s AND r.status = 'FAILED' GROUP BY r.id, r.stage, r.error_class"
)
STORED = "SELECT count(*) FROM sensors_reading"
FAILED = "SELECT count(*) FROM agents_run WHERE status <> 'DONE'"


@dataclass(frozen=True, slots=True)
class Found:
    """Of one lane: seconds from quarantine to the end of the others, how many those are, what was set aside, and what
    the search said."""

    seconds: float
    done: int
    aside: list[tuple[Any, ...]]
    told: str


def poison(home: Path) -> tuple[dict[str, Found], int, int]:
    """What was found by case, the readings stored after the replay, and the runs that were not done then."""
    values = {f"{stage}-{effect}": 66.125 + n for n, (stage, effect) in enumerate(CASES)}
    doses = ",".join(f"{stage}:{effect}:{values[f'{stage}-{effect}']}" for stage, effect in CASES)
    service = Service(home, lease_seconds=LEASE)
    try:
        service.prepare()
        service.run("manage.py", "migrate", "-v", "0")
        script = SEND.format(values=json.dumps(values), parts=PARTS, readings=READINGS)
        lanes = json.loads(service.run("manage.py", "shell", "--no-imports", "-c", script).splitlines()[-1])
        service.start({"BELLWETHER_POISON": doses})
        until(lambda: service.number(ON_THE_WAY) == 0, limit=PATIENCE)
        found = {name: _found(service, lane) for name, lane in lanes.items()}
        service.kill()
        service.start()
        service.run("manage.py", "replay-failed", "--all", "--actor", "the fix")
        until(lambda: service.number(FAILED) == 0, limit=PATIENCE)
        return found, service.number(STORED), service.number(FAILED)
    finally:
        service.stop()


def _found(service: Service, lane: int) -> Found:
    entered = service.sql(ENTERED, lane)[0][0]
    ended, done = service.sql(ENDED, lane)[0]
    return Found((ended - entered).total_seconds(), done, service.sql(SET_ASIDE, lane), service.sql(TRIALS, lane)[0][0])


def rows(found: dict[str, Found], stored: int, failed: int) -> list[dict[str, Any]]:
    shown = []
    for name, one in found.items():
        stage, effect = name.split("-")
        expected = [(stage, "Poisoned" if effect == "raise" else "WorkerDied", 1)]
        ok = one.seconds <= GOAL_SECONDS and one.done == PARTS - 1 and one.aside == expected
        shown.append(
            row(
                f"{stage}, {effect}: the other {PARTS - 1} done after", one.seconds, "s", goal=f"<= {GOAL_SECONDS}",
                ok=ok, detail=f"{one.done} done; set aside: {one.aside}; {one.told}",
            )
        )  # fmt: skip
    wanted = len(CASES) * PARTS * READINGS
    shown.append(row("readings stored after the replay", stored, "readings", goal=wanted, ok=stored == wanted))
    shown.append(row("runs not done after the replay", failed, "runs", goal=0, ok=failed == 0))
    return shown


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="bellwether-poison-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        found = rows(*poison(Path(folder) / "home"))
    results.show(found)
    results.keep("poison", found)
    return 0 if all(one["ok"] is not False for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
