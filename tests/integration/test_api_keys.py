"""Keys of programs and devices: shown once, bounded by scope and site, changed with an overlap, revoked at once."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import backlog
from sensors import access, keys, permissions
from sensors.identity_models import ApiKey
from sensors.models import Batch, BatchPart, DiscoveredSensor, Event, Membership, Sensor
from tests import factories
from tests.chaos.service import until
from tests.client import JSON, client, problem
from tests.integration.test_directory import dsn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API, URL, KEYS = "/api/v1/", "/api/v1/data/ingest", "/api/v1/api-keys/"


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    keys._noted.clear()


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def boss(sensor: Sensor) -> User:
    return factories.user(site=sensor.site)


def bearing(secret: str) -> Client:
    return Client(headers={"Authorization": f"Api-Key {secret}"})


def made(boss: User, sensor: Sensor, *, kind: str = "PROGRAM", **fields: Any) -> tuple[ApiKey, str]:
    of = {"scopes": ["read", "readings.send"]} if kind == "PROGRAM" else {"sensors": [sensor]}
    return keys.create(site=sensor.site, name=f"{kind}-{timezone.now()}", kind=kind, actor=boss, **(of | fields))


def reading(sensor: Any, minute: int = 0) -> dict[str, Any]:
    return {"sensor": sensor, "measured_at": f"2026-03-01T11:{minute:02}:00Z", "value": 1.0}


def test_keys_are_known_to_the_web_servers_role(settings: Settings, boss: User, sensor: Sensor) -> None:
    """Which sees no row of a site before it knows who asks."""
    settings.MIDDLEWARE = ["tests.walled.AsWeb", *settings.MIDDLEWARE]
    factories.sensor(machine=factories.machine(site=factories.site()))
    (program, secret), (device, other) = made(boss, sensor), made(boss, sensor, kind="DEVICE")
    seen = bearing(secret).get(f"{API}sensors/").json()["results"]
    assert [row["id"] for row in seen] == [sensor.pk]
    assert bearing(other).post(URL, [reading(sensor.pk)], JSON).status_code == 202
    for key in (program, device):
        key.refresh_from_db()
        assert key.used_at is not None


@pytest.mark.django_db(transaction=True)
def test_of_two_keys_of_one_name_at_the_same_moment_one_is_made(boss: User, sensor: Sensor) -> None:
    """The first is written and not committed when the second is looked at."""
    body = {"site": sensor.site_id, "name": "historian", "scopes": ["read"]}
    answers: list[Any] = []

    def ask() -> None:
        http = client(boss)
        http.raise_request_exception = False
        answers.append(http.post(KEYS, body, JSON))
        connection.close()

    with transaction.atomic():
        keys.create(site=sensor.site, name="historian", kind="PROGRAM", scopes=["read"], actor=boss)
        second = threading.Thread(target=ask)
        second.start()
        until(waits_for_another, limit=20)
    second.join()
    problem(answers[0], status=409, name="conflict")
    assert Counter(ApiKey.objects.values_list("name", flat=True)) == {"historian": 1}


def waits_for_another() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        return bool(cursor.fetchone()[0])


def refused(answer: Any) -> None:
    problem(answer, status=401, name="not-authenticated")


# Made and shown


def test_a_key_is_made_and_its_secret_is_shown_once(sensor: Sensor, boss: User) -> None:
    asked = {"site": sensor.site_id, "name": "historian", "scopes": ["read", "readings.send"]}
    answer = client(boss).post(KEYS, asked, JSON)
    assert answer.status_code == 201, answer.content
    assert answer["Cache-Control"] == "no-store"
    told = answer.json()
    assert told["secret"].startswith(f"bw_{told['prefix']}_")
    row = ApiKey.objects.get()
    assert row.digest == hashlib.sha256(told["secret"].encode()).hexdigest()
    assert "secret" not in client(boss).get(f"{KEYS}{row.pk}/").json()
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM sensors_apikey k")
        assert told["secret"][16:] not in cursor.fetchone()[0]
    assert bearing(told["secret"]).get(f"{API}sensors/").json()["results"][0]["id"] == sensor.pk
    assert bearing(told["secret"]).post(URL, [reading(sensor.pk)], JSON).status_code == 202


def test_whoever_may_not_change_keys_neither_sees_nor_makes_them(sensor: Sensor, boss: User) -> None:
    key, secret = made(boss, sensor, scopes=list(keys.GRANTABLE))
    asked = {"site": sensor.site_id, "name": "mine", "scopes": ["read"]}
    for role in set(Membership.Role.values) - {Membership.Role.ADMIN}:
        http = client(factories.user(site=sensor.site, role=role))
        problem(http.post(KEYS, asked, JSON), status=403, name="forbidden")
        assert http.get(f"{KEYS}{key.pk}/").status_code in (403, 404)
    stranger = client(factories.user(site=factories.site()))
    problem(stranger.post(KEYS, asked, JSON), status=400, name="invalid")
    for verb in ("", "rotate/", "revoke/"):
        assert stranger.post(f"{KEYS}{key.pk}/{verb}", {}, JSON).status_code in (404, 405)
    problem(bearing(secret).post(KEYS, asked, JSON), status=403, name="forbidden")
    refused(Client().get(KEYS))
    assert ApiKey.objects.count() == 1


BAD: list[dict[str, Any]] = [
    {"scopes": []}, {"scopes": ["everything"]}, {"scopes": ["members.edit"]}, {"scopes": ["keys.edit"]},
    {"scopes": ["installation"]}, {"kind": "DEVICE"}, {"kind": "DEVICE", "sensors": [987_654_321]},
    {"kind": "ROBOT"}, {"scopes": ["read"], "sensors": [987_654_321]}, {"name": ""}, {"site": 987_654_321},
]  # fmt: skip


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_a_key_that_makes_no_sense_is_refused(sensor: Sensor, boss: User, wrong: dict[str, Any]) -> None:
    asked = {"site": sensor.site_id, "name": "x", "scopes": ["read"]} | wrong
    problem(client(boss).post(KEYS, asked, JSON), status=400, name="invalid")
    assert not ApiKey.objects.exists()
    assert not User.objects.filter(username__startswith="key-").exists()


def test_two_keys_of_a_site_that_hold_have_different_names(sensor: Sensor, boss: User) -> None:
    asked = {"site": sensor.site_id, "name": "x", "scopes": ["read"]}
    first = client(boss).post(KEYS, asked, JSON).json()
    problem(client(boss).post(KEYS, asked, JSON), status=400, name="invalid")
    assert client(boss).post(f"{KEYS}{first['id']}/revoke/").status_code == 200
    assert client(boss).post(KEYS, asked, JSON).status_code == 201


# Bounds


def test_a_key_does_what_its_scopes_say_and_nothing_else(sensor: Sensor, boss: User) -> None:
    _, reads = made(boss, sensor, scopes=["read"])
    assert bearing(reads).get(f"{API}sensors/").status_code == 200
    problem(bearing(reads).post(URL, [reading(sensor.pk)], JSON), status=403, name="forbidden")
    _, sends = made(boss, sensor, scopes=["readings.send"])
    assert bearing(sends).post(URL, [reading(sensor.pk)], JSON).status_code == 202
    assert bearing(sends).get(f"{API}sensors/{sensor.pk}/").status_code in (403, 404)


def test_the_account_of_a_key_has_the_least_role_that_has_its_scopes() -> None:
    assert keys.least_role(["read"]) == Membership.Role.VIEWER
    assert keys.least_role(["readings.send"]) == keys.least_role(["read", "readings.send"]) == Membership.Role.INGEST
    for name in keys.GRANTABLE:
        assert keys.least_role([name]) in permissions.roles(name)


def test_a_key_is_of_one_site(sensor: Sensor, boss: User) -> None:
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    key, secret = made(boss, sensor, scopes=list(keys.GRANTABLE))
    Membership.objects.create(site=other.site, user=key.user, role="ADMIN")
    problem(bearing(secret).get(f"{API}sensors/{other.pk}/"), status=404, name="not-found")
    answer = bearing(secret).post(f"{URL}?site={other.site.slug}", [reading(other.external_id)], JSON)
    problem(answer, status=404, name="not-found")


def test_what_a_key_does_is_told_under_its_name(sensor: Sensor, boss: User) -> None:
    key, secret = made(boss, sensor, scopes=list(keys.GRANTABLE))
    assert bearing(secret).post(URL, [reading(sensor.pk)], JSON).status_code == 202
    assert Batch.objects.get().submitted_by == key.user
    told = Event.objects.filter(subject=f"api_key/{key.pk}").values_list("type", "actor")
    assert list(told) == [("api_key.added", boss.username)]


def test_the_account_of_a_key_is_no_person(sensor: Sensor, boss: User) -> None:
    key, _ = made(boss, sensor, scopes=["read", "orders.act"])
    assert key.user not in access.people(User.objects.all())
    assert key.user not in access.members(sensor.site_id, to="orders.act")
    for password in ("", "!", "x"):
        answer = Client().post(f"{API}auth/token/", {"username": key.user.username, "password": password}, JSON)
        assert answer.status_code in (400, 401)


SECRETS = ["", "x", "bw_", "bw_000000000000_" + "a" * 43, "bw_" + "a" * 60, "bw_\u00e9" + "a" * 57, "Bearer x"]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_no_key_opens_nothing(sensor: Sensor, secret: str) -> None:
    for http in (bearing(secret), Client(headers={"Authorization": f"api-key   {secret}"})):
        refused(http.get(f"{API}sensors/"))
        refused(http.post(URL, [reading(sensor.pk)], JSON))


def test_another_key_with_the_same_prefix_opens_nothing(sensor: Sensor, boss: User) -> None:
    _, secret = made(boss, sensor)
    forged = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    refused(bearing(forged).get(f"{API}sensors/"))
    refused(Client(headers={"Authorization": f"Bearer {secret}"}).get(f"{API}sensors/"))


# Time


def test_a_key_that_has_expired_is_refused(sensor: Sensor, boss: User) -> None:
    _, secret = made(boss, sensor, expires_at=timezone.now() - timedelta(seconds=1))
    refused(bearing(secret).get(f"{API}sensors/"))
    refused(bearing(secret).post(URL, [reading(sensor.pk)], JSON))


def test_a_new_secret_takes_over_while_the_old_one_holds_on(sensor: Sensor, boss: User) -> None:
    key, old = made(boss, sensor)
    answer = client(boss).post(f"{KEYS}{key.pk}/rotate/", {"overlap_seconds": 3_600}, JSON)
    new = answer.json()["secret"]
    assert answer.json()["previous_until"]
    for secret in (old, new):
        assert bearing(secret).get(f"{API}sensors/").status_code == 200
    ApiKey.objects.update(previous_until=timezone.now())
    refused(bearing(old).get(f"{API}sensors/"))
    assert bearing(new).get(f"{API}sensors/").status_code == 200
    client(boss).post(f"{KEYS}{key.pk}/rotate/", {"overlap_seconds": 0}, JSON)
    refused(bearing(new).get(f"{API}sensors/"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["revoke", "expire", "rotate", "elsewhere", "account"])
def test_what_is_remembered_of_a_key_is_forgotten_at_once(sensor: Sensor, boss: User, how: str) -> None:
    key, secret = made(boss, sensor)
    http = bearing(secret)
    assert [http.post(URL, [reading(sensor.pk, m)], JSON).status_code for m in range(2)] == [202, 202]
    if how == "revoke":
        assert client(boss).post(f"{KEYS}{key.pk}/revoke/").json()["revoked_at"]
    elif how == "expire":
        ApiKey.objects.update(expires_at=timezone.now())
    elif how == "rotate":
        keys.rotate(key, overlap=timedelta(0), actor=boss)
    elif how == "account":
        User.objects.filter(pk=key.user_id).update(is_active=False)
    else:
        with closing(psycopg2.connect(dsn())) as other, other, other.cursor() as cursor:
            cursor.execute("UPDATE sensors_apikey SET revoked_at = now()")
    refused(http.post(URL, [reading(sensor.pk, 3)], JSON))
    assert Batch.objects.count() == 2
    refused(http.get(f"{API}sensors/"))


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_remembered_costs_no_more_than_a_token(
    monkeypatch: pytest.MonkeyPatch, sensor: Sensor, boss: User
) -> None:
    monkeypatch.setattr(backlog, "KEEP_SECONDS", 3_600.0)
    for kind in ("PROGRAM", "DEVICE"):
        key, secret = made(boss, sensor, kind=kind)
        http, costs = bearing(secret), []
        for n in range(3):
            with CaptureQueriesContext(connection) as queries:
                body = [reading(sensor.pk, m) | {"value": n} for m in range(50)]
                assert http.post(URL, body, JSON).status_code == 202
            costs.append([query["sql"].split(None, 1)[0] for query in queries])
        assert costs[1] == costs[2] == ["EXECUTE"]
        key.refresh_from_db()
        assert key.used_at is not None
        assert key.used_from == "127.0.0.1"


def test_when_it_was_used_is_written_once_a_minute(sensor: Sensor, boss: User) -> None:
    key, secret = made(boss, sensor)
    for _ in range(2):
        bearing(secret).get(f"{API}sensors/")
        keys._noted.clear()  # as another process
    first = ApiKey.objects.get().used_at
    bearing(secret).get(f"{API}sensors/")
    assert ApiKey.objects.get().used_at == first
    ApiKey.objects.update(used_at=timezone.now() - timedelta(minutes=2))
    keys._noted.clear()
    bearing(secret).get(f"{API}sensors/")
    key.refresh_from_db()
    assert key.used_at is not None and key.used_at > timezone.now() - timedelta(minutes=1)


# Devices


@pytest.mark.django_db(transaction=True)
def test_a_device_sends_for_its_own_sensors_and_each_other_item_is_refused(sensor: Sensor, boss: User) -> None:
    other, foreign = (
        factories.sensor(machine=sensor.machine),
        factories.sensor(machine=factories.machine(site=factories.site())),
    )
    _, secret = made(boss, sensor, kind="DEVICE")
    http = bearing(secret)
    assert http.post(URL, [reading(sensor.pk), reading(sensor.external_id, 1)], JSON).json()["accepted"] == 2
    for name in (other.pk, other.external_id, foreign.pk, foreign.external_id, "nobody knows it"):
        answer = http.post(URL, [reading(sensor.pk, 2), reading(name, 3)], JSON).json()
        assert (answer["accepted"], answer["rejected"], answer["held"]) == (1, 1, 0)
        assert [(r["pointer"], r["reason"]) for r in answer["results"]] == [("#/1/sensor", "not-of-this-key")]
        problem(http.post(URL, [reading(name, 3)], JSON), status=422, name="unprocessable")
    series = {"sensor": other.pk, "measured_at": ["2026-03-01T11:00:00Z"], "values": [1.0]}
    problem(http.post(URL, series, JSON), status=422, name="unprocessable")
    assert not DiscoveredSensor.objects.exists()
    assert set(BatchPart.objects.values_list("lane", flat=True)) == {sensor.machine.lane}


def test_a_device_does_nothing_but_send(sensor: Sensor, boss: User) -> None:
    _, secret = made(boss, sensor, kind="DEVICE")
    for path in ("sensors/", "batches/", "alarms/", "api-keys/", "auth/sessions/", "labels/", "ml/models/"):
        problem(bearing(secret).get(f"{API}{path}"), status=403, name="forbidden")
    problem(bearing(secret).post(f"{API}labels/", {}, JSON), status=403, name="forbidden")


@pytest.mark.django_db(transaction=True)
def test_a_device_that_is_bound_anew_sends_for_those_at_once(sensor: Sensor, boss: User) -> None:
    other = factories.sensor(machine=sensor.machine)
    key, secret = made(boss, sensor, kind="DEVICE")
    http = bearing(secret)
    assert http.post(URL, [reading(sensor.pk)], JSON).status_code == 202
    assert client(boss).patch(f"{KEYS}{key.pk}/", {"sensors": [other.pk]}, JSON).json()["sensors"] == [other.pk]
    problem(http.post(URL, [reading(sensor.pk, 1)], JSON), status=422, name="unprocessable")
    assert http.post(URL, [reading(other.pk, 1)], JSON).status_code == 202
    problem(client(boss).patch(f"{KEYS}{key.pk}/", {"sensors": []}, JSON), status=400, name="invalid")


# Pages


def staff(boss: User) -> Client:
    User.objects.filter(pk=boss.pk).update(is_staff=True)
    http = Client()
    http.force_login(boss)
    return http


def test_a_site_s_administrator_makes_changes_and_revokes_a_key_on_pages(sensor: Sensor, boss: User) -> None:
    http = staff(boss)
    form = {"site": sensor.site_id, "kind": "DEVICE", "name": "gateway 3", "sensors": [sensor.pk]}
    page = http.post(reverse("admin:sensors_apikey_add"), form)
    assert page.status_code == 200, page
    assert "no-store" in page["Cache-Control"]
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert bearing(secret).post(URL, [reading(sensor.pk)], JSON).status_code == 202
    key = ApiKey.objects.get()
    assert list(key.sensors.all()) == [sensor]
    shown = http.get(reverse("admin:sensors_apikey_change", args=[key.pk])).content.decode()
    assert f"bw_{key.prefix}" in shown
    assert secret not in shown
    page = http.post(reverse("admin:sensors_apikey_rotate", args=[key.pk]), {"confirmed": "1", "hours": "1"})
    assert bearing(page.context["secret"]).post(URL, [reading(sensor.pk, 1)], JSON).status_code == 202
    http.post(reverse("admin:sensors_apikey_revoke", args=[key.pk]), {"confirmed": "1"})
    refused(bearing(page.context["secret"]).post(URL, [reading(sensor.pk, 2)], JSON))


def test_a_form_that_makes_no_sense_is_told_so(sensor: Sensor, boss: User) -> None:
    form = {"site": sensor.site_id, "kind": "DEVICE", "name": "gateway 3"}
    page = staff(boss).post(reverse("admin:sensors_apikey_add"), form)
    assert page.context["adminform"].form.errors["sensors"]
    assert not ApiKey.objects.exists()


def test_the_accounts_of_keys_are_not_among_the_users(sensor: Sensor, boss: User, admin_client: Client) -> None:
    key, _ = made(boss, sensor)
    assert key.user.username not in admin_client.get(reverse("admin:auth_user_changelist")).content.decode()
    assert admin_client.get(reverse("admin:auth_user_change", args=[key.user_id])).status_code == 302


# On the web server's role


def test_a_key_is_found_before_it_is_known_whose_sites_are_seen(sensor: Sensor, boss: User, settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.walled.AsWeb", *settings.MIDDLEWARE]
    for kind in ("PROGRAM", "DEVICE"):
        key, secret = made(boss, sensor, kind=kind)
        answer = bearing(secret).post(URL, [reading(sensor.external_id)], JSON)
        assert answer.status_code == 202, answer.content
        assert ApiKey.objects.get(pk=key.pk).used_at is not None
    listed = bearing(made(boss, sensor)[1]).get("/api/v1/sensors/").json()["results"]
    assert [row["id"] for row in listed] == [sensor.pk]
    refused(bearing("bw_000000000000_" + 43 * "x").get("/api/v1/sensors/"))
