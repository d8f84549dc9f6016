"""What people do with runs that were set aside: in the admin, over REST and from the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from agents import dead_letters, failures, pipeline
from agents.models import Run
from sensors import inbox
from sensors.models import BatchPart, Event, Membership, Sensor
from tests import factories
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/runs/"


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


def failed(sensor: Sensor, *, value: float = 66.125, cause: str = "") -> Run:
    """A run that was set aside at VALIDATE, with one part of two readings."""
    start = factories.NOON - timedelta(hours=Run.objects.count() + 1)
    items = [
        {"sensor": sensor.pk, "measured_at": (start + timedelta(minutes=n)).isoformat(), "value": value}
        for n in range(2)
    ]
    taken = inbox.accept(site=sensor.site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON)
    run_id = pipeline.begin(taken.lanes[0]).bells[0].id
    verdict = failures.worker_died("killed by signal 9", stage="VALIDATE")
    dead_letters.set_aside(Run.objects.get(pk=run_id), verdict)
    if cause:
        Run.objects.filter(pk=run_id).update(cause=cause)
    return Run.objects.get(pk=run_id)


def root() -> Client:
    return client(factories.user(is_superuser=True))


def replay_failed(*arguments: str) -> str:
    out = StringIO()
    call_command("replay-failed", *arguments, stdout=out, stderr=out)
    return out.getvalue()


# Over REST


def test_what_a_run_carries_can_be_read(sensor: Sensor) -> None:
    run = failed(sensor)
    (part,) = root().get(f"{API}{run.pk}/payload/").json()
    assert (part["count"], part["state"], part["site"], part["unreadable"]) == (2, "SET_ASIDE", sensor.site.slug, "")
    assert part["readings"][0] == {
        "sensor": sensor.pk, "measured_at": part["readings"][0]["measured_at"], "value": 66.125,
    }  # fmt: skip
    BatchPart.objects.update(columns=b"nonsense")
    (part,) = root().get(f"{API}{run.pk}/payload/").json()
    assert "cannot be decoded" in part["unreadable"]
    assert part["readings"] == []


def test_a_failed_run_is_discarded_with_a_reason_and_taken_back_by_a_replay(sensor: Sensor) -> None:
    run, http = failed(sensor), root()
    body = problem(http.post(f"{API}{run.pk}/discard/", {}, JSON), status=400, name="invalid")
    assert body["errors"] == [{"detail": "This field is required.", "pointer": "#/reason"}]
    assert http.post(f"{API}{run.pk}/discard/", {"reason": "a test"}, JSON).json()["status"] == "DISCARDED"
    problem(http.post(f"{API}{run.pk}/discard/", {"reason": "a test"}, JSON), status=409, name="conflict")
    assert http.get(f"{API}{run.pk}/").json()["resolution"].endswith(": a test")
    assert http.post(f"{API}{run.pk}/replay/", {}, JSON).status_code == 202
    assert http.get(f"{API}{run.pk}/").json()["status"] == "REPLAY"


def test_only_administrators_of_the_installation_may(sensor: Sensor) -> None:
    run = failed(sensor)
    http = client(factories.user(site=sensor.site, role=Membership.Role.ADMIN))
    problem(http.get(f"{API}{run.pk}/payload/"), status=403, name="forbidden")
    problem(http.post(f"{API}{run.pk}/discard/", {"reason": "x"}, JSON), status=403, name="forbidden")
    problem(client().post(f"{API}{run.pk}/discard/", {"reason": "x"}, JSON), status=401, name="not-authenticated")
    assert Run.objects.get(pk=run.pk).status == "FAILED"


def test_failures_of_one_cause_are_listed_by_it(sensor: Sensor) -> None:
    mine = failed(sensor, cause="a" * 16)
    failed(sensor, cause="b" * 16)
    found = root().get(API, {"cause": "a" * 16, "status": "FAILED"}).json()["results"]
    assert [row["id"] for row in found] == [mine.pk]


# In the admin


def test_the_page_of_a_run_shows_its_payload_and_offers_what_fits(sensor: Sensor, client: Client) -> None:
    run = failed(sensor)
    client.force_login(factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN, is_staff=True))
    page = reverse("admin:agents_run_change", args=[run.pk])
    text = client.get(page).content.decode()
    assert "66.125" in text
    assert "killed by signal 9" in text
    assert reverse("admin:agents_run_discard", args=[run.pk]) in text
    discard = reverse("admin:agents_run_discard", args=[run.pk])
    assert "required" in client.post(discard, {"confirmed": "1"}).content.decode()
    assert client.post(discard, {"confirmed": "1", "reason": "a test"}).status_code == 302
    text = client.get(page).content.decode()
    assert "a test" in text
    assert discard not in text
    assert reverse("admin:agents_run_replay", args=[run.pk]) in text


def test_several_are_discarded_from_the_list_at_once(sensor: Sensor, client: Client) -> None:
    runs = [failed(sensor), failed(sensor)]
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    data = {"action": "discard_selected", "_selected_action": [run.pk for run in runs]}
    url = reverse("admin:agents_run_changelist")
    assert client.post(url, data).status_code == 200
    assert Run.objects.filter(status="FAILED").count() == 2
    assert client.post(url, data | {"confirmed": "1", "reason": "a test"}).status_code == 302
    assert Run.objects.filter(status="DISCARDED").count() == 2


def test_a_viewer_may_not(sensor: Sensor, client: Client) -> None:
    run = failed(sensor)
    client.force_login(factories.user(site=sensor.site, role=Membership.Role.VIEWER, is_staff=True))
    answer = client.post(reverse("admin:agents_run_discard", args=[run.pk]), {"confirmed": "1", "reason": "x"})
    assert answer.status_code == 403


# From the command line


def test_the_command_lists_by_cause_and_does_nothing_else(sensor: Sensor) -> None:
    assert replay_failed() == "None.\n"
    run = failed(sensor)
    text = replay_failed()
    assert run.cause in text
    assert "1 set aside" in text
    assert Run.objects.get(pk=run.pk).status == "FAILED"


def test_the_command_replays_one_those_of_a_cause_or_all(sensor: Sensor) -> None:
    one, two, three = failed(sensor, cause="a" * 16), failed(sensor, cause="b" * 16), failed(sensor, cause="c" * 16)
    assert "1 replaying" in replay_failed("--run", str(one.pk), "--actor", "ops")
    assert Event.objects.get(type="run.replayed").actor == "ops"
    assert "1 replaying" in replay_failed("--cause", two.cause)
    assert Run.objects.get(pk=three.pk).status == "FAILED"
    assert "1 replaying" in replay_failed("--all")
    assert set(Run.objects.values_list("status", flat=True)) == {"REPLAY"}


def test_the_command_discards_with_a_reason_and_says_what_it_refused(sensor: Sensor) -> None:
    run = failed(sensor)
    with pytest.raises(CommandError, match="1 of 1 refused"):
        replay_failed("--run", str(run.pk), "--discard", " ")
    assert "1 discarded" in replay_failed("--all", "--discard", "a test", "--actor", "ops")
    assert Run.objects.get(pk=run.pk).resolution == "Discarded by ops: a test"
    with pytest.raises(CommandError, match="1 of 1 refused"):
        replay_failed("--run", "999999")
