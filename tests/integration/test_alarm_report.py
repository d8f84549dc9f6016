"""The report on a site's alarms: what is read of their history, and as command, over REST and as a page."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from itertools import count
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance import alarm_report
from maintenance.isa182 import NEVER
from maintenance.models import Alarm, AlarmTransition
from sensors.columns import from_instant
from sensors.models import Equipment, Site
from tests import factories
from tests.client import client, problem
from tests.factories import NOON

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
_number = count(1)
Steps = list[tuple[str, datetime]]


def alarm(machine: Equipment, steps: Steps, **fields: Any) -> Alarm:
    """An alarm with its history."""
    active = [at for action, at in steps if action in ("OPENED", "REOPENED")]
    over = steps[-1][0] in ("RETURNED", "ACKNOWLEDGED") and [at for action, at in steps if action == "RETURNED"]
    sensor = machine.machine_sensors.first() or factories.sensor(machine=machine)
    made = Alarm.objects.create(
        **{"site": machine.site, "machine": machine, "failure_mode": "LOO", "priority": "LOW", "sensor": sensor,
           "raised_at": active[-1], "returned_at": over[-1] if over else None, "is_active": not over,
           "is_acknowledged": True} | fields
    )  # fmt: skip
    AlarmTransition.objects.bulk_create(
        AlarmTransition(alarm=made, action=action, at=at, key=f"test/{next(_number)}") for action, at in steps
    )
    return made


def short(machine: Equipment, at: datetime, **fields: Any) -> Alarm:
    return alarm(machine, [("OPENED", at), ("RETURNED", at + timedelta(seconds=30))], **fields)


@pytest.fixture
def site() -> Site:
    return factories.site(slug="works", name="Works", time_zone="Europe/Rome")


def test_each_time_it_becomes_active_is_an_activation(site: Site) -> None:
    machine = factories.machine(site=site)
    steps = [
        ("OPENED", NOON), ("RAISED", NOON + HOUR / 4), ("ACKNOWLEDGED", NOON + HOUR / 2), ("RETURNED", NOON + HOUR),
        ("REOPENED", NOON + 2 * HOUR), ("COMMENTED", NOON + 2 * HOUR), ("RETURNED", NOON + 3 * HOUR),
        ("REOPENED", NOON + 4 * HOUR),
    ]  # fmt: skip
    alarm(machine, steps, priority="HIGH", is_acknowledged=False)
    found = alarm_report.load(site.pk, start=NOON, end=NOON + DAY)
    order = np.argsort(found.at)
    assert found.at[order].tolist() == [from_instant(NOON + h * HOUR) for h in (0, 2, 4)]
    assert found.returned[order].tolist() == [from_instant(NOON + HOUR), from_instant(NOON + 3 * HOUR), NEVER]
    assert found.acknowledged[order].tolist() == [from_instant(NOON + HOUR / 2), NEVER, NEVER]
    assert set(found.machine.tolist()) == {machine.pk}
    assert (set(found.mode.tolist()), set(found.priority.tolist())) == ({"LOO"}, {1})


def test_it_is_reported_as_it_was_known_at_the_end(site: Site) -> None:
    alarm(factories.machine(site=site), [("OPENED", NOON), ("RETURNED", NOON + 2 * HOUR)])
    (returned,) = alarm_report.load(site.pk, start=NOON, end=NOON + HOUR).returned
    assert returned == NEVER


def test_what_is_of_another_site_or_time_is_left_out(site: Site) -> None:
    machine = factories.machine(site=site)
    short(machine, NOON - DAY)
    short(machine, NOON + DAY)
    short(factories.machine(site=factories.site()), NOON)
    standing = alarm(machine, [("OPENED", NOON - 9 * DAY)])
    found = alarm_report.load(site.pk, start=NOON - HOUR, end=NOON + HOUR)
    assert found.at.tolist() == [from_instant(standing.raised_at)]


def test_a_report_costs_two_queries_whatever_there_is(site: Site) -> None:
    counted = []
    for _ in range(2):
        for k in range(12):
            short(factories.machine(site=site), NOON + k * HOUR)
        with CaptureQueriesContext(connection) as queries:
            made = alarm_report.make(site.pk, start=NOON, end=NOON + DAY, now=NOON + DAY)
        counted.append(len(queries))
    assert counted == [2, 2]
    assert (made.report.activations, len(made.report.top), len(made.report.nuisances)) == (24, 10, 24)


def test_the_query_reaches_the_alarms_by_their_site(site: Site) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {alarm_report.QUERY}", {"site": site.pk, "start": NOON, "end": NOON + DAY})
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert "site_id" in plan


def test_a_period_that_lasts_is_reported_on_up_to_now(site: Site) -> None:
    alarm(factories.machine(site=site), [("OPENED", NOON)])
    made = alarm_report.make(site.pk, start=NOON, end=NOON + 9 * DAY, now=NOON + HOUR)
    assert made.report.end == from_instant(NOON + HOUR)
    assert made.report.nuisances == ()


@pytest.mark.parametrize("back", [-1, 0, 401 * 24])
def test_a_period_without_sense_is_refused(site: Site, back: int) -> None:
    with pytest.raises(alarm_report.BadPeriod):
        alarm_report.make(site.pk, start=NOON - back * HOUR, end=NOON, now=NOON)


# The command


def told(*args: str) -> str:
    out = StringIO()
    call_command("alarm_report", "--site", "works", *args, stdout=out)
    return out.getvalue()


def test_the_command_prints_each_figure_beside_its_target(site: Site) -> None:
    machine = factories.machine(site=site, tag="P-101")
    for k in range(4):
        short(machine, NOON + timedelta(seconds=20 * k))
    text = told("--from", "2026-03-01", "--to", "2026-03-03")
    assert "Works, 2026-02-28 23:00 to 2026-03-02 23:00 UTC: 4 activations of 1 alarms" in text
    assert "Only 2.0 days: the targets are meant for 30 days and more." in text
    lines = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert lines["Chattering alarms"][2:] == ["1", "OVER", "at", "most", "0"]
    assert lines["Alarms an operator and hour, mean"][6:] == ["0.083333", "ok", "at", "most", "6,", "manageable", "12"]
    assert lines["P-101, LOO"][2:] == ["4", "100.0", "%", "4", "4", "0", "0"]


def test_the_command_prints_the_same_as_json(site: Site) -> None:
    short(factories.machine(site=site), NOON)
    made = alarm_report.make(site.pk, start=NOON - HOUR, end=NOON + HOUR, operators=2, now=NOON + DAY)
    printed = json.loads(told("--from", "2026-03-01T11:00Z", "--to", "2026-03-01T13:00Z", "--operators", "2", "--json"))
    assert printed["figures"] == json.loads(json.dumps(alarm_report.plain(made)["figures"]))
    assert (printed["activations"], printed["operators"], printed["long_enough"]) == (1, 2, False)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--from", "yesterday"), "yesterday"),
        (("--from", "2026-02-30"), "--from"),
        (("--from", "2026-03-02", "--to", "2026-03-01"), "before it ends"),
        (("--from", "2020-01-01"), "400 days"),
        (("--operators", "0"), "--operators"),
    ],
)
def test_the_command_says_what_is_wrong(site: Site, args: tuple[str, ...], word: str) -> None:
    with pytest.raises(CommandError, match=word):
        told(*args)


def test_the_command_knows_sites_only() -> None:
    with pytest.raises(CommandError, match="no site 'works'"):
        told()


# REST

API = "/api/v1/"
URL = API + "alarm-report/"
PERIOD = {"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}


def test_a_member_of_any_role_reads_the_report_of_their_site(site: Site) -> None:
    machine = factories.machine(site=site, tag="P-101")
    short(machine, NOON)
    http = client(factories.user(site=site, role="VIEWER"))
    answer = http.get(URL, {"site": site.pk, **PERIOD})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["from"], found["activations"], found["long_enough"]) == ("2026-03-01T00:00:00Z", 1, True)
    assert found["top"][0] | {"share": 1.0} == found["top"][0]
    assert (found["top"][0]["tag"], found["top"][0]["machine"]) == ("P-101", machine.pk)
    assert {f["name"]: f["verdict"] for f in found["figures"]}["fleeting"] == "OVER"


def test_the_answer_is_as_it_is_described(site: Site) -> None:
    short(factories.machine(site=site), NOON)
    http = client(factories.user(site=site))
    found = http.get(URL, {"site": site.pk, **PERIOD}).json()
    shapes = http.get(API + "schema/?format=json").json()["components"]["schemas"]
    for name, given in {
        "AlarmReportOut": found, "AlarmFigure": found["figures"][0], "AlarmActor": found["top"][0],
    }.items():  # fmt: skip
        assert set(shapes[name]["properties"]) == set(given)


@pytest.mark.parametrize("asked", [{}, {"site": "x"}, {"site": 0}, {"site": 2**70}])
def test_the_site_must_be_named(site: Site, asked: dict[str, object]) -> None:
    problem(client(factories.user(site=site)).get(URL, asked), status=400, name="invalid")


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
        {"from": "2020-03-02T00:00:00Z"},
        {"to": "0001-01-01T00:00:00Z"},
        {"from": "9999-12-31T00:00:00Z"},
        {"from": "soon"},
        {"operators": 0},
        {"operators": 10**9},
    ],
)
def test_what_makes_no_sense_is_a_clear_problem(site: Site, asked: dict[str, object]) -> None:
    http = client(factories.user(site=site))
    problem(http.get(URL, {"site": site.pk, **asked}), status=400, name="invalid")


def test_another_site_is_not_found_whether_it_exists_or_not(site: Site) -> None:
    http = client(factories.user(site=factories.site()))
    for pk in (site.pk, site.pk + 1_000):
        problem(http.get(URL, {"site": pk, **PERIOD}), status=404, name="not-found")


# The page

PAGE = "alarm-performance"
MARCH = {"start": "2026-03-01", "end": "2026-03-31", "operators": "1"}


@pytest.fixture
def member(client: Client, site: Site) -> Client:
    client.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    return client


def test_the_page_shows_figures_targets_alarms_and_a_picture(member: Client, site: Site) -> None:
    machine = factories.machine(site=site, tag="P-<101>")
    for k in range(12):
        short(machine, NOON + timedelta(seconds=20 * k))
    page = member.get(reverse(PAGE), MARCH | {"site": str(site.pk)})
    text = page.content.decode()
    assert page.status_code == 200
    assert "12 activations of 1 alarm<" in text
    assert text.count('class="chart-bar"') == 1
    assert "at most 150, manageable 300 [?]" in text
    assert "P-&lt;101&gt;, LOO" in text
    assert "<h2>Floods</h2>" in text
    assert "are short" not in text
    assert f'href="{reverse(PAGE)}"' in text


def test_the_page_without_alarms_says_so(member: Client, site: Site) -> None:
    text = member.get(reverse(PAGE)).content.decode()
    assert "No alarm became active in this period." in text
    assert '<svg class="readings-chart"' not in text


def test_a_short_period_is_said_on_the_page(member: Client, site: Site) -> None:
    text = member.get(reverse(PAGE), MARCH | {"site": str(site.pk), "end": "2026-03-02"}).content.decode()
    assert "2.0 days are short" in text


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "2026-04-01"}, {"start": "2020-01-01"}, {"end": "x"}, {"site": "x"}, {"operators": "0"},
        {"end": "9999-12-31"}, {"start": "0001-01-01"},
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_told_in_the_form(member: Client, site: Site, asked: dict[str, str]) -> None:
    page = member.get(reverse(PAGE), MARCH | {"site": str(site.pk)} | asked)
    assert page.status_code == 200
    assert "report" not in page.context
    assert "desk-error" in page.content.decode()


def test_the_page_is_of_ones_own_sites_only(member: Client, site: Site) -> None:
    theirs = factories.site(name="Their works")
    short(factories.machine(site=theirs), NOON)
    page = member.get(reverse(PAGE), MARCH | {"site": str(theirs.pk)})
    assert "report" not in page.context
    assert "Their works" not in page.content.decode()


def test_who_is_a_member_of_no_site_does_not_get_in(client: Client, site: Site) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse(PAGE)).status_code == 403
    client.force_login(factories.user(site=site))
    assert client.get(reverse(PAGE)).status_code == 302


def test_the_page_asks_as_often_with_many_alarms_as_with_few(member: Client, site: Site) -> None:
    counted = []
    for more in (2, 40):
        for k in range(more):
            short(factories.machine(site=site), NOON + k * HOUR)
        with CaptureQueriesContext(connection) as queries:
            assert member.get(reverse(PAGE), MARCH | {"site": str(site.pk)}).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 9
