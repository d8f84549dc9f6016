"""A rolling restart under load, on the real service: each process is told to stop in its turn and started again."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.bench import results
from tests.bench.results import row
from tests.chaos import client, facts, invariants, model
from tests.chaos.client import HIGH, MACHINES, POISONED, Clients, Ledger, Sender
from tests.chaos.service import WORKERS, Service, command_of, until
from tests.chaos.sinks import Log, StormyMail
from tests.e2e.test_browser import CHROMIUM, FLAGS

LEASE_SECONDS = 45
RATE = 8.0
SOME = 10
PATIENCE = 120.0
CELERY = "-m celery -A config worker"
FLOWER_PASSWORD = "what-operators-are-told"
SITE, MACHINE = "north", "m0"

ON_THE_WAY = """
SELECT (SELECT count(*) FROM sensors_batchpart WHERE state IN ('WAITING', 'TAKEN'))
+ (SELECT count(*) FROM agents_run WHERE status <> 'DONE')
+ (SELECT count(*) FROM maintenance_notification WHERE status = 'PENDING')
"""
IN_VAIN = "SELECT count(*) FROM agents_stageattempt WHERE outcome <> 'DONE'"
IN_HAND = "SELECT count(*) FROM agents_run WHERE stage = 'VALIDATE' AND lease_until > clock_timestamp()"


@pytest.fixture(scope="module")
def log() -> Log:
    return Log(random.Random(1), is_kind=True)


@pytest.fixture(scope="module")
def mail(log: Log) -> Iterator[StormyMail]:
    with StormyMail(log) as sink:
        yield sink


@pytest.fixture(scope="module")
def passwords() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, mail: StormyMail, passwords: dict[str, str]) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("rolling") / "home"
    to_the_sink = {"EMAIL_HOST": mail.host, "EMAIL_PORT": str(mail.port), "EMAIL_USE_TLS": "0"}
    to_the_sink["FLOWER_PASSWORD"] = FLOWER_PASSWORD
    made = Service(home, lease_seconds=LEASE_SECONDS, environment=to_the_sink)
    try:
        made.prepare()
        passwords |= made.set_up(machines=(*MACHINES, POISONED), high=HIGH)
        made.start()
        until(lambda: len(made.processes(CELERY)) == WORKERS, limit=PATIENCE)
        yield made
    finally:
        made.stop()


def restart(service: Service, pid: int) -> list[dict[str, Any]]:
    """Tell one process to stop, and wait until the supervisor has started it again."""
    same = command_of(pid)
    name = next(
        word
        for word in ("intake", "judge", "outbox", "aside", "models", "backtest", "sweep", "granian", "flower")
        if word in same
    )
    os.kill(pid, signal.SIGTERM)
    stopped = until(lambda: command_of(pid) != same, limit=PATIENCE)
    again = until(lambda: bool(service.processes(same)), limit=PATIENCE)
    return [row(f"{name}: stopped after", stopped, "s"), row(f"{name}: started again after", again, "s")]


@pytest.mark.timeout(600)
def test_a_rolling_restart_under_load_loses_nothing_and_does_nothing_twice(
    service: Service, log: Log, passwords: dict[str, str]
) -> None:
    clients = Clients(service.url, passwords, rate=RATE, seed=1, poison=False)
    clients.start()
    ledger = clients.ledger
    rows = []
    for pid in [*service.processes(CELERY), *service.processes("manage.py sweep")]:
        let_some_in(ledger)
        rows += restart(service, pid)
    assert set(ledger.answers) == {"202"}  # no request noticed any of it
    (web,) = service.processes("granian")
    rows += restart(service, web)
    until(service.is_ready, limit=PATIENCE)
    let_some_in(ledger)
    clients.stop()
    assert set(ledger.answers) <= {"202", "none"}  # while nobody listened, clients came again
    until(lambda: service.number(ON_THE_WAY) == 0, limit=PATIENCE)
    found = facts.load(service, log.deliveries)
    assert invariants.check(model.of(ledger.accepted), found, windows=0) == []
    assert list(invariants.replays(ledger.accepted)) == []
    results.show([
        *rows,
        row("requests accepted", len(ledger.accepted), "requests", detail=f"answers: {dict(ledger.answers)}"),
        row("attempts that came to nothing", service.number(IN_VAIN), "attempts"),
    ])  # fmt: skip


def let_some_in(ledger: Ledger) -> None:
    known = len(ledger.accepted)
    until(lambda: len(ledger.accepted) >= known + SOME, limit=PATIENCE)


def one_client(service: Service, password: str) -> Sender:
    return Sender(
        url=service.url, site=SITE, token=client.token(service.url, SITE, password), machine=MACHINE, seconds=1.0,
        phase=0.0, seed="1", poison=False, ledger=Ledger(), stop=threading.Event(),
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_worker_that_is_told_to_stop_in_the_middle_of_a_stage_finishes_it(
    service: Service, passwords: dict[str, str]
) -> None:
    sender = one_client(service, passwords[SITE])
    sender.deliver(client.request(random.Random(1), site=SITE, machine=MACHINE, number=500, poison=False), due_at=0.0)
    until(lambda: service.number(ON_THE_WAY) == 0, limit=PATIENCE)
    with closing(psycopg2.connect(host=str(service.sockets), user="postgres", dbname="bellwether")) as holder:
        holder.cursor().execute("SELECT 1 FROM mlops_machinestate FOR UPDATE")  # the stage cannot end while it is held
        wanted = client.request(random.Random(1), site=SITE, machine=MACHINE, number=501, poison=False)
        sender.deliver(wanted, due_at=0.0)
        until(lambda: service.number(IN_HAND) == 1, limit=PATIENCE)
        (worker,) = [pid for pid in service.processes(CELERY) if "intake@" in command_of(pid)]
        os.kill(worker, signal.SIGTERM)
        until(lambda: "Soft Shutdown" in _said_by("intake", service.log), limit=PATIENCE)
        assert service.number(IN_HAND) == 1
    until(lambda: service.number(ON_THE_WAY) == 0, limit=PATIENCE)
    ((outcomes, workers),) = service.sql(
        "SELECT array_agg(outcome), count(DISTINCT worker) FROM agents_stageattempt WHERE run_id ="
        " (SELECT max(run_id) FROM sensors_batchpart) AND stage IN ('INGEST', 'VALIDATE')"
    )
    assert outcomes == ["DONE", "DONE"]
    assert workers == 1


def _said_by(name: str, log: Path) -> str:
    """The last lines of one process in the service's log."""
    return "\n".join([line for line in log.read_text().splitlines() if line.startswith(f"{name:>8} |")][-20:])


@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to run browser tests")
def test_flower_is_shut_to_strangers_shows_who_works_and_remembers_it(
    service: Service, passwords: dict[str, str]
) -> None:
    flower = f"http://127.0.0.1:{service.flower_port}"
    until(lambda: _answers(flower), limit=PATIENCE)
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/queues/length"):
        assert requests.get(flower + path, timeout=10).status_code == 401, path
    assert requests.post(f"{flower}/api/worker/shutdown/any", timeout=10).status_code == 401
    one_client(service, passwords[SITE]).deliver(
        client.request(random.Random(1), site=SITE, machine=MACHINE, number=600, poison=False), due_at=0.0
    )
    until(lambda: service.number(ON_THE_WAY) == 0, limit=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_context(
            base_url=flower, http_credentials={"username": "operator", "password": FLOWER_PASSWORD}
        ).new_page()
        page.goto("/workers")
        for name in ("intake", "judge", "outbox", "aside", "models", "long"):
            page.get_by_role("link", name=f"{name}@").wait_for()
        page.get_by_role("link", name="judge@").click()
        page.get_by_role("tab", name="Queues").click()
        for queue in ("detect", "decide", "notify"):
            page.get_by_role("cell", name=queue, exact=True).first.wait_for()
        page.goto("/tasks?search=agents.notify")
        seen = page.locator("#tasks-table tbody tr", has_text="agents.notify").first
        seen.wait_for()
        task = seen.locator("a").first.inner_text()
        (process,) = [pid for pid in service.processes("flower") if "-m celery" in command_of(pid)]
        results.show(restart(service, process))
        until(lambda: _answers(flower), limit=PATIENCE)
        page.goto(f"/task/{task}")
        page.get_by_text("agents.notify").first.wait_for()
        chromium.close()


def _answers(flower: str) -> bool:
    try:
        return requests.get(flower, timeout=5).status_code == 401
    except requests.RequestException:
        return False
