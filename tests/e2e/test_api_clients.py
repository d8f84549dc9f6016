"""Programs that ask the real service over REST: the examples of the docs, the generated client, requests made up."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.channels.webhook import signature
from tests import generated_client
from tests.bench import fuzz, fuzzed
from tests.bench.fuzz_plant import ADMIN
from tests.bench.fuzzed import Fuzzed
from tests.bench.results import ROOT
from tests.chaos.service import until

pytestmark = pytest.mark.timeout(600)

PAGE = ROOT / "docs" / "api-examples.md"
BODY = b'{"type":"bellwether.alarm.opened"}'
PATIENCE = 60.0
SECONDS = 20
"""How long requests are made up; ``make fuzz-api`` goes on for longer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with fuzzed.running(tmp_path_factory.mktemp("api"), also=("intake", "judge", "sweep")) as made:
        yield made


def blocks(language: str) -> str:
    """All examples in a language, in their order: each stands on those before."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S))


@pytest.fixture
def environment(server: Fuzzed) -> dict[str, str]:
    return {"BELLWETHER": server.url, "BELLWETHER_USER": ADMIN, "BELLWETHER_PASSWORD": server.passwords[ADMIN]}


def signed() -> dict[str, str]:
    """A webhook's secret, and headers of a body that is beside the examples."""
    now = str(int(time.time()))
    return {
        "HOOK_SECRET": "whsec",
        "GENUINE": signature("other", "whsec", timestamp=now, body=BODY),
        "FORGED": signature("other", timestamp=now, body=BODY),
    }


def test_the_examples_in_python(environment: dict[str, str], tmp_path: Path) -> None:
    told = [
        "body, secret = open('body', 'rb').read(), os.environ['HOOK_SECRET']",
        "assert is_genuine(os.environ['GENUINE'], body, secret)",
        "assert not any(is_genuine(one, body, secret) for one in ('', 't=1', os.environ['FORGED']))",
    ]
    (tmp_path / "body").write_bytes(BODY)
    script = "\n".join([blocks("python"), *told])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | environment | signed(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "openssl"))), reason="curl or openssl is not installed")
def test_the_examples_with_curl(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(BODY)
    script = f"""set -euo pipefail
{blocks("bash")}
is_genuine "$GENUINE" body
! is_genuine "$FORGED" body
"""
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=os.environ | environment | signed(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert said.lower().count("idempotent-replayed: true") == 1
    assert re.search(r"^200\n412$", said, re.M)
    assert "event: alarm." in said or ": listening" in said


def comes(ask: Callable[[], list[Any]]) -> list[Any]:
    """What comes true in a while."""
    until(lambda: bool(ask()), limit=PATIENCE)
    return ask()


def test_the_generated_client_goes_round_once(server: Fuzzed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a reading to the order that is planned for what it showed, with nothing but what was generated."""
    assert generated_client.make(tmp_path / "client") == []
    monkeypatch.syspath_prepend(tmp_path / "client")
    package: Any = importlib.import_module(generated_client.PACKAGE)
    models: Any = importlib.import_module(f"{generated_client.PACKAGE}.models")

    def ask(operation: str, **given: Any) -> Any:
        module: Any = importlib.import_module(f"{generated_client.PACKAGE}.api.{operation}")
        given["client"] = given.get("client", http)
        return module.sync(**given)

    who = models.TokenObtainPairRequest(username=ADMIN, password=server.passwords[ADMIN])
    http: Any = package.Client(base_url=server.url)
    token = ask("auth.auth_token_create", body=who).access
    http.get_httpx_client().close()
    http = package.AuthenticatedClient(server.url, token=token)
    (sensor,) = ask("sensors.sensors_list", external_id="fan-2/flow").results
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=40)
    series = models.SeriesInRequest(
        sensor=sensor.external_id, measured_at=[begin + timedelta(minutes=minute) for minute in range(30)],
        values=[21.5] * 20 + [80.0] * 10,
    )  # fmt: skip
    taken = ask("data.data_ingest", body=[series], idempotency_key="round")
    assert (taken.accepted, taken.rejected) == (30, 0)
    (alarm,) = comes(lambda: ask("alarms.alarms_list", machine=sensor.machine).results)
    (anomaly,) = ask("anomalies.anomalies_list", machine=sensor.machine).results
    assert anomaly.readings == 10
    seen = ask("alarms.alarms_acknowledge_create", id=alarm.id, body=models.OptionalCommentRequest(comment="On my way"))
    assert (alarm.is_acknowledged, seen.is_acknowledged) == (False, True)
    (order,) = comes(lambda: ask("work_orders.work_orders_list", machine=sensor.machine).results)
    assert order.alarm == alarm.id
    plan = models.PlanRequest(start=begin + timedelta(days=1), minutes=90)
    assert ask("work_orders.work_orders_plan_create", id=order.id, body=plan).planned_minutes == 90
    refused = ask("alarms.alarms_retrieve", id=0)
    assert (refused.status, refused.type_) == (404, "/problems/not-found")
    http.get_httpx_client().close()


def test_requests_that_are_made_up_find_no_fault(server: Fuzzed) -> None:
    """Last: what it leaves behind is nobody's plant."""
    found = fuzz.run(server, seconds=SECONDS, seed=int(time.time()) // 86_400)
    wrong = [one for one in fuzz.figures(found, wanted=0) if one["ok"] is False and one["unit"] == "answers"]
    assert wrong == [], fuzz.tell(found, server.log)
    assert found.requests > 0
