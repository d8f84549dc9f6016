"""How the agents are, from rows: with work that nobody does, with work that fails, and after it was done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import doctor, jobs, sweeper
from agents.coordinator import facts, roll_call
from agents.coordinator.table import AGENTS
from agents.coordinator.verdict import Health, Status
from agents.models import JobRun
from sensors import inbox
from sensors.models import BatchPart
from tests import factories, outgoing, plant
from tests.client import client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]


def of(name: str) -> Health:
    return next(health for health in roll_call.call() if health.agent.name == name)


def send() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    body = json.dumps([{"sensor": sensor.pk, "measured_at": factories.NOON.isoformat(), "value": 1.0}]).encode()
    inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON)


def test_on_an_empty_plant_jobs_are_late_and_the_rest_is_idle() -> None:
    found = {health.agent.name: health for health in roll_call.call()}
    assert list(found) == [agent.name for agent in AGENTS]
    with_jobs = {agent.name for agent in AGENTS if any(one.name.startswith("job/") for one in agent.sources)}
    assert {name for name, health in found.items() if health.status == Status.LATE} == with_jobs
    assert {health.status for name, health in found.items() if name not in with_jobs} == {Status.IDLE}


def test_a_job_that_ran_works_and_one_that_stopped_is_late_since_it_was_due() -> None:
    jobs.run("doctor", doctor.look_round)
    health = of("doctor")
    assert (health.status, health.done, health.errors) == (Status.WORKING, 1, 0)
    JobRun.objects.update(period=F("period") - timedelta(hours=3), finished_at=F("finished_at") - timedelta(hours=3))
    period = JobRun.objects.get().period
    health = of("doctor")
    assert (health.status, health.since) == (Status.LATE, period + timedelta(seconds=30))
    assert health.why == "doctor: due for 2 h, and nobody has done it."  # and some minutes


def test_a_job_that_fails_is_failing_until_it_is_done() -> None:
    def fail() -> None:
        raise ZeroDivisionError("no such case")

    with pytest.raises(ZeroDivisionError):
        jobs.run("doctor", fail)
    health = of("doctor")
    assert (health.status, health.why) == (
        Status.FAILING, "doctor: nothing succeeded since. ZeroDivisionError: no such case"
    )  # fmt: skip
    assert (health.errors, health.since) == (1, JobRun.objects.get().finished_at)
    jobs.run("doctor", doctor.look_round)
    assert of("doctor").status == Status.WORKING


def test_readings_that_nobody_takes_make_ingest_late_until_its_worker_is_back() -> None:
    send()
    assert of("ingest").waiting == 1
    BatchPart.objects.update(created_at=F("created_at") - timedelta(minutes=2))
    health = of("ingest")
    assert (health.status, health.since) == (Status.LATE, BatchPart.objects.get().created_at)
    assert 120 <= health.lag_seconds < 180
    sweeper.work_off(sweeper.due())
    found = {health.agent.name: health for health in roll_call.call()}
    for stage in ("ingest", "validate", "detect", "decide", "notify"):
        assert (found[stage].status, found[stage].done, found[stage].waiting) == (Status.WORKING, 1, 0)


def test_failed_rows_make_an_agent_failing_and_say_why() -> None:
    plant.rows(factories.site())
    found = {health.agent.name: health for health in roll_call.call()}
    assert found["detect"].status == Status.FAILING
    assert (found["detect"].since, found["detect"].succeeded_at) == (factories.NOON + plant.HOUR, None)
    assert found["backtest"].why == "backtest: nothing succeeded since. <b>no</b> readings"
    assert found["webhook"].status == Status.FAILING
    assert found["webhook"].why == "webhook: nothing succeeded since. answered 400"


def test_a_message_that_nobody_sends_makes_deliver_late() -> None:
    message = outgoing.message("CONSOLE")
    type(message).objects.filter(pk=message.pk).update(due_at=F("due_at") - timedelta(minutes=6))
    assert of("deliver").status == Status.LATE


@pytest.fixture
def crowded() -> Iterator[None]:
    site = factories.site()
    for _ in range(3):
        plant.rows(site)
    yield


def test_two_statements_however_much_there_is(crowded: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        roll_call.call()
    assert len(queries) == 2


@pytest.mark.parametrize("query", [facts.done_query, facts.due_query], ids=["done", "due"])
def test_no_table_that_grows_is_read_whole(crowded: None, query: object) -> None:
    """Lines by primary key or by the index of what is due; small tables may be read as they are."""
    assert callable(query)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {query()}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert [line for line in plan.splitlines() if "Seq Scan" in line] == []


def test_who_looks_after_the_installation_reads_it_over_rest_and_nobody_else() -> None:
    site = factories.site()
    problem(client(factories.user(site=site, role="ADMIN")).get("/api/v1/agents/"), status=403, name="forbidden")
    problem(client().get("/api/v1/agents/"), status=401, name="not-authenticated")
    told = client(factories.user(is_superuser=True)).get("/api/v1/agents/").json()["agents"]
    assert [one["name"] for one in told] == [agent.name for agent in AGENTS]
    assert {one["status"] for one in told} == {"late", "idle"}
    assert all(one["reads"] and one["writes"] and one["why"] for one in told)


def test_the_page_shows_every_agent_to_superusers_alone(client: Client) -> None:
    plant.rows(factories.site())
    client.force_login(factories.user(site=factories.site(), role="ADMIN", is_staff=True))
    assert client.get(reverse("agents")).status_code == 403
    assert reverse("agents") not in client.get(reverse("admin:index")).content.decode()
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    assert reverse("agents") in client.get(reverse("admin:index")).content.decode()
    page = client.get(reverse("agents")).content.decode()
    assert all(agent.does.split(",")[0] in page for agent in AGENTS)
    assert "&lt;b&gt;no&lt;/b&gt; readings" in page
    assert "<b>no</b>" not in page
