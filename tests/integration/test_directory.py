"""What a process remembers is never used after the commit that changed it, whoever made the change and how."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import psycopg2
import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from sensors import directory, discovery, inbox, roster, wholesale
from sensors.families import Refresh
from sensors.models import Batch, BatchPart, DiscoveredSensor, Equipment, Membership, Sensor
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/data/ingest"
Change = Callable[[Any], object]


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def sender(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None)


def elsewhere(statement: str, *values: Any) -> None:
    """Execute and commit in a connection that Django knows nothing of."""
    with closing(psycopg2.connect(dsn())) as other, other, other.cursor() as cursor:
        cursor.execute(statement, values)


def dsn() -> str:
    given = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    return psycopg2.extensions.make_dsn(**{name: given[name] for name in names if given.get(name)})


def reading(name: Any, minute: int = 0) -> list[dict[str, Any]]:
    return [{"sensor": name, "measured_at": f"2026-03-01T11:{minute:02}:00Z", "value": 1.0}]


ACCOUNTS: list[tuple[Change, int]] = [
    (lambda user: User.objects.filter(pk=user.pk).update(is_active=False), 401),
    (lambda user: elsewhere("UPDATE auth_user SET is_active = false WHERE id = %s", user.pk), 401),
    (lambda user: elsewhere("UPDATE auth_user SET password = 'x' WHERE id = %s", user.pk), 401),
    (lambda user: user.delete(), 401),
    (lambda user: Membership.objects.filter(user=user).update(role="VIEWER"), 403),
    (lambda user: elsewhere("UPDATE sensors_membership SET role = 'TECHNICIAN' WHERE user_id = %s", user.pk), 403),
    (lambda user: elsewhere("DELETE FROM sensors_membership WHERE user_id = %s", user.pk), 403),
    (lambda user: elsewhere("TRUNCATE sensors_membership"), 403),
    (lambda user: Membership.objects.create(user=user, site=factories.site(), role="INGEST"), 400),
    (lambda user: elsewhere("UPDATE auth_user SET is_superuser = true, is_staff = true WHERE id = %s", user.pk), 202),
]  # fmt: skip


@pytest.mark.parametrize(("change", "status"), ACCOUNTS)
def test_a_change_of_who_may_send_counts_for_the_next_request(
    sensor: Sensor, sender: User, change: Change, status: int
) -> None:
    http = client(sender)
    assert [http.post(URL, reading(sensor.pk, m), JSON).status_code for m in range(2)] == [202, 202]
    change(sender)
    assert http.post(URL, reading(sensor.pk, 2), JSON).status_code == status
    assert Batch.objects.count() == 2 + (status == 202)


def test_a_refusal_is_not_given_for_what_held_before(sensor: Sensor, sender: User) -> None:
    http = client(sender)
    Membership.objects.update(role="VIEWER")
    problem(http.post(URL, reading(sensor.pk), JSON), status=403, name="forbidden")
    elsewhere("UPDATE sensors_membership SET role = 'INGEST'")
    assert http.post(URL, reading(sensor.pk), JSON).status_code == 202
    elsewhere("UPDATE sensors_site SET slug = 'renamed'")
    problem(http.post(f"{URL}?site={sensor.site.slug}", reading(sensor.pk), JSON), status=404, name="not-found")
    assert http.post(f"{URL}?site=renamed", reading(sensor.pk), JSON).status_code == 202


def test_somebody_who_may_not_come_in_any_more_is_told_nothing_about_the_body(sensor: Sensor, sender: User) -> None:
    http = client(sender)
    assert http.post(URL, reading(sensor.pk), JSON).status_code == 202
    elsewhere("UPDATE auth_user SET is_active = false")
    problem(http.post(URL, [3], JSON), status=401, name="not-authenticated")
    problem(http.post(URL, b"{", JSON), status=401, name="not-authenticated")


def test_a_token_that_is_remembered_runs_out_all_the_same(sensor: Sensor, sender: User) -> None:
    token = Refresh.for_user(sender).access_token
    http = client(sender)
    http.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    assert http.post(URL, reading(sensor.pk), JSON).status_code == 202
    ((digest, (user, _)),) = directory.access().callers.items()
    directory.access().callers[digest] = user, 0.0
    assert http.post(URL, reading(sensor.pk), JSON).status_code == 202  # it was only forgotten
    token.set_exp(lifetime=-token.lifetime)
    http.defaults["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    problem(http.post(URL, reading(sensor.pk), JSON), status=401, name="not-authenticated")


def test_no_more_callers_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch, sensor: Sensor) -> None:
    monkeypatch.setattr(directory, "MOST_CALLERS", 2)
    users = [factories.user(site=sensor.site, role="INGEST", password=None) for _ in range(5)]
    for user in users:
        assert client(user).post(URL, reading(sensor.pk), JSON).status_code == 202
    assert 1 <= len(directory.access().callers) <= 2


# Sensors


def place(sensor: Sensor, key: Any = None) -> wholesale.Place | None:
    code = directory.see(directory.numbers())[1].places(sensor.site_id, [key or sensor.pk]).get(key or sensor.pk)
    return None if code is None else wholesale.place(code)


def to_another_machine(sensor: Sensor) -> None:
    machine = factories.machine(site=sensor.site)
    elsewhere("UPDATE sensors_sensor SET machine_id = %s WHERE id = %s", machine.pk, sensor.pk)


FLEET: list[Change] = [
    lambda sensor: Equipment.objects.update(criticality="CRITICAL"),
    lambda sensor: elsewhere("UPDATE sensors_equipment SET lane = 63 WHERE id = %s", sensor.machine_id),
    to_another_machine,
    lambda sensor: elsewhere("UPDATE sensors_sensor SET site_id = %s", factories.site().pk),
    lambda sensor: elsewhere("DELETE FROM sensors_sensor"),
]


@pytest.mark.parametrize("change", FLEET)
def test_a_change_of_where_readings_go_is_seen(sensor: Sensor, change: Change) -> None:
    before = place(sensor)
    assert before == wholesale.Place(sensor.pk, sensor.machine.lane or 0, False)
    change(sensor)
    after = place(sensor)
    assert after != before
    row = Sensor.objects.filter(pk=sensor.pk, site=sensor.site_id).select_related("machine").first()
    expected = row and wholesale.Place(row.pk, row.machine.lane or 0, row.machine.criticality == "CRITICAL")
    assert after == expected


def test_what_changes_while_a_body_is_read_counts_for_it(sensor: Sensor) -> None:
    sent = {"site": sensor.site, "user": None, "received_at": factories.NOON}
    body = b'[{"sensor": "%s", "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.external_id.encode()
    inbox.accept(body=body, **sent)

    def move(arriving: inbox.Arriving) -> None:
        elsewhere("UPDATE sensors_equipment SET lane = 63")

    assert inbox.accept(body=body, admit=move, **sent).lanes == (63,)

    def rename(arriving: inbox.Arriving) -> None:
        elsewhere("UPDATE sensors_sensor SET external_id = 'other'")

    assert inbox.accept(body=body, admit=rename, **sent).batch.held == 1


def test_a_sensor_that_is_adopted_while_its_readings_are_read_is_no_longer_unknown(sensor: Sensor) -> None:
    sent = {"site": sensor.site, "user": None, "received_at": factories.NOON}
    body = b'[{"sensor": "new", "measured_at": "2026-03-01T11:%s:00Z", "value": 1}]'
    assert inbox.accept(body=body % b"00", **sent).batch.held == 1

    def adopt(arriving: inbox.Arriving) -> None:
        found = DiscoveredSensor.objects.get()
        discovery.adopt(found.pk, equipment=sensor.machine, kind="FLOW", unit="")

    late = inbox.accept(body=body % b"01", admit=adopt, **sent)
    assert (late.batch.accepted, late.batch.held) == (1, 0)
    assert DiscoveredSensor.objects.get().readings == 1
    assert not BatchPart.objects.filter(state="HELD").exists()


def test_nothing_is_stored_for_who_loses_the_right_while_the_body_is_read(sensor: Sensor, sender: User) -> None:
    def deactivate(arriving: inbox.Arriving) -> None:
        elsewhere("UPDATE auth_user SET is_active = false")

    body = b'[{"sensor": %d, "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.pk
    with pytest.raises(inbox.Outdated):
        inbox.accept(
            site=sensor.site, user=sender, body=body, received_at=factories.NOON, access=directory.numbers().access,
            admit=deactivate,
        )  # fmt: skip
    assert not Batch.objects.exists()


def test_sensors_that_change_all_the_time_have_to_wait_in_the_end(
    monkeypatch: pytest.MonkeyPatch, sensor: Sensor
) -> None:
    monkeypatch.setattr(inbox, "TRIES", 0)
    body = b'[{"sensor": %d, "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.pk

    def change(arriving: inbox.Arriving) -> None:
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            elsewhere("SET lock_timeout = '50ms'; UPDATE sensors_equipment SET lane = 63")

    accepted = inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON, admit=change)
    assert accepted.lanes == (sensor.machine.lane,)
    elsewhere("UPDATE sensors_equipment SET lane = 63")


# Numbers


def test_a_transaction_raises_the_number_once_and_only_of_what_it_changed(sensor: Sensor) -> None:
    before = directory.numbers()
    for _ in range(50):
        factories.sensor(machine=sensor.machine)
    now = directory.numbers()
    assert (now.access, now.fleet) == (before.access, before.fleet + 50)
    elsewhere("UPDATE sensors_sensor SET low = 1; UPDATE sensors_equipment SET name = 'x'")
    assert directory.numbers().fleet == now.fleet + 1
    elsewhere("UPDATE auth_user SET last_login = now(), email = 'a@b.example'")
    assert directory.numbers() == directory.Numbers(now.access, now.fleet + 1)


def test_a_transaction_sees_its_own_changes_and_leaves_nothing_behind_when_it_is_undone(sensor: Sensor) -> None:
    known = directory.fleet()
    known.places(sensor.site_id, [sensor.pk])
    with transaction.atomic():
        Sensor.objects.update(external_id="renamed")
        assert "renamed" in directory.fleet().places(sensor.site_id, ["renamed"])
        assert directory.numbers().fleet == directory.OWN
        transaction.set_rollback(True)
    assert directory.fleet() is known
    assert "renamed" not in known.places(sensor.site_id, ["renamed"])


def test_who_has_changed_something_does_not_hold_up_the_intake(sensor: Sensor) -> None:
    body = b'[{"sensor": %d, "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.pk
    with closing(psycopg2.connect(dsn())) as other, other.cursor() as cursor:
        cursor.execute("UPDATE sensors_sensor SET low = 1; UPDATE sensors_equipment SET lane = 63")
        taken = inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON)
        assert taken.lanes == (sensor.machine.lane,)
        other.commit()
        taken = inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON)
        assert taken.lanes == (63,)


# The table of the stages


def test_the_stages_see_a_changed_limit_at_once(sensor: Sensor) -> None:
    other = factories.sensor(machine=sensor.machine, high=5.0)
    table = roster.table(np.array([sensor.pk]))
    assert table.sensor.tolist() == sorted([sensor.pk, other.pk])
    assert table.high[table.sensor == other.pk].tolist() == [5.0]
    elsewhere("UPDATE sensors_sensor SET high = 7, lateness_seconds = 9 WHERE id = %s", other.pk)
    table = roster.table(np.array([sensor.pk]))
    assert table.high[table.sensor == other.pk].tolist() == [7.0]
    assert table.lateness[table.sensor == other.pk].tolist() == [9_000_000]


def test_the_stages_ask_for_sensors_once_and_for_those_of_a_machine_together(
    sensor: Sensor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sibling = factories.sensor(machine=sensor.machine)
    apart = factories.sensor(machine=factories.machine(site=sensor.site))
    family = sorted([sensor.pk, sibling.pk])
    assert roster.table(np.array([sensor.pk])).sensor.tolist() == family
    with django_assert_num_queries(1):
        assert roster.table(np.array([sibling.pk])).sensor.tolist() == family
    with django_assert_num_queries(2):
        assert roster.table(np.array(sorted([sensor.pk, apart.pk]))).sensor.tolist() == sorted([*family, apart.pk])
    with django_assert_num_queries(1):
        assert roster.table(np.array([apart.pk])).sensor.tolist() == [apart.pk]
    elsewhere("DELETE FROM sensors_sensor WHERE id = %s", sibling.pk)
    assert roster.table(np.array(family)).sensor.tolist() == [sensor.pk]
    assert roster.table(np.array([2**62])).sensor.tolist() == []
