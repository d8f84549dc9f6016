"""Reports: their figures counted anew by plain SQL, in three forms; who may ask; by time and by mail; over deaths."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import failpoints, sweeper
from agents.channels.sink import SmtpSink
from agents.doorbell import Bell
from agents.report_models import Form, Kind, Report, ReportSchedule
from agents.reporting import jobs, requests, schedules
from maintenance.models import Channel, Notification, WorkOrder
from sensors.audit_models import AuditEntry
from sensors.models import Batch, Site
from tests import factories, plant, printed, workers
from tests.client import JSON, client, problem
from tests.factories import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

DAY = timedelta(days=1)
START, END = datetime(2026, 2, 27, 23, tzinfo=UTC), datetime(2026, 3, 3, 23, tzinfo=UTC)  # midnights in Rome
WITHIN = "{0} >= '2026-02-27 23:00Z' AND {0} < '2026-03-03 23:00Z'"
ANOMALIES = f"SELECT count(*) FROM maintenance_anomaly WHERE site_id = %s AND {WITHIN.format('started_at')}"
PARTS = "SELECT {} FROM sensors_batchpart AS p JOIN sensors_batch AS b ON b.id = p.batch_id WHERE b.site_id = %s AND "
PARTS += f"p.state = 'SET_ASIDE' AND {WITHIN.format('b.received_at')}"
BATCHES = f"SELECT {{}} FROM sensors_batch WHERE site_id = %s AND {WITHIN.format('received_at')}"
MESSAGES = f"SELECT {{}} FROM maintenance_notification WHERE site_id = %s AND {WITHIN.format('created_at')}"
READINGS = "SELECT {} FROM sensors_reading AS r JOIN sensors_sensor AS s ON s.id = r.sensor_id WHERE s.site_id = %s"
READINGS += f" AND {WITHIN.format('measured_at')}"
COUNTED = {
    Kind.ANOMALY: {
        "anomalies": f"{ANOMALIES} AND nature = 'MACHINE'",
        "instrument_faults": f"{ANOMALIES} AND nature = 'INSTRUMENT'",
        "false_positives": f"{ANOMALIES} AND nature = 'MACHINE' AND verdict = 'FALSE_POSITIVE'",
        "activations": "SELECT count(*) FROM maintenance_alarmtransition AS t JOIN maintenance_alarm AS a ON a.id ="
        f" t.alarm_id WHERE a.site_id = %s AND action IN ('OPENED', 'REOPENED') AND {WITHIN.format('at')}",
        "open_at_the_end": "SELECT count(*) FROM maintenance_anomaly WHERE site_id = %s AND started_at <"
        " '2026-03-03 23:00Z' AND NOT coalesce(ended_at < '2026-03-03 23:00Z', false)",
    },
    Kind.MAINTENANCE: {
        "orders_opened": "SELECT count(*) FROM maintenance_workorder WHERE site_id = %s AND "
        + WITHIN.format("opened_at"),
        "orders_completed": "SELECT count(*) FROM maintenance_workorder WHERE site_id = %s AND "
        + WITHIN.format("completed_at"),
    },
    Kind.SYSTEM_HEALTH: {
        "requests": BATCHES.format("count(*)"),
        "accepted": BATCHES.format("sum(accepted)"),
        "rejected": BATCHES.format("sum(rejected)"),
        "runs_failed": PARTS.format("count(DISTINCT p.run_id)"),
        "readings_set_aside": PARTS.format("coalesce(sum(p.readings), 0)"),
        "messages": MESSAGES.format("count(*)"),
        "messages_failed": f"{MESSAGES.format('count(*)')} AND status = 'FAILED'",
        "webhook_tries": "SELECT count(*) FROM maintenance_webhooktry AS t JOIN maintenance_webhookdelivery AS d ON"
        " d.id = t.delivery_id JOIN maintenance_webhook AS w ON w.id = d.webhook_id WHERE w.site_id = %s AND "
        + WITHIN.format("t.began_at"),
    },
    Kind.DATA_QUALITY: {
        "sensors": "SELECT count(*) FROM sensors_sensor WHERE site_id = %s",
        "readings": READINGS.format("count(*)"),
        "good_readings": f"{READINGS.format('count(*)')} AND r.quality = 0",
        "good_share": READINGS.format("round(100.0 * count(*) FILTER (WHERE r.quality = 0) / count(*), 4)::float"),
        "conflicts": "SELECT count(*) FROM sensors_readingconflict AS c JOIN sensors_sensor AS s ON s.id = c.sensor_id"
        " WHERE s.site_id = %s AND " + WITHIN.format("c.measured_at"),
    },
}


@pytest.fixture
def site() -> Site:
    """A plant with one of everything at noon, and readings of three days; and another one beside it."""
    site = factories.site(name="Works (Turin) & <b>", time_zone="Europe/Rome")
    for one in (site, factories.site()):
        for _ in range(2):
            rows = plant.rows(one)
        plant.readings(rows.sensor, [1.0] * 40)
        machine = factories.machine(site=one)
        plant.readings(factories.sensor(machine=machine, external_id=f"=bad-{one.pk}", period_seconds=1_800),
                       [2.0] * 10, quality=2)  # fmt: skip
    Batch.objects.update(received_at=NOON)
    Notification.objects.update(created_at=NOON)
    done = WorkOrder.objects.filter(site=site)[:1].get()
    WorkOrder.objects.filter(pk=done.pk).update(status="COMPLETED", completed_at=NOON, findings="A seal")
    return site


def ask(site: Site, kind: str, form: str = Form.JSON, *, start: datetime = START, end: datetime = END) -> Report:
    row = Report.objects.create(site=site, kind=kind, form=form, from_at=start, to_at=end)
    assert jobs.perform(row.pk) == "done"
    row.refresh_from_db()
    assert row.content is not None
    assert row.size == len(row.content)
    return row


def said(row: Report) -> dict[str, Any]:
    assert row.content is not None
    told: dict[str, Any] = json.loads(bytes(row.content))
    return told


def figures(told: dict[str, Any]) -> dict[str, Any]:
    return {figure["name"]: figure["value"] for figure in told["figures"]}


@pytest.mark.parametrize("kind", list(Kind))
def test_figures_are_what_plain_sql_counts(site: Site, kind: Kind) -> None:
    found = figures(said(ask(site, kind)))
    with connection.cursor() as cursor:
        for name, query in COUNTED[kind].items():
            cursor.execute(query, [site.pk])
            assert found[name] == cursor.fetchone()[0], name
    assert sum(1 for name in COUNTED[kind] if found[name]) >= 2  # it is no report of nothing


def test_figures_by_hand(site: Site) -> None:
    told = said(ask(site, Kind.DATA_QUALITY))
    found = figures(told)
    assert (found["readings"], found["good_readings"], found["good_share"]) == (50, 40, 80.0)
    (bad,) = [row for row in told["tables"][0]["rows"] if row["sensor"].startswith("=bad")]
    expected = 4 * 24 * 2  # every half an hour of four days
    assert (bad["readings"], bad["good"], bad["expected"]) == (10, 0, expected)
    assert bad["completeness_%"] == pytest.approx(100 * 10 / expected, abs=1e-4)
    days = told["by_day"][0]["values"]  # from 13:00 in Rome on 1 March: 11 hours of it, then whole days
    assert list(days) == ["2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"]
    assert list(days.values()) == [0, 11 + 10, 24, 5]


@pytest.mark.parametrize("kind", list(Kind))
def test_json_csv_and_pdf_say_the_same(site: Site, kind: Kind) -> None:
    told = said(ask(site, kind))
    table = bytes(ask(site, kind, Form.CSV).content or b"").decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(table)))
    printed_words = printed.words(bytes(ask(site, kind, Form.PDF).content or b""))
    assert "Works (Turin) & < b >" in printed_words  # apart, as they are drawn
    first = lines.index(["figure", "title", "value", "unit", "definition"]) + 1
    by_name = {line[0]: line for line in lines[first : first + len(told["figures"])]}
    for figure in told["figures"]:
        value = "" if figure["value"] is None else f"{figure['value']:.10g}"
        assert by_name[figure["name"]][2:4] == [value, figure["unit"]]
        assert figure["definition"]
        shown = " ".join(f"{figure['title']} {value}".split())
        if value and shown.isascii():
            assert shown in printed_words
    for one in told["tables"]:
        for row in one["rows"]:
            cells = ["" if cell is None else f"{cell:.10g}" if isinstance(cell, float) else str(cell) for cell in
                     row.values()]  # fmt: skip
            assert [f"'{cell}" if cell.startswith("=") else cell for cell in cells] in lines


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("form", list(Form))
def test_of_a_site_without_anything_there_is_an_empty_report(kind: Kind, form: Form) -> None:
    row = ask(factories.site(), kind, form)
    content = bytes(row.content or b"")
    if form == Form.PDF:
        assert content.startswith(b"%PDF")
        assert "Nothing is on record for this period." in printed.words(content)
    elif form == Form.CSV:
        assert "Nothing is on record for this period." in content.decode()
    else:
        assert json.loads(content)["empty"] is True


# Over REST


def body(site: Site, **changes: Any) -> dict[str, Any]:
    period = {"from_at": START.isoformat(), "to_at": END.isoformat()}
    return {"site": site.pk, "kind": "ANOMALY", "form": "CSV"} | period | changes


def test_asked_for_made_taken_and_on_the_audit_trail(site: Site) -> None:
    http = client(factories.user(site=site, role="TECHNICIAN"))
    answer = http.post("/api/v1/reports/generate/", body(site), JSON)
    assert answer.status_code == 202, answer.content
    told = answer.json()
    assert (told["status"], told["download_url"]) == ("PENDING", "")
    problem(http.get(f"/api/v1/reports/{told['id']}/download/"), status=409, name="conflict")
    sweeper.work_off([Bell("report", told["id"])])
    done = http.get(told["status_url"]).json()
    assert (done["status"], done["reason"]) == ("DONE", "")
    taken = http.get(done["download_url"])
    assert taken["Content-Type"] == "text/csv; charset=utf-8"
    assert taken["Content-Disposition"] == f'attachment; filename="anomaly-{site.slug}-2026-02-28.csv"'
    assert len(taken.content) == done["size"]
    entry = AuditEntry.objects.filter(action="data.exported").get()
    assert (entry.site_id, entry.target) == (site.pk, f"/api/v1/reports/{told['id']}/download/")
    Report.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    problem(http.get(f"/api/v1/reports/{told['id']}/download/"), status=404, name="not-found")
    schedules.look_round()
    assert Report.objects.filter(content__isnull=False).count() == 0


def test_who_may_ask_and_take(site: Site) -> None:
    viewer, stranger = client(factories.user(site=site, role="VIEWER")), client(factories.user(site=factories.site()))
    problem(viewer.post("/api/v1/reports/generate/", body(site), JSON), status=403, name="forbidden")
    problem(stranger.post("/api/v1/reports/generate/", body(site), JSON), status=404, name="not-found")
    row = ask(site, Kind.ANOMALY)
    assert viewer.get(f"/api/v1/reports/{row.pk}/download/").status_code == 200
    for where in ("", "download/"):
        problem(stranger.get(f"/api/v1/reports/{row.pk}/{where}"), status=404, name="not-found")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"from_at": END.isoformat(), "to_at": START.isoformat()}, "from_at"),
        ({"from_at": "2126-01-01T00:00:00Z", "to_at": "2126-01-02T00:00:00Z"}, "from_at"),
        ({"from_at": "2020-01-01T00:00:00Z"}, "to_at"),
        ({"kind": "WEATHER"}, "kind"),
    ],
)
def test_what_cannot_be_reported_on_is_refused(site: Site, changes: dict[str, Any], field: str) -> None:
    http = client(factories.user(site=site, role="TECHNICIAN"))
    told = problem(http.post("/api/v1/reports/generate/", body(site, **changes), JSON), status=400, name="invalid")
    assert [error["pointer"] for error in told["errors"]] == [f"#/{field}"]


def test_no_more_than_some_wait(site: Site) -> None:
    Report.objects.bulk_create(
        Report(site=site, kind="ANOMALY", form="CSV", from_at=START, to_at=END) for _ in range(requests.MOST_WAITING)
    )
    http = client(factories.user(site=site, role="TECHNICIAN"))
    problem(http.post("/api/v1/reports/generate/", body(site), JSON), status=409, name="conflict")


# In the admin


def test_the_form_asks_for_whole_days_of_the_site_and_the_button_gives_the_file(client: Client, site: Site) -> None:
    client.force_login(factories.user(site=site, role="TECHNICIAN", is_staff=True))
    url = reverse("admin:agents_report_generate")
    assert url in client.get(reverse("admin:agents_report_changelist")).content.decode()
    said = {"site": site.pk, "kind": "ANOMALY", "form": "PDF", "start": "2026-02-28", "end": "2026-03-03"}
    assert "Select a valid choice" in client.post(url, said | {"site": 0}).content.decode()
    assert "must begin before" in client.post(url, said | {"end": "2026-02-01"}).content.decode()
    assert client.post(url, said).status_code == 302
    row = Report.objects.filter(status="PENDING").get()
    assert (row.from_at, row.to_at) == (START, END)
    jobs.perform(row.pk)
    page = client.get(reverse("admin:agents_report_change", args=[row.pk])).content.decode()
    file = reverse("admin:agents_report_file", args=[row.pk])
    assert file in page
    assert client.get(file).content.startswith(b"%PDF")
    client.force_login(factories.user(site=site, role="VIEWER", is_staff=True))
    assert client.get(url).status_code == 403
    client.force_login(factories.user(site=factories.site(), role="ADMIN", is_staff=True))
    assert client.get(file).status_code == 404


def test_a_schedule_mails_to_channels_of_its_own_site_alone(client: Client, site: Site) -> None:
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    mine = Channel.objects.filter(site=site, kind="EMAIL").values_list("pk", flat=True)
    theirs = Channel.objects.filter(kind="EMAIL").exclude(site=site).values_list("pk", flat=True)
    said = {"site": site.pk, "kind": "ANOMALY", "form": "PDF", "every": "WEEK", "day": 1, "hour": 6, "is_enabled": "on"}
    url = reverse("admin:agents_reportschedule_add")
    assert "Choose channels of the same site" in client.post(url, said | {"channels": list(theirs)}).content.decode()
    assert "A week has days 1 to 7" in client.post(url, said | {"channels": list(mine), "day": 8}).content.decode()
    assert client.post(url, said | {"channels": list(mine)}).status_code == 302
    row = ReportSchedule.objects.filter(kind="ANOMALY").get()
    assert row.next_at.astimezone(site.zone).strftime("%A %H:%M") == "Monday 06:00"


# By time and by mail

MONDAY = datetime(2026, 3, 9, 6, tzinfo=UTC)


def scheduled(site: Site, **fields: Any) -> ReportSchedule:
    due = {"kind": "ANOMALY", "every": "WEEK", "day": 1, "hour": 6, "next_at": MONDAY - timedelta(hours=1)}
    row = ReportSchedule.objects.create(site=site, **due | fields)
    row.channels.set([Channel.objects.create(site=site, kind="EMAIL", name="boss", target="ann@example.com")])
    return row


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


def test_a_schedule_makes_one_report_of_the_last_week_and_mails_it_once(
    site: Site, sink: SmtpSink, settings: Settings
) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
    row = scheduled(site)
    (key,) = schedules.look_round(now=MONDAY)
    assert schedules.look_round(now=MONDAY) == []
    ReportSchedule.objects.filter(pk=row.pk).update(next_at=MONDAY)  # whoever looks again, in the same period
    assert schedules.look_round(now=MONDAY + DAY) == []
    made = Report.objects.get(pk=key)
    assert (made.from_at, made.to_at) == (datetime(2026, 3, 1, 23, tzinfo=UTC), datetime(2026, 3, 8, 23, tzinfo=UTC))
    sweeper.work_off([Bell("report", key)])
    (told,) = Notification.objects.filter(event_type=requests.EVENT)
    sweeper.work_off([Bell("deliver", told.pk)])
    (mail,) = sink.wait_for(1)
    assert mail.recipients == ("ann@example.com",)
    made.refresh_from_db()
    (file,) = list(mail.message.iter_attachments())
    assert file.get_filename() == f"anomaly-{site.slug}-2026-03-02.pdf"
    assert file.get_content() == bytes(made.content or b"")
    assert "Of 2026-03-02 00:00 to 2026-03-09 00:00 (Europe/Rome)." in mail.text
    row.refresh_from_db()
    assert row.next_at == datetime(2026, 3, 16, 5, tzinfo=UTC)


def test_after_a_long_absence_the_last_month_is_reported_on(site: Site) -> None:
    scheduled(site, every="MONTH", next_at=datetime(2025, 6, 1, 4, tzinfo=UTC))
    (key,) = schedules.look_round(now=MONDAY)
    assert Report.objects.get(pk=key).from_at == datetime(2026, 1, 31, 23, tzinfo=UTC)
    assert ReportSchedule.objects.get(every="MONTH").next_at == datetime(2026, 4, 1, 4, tzinfo=UTC)


def test_a_disabled_schedule_makes_nothing(site: Site) -> None:
    scheduled(site, is_enabled=False)
    assert schedules.look_round(now=MONDAY) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", failpoints.REPORT_POINTS)
def test_a_report_whose_worker_dies_is_made_again_and_mailed_once(point: str) -> None:
    site = factories.site()
    scheduled(site, form="CSV")
    (key,) = schedules.look_round(now=MONDAY)
    assert workers.work([Bell("report", key)], environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
    row = Report.objects.get()
    assert (row.status in Report.UNFINISHED, row.attempts, row.content) == (True, 1, None)
    assert Notification.objects.count() == 0
    workers.let_time_pass()
    assert Bell("report", key) in list(sweeper.due())
    assert jobs.perform(key) == "done"
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("DONE", 2)
    assert Notification.objects.count() == 1
    assert jobs.perform(key) == "stale"
