"""What Prometheus is told of the workers and of the whole service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY, generate_latest

from agents import exposition, measures, pipeline, sweeper
from agents.doorbell import Bell
from agents.models import Run
from config import gauges, health, node
from sensors import audit_chain, inbox, store
from sensors.audit_models import AuditEntry
from tests import factories, plant, walled

COUNTS = """
import os, sys
from prometheus_client import Counter, Histogram
count = Counter("pdm_made", "Made.", ["what"])
took = Histogram("pdm_made_seconds", "Took.", buckets=(1.0, 2.0))
for times in map(int, sys.argv[1:]):
    if (child := os.fork()) == 0:
        for _ in range(times):
            count.labels("one").inc()
            took.observe(1.5)
        os._exit(0)
    os.waitpid(child, 0)
"""


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    assert found, f"{name} is not in:\n{text}"
    return float(found[1])


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """What a process and the two that it forked have counted; all of them have ended."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COUNTS, "2", "3"], env=environment, check=True)
    return tmp_path


@pytest.fixture
def port(counted: Path) -> Iterator[int]:
    free = node.free_port(0)
    server = exposition.serve(host="127.0.0.1", port=free, folder=counted)
    yield free
    server.shutdown()
    server.server_close()


def ask(port: int, **headers: str) -> str:
    with urlopen(Request(f"http://127.0.0.1:{port}/metrics", headers=headers), timeout=10) as answer:
        return str(answer.read().decode())


def test_what_ended_children_counted_is_kept_in_one_file_of_each_sort(port: int, counted: Path) -> None:
    assert len(list(counted.glob("*.db"))) > 2
    for _ in range(2):  # folding again adds nothing
        said = ask(port)
        assert value(said, 'pdm_made_total{what="one"}') == 5
        assert value(said, 'pdm_made_seconds_bucket{le="2.0"}') == 5
        assert value(said, "pdm_made_seconds_sum") == 7.5
    assert sorted(path.name for path in counted.glob("*.db")) == ["counter_0.db", "histogram_0.db"]


def test_the_memory_is_that_of_the_process_and_its_children(port: int) -> None:
    alone = value(ask(port), exposition.MEMORY)
    child = subprocess.Popen([sys.executable, "-c", "held = bytearray(80_000_000); input()"], stdin=subprocess.PIPE)
    try:
        grown = alone
        ends = time.monotonic() + 10
        while grown < alone + 60_000_000 and time.monotonic() < ends:
            grown = value(ask(port), exposition.MEMORY)
        assert grown > alone + 60_000_000
    finally:
        child.communicate(b"\n")


def test_where_a_token_is_set_nobody_reads_without_it(port: int, settings: object) -> None:
    settings.METRICS_TOKEN = "the-token"  # type: ignore[attr-defined]
    with pytest.raises(HTTPError) as refused:
        ask(port, Authorization="Bearer another")
    with refused.value as answer:
        assert answer.code == 401
    assert "pdm_made_total" in ask(port, Authorization="Bearer the-token")


def total(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_empty")
def test_a_run_is_counted_and_timed_at_every_stage() -> None:
    names = [stage.lower() for stage in Run.Stage.values]
    before = {name: total("pdm_stage_attempts_total", stage=name, result="done") for name in names}
    timed = {name: total("pdm_stage_duration_seconds_count", stage=name) for name in names}
    judged, alarms = total("pdm_readings_judged_total"), total("pdm_alarms_opened_total")
    sensor = factories.sensor(machine=factories.machine(site=factories.site()), high=10.0, period_seconds=60)
    body = [
        {"sensor": sensor.external_id, "measured_at": f"2026-02-01T00:{n:02}:00Z", "value": value}
        for n, value in enumerate([1.0, 12.0, 13.0, 2.0])
    ]
    accepted = inbox.accept(site=sensor.site, user=None, body=orjson.dumps(body), received_at=factories.NOON)
    sweeper.work_off(Bell("ingest", lane) for lane in accepted.lanes)
    assert {name: total("pdm_stage_attempts_total", stage=name, result="done") > before[name] for name in names} == (
        dict.fromkeys(names, True)
    )
    assert all(total("pdm_stage_duration_seconds_count", stage=name) > timed[name] for name in names)
    assert total("pdm_readings_judged_total") == judged + 4
    assert total("pdm_alarms_opened_total") > alarms
    assert total("pdm_reading_to_alarm_seconds_count") > 0


def test_an_attempt_that_the_infrastructure_ended_is_counted_as_such() -> None:
    before = total("pdm_stage_attempts_total", stage="detect", result="infrastructure")
    with pytest.raises(OSError), measures.attempt("DETECT"):
        raise OSError("the database is gone")
    assert total("pdm_stage_attempts_total", stage="detect", result="infrastructure") == before + 1


@pytest.mark.django_db
def test_every_gauge_is_there_and_no_label_is_unbounded() -> None:
    plant.rows(factories.site())
    today = timezone.now().date()
    store.make_partitions([today + timedelta(days=1), today + timedelta(days=2)])
    said = generate_latest(REGISTRY).decode()
    for name in (*gauges.FAMILIES, *health.GAUGES):
        assert re.search(rf"^{name}(\{{| )", said, re.M), name
    assert value(said, 'pdm_queue_messages{queue="ingest"}') >= 0
    assert 0 < value(said, "pdm_disk_free_ratio") < 1
    assert value(said, "pdm_partitions_ahead") >= 2
    labels = set(re.findall(r"[{,](\w+)=", "\n".join(re.findall(r"^pdm_.*$", said, re.M))))
    assert labels <= {"stage", "result", "reason", "channel", "le", "queue", "priority", "state", "type", "model",
                      "kind", "limit"}  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_the_web_servers_role_tells_of_all_sites_and_of_the_audit_trail() -> None:
    """Row security shows it nothing before somebody has logged in, and nobody has who asks for figures."""
    made = plant.rows(factories.site())
    entries = [AuditEntry.objects.create(credential="session", action=f"made.{n}") for n in range(3)]
    audit_chain.seal()
    AuditEntry.objects.create(credential="session", action="not.sealed")
    with walled.as_web():
        said = generate_latest(REGISTRY).decode()
    assert made.alarm.is_active
    assert sum(map(float, re.findall(r"^pdm_alarms_active\{.*\} (\S+)$", said, re.M))) == 1
    assert sum(map(float, re.findall(r"^pdm_database_connections\{.*\} (\S+)$", said, re.M))) >= 1
    assert value(said, "pdm_models_degraded") == 1
    assert value(said, "pdm_audit_breaks") == 0
    assert value(said, "pdm_audit_oldest_unsealed_age_seconds") > 0
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sensors_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE sensors_auditentry SET hash = repeat('0', 64) WHERE id = %s", [entries[1].pk])
        cursor.execute("ALTER TABLE sensors_auditentry ENABLE TRIGGER USER")
    with walled.as_web():
        assert value(generate_latest(REGISTRY).decode(), "pdm_audit_breaks") == 1


def test_the_limit_of_memory_is_the_containers_where_it_has_one(tmp_path: Path) -> None:
    machine = exposition.allowed(())
    told = tmp_path / "memory.max"
    assert exposition.allowed([told]) == machine
    told.write_text("max\n")
    assert exposition.allowed([told]) == machine
    told.write_text("500000000\n")
    assert exposition.allowed([told]) == min(machine, 500_000_000)


def test_pipeline_words_are_those_that_are_counted() -> None:
    assert {"done", "retry", "quarantine", "fenced"} < set(measures.RESULTS)
    assert pipeline.Outcome("done").result in measures.RESULTS
