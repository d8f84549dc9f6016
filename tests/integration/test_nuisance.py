"""Alarms that are a nuisance while they are: by site, in the log, on the first page and in the metrics."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import jobs, watch_alarms
from agents.models import JobRun
from maintenance import nuisance
from maintenance.models import Alarm
from maintenance.nuisance import Finding, Kind
from sensors.models import Site
from tests import factories
from tests.integration.test_alarm_report import Steps, alarm

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@pytest.fixture
def site() -> Site:
    return factories.site(name="Works")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def activations(site: Site, at: list[datetime], *, lasts: timedelta, **fields: object) -> Alarm:
    steps: Steps = []
    for number, (one, following) in enumerate(pairwise([*at, at[-1] + 2 * lasts])):
        steps += [("REOPENED" if number else "OPENED", one), ("RETURNED", min(one + lasts, following))]
    return alarm(factories.machine(site=site), steps, is_acknowledged=False, **fields)


def kinds(found: list[Finding]) -> dict[tuple[int, str], int]:
    return {(one.site_id, str(one.kind)): one.count for one in found}


def test_where_nothing_happens_nothing_is_found(site: Site, now: datetime) -> None:
    assert nuisance.look(now=now) == []


def test_what_chatters_is_told_for_ten_minutes(site: Site, now: datetime) -> None:
    activations(site, [now - 5 * MINUTE + k * 20 * SECOND for k in range(3)], lasts=SECOND)
    wanted = {(site.pk, "chattering"): 1, (site.pk, "fleeting"): 1}
    assert kinds(nuisance.look(now=now)) == wanted
    assert kinds(nuisance.look(now=now + 6 * MINUTE)) == {}


def test_what_flaps_is_told_for_the_hour(site: Site, now: datetime) -> None:
    activations(site, [now - 55 * MINUTE + k * 10 * MINUTE for k in range(5)], lasts=2 * MINUTE)
    assert kinds(nuisance.look(now=now)) == {(site.pk, "flapping"): 1}
    assert nuisance.look(now=now + 10 * MINUTE) == []


def test_what_is_acknowledged_and_closed_still_counts(site: Site, now: datetime) -> None:
    for k in range(3):
        machine = factories.machine(site=site)
        alarm(machine, [("OPENED", now - MINUTE + k * SECOND), ("RETURNED", now - MINUTE + k * SECOND + SECOND)])
    assert kinds(nuisance.look(now=now)) == {(site.pk, "fleeting"): 3}


def test_what_stands_for_more_than_a_day_is_stale_until_it_returns(site: Site, now: datetime) -> None:
    made = alarm(factories.machine(site=site), [("OPENED", now - 25 * HOUR)])
    alarm(factories.machine(site=site), [("OPENED", now - 23 * HOUR)])
    assert kinds(nuisance.look(now=now)) == {(site.pk, "stale"): 1}
    made.is_active, made.returned_at = False, now - SECOND
    made.save(update_fields=["is_active", "returned_at"])
    assert nuisance.look(now=now) == []


@pytest.mark.parametrize(("count", "found"), [(10, {}), (11, {"flood": 11})])
def test_a_flood_is_of_a_site_and_told_while_it_lasts(
    site: Site, now: datetime, count: int, found: dict[str, int]
) -> None:
    other = factories.site()
    for k in range(count):
        alarm(factories.machine(site=site), [("OPENED", now - 2 * MINUTE + k * SECOND)])
        alarm(factories.machine(site=other), [("OPENED", now - 55 * MINUTE + k * SECOND)])
    assert kinds(nuisance.look(now=now)) == {(site.pk, kind): number for kind, number in found.items()}
    assert nuisance.look(now=now + 20 * MINUTE) == []


def test_old_data_that_comes_late_is_nobodys_nuisance(site: Site, now: datetime) -> None:
    activations(site, [now - 9 * HOUR + k * SECOND for k in range(30)], lasts=SECOND / 2)
    assert nuisance.look(now=now) == []


def test_it_is_one_query_that_goes_by_indexes(site: Site, now: datetime) -> None:
    made = alarm(factories.machine(site=site), [("OPENED", now - 25 * HOUR)])
    old = {"site": site, "machine": made.machine, "sensor": made.sensor, "failure_mode": "LOO", "priority": "LOW"}
    over = {"is_active": False, "is_acknowledged": True, "returned_at": now - 2 * HOUR}
    Alarm.objects.bulk_create(Alarm(**old, **over, raised_at=now - (k + 3) * HOUR) for k in range(3_000))
    with CaptureQueriesContext(connection) as queries:
        nuisance.look(now=now)
    assert len(queries) == 1
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_alarm")
        cursor.execute(f"EXPLAIN {nuisance.QUERY}", {"since": now - HOUR, "now": now})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on maintenance_alarm " not in plan
    assert {name for name in ("alarm_one_open", "alarm_of_site") if name in plan} == {"alarm_one_open", "alarm_of_site"}


def test_the_job_runs_in_its_period_and_tells(site: Site, now: datetime) -> None:
    alarm(factories.machine(site=site), [("OPENED", now - 25 * HOUR)])
    assert jobs.run("alarm_nuisance", watch_alarms.watch) is jobs.Result.DONE
    assert JobRun.objects.get(job="alarm_nuisance").outcome == "DONE"
    assert watch_alarms.watch() == [Finding(site.pk, Kind.STALE, 1)]


def test_the_first_page_shows_ones_own_sites_only(client: Client, site: Site, now: datetime) -> None:
    alarm(factories.machine(site=site), [("OPENED", now - 25 * HOUR)])
    for k in range(11):
        alarm(factories.machine(site=factories.site()), [("OPENED", now - MINUTE - k * SECOND)])
    client.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    tiles = {tile.name: tile for tile in client.get(reverse("admin:index")).context["tiles"]}
    tile = tiles["Nuisance alarms"]
    assert (tile.figure, tile.note, tile.tone) == ("1", "1 stale", "warning")
    assert f"site={site.pk}" in tile.href


def test_a_flood_is_danger_on_the_first_page(client: Client, site: Site, now: datetime) -> None:
    for k in range(11):
        alarm(factories.machine(site=site), [("OPENED", now - MINUTE - k * SECOND)])
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    tiles = {tile.name: tile for tile in client.get(reverse("admin:index")).context["tiles"]}
    assert (tiles["Nuisance alarms"].note, tiles["Nuisance alarms"].tone) == ("1 flood", "danger")


@pytest.mark.usefixtures("redis_empty")
def test_the_metrics_have_every_kind_and_no_site(site: Site, now: datetime) -> None:
    alarm(factories.machine(site=site), [("OPENED", now - 25 * HOUR)])
    lines = [line for line in Client().get("/metrics").content.decode().splitlines() if "pdm_alarm_nuisances{" in line]
    assert {line.split('"')[1]: float(line.split()[-1]) for line in lines} == {
        "chattering": 0, "fleeting": 0, "flapping": 0, "stale": 1, "flood": 0,
    }  # fmt: skip
