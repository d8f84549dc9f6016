"""Delays and deadbands from an alarm's history: in a fixed number of queries, applied and undone by one action."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import proposals, sweeper
from agents.doorbell import Bell
from agents.models import Backtest
from maintenance import alarm_report
from maintenance.models import Anomaly
from sensors import alarm_settings, journal, store
from sensors.columns import SECOND_US, Columns, from_instant
from sensors.models import Event, Label, Sensor, Site
from tests import factories
from tests.client import client as rest
from tests.integration.test_alarm_report import alarm

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
PAGE = "alarm-tuning"


@pytest.fixture
def site() -> Site:
    return factories.site(name="Works")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def nuisance(site: Site, now: datetime, *, labelled: bool = False, **fields: object) -> Sensor:
    """A sensor with 19 anomalies of five seconds and one of an hour, and what became of them."""
    machine = factories.machine(site=site)
    sensor = factories.sensor(machine=machine, **fields)
    for k in range(20):
        start = now - DAY - k * 2 * HOUR
        last = start + (5 * SECOND if k else HOUR)
        Anomaly.objects.create(
            site=site, sensor=sensor, machine=machine, detector="limits", detector_version="1", kind="LIMIT_HIGH",
            failure_mode="LOO", started_at=start, last_at=last, ended_at=last + SECOND, readings=3, peak_score=0.75,
            peak_at=start, window_from=start, window_to=last, first_run_id=1, last_run_id=1,
        )  # fmt: skip
        alarm(machine, [("OPENED", start), ("RETURNED", last + SECOND)])
    if labelled:
        Label.objects.create(
            site=site, machine=machine, sensor=sensor, kind="FAULT", from_at=now - DAY, to_at=now - DAY + HOUR
        )
    return sensor


def offers(site: Site, now: datetime) -> list[proposals.Offer]:
    return proposals.make(alarm_report.make(site.pk, start=now - 30 * DAY, end=now, now=now))


def test_the_history_of_an_alarm_gives_delays_that_keep_its_fault(site: Site, now: datetime) -> None:
    sensor = nuisance(site, now, labelled=True)
    (offer,) = offers(site, now)
    assert offer.sensor == sensor
    assert offer.proposal is not None
    assert offer.proposal.words == "activations 20 to 1, 1 of 1 labelled faults kept"
    assert (offer.proposal.on, offer.proposal.off) == (6, 0)


def test_a_retracted_label_is_no_fault(site: Site, now: datetime) -> None:
    nuisance(site, now, labelled=True)
    Label.objects.update(retracted_at=now, retracted_by=factories.user(site=site))
    (offer,) = offers(site, now)
    assert offer.proposal is not None
    assert offer.proposal.faults == 0


def test_proposals_cost_the_same_queries_whatever_their_number(site: Site, now: datetime) -> None:
    counted = []
    for more in (1, 4):
        for _ in range(more):
            nuisance(site, now, labelled=True)
        made = alarm_report.make(site.pk, start=now - 30 * DAY, end=now, now=now)
        with CaptureQueriesContext(connection) as queries:
            found = proposals.make(made)
        counted.append((len(queries), len(found)))
    assert counted == [(5, 1), (5, 5)]


# Applied and undone


def delays(sensor: Sensor) -> tuple[int, int]:
    fresh = Sensor.objects.get(pk=sensor.pk)
    return fresh.on_delay_seconds, fresh.off_delay_seconds


def test_a_change_keeps_what_was_before_and_undoing_gives_it_back(site: Site, now: datetime) -> None:
    actor = factories.user(site=site)
    sensor = factories.sensor(machine=factories.machine(site=site), on_delay_seconds=2, off_delay_seconds=3)
    alarm_settings.change(sensor.pk, {"on_delay_seconds": 6, "off_delay_seconds": 30}, reason="412 to 9", actor=actor)
    assert delays(sensor) == (6, 30)
    alarm_settings.undo(sensor.pk, actor=actor)
    assert delays(sensor) == (2, 3)
    told = list(Event.objects.filter(subject=f"sensor/{sensor.pk}").order_by("id"))
    assert [one.type for one in told] == [journal.SENSOR_TUNED, journal.SENSOR_TUNING_UNDONE]
    assert told[0].data == {
        "before": {"on_delay_seconds": 2, "off_delay_seconds": 3},
        "after": {"on_delay_seconds": 6, "off_delay_seconds": 30},
        "reason": "412 to 9",
        "by_default": [],
    }
    assert {one.actor for one in told} == {actor.get_username()}


def test_every_change_is_in_the_journal(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    for _ in range(2):
        alarm_settings.change(sensor.pk, {"on_delay_seconds": 6, "off_delay_seconds": 30}, reason="", actor=actor)
        alarm_settings.undo(sensor.pk, actor=actor)
    assert Event.objects.filter(subject=f"sensor/{sensor.pk}").count() == 4


def test_what_was_never_changed_or_was_changed_by_hand_is_not_undone(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    with pytest.raises(alarm_settings.NothingToUndo, match="No change"):
        alarm_settings.undo(sensor.pk, actor=actor)
    alarm_settings.change(sensor.pk, {"on_delay_seconds": 6, "off_delay_seconds": 30}, reason="", actor=actor)
    assert alarm_settings.undoable([sensor]) == set()
    sensor.refresh_from_db()
    assert alarm_settings.undoable([sensor]) == {sensor.pk}
    Sensor.objects.filter(pk=sensor.pk).update(on_delay_seconds=7)
    with pytest.raises(alarm_settings.NothingToUndo, match="by hand"):
        alarm_settings.undo(sensor.pk, actor=actor)
    assert delays(sensor) == (7, 30)


def test_a_delay_that_is_none_is_refused(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    with pytest.raises(ValidationError):
        alarm_settings.change(sensor.pk, {"on_delay_seconds": -1, "off_delay_seconds": 0}, reason="", actor=actor)
    assert not Event.objects.filter(subject=f"sensor/{sensor.pk}").exists()


# The page


def page(site: Site) -> str:
    return reverse(PAGE, query={"site": site.pk})


def staff(client: Client, site: Site, role: str) -> Client:
    client.force_login(factories.user(site=site, role=role, is_staff=True))
    return client


def test_a_sites_administrator_applies_and_undoes_on_the_page(client: Client, site: Site, now: datetime) -> None:
    sensor = nuisance(site, now, labelled=True)
    http = staff(client, site, "ADMIN")
    text = http.get(page(site)).content.decode()
    assert "activations 20 to 1, 1 of 1 labelled faults kept" in text
    assert "on 6 s, off 0 s" in text
    assert "Undo</button>" not in text
    done = http.post(page(site), {"sensor": sensor.pk, "on": "6", "off": "0", "reason": "quieter"}, follow=True)
    assert f"{sensor}: on-delay 6 s, off-delay 0 s, deadband 0" in done.content.decode()
    assert "Undo</button>" in done.content.decode()
    assert delays(sensor) == (6, 0)
    undone = http.post(page(site), {"sensor": sensor.pk}, follow=True)
    assert "Undo</button>" not in undone.content.decode()
    assert delays(sensor) == (0, 0)
    assert (
        "No change of its delays or deadband"
        in http.post(page(site), {"sensor": sensor.pk}, follow=True).content.decode()
    )


@pytest.mark.parametrize("role", ["VIEWER", "TECHNICIAN", "INGEST"])
def test_others_read_and_change_nothing(client: Client, site: Site, now: datetime, role: str) -> None:
    sensor = nuisance(site, now)
    http = staff(client, site, role)
    assert "Apply</button>" not in http.get(page(site)).content.decode()
    assert http.post(page(site), {"sensor": sensor.pk, "on": "6", "off": "0"}).status_code == 403
    assert delays(sensor) == (0, 0)


def test_another_sites_page_and_sensors_are_not_found(client: Client, site: Site, now: datetime) -> None:
    theirs = nuisance(factories.site(), now)
    http = staff(client, site, "ADMIN")
    assert http.get(page(theirs.site)).status_code == 404
    assert http.post(page(site), {"sensor": theirs.pk, "on": "6", "off": "0"}).status_code == 404
    assert http.post(page(site), {"sensor": "x"}).status_code == 404
    assert http.get(reverse(PAGE), {"site": "x"}).status_code == 404
    assert str(site) in http.get(reverse(PAGE)).content.decode()  # the first of theirs
    assert delays(theirs) == (0, 0)


def test_a_site_without_alarms_says_so(client: Client, site: Site) -> None:
    assert "No alarm was active in these days." in staff(client, site, "VIEWER").get(page(site)).content.decode()


def test_who_is_a_member_of_no_site_does_not_get_in(client: Client, site: Site) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(page(site)).status_code == 403


# Deadbands


CYCLE, CYCLES = 40, 12


def chattering(site: Site, now: datetime, **fields: Any) -> Sensor:
    """A sensor that is usually at 20 and, a day ago, went up and down across its limit of 25 for a while."""
    sensor = nuisance(site, now, high=25.0, high_high=None, **fields)
    waves = 25.0 + 0.6 * np.sin(2 * np.pi * (np.arange(CYCLE * CYCLES) + 0.5) / CYCLE)
    calm = 20.0 + np.random.default_rng(4).normal(0, 0.3, 3_000).round(2)
    value = np.concatenate([calm[:1_500], waves, calm[1_500:]])
    at = from_instant(now - 2 * DAY) + np.arange(len(value), dtype=np.int64) * 10 * SECOND_US
    readings = Columns(np.full(len(at), sensor.pk), at, value, np.zeros(len(at), np.int32))
    store.make_partitions(store.days_of(readings))
    store.insert(readings, quality=np.zeros(len(at), np.uint8), reason=np.zeros(len(at), np.uint8))
    return sensor


def fault(sensor: Sensor, now: datetime, *, cycle: int) -> None:
    start = now - 2 * DAY + 10 * SECOND * (1_500 + cycle * CYCLE - CYCLE // 4)
    Label.objects.create(
        site=sensor.site, machine=sensor.machine, kind="FAULT", from_at=start, to_at=start + CYCLE * 10 * SECOND
    )


def look(http: Client, site: Site) -> str:
    """Ask for deadbands, have them looked for, and see the page after."""
    http.post(page(site), {"seek": "on"})
    sweeper.work_off([Bell("backtest", row.pk) for row in Backtest.objects.filter(status="PENDING")])
    return http.get(page(site)).content.decode()


@pytest.mark.usefixtures("redis_empty")
def test_a_deadband_is_looked_for_in_the_sensors_own_readings_applied_and_undone(
    client: Client, site: Site, now: datetime
) -> None:
    sensor = chattering(site, now)
    fault(sensor, now, cycle=0)
    http = staff(client, site, "ADMIN")
    assert "not looked for yet" in http.get(page(site)).content.decode()
    text = look(http, site)
    words = f"activations {CYCLES} to 1, 1 of 1 labelled faults kept"
    assert words in text
    found = Backtest.objects.get().result["sought"]
    assert (found["deadband"], found["before"], found["after"]) == (0.62, CYCLES, 1)
    assert [one["deadband"] for one in found["tried"]][-1] <= 2.5
    done = http.post(page(site), {"sensor": sensor.pk, "deadband": "0.62", "reason": words}, follow=True)
    assert "deadband 0.62" in done.content.decode()
    assert f"in force: {words}" in done.content.decode()
    sensor.refresh_from_db()
    assert (sensor.deadband, delays(sensor)) == (0.62, (0, 0))
    http.post(page(site), {"sensor": sensor.pk})
    sensor.refresh_from_db()
    assert sensor.deadband == 0.0
    told = Event.objects.filter(subject=f"sensor/{sensor.pk}").order_by("id")
    assert [(one.data["before"], one.data["after"]) for one in told] == [
        ({"deadband": 0.0}, {"deadband": 0.62}),
        ({"deadband": 0.62}, {"deadband": 0.0}),
    ]


@pytest.mark.usefixtures("redis_empty")
def test_a_deadband_that_would_lose_a_fault_is_not_proposed(client: Client, site: Site, now: datetime) -> None:
    sensor = chattering(site, now)
    fault(sensor, now, cycle=CYCLES // 2)
    text = look(staff(client, site, "ADMIN"), site)
    assert "no deadband within the caps would help" in text
    result = Backtest.objects.get().result
    assert [one["faults"] for one in result["sought"]["tried"]][-1] == 0
    assert "proposed" not in result


@pytest.mark.usefixtures("redis_empty")
def test_what_was_found_counts_for_the_limits_it_was_found_for(client: Client, site: Site, now: datetime) -> None:
    sensor = chattering(site, now)
    http = staff(client, site, "ADMIN")
    assert f"activations {CYCLES} to 1" in look(http, site)
    Sensor.objects.filter(pk=sensor.pk).update(high=26.0)
    assert "worked out for other limits" in http.get(page(site)).content.decode()


@pytest.mark.usefixtures("redis_empty")
def test_what_is_under_way_is_not_asked_for_again_and_without_limits_nothing_is(
    client: Client, site: Site, now: datetime
) -> None:
    sensor = nuisance(site, now)
    http = staff(client, site, "ADMIN")
    assert "the sensor has no limits" in http.get(page(site)).content.decode()
    assert "No sensor here has limits" in http.post(page(site), {"seek": "on"}, follow=True).content.decode()
    Sensor.objects.filter(pk=sensor.pk).update(high=25.0)
    for _ in range(2):
        shown = http.post(page(site), {"seek": "on"}, follow=True).content.decode()
    assert Backtest.objects.count() == 1
    assert "being worked out" in shown
    sweeper.work_off([Bell("backtest", Backtest.objects.get().pk)])
    assert "has no readings" in http.get(page(site)).content.decode()


def test_who_may_not_change_sensors_looks_for_nothing(client: Client, site: Site, now: datetime) -> None:
    nuisance(site, now, high=25.0)
    http = staff(client, site, "TECHNICIAN")
    assert "Look for deadbands" not in http.get(page(site)).content.decode()
    assert http.post(page(site), {"seek": "on"}).status_code == 403
    assert not Backtest.objects.exists()


def test_the_command_looks_for_a_deadband_in_any_period(site: Site, now: datetime) -> None:
    sensor, out = chattering(site, now), io.StringIO()
    period = ("--from", (now - 3 * DAY).isoformat(), "--to", now.isoformat())
    call_command("backtest", "--sensor", str(sensor.pk), *period, "--seek", "deadband", "--quiet", stdout=out)
    assert f"Deadband 0.62 in place of 0: activations {CYCLES} to 1, no labelled fault in it." in out.getvalue()
    with pytest.raises(CommandError, match="--seek: What can be found is deadband"):
        call_command("backtest", "--sensor", str(sensor.pk), *period, "--seek", "peace")


@pytest.mark.usefixtures("redis_empty")
def test_a_deadband_is_asked_for_over_rest_and_its_backtest_says_what_was_tried(
    client: Client, site: Site, now: datetime
) -> None:
    sensor = chattering(site, now)
    http = rest(factories.user(site=site, role="TECHNICIAN"))
    asked = {"from_at": (now - 3 * DAY).isoformat(), "to_at": now.isoformat(), "proposed": {"seek": "deadband"}}
    api = "/api/v1/backtests/"
    refused = http.post(api, asked | {"machine": sensor.machine_id}, "application/json")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "#/proposed/seek")
    made = http.post(api, asked | {"sensor": sensor.pk}, "application/json").json()
    sweeper.work_off([Bell("backtest", made["id"])])
    result = http.get(made["status_url"]).json()["result"]
    assert (result["present"]["alarms"], result["proposed"]["alarms"]) == (CYCLES, 1)
    assert result["sought"]["deadband"] == 0.62
    shown = staff(client, site, "ADMIN").get(reverse("admin:agents_backtest_change", args=[made["id"]]))
    assert "Deadband 0.62 in place of 0" in shown.content.decode()
    assert f"0.31: {CYCLES} activations" in shown.content.decode()
