"""Every alert, fired for real: Prometheus asks the whole running service, Alertmanager tells a receiver, and a table
says what brought each about. And whether each panel of the dashboards shows something of that service.

make alerts
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from deploy.grafana import boards
from tests.bench import ills, results
from tests.bench.running import in_a_folder
from tests.chaos.service import Service
from tests.unit.test_alert_rules import rules
from tests.watched import Product
from tests.watching import MISSING, WHY_NOT, Watch, shows, until

NAMES = ("web", "intake", "judge", "outbox", "aside", "models", "long", "sweep")
COUNTING = NAMES[1:]
LANES_HELD = "LOCK TABLE sensors_batch IN ACCESS EXCLUSIVE MODE"
HELD_SECONDS, LATE_SECONDS = 11.0, 7.0
CONNECTIONS = 101
POISON = 66.125
MADE = {
    "DiskFills": {"pdm_disk_free_ratio": 0.05},
    "MemoryShort": {"pdm_memory_used_ratio": 0.93},
    "ServiceMemoryHigh": {"pdm_service_memory_bytes": 950.0, "pdm_service_memory_limit_bytes": 1000.0},
}
BY_A_PROGRAM = "a program that shows such figures: the machine cannot be brought to it here"


class Round:
    """The service, whoever watches it, and what has been said of each alert so far."""

    def __init__(self, service: Service, product: Product, watch: Watch, given: dict[str, str]) -> None:
        self.service, self.product, self.watch, self.given = service, product, watch, given
        self.rows: list[dict[str, Any]] = []

    def expect(
        self, names: Iterable[str], how: str, *, began: float, meanwhile: Callable[[], object] | None = None
    ) -> None:
        """Wait for the alerts, and say of each how long it took."""
        wanted = set(names) - {row["name"] for row in self.rows}
        missing = self.watch.missing(wanted, meanwhile=meanwhile)
        for name in sorted(wanted):
            came = self.watch.told().get(name)
            taken = 0.0 if came is None else max(0.0, _at(came["startsAt"]) - began)
            fired = name not in missing
            self.rows.append(results.row(name, taken, "s until it fired", goal="fires", ok=fired, detail=how))
            results.show(self.rows[-1:])

    def reading(self, value: float) -> list[dict[str, Any]]:
        return [{"sensor": self.given["sensor"], "measured_at": datetime.now(UTC).isoformat(), "value": value}]

    def send(self, value: float = 1.0) -> int:
        return self.product.send(self.given["sender"], self.reading(value))

    def down(self) -> set[str]:
        """Addresses of which ServiceDown has told."""
        return {one["labels"]["instance"] for one in self.watch.sent() if one["labels"]["alertname"] == "ServiceDown"}

    def connected(self) -> Any:
        return psycopg2.connect(host=str(self.service.sockets), user="postgres", dbname="bellwether")


def _at(told: str) -> float:
    return datetime.fromisoformat(told).timestamp()


def slow_and_failing(here: Round) -> None:
    """Requests wait for a table that somebody holds, for as long as a lock is waited for."""
    began = time.time()
    with closing(here.connected()) as holder, holder.cursor() as cursor:
        cursor.execute(LANES_HELD)
        # Twice each: what is counted for the first time, Prometheus does not see grow.
        senders = [threading.Thread(target=lambda: [here.send(), here.send()]) for _ in range(6)]
        for sender in senders:
            sender.start()
        time.sleep(HELD_SECONDS)
        holder.rollback()
        for sender in senders:
            sender.join()
    how = "a table held for 11 s: requests waited, then were refused"
    here.expect(["AnswersSlow", "ErrorsHigh", "IntakeRefuses"], how, began=began)


def late_and_poisoned(here: Round) -> None:
    """A reading that no stage survives; then workers that stand still while a reading over its limit waits."""
    began = time.time()
    until(lambda: here.send(POISON) == 202, what="an accepted reading")
    how = "a reading at which a stage raises, tried again and set aside"
    here.expect(["StageErrorsHigh", "RunsSetAside"], how, began=began)
    began = time.time()
    here.product.signal(signal.SIGSTOP, *COUNTING)
    here.send(ills.HIGH + 10)
    time.sleep(LATE_SECONDS)
    here.product.signal(signal.SIGCONT, *COUNTING)
    here.expect(["ServiceDown"], "workers and sweeper frozen for 7 s: they answer nobody", began=began)
    here.expect(["AlarmsSlow"], "workers frozen for 7 s while a reading over its limit waited", began=began)


def panels_show(here: Round) -> None:
    """Each query of the dashboards, asked of that Prometheus."""
    for board in boards.BOARDS:
        asked = [(panel.title, query) for panel in board.panels for query in panel.lines.values()]
        empty = sorted({title for title, query in asked if not shows(here.watch.ask(query))})
        row = results.row(f"dashboard {board.title}, queries with data", len(asked) - len(empty), "queries",
                          goal=len(asked), ok=not empty, detail=", ".join(empty))  # fmt: skip
        here.rows.append(row)
        results.show([row])


def nobody_at_work(here: Round) -> None:
    """All workers and the sweeper are killed; what they would see to is there as rows."""
    began = time.time()
    here.product.kill(*COUNTING)
    wanted = set(here.product.counting.values())
    until(lambda: wanted <= here.down(), what="ServiceDown of each target")
    found = len(wanted & here.down())
    row = results.row("ServiceDown, by target", found, "targets", goal=len(wanted), ok=True, detail="each was killed")
    here.rows.append(row)
    results.show([row])
    began = time.time()
    here.service.run("-m", "tests.bench.ills", "rows")
    here.expect(ills.FROM_ROWS, "rows written past the service, read by its own figures", began=began)
    began = time.time()
    here.service.execute(
        "ALTER TABLE agents_run DROP CONSTRAINT run_status;"
        "UPDATE agents_run SET status = 'THAWED' WHERE id = (SELECT max(id) FROM agents_run WHERE status = 'FAILED')"
    )
    here.expect(["RunsNobodyKnows"], "a run in a state of a version that is not this one", began=began)
    began = time.time()
    links = [here.connected() for _ in range(CONNECTIONS)]
    here.expect(["ConnectionsMany"], f"{CONNECTIONS} connections opened", began=began)
    for link in links:
        link.close()


def what_cannot_be_brought_about(here: Round) -> None:
    for name, figures in MADE.items():
        began = time.time()
        here.watch.figures.values |= figures
        here.expect([name], BY_A_PROGRAM, began=began)


def servers_gone(here: Round) -> None:
    """Redis, Postgres, and the web server at last."""
    began = time.time()
    os.kill(here.service.redis_pid(), signal.SIGKILL)
    here.expect(["RedisDown"], "Redis killed", began=began)
    began = time.time()
    os.kill(here.service.postgres_pid(), signal.SIGQUIT)
    here.expect(["DatabaseDown"], "Postgres killed", began=began)
    began = time.time()
    here.product.kill("web")
    here.expect(["FiguresMissing"], "the web server killed", began=began)


STEPS = (
    slow_and_failing, late_and_poisoned, panels_show, nobody_at_work, what_cannot_be_brought_about, servers_gone,
)  # fmt: skip


def fired(folder: Path) -> list[dict[str, Any]]:
    poison = {"BELLWETHER_POISON": f"DETECT:raise:{POISON}"}
    service = Service(folder / "home", lease_seconds=45, environment={"LOG_LEVEL": "WARNING"})
    try:
        service.prepare()
        service.run("manage.py", "migrate", "--verbosity", "0")
        given = json.loads(service.run("-m", "tests.bench.ills", "plant").splitlines()[-1])
        product = Product(folder, names=NAMES, environment=service.environment | poison)
        watched = folder / "watch"
        watched.mkdir()
        try:
            product.start()
            with Watch(watched, web=product.web, workers=list(product.counting.values())) as watch:
                here = Round(service, product, watch, given)
                here.expect(["DeadMansSwitch"], "nothing: it fires always", began=time.time())
                for step in STEPS:
                    step(here)
                return here.rows
        finally:
            product.stop()
    finally:
        service.stop()


def main() -> int:
    if MISSING:
        sys.stdout.write(f"{WHY_NOT}\n")
        return 1
    with in_a_folder() as folder:
        rows = fired(folder)
    names = {row["name"] for row in rows}
    rows += [results.row(name, 0, "", goal="fires", ok=False, detail="not tried") for name in set(rules()) - names]
    by_program = len(set(MADE) & names)
    sys.stdout.write(f"{len(rules())} alerts: {sum(bool(row['ok']) for row in rows if row['name'] in rules())} fired, ")
    sys.stdout.write(f"{by_program} of them by a program that shows figures\n")
    results.keep("alerts", rows)
    return int(any(row["ok"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
