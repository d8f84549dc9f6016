"""Delays proposed from an alarm's history: read in a fixed number of queries, applied by one action, undone by one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import proposals
from maintenance import alarm_report
from maintenance.models import Anomaly
from sensors import journal, timing
from sensors.models import Event, Label, Sensor, Site
from tests import factories
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
    assert counted == [(4, 1), (4, 5)]


# Applied and undone


def delays(sensor: Sensor) -> tuple[int, int]:
    fresh = Sensor.objects.get(pk=sensor.pk)
    return fresh.on_delay_seconds, fresh.off_delay_seconds


def test_a_change_keeps_what_was_before_and_undoing_gives_it_back(site: Site, now: datetime) -> None:
    actor = factories.user(site=site)
    sensor = factories.sensor(machine=factories.machine(site=site), on_delay_seconds=2, off_delay_seconds=3)
    timing.change(sensor.pk, on_delay_seconds=6, off_delay_seconds=30, reason="412 to 9", actor=actor)
    assert delays(sensor) == (6, 30)
    timing.undo(sensor.pk, actor=actor)
    assert delays(sensor) == (2, 3)
    told = list(Event.objects.filter(subject=f"sensor/{sensor.pk}").order_by("id"))
    assert [one.type for one in told] == [journal.SENSOR_RETIMED, journal.SENSOR_TIMING_UNDONE]
    assert told[0].data == {
        "before": {"on_delay_seconds": 2, "off_delay_seconds": 3},
        "after": {"on_delay_seconds": 6, "off_delay_seconds": 30},
        "reason": "412 to 9",
    }
    assert {one.actor for one in told} == {actor.get_username()}


def test_every_change_is_in_the_journal(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    for _ in range(2):
        timing.change(sensor.pk, on_delay_seconds=6, off_delay_seconds=30, reason="", actor=actor)
        timing.undo(sensor.pk, actor=actor)
    assert Event.objects.filter(subject=f"sensor/{sensor.pk}").count() == 4


def test_what_was_never_changed_or_was_changed_by_hand_is_not_undone(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    with pytest.raises(timing.NothingToUndo, match="No change"):
        timing.undo(sensor.pk, actor=actor)
    timing.change(sensor.pk, on_delay_seconds=6, off_delay_seconds=30, reason="", actor=actor)
    assert timing.undoable([sensor]) == set()
    sensor.refresh_from_db()
    assert timing.undoable([sensor]) == {sensor.pk}
    Sensor.objects.filter(pk=sensor.pk).update(on_delay_seconds=7)
    with pytest.raises(timing.NothingToUndo, match="by hand"):
        timing.undo(sensor.pk, actor=actor)
    assert delays(sensor) == (7, 30)


def test_a_delay_that_is_none_is_refused(site: Site) -> None:
    actor, sensor = factories.user(site=site), factories.sensor(machine=factories.machine(site=site))
    with pytest.raises(ValidationError):
        timing.change(sensor.pk, on_delay_seconds=-1, off_delay_seconds=0, reason="", actor=actor)
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
    assert f"{sensor}: on-delay 6 s, off-delay 0 s." in done.content.decode()
    assert "Undo</button>" in done.content.decode()
    assert delays(sensor) == (6, 0)
    undone = http.post(page(site), {"sensor": sensor.pk}, follow=True)
    assert "Undo</button>" not in undone.content.decode()
    assert delays(sensor) == (0, 0)
    assert "No change of its delays" in http.post(page(site), {"sensor": sensor.pk}, follow=True).content.decode()


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
    assert http.get(reverse(PAGE)).status_code == 404
    assert delays(theirs) == (0, 0)


def test_a_site_without_alarms_says_so(client: Client, site: Site) -> None:
    assert "No alarm was active in these days." in staff(client, site, "VIEWER").get(page(site)).content.decode()


def test_who_is_a_member_of_no_site_does_not_get_in(client: Client, site: Site) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(page(site)).status_code == 403
