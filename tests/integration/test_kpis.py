"""The figures of maintenance: what is read of the tables, and as command, over REST, as a page and as CSV."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import count
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance import approvals, kpi_data, kpi_page, kpi_report, order_costs, order_steps, performance_page
from maintenance.effort_models import Downtime, Labour, OrderCost
from maintenance.kpi import HOUR_US
from maintenance.models import PastOrder, WorkOrder, WorkOrderTransition
from maintenance.part_models import Movement, Part, Store
from sensors.models import Equipment, Site
from tests import factories
from tests.client import client, problem
from tests.factories import NOON
from tests.integration.test_alarm_report import alarm

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = 24 * HOUR
_number = count(1)


def order(machine: Equipment, opened: datetime, *, hours: float | None = 2, **fields: Any) -> WorkOrder:
    """A corrective order that was worked on from an hour after it was opened, for so long; None: nobody began."""
    usual: dict[str, Any] = {
        "site": machine.site, "machine": machine, "failure_mode": "VIB", "maintenance_type": "CORRECTIVE_IMMEDIATE",
        "priority": "HIGH", "title": "Worn", "opened_at": opened, "status": "OPEN",
    }  # fmt: skip
    if hours is not None:
        begun = opened + HOUR
        over = begun + timedelta(hours=hours)
        usual |= {"status": "CLOSED", "findings": "Done", "started_at": begun, "completed_at": over, "closed_at": over}
    made = WorkOrder.objects.create(**usual | fields)
    if hours is not None:
        step(made, "STARTED", opened + HOUR)
        step(made, "COMPLETED", made.completed_at)
    return made


def down(machine: Equipment, at: datetime, *, hours: float | None, **fields: Any) -> None:
    until = None if hours is None else at + timedelta(hours=hours)
    Downtime.objects.create(
        **{"site": machine.site, "machine": machine, "from_at": at, "until_at": until, "reason": "BREAKDOWN"} | fields
    )


def step(made: WorkOrder, action: str, at: datetime | None) -> None:
    WorkOrderTransition.objects.create(order=made, action=action, at=at, key=f"kpi/{next(_number)}", to_status="OPEN")


@pytest.fixture
def site() -> Site:
    return factories.site(slug="works", name="Works")


def old(site: Site, **fields: Any) -> Equipment:
    """A machine that is observed since before the period."""
    machine = factories.machine(site=site, **fields)
    Equipment.objects.filter(pk=machine.pk).update(created_at=NOON - 400 * DAY)
    return machine


def figures(site: Site, **asked: Any) -> dict[str, Any]:
    made = kpi_report.make(site.pk, **{"start": NOON, "end": NOON + 10 * DAY, "now": NOON + 10 * DAY} | asked)
    return {one.entry.name: one for one in made.figures}


def test_time_out_of_service_is_left_out_of_the_operating_time(site: Site) -> None:
    machine = old(site)
    order(machine, NOON + DAY, hours=6)
    order(machine, NOON + 2 * DAY, hours=None)
    made = figures(site)
    assert made["mtbf"].value == (240 - 6) / 2
    assert made["availability"].value == 100 * 234 / 240
    assert (made["mttr"].value, made["mttr"].events, made["mttr"].running) == (7 + 8 * 24, 1, 1)


def test_what_was_completed_before_the_period_counts_where_it_was_closed_or_due(site: Site) -> None:
    machine, before = old(site), NOON - 2 * DAY
    order(machine, before, closed_at=NOON + DAY, due_at=NOON + 2 * DAY, verdict="FALSE")
    made = figures(site)
    assert (made["false_alarms"].value, made["schedule_compliance"].value) == (100.0, 100.0)
    assert (made["mtbf"].events, made["availability"].value, made["availability"].events) == (0, 100.0, 0)


def test_a_repair_that_did_not_last_counts_though_what_came_after_was_not_approved(site: Site) -> None:
    made = order(old(site), NOON + DAY, hours=6)
    step(made, "REOPENED", NOON + 2 * DAY)
    WorkOrder.objects.update(status="REQUESTED", completed_at=None, closed_at=None, started_at=None)
    assert (figures(site)["mtbf"].events, figures(site)["mttr"].running) == (1, 1)
    step(made, "REJECTED", NOON + 3 * DAY)
    WorkOrder.objects.update(status="CANCELLED")
    told = figures(site)
    assert (told["mtbf"].events, told["mttr"].value, told["backlog"].events) == (1, 7.0, 0)
    assert told["mtbf"].value == 240 - 6


def test_downtime_that_is_entered_counts_from_its_first_entry_on(site: Site) -> None:
    machine, other = old(site), old(site)
    order(machine, NOON, hours=6)
    down(machine, NOON + 2 * DAY, hours=5, order=order(machine, NOON + 2 * DAY, hours=2, failure_mode="OHE"))
    down(other, NOON + 3 * DAY, hours=4, reason="NO_MATERIAL")
    down(other, NOON + 4 * DAY, hours=None)
    made = kpi_report.make(site.pk, start=NOON, end=NOON + 5 * DAY, now=NOON + 5 * DAY)
    figure = {one.entry.name: one for one in made.figures}["availability"]
    assert figure.value == 100 * (240 - 6 - 5 - 24) / 240
    assert {loss.mode: loss.downtime for loss in made.losses} == {"VIB": 6.0, "OHE": 5.0}


def test_an_order_costs_labour_parts_and_all_else(site: Site) -> None:
    machine, person = old(site), factories.user(site=site)
    row = order(machine, NOON)
    for minutes, rate in ((50, "31.70"), (7, "0.30")):
        at = NOON + timedelta(hours=minutes)
        said = {"from_at": at, "until_at": at + timedelta(minutes=minutes), "hourly_cost": Decimal(rate)}
        Labour.objects.create(order=row, worker=person, **said)
    OrderCost.objects.create(order=row, kind="RENTAL", text="Crane", amount=Decimal("99.99"))
    store = Store.objects.create(site=site, name="Main")
    part = Part.objects.create(site=site, number="B-1", name="Bearing")
    for kind, quantity, value in (("ISSUE", -2, "-24.40"), ("RETURN", 1, "12.20")):
        Movement.objects.create(
            site=site, part=part, store=store, kind=kind, quantity=quantity, on_hand=1, value=Decimal(value), order=row,
            at=NOON,
        )  # fmt: skip
    found = kpi_data.load(site.pk, equipment_id=None, start=NOON, end=NOON + DAY)
    total = order_costs.of([row.pk], site_id=site.pk)[row.pk].total
    assert found.orders.cost.tolist() == [int(100 * total)] == [2642 + 4 + 9999 + 1220]


@pytest.mark.parametrize(("steps", "status", "lasted"), [
    ((("STARTED", 1), ("COMPLETED", 4)), "COMPLETED", [3]),
    ((("STARTED", 1), ("HELD", 2), ("RESUMED", 5), ("COMPLETED", 6)), "COMPLETED", [1, 1]),
    ((("STARTED", 1), ("HELD", 2), ("RESUMED", 5), ("CANCELLED", 6)), "CANCELLED", [1, 1]),
    ((("STARTED", 1), ("CANCELLED", 3)), "CANCELLED", [2]),
    ((("STARTED", 1), ("COMPLETED", 2), ("REOPENED", 4), ("STARTED", 5), ("COMPLETED", 9)), "COMPLETED", [1, 4]),
])  # fmt: skip
def test_a_machine_is_out_of_service_while_somebody_works(
    site: Site, steps: tuple[tuple[str, int], ...], status: str, lasted: list[int]
) -> None:
    over = NOON + steps[-1][1] * HOUR
    fields = {"status": status, "findings": "Done", "started_at": NOON + HOUR}
    made = order(old(site), NOON, hours=None, completed_at=over if status == "COMPLETED" else None, **fields)
    for action, hours in steps:
        step(made, action, NOON + hours * HOUR)
    found = kpi_data.load(site.pk, equipment_id=None, start=NOON, end=NOON + DAY)
    assert ((found.worked.end - found.worked.begin) // HOUR_US).tolist() == lasted


def test_an_order_that_people_carry_out_counts(site: Site) -> None:
    person = factories.user(site=site)
    machine = old(site)
    row = order_steps.request(
        machine, actor=person, title="Guard loose", maintenance_type="CORRECTIVE_DEFERRED", now=NOON, failure_mode="VIB"
    )
    assert figures(site)["mtbf"].events == 0
    approvals.approve(row.pk, actor=person, now=NOON + HOUR)
    order_steps.plan(row.pk, actor=person, start=NOON + 2 * HOUR, minutes=90, now=NOON + HOUR)
    assert (figures(site)["backlog"].value, figures(site)["mtbf"].events) == (1.5, 1)
    order_steps.assign(row.pk, actor=person, assignee=person, now=NOON + HOUR)
    order_steps.start(row.pk, actor=person, now=NOON + 2 * HOUR)
    order_steps.complete(row.pk, actor=person, findings="Tightened", now=NOON + 3 * HOUR)
    made = figures(site)
    shares = [made[name].value for name in ("schedule_compliance", "planned_share", "mttr", "backlog")]
    assert shares == [100.0, 100.0, 3.0, 0.0]


def test_a_machine_is_observed_since_it_was_made_or_had_its_first_order(site: Site) -> None:
    factories.machine(site=site)
    assert figures(site)["availability"].value is None
    order(factories.machine(site=site), NOON + 4 * DAY, hours=None)
    assert figures(site)["mtbf"].value == 6 * 24


def test_the_cost_of_an_imported_order_is_among_the_losses(site: Site) -> None:
    made = order(old(site, tag="P-1"), NOON)
    PastOrder.objects.create(order=made, site=site, source="s", key="1", part="Pump", cost=Decimal("-12.34"))
    report = kpi_report.make(site.pk, start=NOON, end=NOON + DAY, now=NOON + DAY)
    assert [(loss.cost, loss.downtime, loss.so_far) for loss in report.losses] == [(-1234, 2.0, 1.0)]
    assert [part.part for part in report.parts] == ["Pump"]


def test_alarms_acknowledged_late_or_never_count(site: Site) -> None:
    machine = old(site)
    alarm(machine, [("OPENED", NOON), ("ACKNOWLEDGED", NOON + HOUR)], is_active=True)
    alarm(machine, [("OPENED", NOON + 9 * DAY)], failure_mode="VIB", is_acknowledged=False)
    made = figures(site)["mtta"]
    assert (made.value, made.events, made.running) == (60 + 24 * 60, 1, 1)


def test_a_line_has_the_machines_below_it_and_no_others(site: Site) -> None:
    line = factories.machine(site=site, level="LINE")
    inner = factories.machine(site=site, level="LINE", parent=line)
    below = old(site, parent=inner)
    order(below, NOON)
    order(old(site), NOON)
    order(old(factories.site()), NOON)
    assert [figures(site, equipment_id=of)["mtbf"].events for of in (None, line.pk, below.pk)] == [2, 1, 1]
    with pytest.raises(kpi_report.NoEquipment):
        figures(factories.site(), equipment_id=line.pk)


def test_a_report_costs_six_queries_whatever_there_is(site: Site) -> None:
    counted = []
    for _ in range(2):
        for day in range(5):
            order(old(site), NOON + day * DAY)
        with CaptureQueriesContext(connection) as queries:
            figures(site)
        counted.append(len(queries))
    assert counted == [6, 6]


@pytest.mark.parametrize(("start", "end"), [(NOON, NOON), (NOON + DAY, NOON), (NOON - 12_000 * DAY, NOON)])
def test_a_period_without_sense_is_refused(site: Site, start: datetime, end: datetime) -> None:
    with pytest.raises(kpi_report.BadPeriod):
        kpi_report.make(site.pk, start=start, end=end, now=NOON)


# The command


def told(*args: str) -> str:
    out = StringIO()
    call_command("kpis", "--site", "works", "--from", "2026-03-01", "--to", "2026-03-11", *args, stdout=out)
    return out.getvalue()


def test_the_command_prints_each_figure_with_its_interval(site: Site) -> None:
    order(old(site, tag="P-101"), NOON)
    lines = {line.split("  ")[0]: line.split() for line in told().splitlines()}
    assert lines["Availability"][1:4] == ["99.167", "%", "1"]
    assert lines["P-101, VIB"][2:] == ["1", "2", "0.00", "100.0", "%"]
    assert json.loads(told("--json"))["figures"][0]["name"] == "mtbf"


def test_csv_is_no_formula_to_a_spreadsheet(site: Site) -> None:
    order(old(site, tag="=cmd()"), NOON)
    rows = list(csv.reader(StringIO(told("--csv"))))
    assert rows[0][:3] == ["figure", "value", "unit"]
    assert [row[:3] for row in rows if "cmd" in "".join(row)] == [["'=cmd()", "VIB", "1"]]


@pytest.mark.parametrize("wrong", [["--equipment", "X"], ["--from", "2027-01-01"], ["--to", "soon"]])
def test_the_command_says_what_was_wrong(site: Site, wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        told(*wrong)


# Over REST


def asked(of: Site, **query: Any) -> dict[str, Any]:
    return {"site": of.pk, "from": NOON.isoformat(), "to": (NOON + 10 * DAY).isoformat()} | query


def test_over_rest_it_is_of_sites_of_ones_own(site: Site) -> None:
    machine = old(site)
    order(machine, NOON)
    mine = client(factories.user(site=site, role="VIEWER"))
    body = mine.get("/api/v1/kpis/", asked(site, equipment=machine.pk)).json()
    assert [one["name"] for one in body["figures"]][:2] == ["mtbf", "mttr"]
    assert (body["machines"], body["losses"][0]["downtime"]) == (1, 2.0)
    problem(
        client(factories.user(site=factories.site())).get("/api/v1/kpis/", asked(site)), status=404, name="not-found"
    )
    problem(client().get("/api/v1/kpis/", asked(site)), status=401, name="not-authenticated")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"site": ""}, 400),
        ({"equipment": 2**63 - 1}, 404),
        ({"from": "2030-01-01T00:00:00Z"}, 400),
        ({"equipment": 0}, 400),
    ],
)
def test_over_rest_it_says_what_was_wrong(site: Site, query: dict[str, Any], status: int) -> None:
    answer = client(factories.user(site=site)).get("/api/v1/kpis/", asked(site, **query))
    problem(answer, status=status, name="not-found" if status == 404 else "invalid")


def test_over_rest_there_is_a_table(site: Site) -> None:
    answer = client(factories.user(site=site)).get("/api/v1/kpis/csv/", asked(site))
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert answer.content.decode().splitlines()[0].startswith("figure,value")


# As a page


def page(of: Site | None, **query: Any) -> Any:
    browser = Client()
    browser.force_login(factories.user(site=of, role="VIEWER", is_staff=True))
    return browser.get(reverse(kpi_page.NAME), query)


DAYS = {"start": "2026-03-01", "end": "2026-03-10"}


def test_the_page_shows_figures_pictures_and_losses(site: Site) -> None:
    machine = old(site, tag="P-<b>")
    order(machine, NOON)
    order(machine, NOON + 2 * DAY)
    text = page(site, **DAYS, equipment="P-<b>").content.decode()
    assert text.count('<svg class="readings-chart"') == 3
    assert "Mean time between failures (MTBF)" in text
    assert "P-<b>" not in text
    assert "P-&lt;b&gt;, VIB" in text


@pytest.mark.parametrize("name", [kpi_page.NAME, performance_page.NAME])
def test_a_page_of_figures_opens_also_where_the_time_zone_is_mistyped(site: Site, name: str) -> None:
    Site.objects.filter(pk=site.pk).update(time_zone="Mars/Olympus")
    browser = Client()
    browser.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    assert browser.get(reverse(name), DAYS).status_code == 200


def test_the_page_of_nothing_says_so(site: Site) -> None:
    text = page(site, **DAYS).content.decode()
    assert "No machine failed in this period." in text
    assert "has no line or machine" in page(site, **DAYS, equipment="X").content.decode()


def test_the_page_is_a_table_too_and_not_for_everybody(site: Site) -> None:
    answer = page(site, **DAYS, **{"as": "csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert page(None).status_code == 403
    assert page(factories.site(), site=site.pk).context["form"].errors


def test_the_page_asks_as_often_whatever_there_is(site: Site) -> None:
    counted = []
    for _ in range(2):
        for day in range(5):
            order(old(site), NOON + day * DAY)
        with CaptureQueriesContext(connection) as queries:
            assert page(site, **DAYS).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]
