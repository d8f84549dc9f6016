from __future__ import annotations

import gzip
import json
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents import backlog, sweeper
from sensors import directory, entry
from sensors.families import Refresh
from sensors.models import Batch, BatchPart, DiscoveredSensor, Membership, Sensor
from tests import factories
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

URL = "/api/v1/data/ingest"


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def sender(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, role=Membership.Role.INGEST)


def reading(sensor: Any, minute: int = 0, **change: Any) -> dict[str, Any]:
    return {"sensor": sensor, "measured_at": f"2026-03-01T11:{minute:02}:00Z", "value": 1.0} | change


def nothing_is_stored() -> bool:
    return not Batch.objects.exists() and not BatchPart.objects.exists() and not DiscoveredSensor.objects.exists()


def test_readings_are_accepted_with_a_result_for_each_that_was_not_simply_taken(sensor: Sensor, sender: User) -> None:
    name = sensor.external_id
    items = [reading(name), reading(name), reading(name, 1, value=None), reading("new"), reading(name, 2)]
    answer = client(sender).post(URL, items, JSON)
    assert answer.status_code == 202
    body = answer.json()
    counts = {k: body[k] for k in ("items", "accepted", "duplicates", "rejected", "held")}
    assert counts == {"items": 5, "accepted": 2, "duplicates": 1, "rejected": 1, "held": 1}
    assert [(r["pointer"], r["status"]) for r in body["results"]] == [
        ("#/1", "duplicate"),
        ("#/2/value", "rejected"),
        ("#/3/sensor", "held"),
    ]
    assert Batch.objects.get().pk.hex == body["batch"].replace("-", "")


def test_the_batch_tells_what_became_of_it(sensor: Sensor, sender: User) -> None:
    first = client(sender).post(URL, {"readings": [reading(sensor.external_id)]}, JSON).json()
    state = client(sender).get(first["status_url"]).json()
    assert state["state"] == "WAITING"
    sweeper.work_off(sweeper.due())
    again = client(sender).post(URL, [reading(sensor.pk), reading(sensor.pk, 1)], JSON).json()
    sweeper.work_off(sweeper.due())
    told = client(sender).get(again["status_url"]).json()
    assert told["state"] == "DONE"
    assert told["parts"][0] | {"id": 0} == {
        "id": 0, "state": "STORED", "readings": 2, "stored": 1, "already_stored": 1, "conflicts": 0,
        "outcome": {"already_stored": [0]}, "error": "",
    }  # fmt: skip


def test_gzip_is_accepted(sensor: Sensor, sender: User) -> None:
    body = gzip.compress(json.dumps([reading(sensor.external_id)]).encode())
    answer = client(sender).post(URL, body, JSON, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 202


DEEP = b"[" * 100_000
MANY = json.dumps([reading("a")] * 20_000).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status", "name"),
    [
        (b"{", {}, 400, "malformed"),
        (b"", {}, 400, "malformed"),
        (b"[]", {}, 400, "malformed"),
        (b"\xff\xfe", {}, 400, "malformed"),
        (DEEP, {}, 400, "malformed"),
        (MANY, {}, 413, "too-large"),
        (b" " * 10_000_000, {}, 413, "too-large"),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"Content-Encoding": "gzip"}, 413, "too-large"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "malformed"),
        (gzip.compress(b"[1, 2, 3]" * 99, mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400, "malformed"),
        (gzip.compress(b"[]", mtime=0) * 2, {"Content-Encoding": "gzip"}, 400, "malformed"),
        (b"[]", {"Content-Encoding": "br"}, 415, "unsupported-media-type"),
        (b"[3, null]", {}, 422, "unprocessable"),
    ],
)
def test_a_bad_request_is_a_clear_problem_and_nothing_is_stored(
    sender: User, body: bytes, headers: dict[str, str], status: int, name: str
) -> None:
    problem(client(sender).post(URL, body, JSON, headers=headers), status=status, name=name)
    assert nothing_is_stored()


def test_a_hundred_thousand_readings_are_a_clear_problem(sender: User) -> None:
    body = json.dumps([reading("a")] * 100_000).encode()
    problem(client(sender).post(URL, body, JSON), status=413, name="too-large")
    packed = gzip.compress(json.dumps([{"sensor": "a"}] * 100_000).encode())
    problem(client(sender).post(URL, packed, JSON, headers={"Content-Encoding": "gzip"}), status=413, name="too-large")
    assert nothing_is_stored()


def test_another_content_type_is_refused(sender: User) -> None:
    for kind in ("text/csv", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = client(sender).post(URL, b"a=b", kind)
        problem(answer, status=415, name="unsupported-media-type")
    assert nothing_is_stored()


def test_every_refused_item_is_named_with_a_pointer(sensor: Sensor, sender: User) -> None:
    answer = client(sender).post(URL, [reading(sensor.external_id, value="x"), 3], JSON)
    body = problem(answer, status=422, name="unprocessable")
    assert [e["pointer"] for e in body["errors"]] == ["#/0/value", "#/1"]


def test_another_sites_sensor_is_refused_and_another_site_is_not_found(sender: User) -> None:
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    problem(client(sender).post(URL, [reading(other.pk)], JSON), status=422, name="unprocessable")
    problem(
        client(sender).post(f"{URL}?site={other.site.slug}", [reading(other.pk)], JSON), status=404, name="not-found"
    )
    for slug in ("nowhere", "%00", "a%0Ab"):
        problem(client(sender).post(f"{URL}?site={slug}", [reading(other.pk)], JSON), status=404, name="not-found")
    assert nothing_is_stored()


def test_who_may_not_send_is_refused(sensor: Sensor) -> None:
    for role in (Membership.Role.VIEWER, Membership.Role.TECHNICIAN):
        user = factories.user(site=sensor.site, role=role)
        problem(client(user).post(URL, [reading(sensor.pk)], JSON), status=403, name="forbidden")
        answer = client(user).post(f"{URL}?site={sensor.site.slug}", [reading(sensor.pk)], JSON)
        problem(answer, status=403, name="forbidden")
    problem(client(factories.user()).post(URL, [reading(sensor.pk)], JSON), status=403, name="forbidden")
    assert nothing_is_stored()


def test_who_may_send_to_several_sites_names_one(sensor: Sensor, sender: User) -> None:
    other = factories.site()
    Membership.objects.create(site=other, user=sender, role=Membership.Role.INGEST)
    problem(client(sender).post(URL, [reading(sensor.pk)], JSON), status=400, name="invalid")
    assert client(sender).post(f"{URL}?site={sensor.site.slug}", [reading(sensor.pk)], JSON).status_code == 202


def test_the_same_idempotency_key_gives_the_first_answer_again(sensor: Sensor, sender: User) -> None:
    body = [reading(sensor.pk), reading(sensor.pk)]
    for spelling in ('"abc-1"', "abc-1"):
        answer = client(sender).post(URL, body, JSON, headers={"Idempotency-Key": spelling})
        assert answer.status_code == 202
    first = Batch.objects.get()
    assert answer["Idempotent-Replayed"] == "true"
    assert answer.json()["batch"] == str(first.pk)
    assert answer.json()["results"] == first.results
    assert BatchPart.objects.count() == 1


def test_an_idempotency_key_with_another_body_is_refused(sensor: Sensor, sender: User) -> None:
    http = client(sender)
    assert http.post(URL, [reading(sensor.pk)], JSON, headers={"Idempotency-Key": "k"}).status_code == 202
    again = http.post(URL, [reading(sensor.pk, 1)], JSON, headers={"Idempotency-Key": "k"})
    problem(again, status=422, name="unprocessable")
    assert Batch.objects.count() == 1


def test_an_idempotency_key_is_the_clients_own(sensor: Sensor, sender: User) -> None:
    other = factories.user(site=sensor.site, role=Membership.Role.INGEST)
    for user in (sender, other):
        answer = client(user).post(URL, [reading(sensor.pk)], JSON, headers={"Idempotency-Key": "k"})
        assert "Idempotent-Replayed" not in answer
    assert Batch.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", 'a"b'])
def test_a_bad_idempotency_key_is_a_clear_problem(sensor: Sensor, sender: User, key: str) -> None:
    answer = client(sender).post(URL, [reading(sensor.pk)], JSON, headers={"Idempotency-Key": key})
    problem(answer, status=400, name="invalid")
    assert nothing_is_stored()


@pytest.mark.django_db(transaction=True)
def test_a_key_in_flight_is_a_conflict(sensor: Sensor, sender: User) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            scope = f"{sensor.site.pk}/{sender.pk}/k"
            connection.cursor().execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [scope, entry.KEY_LOCK]
            )
            held.set()
            release.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    answer = client(sender).post(URL, [reading(sensor.pk)], JSON, headers={"Idempotency-Key": "k"})
    release.set()
    thread.join()
    problem(answer, status=409, name="conflict")
    assert answer["Retry-After"] == "1"
    assert nothing_is_stored()


def test_without_a_valid_token_nothing_is_taken(sensor: Sensor, sender: User) -> None:
    expired = Refresh.for_user(sender).access_token
    expired.set_exp(lifetime=-expired.lifetime)
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Bearer {expired}"}):
        answer = Client(headers=headers).post(URL, [reading(sensor.pk)], JSON)
        problem(answer, status=401, name="not-authenticated")
        assert answer["WWW-Authenticate"].startswith("Bearer")
    assert nothing_is_stored()


@pytest.mark.django_db(transaction=True)
def test_an_ingest_costs_one_query_when_the_client_and_its_sensors_are_remembered(
    monkeypatch: pytest.MonkeyPatch, sensor: Sensor, sender: User
) -> None:
    monkeypatch.setattr(backlog, "KEEP_SECONDS", 3_600.0)
    http, costs = client(sender), []
    for n in range(3):
        with CaptureQueriesContext(connection) as queries:
            body = [reading(sensor.pk, m) | {"value": n} for m in range(50)]
            assert http.post(URL, body, JSON).status_code == 202
        costs.append([query["sql"].split(None, 1)[0] for query in queries])
    assert costs[1] == costs[2] == ["EXECUTE"]
    with CaptureQueriesContext(connection) as queries:
        assert http.post(URL, [reading("new")], JSON).status_code == 202
    assert len(queries) == 5  # its name; savepoint, what was discovered, the batch, release


@pytest.mark.django_db(transaction=True)
def test_a_first_ingest_costs_few_queries(sensor: Sensor, sender: User) -> None:
    http = client(sender)
    directory.see(directory.numbers())
    connection.close()
    backlog.gauge.forget()
    with CaptureQueriesContext(connection) as queries:
        assert http.post(URL, [reading(sensor.pk, m) for m in range(50)], JSON).status_code == 202
    assert len(queries) == 6  # user, memberships, sensors, backlog; the statement prepared, and executed


def test_a_series_is_accepted_and_its_refusals_point_into_it(sensor: Sensor, sender: User) -> None:
    at = ["2026-03-01T11:00:00Z", "2026-03-01T11:01:00Z"]
    series = {"sensor": sensor.external_id, "measured_at": at, "values": [1, 2]}
    answer = client(sender).post(URL, series, JSON)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    answer = client(sender).post(URL, [series | {"values": [3, None]}, reading(sensor.pk, 5)], JSON).json()
    assert (answer["items"], answer["accepted"], answer["rejected"]) == (3, 2, 1)
    assert [result["pointer"] for result in answer["results"]] == ["#/0/values/1"]
    uneven = client(sender).post(URL, series | {"values": [1]}, JSON)
    assert "2 instants for 1 values" in problem(uneven, status=400, name="malformed")["detail"]
