"""The whole service as processes: one id and one trace from a request to the mail, in what each process writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from agents.channels.sink import SmtpSink
from agents.models import Run
from config import node
from tests.collector import Collector
from tests.e2e.test_golden_path import ROOT, environment, manage, until, workers

REQUEST = "order-4711-of-ann"
TOKEN = "m" * 40
SETUP = """
import json
from django.contrib.auth.models import User
from maintenance.models import Channel
from sensors import fleet
from sensors.families import Refresh
from sensors.models import Equipment, Membership, Sensor, Site
site = Site.objects.create(slug="works", name="Works")
machine = fleet.save_equipment(Equipment(site=site, tag="P-1", name="Pump", level="MACHINE", criticality="CRITICAL"))
fleet.save_sensor(Sensor(site=site, equipment=machine, external_id="flow", name="Flow", kind="FLOW", high=10.0))
Channel.objects.create(site=site, kind="EMAIL", name="to ann", target="ann@example.com")
user = User.objects.create_user("sender")
Membership.objects.create(site=site, user=user, role=Membership.Role.INGEST)
print(json.dumps(str(Refresh.for_user(user).access_token)))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    manage(tmp_path / "home", "down")


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line is JSON: another one fails here."""
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.timeout(400)
def test_an_alarm_mail_is_followed_back_to_its_request(home: Path) -> None:
    ports = {name: node.free_port(0) for name in ("web", "flower")}
    log = home.parent / "up.log"
    with SmtpSink() as mail, Collector() as collector, log.open("w") as out:
        given = environment(home) | {
            "LOG_JSON": "1", "EMAIL_HOST": mail.host, "EMAIL_PORT": str(mail.port), "MLFLOW_PORT": "0",
            "LIVE_PORT": "0", "METRICS_TOKEN": TOKEN, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200", "JWT_ACCESS_MINUTES": "30",
        }  # fmt: skip
        command = ["up", "--port", str(ports["web"]), "--flower-port", str(ports["flower"]), "--metrics-port", "0"]
        process = subprocess.Popen(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=given, stdout=subprocess.DEVNULL, stderr=out
        )
        try:
            address = f"http://127.0.0.1:{ports['web']}"
            until(lambda: len(workers(process.pid)) > 0 and _is_ready(address))
            done = subprocess.run(
                [sys.executable, "manage.py", "shell", "--no-imports", "-c", SETUP],
                cwd=ROOT, env=environment(home), capture_output=True, text=True, check=True,
            )  # fmt: skip
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            answer = requests.post(
                f"{address}/api/v1/data/ingest",
                json=[{"sensor": "flow", "measured_at": at, "value": 20.0}],
                headers={"Authorization": f"Bearer {json.loads(done.stdout.splitlines()[-1])}",
                         "X-Request-ID": REQUEST},
                timeout=60,
            )  # fmt: skip
            assert (answer.status_code, answer.headers["X-Request-ID"]) == (202, REQUEST)
            mail.wait_for(1, seconds=120)
            wanted = {"POST request", "deliver"} | {f"stage {stage.lower()}" for stage in Run.Stage.values}
            spans = collector.wait_for(lambda found: wanted <= {one.name for one in found})
            until(lambda: _deep(address)["workers"]["status"] == "up", limit=60)  # on a busy machine they answer late
            found = _deep(address)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    told = lines(log)
    mine = [one for one in told if one.get("correlation_id") == REQUEST]
    assert {one["stage"] for one in mine if one["event"] == "agents.pipeline.stage-done"} == set(Run.Stage.values)
    assert {"web.request", "agents.deliver.sent"} <= {one["event"] for one in mine}
    assert {one["process"] for one in mine} >= {"web", "intake", "judge", "outbox"}
    assert json.loads(done.stdout.splitlines()[-1]) not in log.read_text()
    (root,) = [one for one in spans if one.attributes.get("bellwether.correlation_id") == REQUEST]
    tree = [one for one in spans if one.trace == root.trace and one is not root]
    assert wanted - {"POST request"} <= {one.name for one in tree}
    assert {one.parent for one in tree} == {root.span}
    well = {name for name, one in found.items() if one["status"] == "up"}
    assert {"postgres", "redis-queue", "smtp", "sweep"} <= well, found


def _deep(address: str) -> dict[str, Any]:
    answer = requests.get(f"{address}/health/deep", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    told: dict[str, Any] = answer.json()["dependencies"]
    return told


def _is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/health/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False
