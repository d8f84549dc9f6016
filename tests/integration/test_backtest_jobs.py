"""Backtests that are asked for: over REST, done by workers that may die, seen by the members of the site alone."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import errand, failpoints, lease, sweeper
from agents.backtests import jobs, requests
from agents.backtests.history import Target
from agents.doorbell import Bell
from agents.models import Backtest
from sensors.models import Membership, Sensor
from tests import factories, workers
from tests.client import JSON, client, problem
from tests.integration.test_backtest import DAY, put, when

API = "/api/v1/backtests/"
PERIOD = {"from_at": "2026-02-01T00:00:00Z", "to_at": "2026-02-02T00:00:00Z"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]


@pytest.fixture
def sensor() -> Sensor:
    made = factories.sensor(machine=factories.machine(site=factories.site(), criticality="CRITICAL"))
    put(made, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    return made


@pytest.fixture
def http(sensor: Sensor) -> Client:
    return client(factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN))


def asked(sensor: Sensor, **fields: Any) -> Backtest:
    target = Target(sensor.site, sensor.machine, sensor)
    given = {"from_at": when(0), "to_at": when(DAY), "look_back_days": 14.0, "proposed": {"high": 25.0}} | fields
    return requests.ask(target, actor=factories.user(), **given)


# Over REST


def test_a_backtest_is_asked_for_done_and_looked_at(http: Client, sensor: Sensor) -> None:
    made = http.post(API, PERIOD | {"sensor": sensor.pk, "proposed": {"high": 25, "detectors": ["limits"]}}, JSON)
    assert made.status_code == 202
    row = made.json()
    assert (row["status"], row["machine"], row["proposed"]) == (
        "PENDING", sensor.machine_id, {"high": 25.0, "detectors": ["limits"]},
    )  # fmt: skip
    assert row["status_url"].endswith(f"{API}{row['id']}/")
    assert list(sweeper.due()) == [Bell("backtest", row["id"])]
    sweeper.work_off([Bell("backtest", row["id"])])
    done = http.get(row["status_url"]).json()
    assert (done["status"], done["reason"], done["slices_done"] <= done["slices"]) == ("DONE", "", True)
    assert (done["result"]["proposed"]["alarms"], done["result"]["present"]["alarms"]) == (1, 0)
    assert done["result"]["detectors"]["proposed"] == {"limits": "1"}
    assert len(done["result"]["code"]) == 12
    assert None not in (done["started_at"], done["finished_at"])
    listed = http.get(API, {"sensor": sensor.pk, "status": "DONE"}).json()["results"]
    assert [one["id"] for one in listed] == [row["id"]]
    assert "result" not in listed[0]
    assert list(sweeper.due()) == []


@pytest.mark.parametrize("kind", ["machine", "site"])
def test_a_backtest_of_more_than_a_sensor(http: Client, sensor: Sensor, kind: str) -> None:
    key = sensor.machine_id if kind == "machine" else sensor.site_id
    body = PERIOD | {kind: key, "proposed": {"false_alarms_per_week": 10}}
    row = http.post(API, body, JSON).json()
    assert jobs.perform(row["id"]) == "done"
    assert http.get(f"{API}{row['id']}/").json()["result"]["machines"] == 1
    answer = problem(http.post(API, body | {"proposed": {"low": 3}}, JSON), status=400, name="invalid")
    assert answer["errors"][0]["pointer"] == "#/proposed/low"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sensor": None}, "#/sensor"),
    ({"sensor": 987_654_321}, "#/sensor"),
    ({"sensor": 10**30}, "#/sensor"),
    ({"site": 1}, "#"),
    ({"to_at": "2026-02-01T00:00:00Z"}, "#/to_at"),
    ({"to_at": "2056-02-01T00:00:00Z"}, "#/to_at"),
    ({"from_at": "1969-01-01T00:00:00Z", "to_at": "1969-02-01T00:00:00Z"}, "#/from_at"),
    ({"look_back_days": -1}, "#/look_back_days"),
    ({"look_back_days": "NaN"}, "#/look_back_days"),
    ({"high": 3}, "#/high"),
    ({"proposed": {"hihg": 3}}, "#/proposed/hihg"),
    ({"proposed": {"high": "tall"}}, "#/proposed/high"),
    ({"proposed": {"high": 3, "low": 5}}, "#/proposed/low"),
    ({"proposed": {"detectors": ["oracle"]}}, "#/proposed/detectors/0"),
    ({"proposed": {"detectors": []}}, "#/proposed/detectors"),
    ({"proposed": {"on_delay_seconds": -1}}, "#/proposed/on_delay_seconds"),
    ({"proposed": 3}, "#/proposed"),
]


@pytest.mark.parametrize(("wrong", "pointer"), WRONG)
def test_what_is_wrong_is_told_by_pointer(http: Client, sensor: Sensor, wrong: dict[str, Any], pointer: str) -> None:
    answer = problem(http.post(API, PERIOD | {"sensor": sensor.pk} | wrong, JSON), status=400, name="invalid")
    assert pointer in [error["pointer"] for error in answer["errors"]]
    assert not Backtest.objects.exists()


def test_members_of_other_sites_see_nothing_and_viewers_ask_for_nothing(sensor: Sensor) -> None:
    row = asked(sensor)
    stranger = client(factories.user(site=factories.site(), role=Membership.Role.ADMIN))
    assert stranger.get(API).json()["results"] == []
    problem(stranger.get(f"{API}{row.pk}/"), status=404, name="not-found")
    problem(stranger.post(f"{API}{row.pk}/again/", {}, JSON), status=404, name="not-found")
    for kind, key in (("sensor", sensor.pk), ("machine", sensor.machine_id), ("site", sensor.site_id)):
        problem(stranger.post(API, PERIOD | {kind: key}, JSON), status=400, name="invalid")
    viewer = client(factories.user(site=sensor.site, role=Membership.Role.VIEWER))
    assert [one["id"] for one in viewer.get(API).json()["results"]] == [row.pk]
    problem(viewer.post(API, PERIOD | {"sensor": sensor.pk}, JSON), status=403, name="forbidden")
    problem(viewer.post(f"{API}{row.pk}/again/", {}, JSON), status=403, name="forbidden")
    problem(client().get(API), status=401, name="not-authenticated")


def test_a_list_asks_as_often_at_many_rows_as_at_few(http: Client, sensor: Sensor) -> None:
    counted = []
    for more in (2, 10):
        for _ in range(more):
            asked(sensor)
        with CaptureQueriesContext(connection) as queries:
            assert http.get(API).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_a_site_does_not_pile_up_what_nobody_works_on(http: Client, sensor: Sensor) -> None:
    for _ in range(requests.MOST_WAITING):
        asked(sensor)
    problem(http.post(API, PERIOD | {"sensor": sensor.pk}, JSON), status=409, name="conflict")


# Done by workers


def test_what_fails_says_why_and_can_be_run_again(http: Client, sensor: Sensor) -> None:
    row = asked(sensor, from_at=when(10 * DAY), to_at=when(11 * DAY))
    assert jobs.perform(row.pk) == "failed"
    row.refresh_from_db()
    assert row.status == "FAILED"
    assert "has no readings in the period; its first is of 2026-02-01 00:00" in row.reason
    assert jobs.perform(row.pk) == "stale"
    put(sensor, [20.0] * DAY, first=10 * DAY)
    assert http.post(f"{API}{row.pk}/again/", {}, JSON).status_code == 202
    assert jobs.perform(row.pk) == "done"
    problem(http.post(f"{API}{row.pk}/again/", {}, JSON), status=409, name="conflict")


def test_limits_that_changed_meanwhile_may_make_a_proposal_impossible(sensor: Sensor) -> None:
    row = asked(sensor)
    Sensor.objects.filter(pk=sensor.pk).update(high_high=24.0)
    assert jobs.perform(row.pk) == "failed"
    row.refresh_from_db()
    assert row.reason == "high (25) must be below high_high (24)."


def test_a_bug_fails_the_backtest_with_what_was_raised(sensor: Sensor) -> None:
    row = asked(sensor)
    Backtest.objects.filter(pk=row.pk).update(look_back_days=float("inf"))
    assert jobs.perform(row.pk) == "failed"
    row.refresh_from_db()
    assert row.reason.startswith("OverflowError: ")


def test_one_that_was_taken_over_keeps_nothing_of_the_first_worker(sensor: Sensor) -> None:
    row = asked(sensor)
    taken = lease.claim(Backtest, row.pk, seconds=60, status=["PENDING"])
    assert taken is not None
    assert jobs.perform(row.pk) == "stale"
    workers.let_time_pass()
    assert jobs.perform(row.pk) == "done"
    with pytest.raises(lease.Fenced):
        lease.fence(Backtest, taken, status="FAILED", reason="late")
    row.refresh_from_db()
    assert row.status == "DONE"


def test_a_lease_is_held_while_the_work_goes_on(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "TELL_SECONDS", 0.0)
    row = asked(sensor)
    before = timezone.now()
    assert jobs.perform(row.pk) == "done"
    row.refresh_from_db()
    assert (row.slices, row.slices_done) == (1, 1)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert before <= row.started_at <= row.finished_at


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", failpoints.BACKTEST_POINTS)
def test_a_backtest_whose_worker_dies_is_taken_again_and_comes_to_the_same(sensor: Sensor, point: str) -> None:
    row, twin = asked(sensor), asked(sensor)
    bells = [Bell("backtest", row.pk)]
    assert workers.work(bells, environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
    row.refresh_from_db()
    assert (row.status in Backtest.UNFINISHED, row.attempts) == (True, 1)
    workers.recover()
    row.refresh_from_db()
    twin.refresh_from_db()
    assert (row.status, row.attempts, row.result) == ("DONE", 2, twin.result)


@pytest.mark.django_db(transaction=True)
def test_a_backtest_whose_workers_die_every_time_fails_and_says_so(sensor: Sensor) -> None:
    row = asked(sensor)
    fatal = {failpoints.VARIABLE: "backtest:step"}
    assert workers.work([Bell("backtest", row.pk)], environment=fatal) == failpoints.EXIT_STATUS
    workers.recover(environment=fatal)
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("FAILED", jobs.ATTEMPTS + 1)
    assert "their workers were killed" in row.reason


def test_the_sweep_gives_back_what_a_dead_process_held_and_leaves_the_work_to_the_worker(sensor: Sensor) -> None:
    row = asked(sensor)
    taken = lease.claim(Backtest, row.pk, seconds=600, status=["PENDING"])
    assert taken is not None
    gone = f"{lease.owner().rpartition(':')[0]}:{2**22 + 1}"
    Backtest.objects.filter(pk=row.pk).update(lease_owner=gone, ring_after=timezone.now() - timedelta(seconds=1))
    assert list(sweeper.due()) == [Bell("backtest", row.pk)]
    sweeper.work_off([Bell("backtest", row.pk)], leave=sweeper.LEFT)
    row.refresh_from_db()
    assert row.status == "PENDING"


def test_the_command_keeps_what_it_found(sensor: Sensor) -> None:
    call_command("backtest", "--sensor", str(sensor.pk), "--from", "2026-02-01", "--to", "2026-02-02", "--high", "25",
                 "--quiet", "--json", stdout=io.StringIO())  # fmt: skip
    row = Backtest.objects.get()
    assert (row.status, row.sensor, row.from_at, row.proposed) == ("DONE", sensor, when(0), {"high": 25.0})
    assert row.result is not None
    assert row.result["proposed"]["alarms"] == 1
