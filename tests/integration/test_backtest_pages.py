"""Pages of backtests: asked for by a button, looked at, run again; of one's own sites alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.backtests import jobs, pages, proposal
from agents.models import Backtest
from sensors.models import Equipment, Membership, Sensor
from tests import factories
from tests.integration.test_backtest import DAY, put, when
from tests.integration.test_backtest_jobs import asked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

LIST = "admin:agents_backtest_changelist"
FORM = {"from_at": "2026-02-01 00:00", "to_at": "2026-02-02 00:00", "look_back_days": "14", "confirmed": "1",
        "detectors": list(proposal.DETECTORS), "false_alarms_per_week": ""}  # fmt: skip
OF_SENSOR = FORM | {"low_low": "", "low": "10", "high": "", "high_high": "", "deadband": "0", "on_delay_seconds": "0",
                    "off_delay_seconds": "0"}  # fmt: skip


@pytest.fixture
def sensor() -> Sensor:
    made = factories.sensor(machine=factories.machine(site=factories.site(), criticality="CRITICAL"), low=10.0)
    put(made, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    return made


@pytest.fixture
def tina(client: Client, sensor: Sensor) -> Client:
    client.force_login(factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN, is_staff=True))
    return client


def form(kind: str, key: int) -> str:
    return reverse("admin:agents_backtest_ask", query={kind: key})


def page(row: Backtest) -> str:
    return reverse("admin:agents_backtest_change", args=[row.pk])


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_from_a_sensors_button_to_the_table_of_both_sides(tina: Client, sensor: Sensor) -> None:
    shown = text(tina.get(reverse("admin:sensors_sensor_change", args=[sensor.pk])))
    button = reverse("admin:sensors_sensor_backtest", args=[sensor.pk])
    assert button in shown
    led = tina.get(button, follow=True)
    assert led.redirect_chain == [(form("sensor", sensor.pk), 302)]
    given = led.context["form"]
    assert (given["low"].value(), given["high"].value()) == (10.0, None)
    assert given["to_at"].value() == (when(95) + timedelta(minutes=1)).replace(tzinfo=None)
    answer = tina.post(form("sensor", sensor.pk), OF_SENSOR | {"high": "25", "detectors": ["limits"]})
    row = Backtest.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, page(row))
    assert (row.proposed, row.from_at, row.to_at) == ({"high": 25.0, "detectors": ["limits"]}, when(0), when(DAY))
    assert row.asked_by is not None
    assert "pending" in text(tina.get(page(row)))
    assert jobs.perform(row.pk) == "done"
    shown = text(tina.get(page(row)))
    assert "Alarms (activations)" in shown
    assert "Alarms, proposed" in shown
    assert "Alarms, present" not in shown
    assert "limit high" in shown
    assert sensor.external_id in shown
    assert "0 / 1 / 0" in text(tina.get(reverse(LIST)))


@pytest.mark.parametrize("kind", ["machine", "site"])
def test_a_machine_and_a_site_are_asked_without_limits(tina: Client, sensor: Sensor, kind: str) -> None:
    where = {"machine": ("sensors_equipment", sensor.machine_id), "site": ("sensors_site", sensor.site_id)}[kind]
    assert reverse(f"admin:{where[0]}_backtest", args=[where[1]]) in text(
        tina.get(reverse(f"admin:{where[0]}_change", args=[where[1]]))
    )
    shown = text(tina.get(form(kind, where[1])))
    assert "Deadband" not in shown
    delays = {"on_delay_seconds": "", "off_delay_seconds": "60"}
    assert tina.post(form(kind, where[1]), FORM | delays | {"false_alarms_per_week": "5"}).status_code == 302
    row = Backtest.objects.get()
    assert row.proposed == {"off_delay_seconds": 60, "false_alarms_per_week": 5.0}
    assert (row.sensor, row.machine_id) == (None, sensor.machine_id if kind == "machine" else None)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"to_at": "2026-02-01 00:00"}, "The period is empty"),
        ({"from_at": "soon"}, "Enter a valid date/time"),
        ({"look_back_days": "-1"}, "It must be 0 to"),
        ({"high": "5"}, "low (10) must be below high (5)"),
        ({"high": "tall"}, "Enter a number"),
        ({"deadband": "-1"}, "It must be 0 or more"),
        ({"deadband": ""}, "This field is required"),
        ({"on_delay_seconds": "0.5"}, "Whole seconds"),
        ({"false_alarms_per_week": "0"}, "It must be more than 0"),
        ({"detectors": []}, "This field is required"),
        ({"detectors": ["oracle"]}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_told_in_the_form(tina: Client, sensor: Sensor, wrong: dict[str, Any], told: str) -> None:
    assert told in text(tina.post(form("sensor", sensor.pk), OF_SENSOR | wrong))
    assert not Backtest.objects.exists()


def test_with_nothing_proposed_the_present_is_judged_alone(tina: Client, sensor: Sensor) -> None:
    assert tina.post(form("sensor", sensor.pk), OF_SENSOR).status_code == 302
    row = Backtest.objects.get()
    assert row.proposed == {}
    assert jobs.perform(row.pk) == "done"
    assert "nothing: as things are" in text(tina.get(page(row)))


def test_what_failed_is_run_again_by_a_button(tina: Client, sensor: Sensor) -> None:
    row = asked(sensor, from_at=when(10 * DAY), to_at=when(11 * DAY))
    again = reverse("admin:agents_backtest_again", args=[row.pk])
    assert again not in text(tina.get(page(row)))
    jobs.perform(row.pk)
    shown = text(tina.get(page(row)))
    assert again in shown
    assert "has no readings in the period" in shown
    assert tina.post(again, {"confirmed": "1"}).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.reason) == ("PENDING", "")
    assert "Only a backtest that has failed" in text(tina.post(again, {"confirmed": "1"}, follow=True))


def test_members_of_other_sites_see_nothing_and_viewers_only_look(client: Client, sensor: Sensor) -> None:
    row = asked(sensor)
    client.force_login(factories.user(site=factories.site(), role=Membership.Role.ADMIN, is_staff=True))
    assert client.get(reverse(LIST)).context["cl"].result_count == 0
    assert client.get(page(row)).status_code == 302
    for kind, key in (("sensor", sensor.pk), ("machine", sensor.machine_id), ("site", sensor.site_id)):
        assert client.get(form(kind, key)).status_code == 404
        assert client.post(form(kind, key), OF_SENSOR).status_code == 404
    client.force_login(factories.user(site=sensor.site, role=Membership.Role.VIEWER, is_staff=True))
    assert client.get(reverse(LIST)).context["cl"].result_count == 1
    assert client.get(page(row)).status_code == 200
    assert client.post(form("sensor", sensor.pk), OF_SENSOR).status_code == 403
    for name, key in (
        ("sensors_sensor", sensor.pk),
        ("sensors_equipment", sensor.machine_id),
        ("sensors_site", sensor.site_id),
    ):
        shown = text(client.get(reverse(f"admin:{name}_change", args=[key])))
        assert reverse(f"admin:{name}_backtest", args=[key]) not in shown
    client.logout()
    assert client.get(form("sensor", sensor.pk)).status_code == 302
    assert Backtest.objects.count() == 1


def test_a_line_or_nothing_has_no_backtest(tina: Client, sensor: Sensor) -> None:
    line = Equipment.objects.create(site=sensor.site, level="LINE", tag="L-1", name="Line")
    for address in (form("machine", line.pk), form("machine", 0), form("sensor", 0), form("colour", 1)):
        assert tina.get(address).status_code == 404


def test_the_page_of_a_backtest_asks_as_often_for_many_alarms_as_for_few(tina: Client, sensor: Sensor) -> None:
    put(sensor, ([20.0] * 20 + [30.0] * 3) * 60, first=DAY)
    counted = []
    for end in (DAY, 10 * DAY):
        row = asked(sensor, to_at=when(end))
        assert jobs.perform(row.pk) == "done"
        with CaptureQueriesContext(connection) as queries:
            assert tina.get(page(row)).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]
    row.refresh_from_db()
    assert row.result is not None
    more = row.result["proposed"]["alarms"] - pages.MOST_ALARMS
    assert more > 0
    assert f"and {more} more" in text(tina.get(page(row)))
