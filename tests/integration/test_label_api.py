"""Labels and regimes over REST: added, found, retracted; what is wrong is told by pointer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sensors.models import Event, Label, Membership, Regime, Sensor
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

API = "/api/v1/"
WINDOW = {"from_at": "2026-03-01T12:00:00Z", "to_at": "2026-03-01T13:00:00Z"}
NORMAL = {"since": "2026-03-01T12:00:00Z", "reason": "New impeller"}


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def tina(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN)


@pytest.fixture
def http(tina: User) -> Client:
    return client(tina)


def test_a_label_is_added_once_and_retracted(http: Client, sensor: Sensor, tina: User) -> None:
    body = WINDOW | {"sensor": sensor.pk, "kind": "FAULT", "failure_mode": "VIB", "note": "Bearing worn"}
    made = http.post(f"{API}labels/", body, JSON)
    assert made.status_code == 201
    row = made.json()
    assert row["machine"] == sensor.machine_id
    assert (row["created_by"], row["retracted_at"]) == (tina.pk, None)
    again = http.post(f"{API}labels/", body, JSON)
    assert (again.status_code, again.json()) == (200, row)
    problem(http.post(f"{API}labels/", body | {"kind": "FALSE_ALARM", "failure_mode": ""}, JSON), status=409,
            name="conflict")  # fmt: skip
    back = http.post(f"{API}labels/{row['id']}/retract/", {}, JSON).json()
    assert back["retracted_by"] == tina.pk
    problem(http.post(f"{API}labels/{row['id']}/retract/", {}, JSON), status=409, name="conflict")
    assert http.get(f"{API}labels/{row['id']}/").json() == back
    assert Event.objects.filter(actor=tina.username).count() == 2


def test_a_regime_is_declared_of_a_machine_or_a_sensor_and_retracted(http: Client, sensor: Sensor) -> None:
    for place in ({"machine": sensor.machine_id}, {"machine": sensor.machine_id, "sensor": sensor.pk}):
        made = http.post(f"{API}regimes/", NORMAL | place, JSON)
        assert made.status_code == 201
        assert made.json()["sensor"] == place.get("sensor")
        assert http.post(f"{API}regimes/", NORMAL | place, JSON).status_code == 200
    back = http.post(f"{API}regimes/{made.json()['id']}/retract/", {}, JSON)
    assert back.json()["retracted_at"] is not None
    assert Regime.objects.count() == 2


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("labels", {"to_at": "2026-03-01T11:00:00Z"}, "#/to_at"),
    ("labels", {"to_at": "2026-03-01"}, "#/to_at"),
    ("labels", {"kind": "WEIRD"}, "#/kind"),
    ("labels", {"kind": "EXPECTED", "failure_mode": "VIB"}, "#/failure_mode"),
    ("labels", {"failure_mode": "v"}, "#/failure_mode"),
    ("labels", {"sensor": "x"}, "#/sensor"),
    ("labels", {"sensor": 10**30}, "#/sensor"),
    ("labels", {"sensor": None}, "#"),
    ("labels", {"sensor": None, "machine": 987_654_321}, "#/machine"),
    ("labels", {"from_at": "0001-01-01T00:00:00+14:00"}, "#/from_at"),
    ("regimes", {"reason": " "}, "#/reason"),
    ("regimes", {"since": "soon"}, "#/since"),
]


@pytest.mark.parametrize(("name", "wrong", "pointer"), WRONG)
def test_what_is_wrong_is_told_where(
    http: Client, sensor: Sensor, name: str, wrong: dict[str, Any], pointer: str
) -> None:
    usual = {"sensor": sensor.pk} | (WINDOW | {"kind": "FAULT"} if name == "labels" else NORMAL)
    told = problem(http.post(f"{API}{name}/", usual | wrong, JSON), status=400, name="invalid")
    assert [error["pointer"] for error in told["errors"]] == [pointer]
    assert not Label.objects.exists()


def test_a_sensor_of_another_machine_and_a_line_are_told(http: Client, sensor: Sensor) -> None:
    other = factories.machine(site=sensor.site)
    line = factories.machine(site=sensor.site, level="LINE")
    for place, pointer in (
        ({"machine": other.pk, "sensor": sensor.pk}, "#/sensor"),
        ({"machine": line.pk}, "#/machine"),
    ):
        told = problem(http.post(f"{API}regimes/", NORMAL | place, JSON), status=400, name="invalid")
        assert [error["pointer"] for error in told["errors"]] == [pointer]


@pytest.mark.parametrize("role", [Membership.Role.VIEWER, Membership.Role.INGEST])
def test_who_only_looks_adds_and_retracts_nothing(sensor: Sensor, http: Client, role: str) -> None:
    looker = client(factories.user(site=sensor.site, role=role))
    for name, body in (("labels", WINDOW | {"kind": "FAULT"}), ("regimes", NORMAL)):
        problem(looker.post(f"{API}{name}/", body | {"sensor": sensor.pk}, JSON), status=403, name="forbidden")
        row = http.post(f"{API}{name}/", body | {"sensor": sensor.pk}, JSON).json()
        problem(looker.post(f"{API}{name}/{row['id']}/retract/", {}, JSON), status=403, name="forbidden")
        assert looker.get(f"{API}{name}/{row['id']}/").json()["retracted_at"] is None


def test_another_sites_machine_is_not_there(sensor: Sensor) -> None:
    stranger = client(factories.user(site=factories.site()))
    for place in ({"sensor": sensor.pk}, {"machine": sensor.machine_id}):
        told = problem(stranger.post(f"{API}regimes/", NORMAL | place, JSON), status=400, name="invalid")
        assert told["errors"][0]["detail"].startswith("There is no ")


def test_labels_are_found_by_place_kind_period_and_standing(http: Client, sensor: Sensor) -> None:
    sibling = factories.sensor(machine=sensor.machine)
    for n, (place, kind) in enumerate(
        [
            ({"sensor": sensor.pk}, "FAULT"),
            ({"sensor": sibling.pk}, "EXPECTED"),
            ({"machine": sensor.machine_id}, "FAULT"),
        ]
    ):
        at = factories.NOON + timedelta(days=n)
        window = {"from_at": at.isoformat(), "to_at": (at + timedelta(hours=1)).isoformat()}
        http.post(f"{API}labels/", window | place | {"kind": kind}, JSON)
    http.post(f"{API}labels/{Label.objects.order_by('id')[0].pk}/retract/", {}, JSON)
    for query, count in (
        (f"machine={sensor.machine_id}", 3), (f"sensor={sensor.pk}", 1), ("kind=FAULT", 2), ("retracted=true", 1),
        ("retracted=false", 2), ("ends_after=2026-03-02T13:00:00Z", 2), ("starts_before=2026-03-02T12:00:00Z", 1),
        ("ends_after=2026-03-02T12:30:00Z&starts_before=2026-03-02T12:45:00Z", 1),
    ):  # fmt: skip
        assert len(http.get(f"{API}labels/?{query}").json()["results"]) == count, query


def test_regimes_are_found_by_place_and_instant(http: Client, sensor: Sensor) -> None:
    for day in (1, 2, 3):
        http.post(f"{API}regimes/", {"sensor": sensor.pk, "since": f"2026-03-0{day}T00:00:00Z", "reason": "x"}, JSON)
    for query, count in (
        (f"sensor={sensor.pk}", 3), ("since_after=2026-03-02T00:00:00Z", 2), ("since_before=2026-03-02T00:00:00Z", 1)
    ):  # fmt: skip
        assert len(http.get(f"{API}regimes/?{query}").json()["results"]) == count, query
