"""What grows, as files: at once or by a worker, safe to open, for who may read it."""

from __future__ import annotations

import csv
import io
import weakref
from collections.abc import Iterator
from datetime import timedelta
from itertools import zip_longest
from typing import Any

import numpy as np
import openpyxl
import orjson
import pyarrow as pa
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pyarrow import parquet

from agents import failpoints, housekeeping, lease, sweeper
from agents.doorbell import Bell
from agents.export_models import Export, ExportPiece
from agents.exports import files, forms, jobs, known, making, requests, tables
from agents.exports.known import Asked, Refused
from maintenance.models import WorkOrder
from sensors import audit, columns, store
from sensors.audit_models import AuditEntry
from sensors.models import Event, Membership, Sensor, Site
from tests import factories, plant, workers
from tests.client import JSON, client, problem
from tests.factories import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/exports/"
NOW = f"{API}now/"
ALL_FORMS = [str(form) for form in known.Form]
EVIL = '=HYPERLINK("http://evil.example","pay")'
Role = Membership.Role


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def sensor(site: Site) -> Sensor:
    made = factories.sensor(machine=factories.machine(site=site, tag="P-1"), external_id="p1.flow", unit="l/s")
    plant.readings(made, [1.5, -2.25, 3.0])
    return made


@pytest.fixture
def vera(site: Site) -> User:
    return factories.user(site=site, role=Role.VIEWER)


@pytest.fixture
def http(vera: User) -> Client:
    return client(vera)


def asked(site: Site, what: str = "readings", form: str = "csv", **more: Any) -> dict[str, Any]:
    period = {"from_at": NOON.isoformat(), "to_at": (NOON + timedelta(days=1)).isoformat()}
    return {"what": what, "form": form, "site": site.pk, **period, **more}


def content(answer: Any) -> bytes:
    assert answer.status_code == 200, getattr(answer, "content", b"")
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def rows_of(form: str, data: bytes) -> list[dict[str, Any]]:
    """As whoever opens the file finds them."""
    if form == "csv":
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    if form == "ndjson":
        return [orjson.loads(line) for line in data.splitlines()]
    if form == "parquet":
        return list(parquet.read_table(io.BytesIO(data)).to_pylist())
    head, *rows = openpyxl.load_workbook(io.BytesIO(data), read_only=True).worksheets[0].iter_rows(values_only=True)
    return [dict(zip_longest(head, row)) for row in rows]


def made(http: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Asked for, and made by a worker."""
    answer = http.post(API, body, JSON)
    assert answer.status_code == 202, answer.content
    sweeper.work_off([Bell("export", answer.json()["id"])])
    row: dict[str, Any] = http.get(answer.json()["status_url"]).json()
    return row


# Files


@pytest.mark.parametrize("form", ALL_FORMS)
def test_readings_come_out_of_every_form_as_they_are_stored(
    http: Client, site: Site, sensor: Sensor, form: str
) -> None:
    factories.sensor(machine=sensor.machine)  # one without readings
    answer = http.get(NOW, asked(site, form=form))
    assert answer["Content-Type"] == known.MEDIA_TYPES[form]
    assert answer["Content-Disposition"] == f'attachment; filename="readings-2026-03-01-2026-03-02.{form}"'
    rows = rows_of(form, content(answer))
    assert list(rows[0]) == ["sensor", "external_id", "machine", "measured_at", "value", "unit", "quality"]
    assert [float(row["value"]) for row in rows] == [1.5, -2.25, 3.0]
    assert {(int(row["sensor"]), row["external_id"], row["machine"], row["unit"], row["quality"]) for row in rows} == {
        (sensor.pk, "p1.flow", "P-1", "l/s", "GOOD")
    }
    said = rows[1]["measured_at"]
    at = said.replace(tzinfo=None).isoformat() if not isinstance(said, str) else said[:19]
    assert at == (NOON + timedelta(hours=1)).replace(tzinfo=None).isoformat()
    assert not isinstance(said, str) or said.endswith("Z")


def test_readings_that_were_compacted_and_ends_of_the_period_come_out_right(site: Site, sensor: Sensor) -> None:
    """As many as are stored in [from, to), in order of time, however they lie and however the windows are cut."""
    n = 500
    at = columns.from_instant(NOON) + np.random.default_rng(7).permutation(n).astype(np.int64) * 3_600 * 1_000_000
    other = factories.sensor(machine=sensor.machine, external_id="p1.speed")
    taken = columns.Columns(np.full(n, other.pk, np.int64), at, np.arange(n) * 0.5, np.arange(n, dtype=np.int32))
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=np.full(n, 2, np.uint8), reason=np.zeros(n, np.uint8))
    out = io.BytesIO()
    end = NOON + timedelta(hours=n - 100)
    rows = making.make(Asked("readings", site.pk, NOON, end, sensor_id=other.pk), "parquet", out, most=n)
    found = parquet.read_table(io.BytesIO(out.getvalue()))
    assert rows == len(found) == n - 100
    instants = found["measured_at"].cast(pa.int64()).to_numpy()
    assert (np.diff(instants) > 0).all()
    assert set(found["quality"].to_pylist()) == {"BAD"}


@pytest.mark.parametrize("what", ["anomalies", "alarms", "work-orders", "events", "audit"])
def test_each_table_comes_out_of_every_form_row_by_row(site: Site, what: str) -> None:
    plant.rows(site)
    plant.rows(factories.site())
    auditor = client(factories.user(site=site, role=Role.AUDITOR))
    listed, year = tables.OF_ROWS[what], timezone.now() - timedelta(days=365)
    for form in ALL_FORMS:
        body = asked(site, what, form, from_at=year.isoformat(), to_at=(year + timedelta(days=366)).isoformat())
        period = {f"{listed.at}__gte": body["from_at"], f"{listed.at}__lt": body["to_at"]}
        stored = listed.model._default_manager.filter(site_id=site.pk, **period).order_by("pk")
        keys = list(stored.values_list("pk", flat=True))
        rows = rows_of(form, content(auditor.get(NOW, body)))
        assert [int(row["id"]) for row in rows][: len(keys)] == keys  # what is given out is itself in the audit trail
        assert list(rows[0]) == tables.of(what).schema.names


def test_a_table_is_read_page_after_page(site: Site) -> None:
    Event.objects.bulk_create(
        Event(site=site, type="x", subject=f"alarm/{n}", key=f"k/{n}", occurred_at=NOON, data={"n": n})
        for n in range(tables.PAGE + 1)
    )
    period = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
    chunks = list(tables.of("events").chunks(Asked("events", site.pk, *period)))
    assert [chunk.rows.num_rows for chunk in chunks] == [tables.PAGE, 1]
    assert [chunk.done for chunk in chunks] == sorted(chunk.done for chunk in chunks)
    assert chunks[-1].done == 1.0
    out = io.BytesIO()
    making.make(Asked("events", site.pk, *period), "ndjson", out, most=100_000)
    lines = rows_of("ndjson", out.getvalue())
    assert [line["data"]["n"] for line in lines] == list(range(tables.PAGE + 1))


def test_a_text_that_could_be_a_formula_is_none_in_a_spreadsheet_and_whole_elsewhere(http: Client, site: Site) -> None:
    evil = [EVIL, "+1", "-2+3", "@SUM(A1)", "\t=1", " =1", "＝1+1", '"=1"', "'+1"]
    texts = [*evil, 'a "quoted", text\nof two lines', "-"]
    schema = pa.schema([("text", pa.string())])
    for form in ALL_FORMS:
        out = io.BytesIO()
        forms.FORMS[form](schema, [pa.RecordBatch.from_arrays([pa.array(texts)], schema=schema)], out)
        shown = [f"'{text}" for text in evil] + texts[-2:-1] + ["'-"] if form in ("csv", "xlsx") else texts
        assert [row["text"] for row in rows_of(form, out.getvalue())] == shown
    WorkOrder.objects.filter(pk=plant.rows(site).order.pk).update(title=EVIL)
    body = asked(site, "work-orders", "xlsx", from_at="2026-01-01T00:00:00Z", to_at="2026-12-31T00:00:00Z")
    book = openpyxl.load_workbook(io.BytesIO(content(http.get(NOW, body))))
    (title,) = (cell for cell in book.worksheets[0][2] if str(cell.value).startswith("'="))
    assert title.data_type == "s"


def test_what_is_no_number_and_what_no_workbook_can_hold_is_left_out() -> None:
    schema = pa.schema([("value", pa.float64()), ("text", pa.string())])
    values = [pa.array([float("nan"), float("inf"), 1.0, None]), pa.array(["a\x00b", "\x07bell", None, ""])]
    batch = pa.RecordBatch.from_arrays(values, schema=schema)
    for form in ("csv", "xlsx", "ndjson"):
        out = io.BytesIO()
        forms.FORMS[form](schema, [batch], out)
        rows = rows_of(form, out.getvalue())
        assert [row["value"] in ("", None) for row in rows] == [True, True, False, True]
        if form != "ndjson":
            assert [row["text"] or "" for row in rows] == ["ab", "bell", "", ""]


@pytest.mark.parametrize("form", ALL_FORMS)
def test_what_was_written_is_not_held(form: str) -> None:
    """However many chunks there are, no more are in memory than the one that is read, and those of a row group."""
    schema = pa.schema([("n", pa.int64())])
    rows = forms.ROW_GROUP if form == "parquet" else 500
    made: list[weakref.ref[Any]] = []
    seen = []

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(12):
            batch = pa.RecordBatch.from_arrays([pa.array(np.arange(rows))], schema=schema)
            made.append(weakref.ref(batch))
            seen.append(sum(one() is not None for one in made))
            yield batch

    out = files.Pieces(lambda number, data: None)
    forms.FORMS[form](schema, batches(), out)
    assert (len(seen), max(seen) <= 3, out.size > 0) == (12, True, True)


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_file_without_rows_is_a_file(http: Client, site: Site, form: str) -> None:
    assert rows_of(form, content(http.get(NOW, asked(site, "alarms", form)))) == []


# Jobs


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_file_is_asked_for_made_fetched_and_deleted(
    http: Client, vera: User, site: Site, sensor: Sensor, form: str
) -> None:
    waiting = http.post(API, asked(site, form=form, machine=sensor.machine_id), JSON)
    assert (waiting.status_code, waiting.json()["status"], waiting.json()["file_url"]) == (202, "PENDING", None)
    problem(http.get(f"{waiting.json()['status_url']}file/"), status=409, name="conflict")
    assert list(sweeper.due()) == [Bell("export", waiting.json()["id"])]
    sweeper.work_off([Bell("export", waiting.json()["id"])])
    row = http.get(waiting.json()["status_url"]).json()
    assert (row["status"], row["rows"], row["percent"], row["reason"]) == ("DONE", 3, 100, "")
    answer = http.get(row["file_url"])
    data = content(answer)
    assert (len(data), int(answer["Content-Length"])) == (row["size"], row["size"])
    at_once = content(http.get(NOW, asked(site, form=form)))
    assert rows_of(form, data) == rows_of(form, at_once)
    entry = AuditEntry.objects.filter(action=audit.EXPORTED, target__endswith=f"{row['id']}/file/").get()
    assert (entry.actor, entry.site_id, f"readings-2026-03-01-2026-03-02.{form}" in entry.detail["file"]) == (
        vera.username, site.pk, True,
    )  # fmt: skip
    assert http.delete(row["status_url"]).status_code == 204
    assert not ExportPiece.objects.exists()
    problem(http.get(row["status_url"]), status=404, name="not-found")


def test_a_file_at_once_is_in_the_audit_trail_of_its_site(http: Client, vera: User, site: Site, sensor: Sensor) -> None:
    Membership.objects.create(user=vera, site=factories.site(), role=Role.VIEWER)
    content(http.get(NOW, asked(site)))
    assert AuditEntry.objects.get(action=audit.EXPORTED).site_id == site.pk


def test_a_large_file_is_kept_and_read_in_pieces(site: Site, vera: User) -> None:
    row = Export.objects.create(site=site, asked_by=vera, what="alarms", form="csv", from_at=NOON, to_at=timezone.now())
    out, given = files.new(row), bytearray()
    for n in range(40):
        given += bytes([n]) * 70_001
        out.write(bytes([n]) * 70_001)
    out.finish()
    row.size = out.size
    read = list(files.read(row))
    assert b"".join(read) == bytes(given)
    assert [len(piece) for piece in read] == [files.PIECE, files.PIECE, len(given) - 2 * files.PIECE]
    ExportPiece.objects.filter(number=1).delete()
    with pytest.raises(LookupError):
        list(files.read(row))
    with pytest.raises(Refused, match="more than 10 bytes"):
        files.Pieces(lambda number, data: None, most=10).write(b"0" * 11)


def test_a_worker_that_dies_leaves_nothing_in_the_file_of_the_next_one(
    http: Client, site: Site, sensor: Sensor
) -> None:
    key = http.post(API, asked(site), JSON).json()["id"]
    taken = lease.claim(Export, key, seconds=30, status=["PENDING"])
    assert taken is not None
    ExportPiece.objects.create(export_id=key, attempt=taken.token, number=0, data=b"half a file")
    Export.objects.filter(pk=key).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs.perform(key) == "done"
    row = Export.objects.get(pk=key)
    assert (row.rows, row.made_by, row.pieces.count()) == (3, taken.token + 1, 1)
    assert b"half" not in content(http.get(f"{API}{key}/file/"))


@pytest.mark.parametrize("point", failpoints.EXPORT_POINTS)
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_anywhere_is_followed_by_another_one(
    http: Client, site: Site, sensor: Sensor, point: str
) -> None:
    key = http.post(API, asked(site), JSON).json()["id"]
    killed = workers.work([Bell("export", key)], environment={failpoints.VARIABLE: point})
    assert killed == failpoints.EXIT_STATUS
    assert not Export.objects.filter(status="DONE").exists()
    workers.recover()
    row = Export.objects.get(pk=key)
    assert (row.status, row.rows, row.pieces.count()) == ("DONE", 3, 1)
    assert len(rows_of("csv", content(http.get(f"{API}{key}/file/")))) == 3


# Limits


def test_what_is_too_much_is_refused_with_what_to_do(http: Client, site: Site, sensor: Sensor) -> None:
    with pytest.raises(Refused, match="more than 2 rows"):
        making.make(Asked("readings", site.pk, NOON, NOON + timedelta(days=1)), "csv", io.BytesIO(), most=2)
    year = (NOON + timedelta(days=400)).isoformat()
    for path, body, field in (
        ("now", {"to_at": year}, "to_at"), ("now", {"to_at": NOON.isoformat()}, "to_at"),
        ("post", {"to_at": (NOON + timedelta(days=4_000)).isoformat()}, "to_at"),
        ("post", {"from_at": "1950-01-01T00:00:00Z"}, "from_at"), ("post", {"what": "events"}, None),
        ("post", {"form": "pdf"}, "form"), ("post", {"machine": 0}, "machine"), ("post", {"site": None}, "site"),
        ("post", {"machine": factories.machine(site=factories.site()).pk}, "machine"),
        ("now", {"what": "work-orders", "sensor": sensor.pk}, "sensor"),
    ):  # fmt: skip
        given = asked(site) | body
        answer = http.get(NOW, given) if path == "now" else http.post(API, given, JSON)
        if field is None:
            problem(answer, status=403, name="forbidden")
            continue
        (error,) = problem(answer, status=400, name="invalid")["errors"]
        assert field in (error.get("parameter"), error.get("pointer", "")[2:])
    assert not Export.objects.exists()


def test_more_rows_than_are_answered_at_once_are_asked_for(http: Client, site: Site) -> None:
    n = known.MOST_AT_ONCE + 1
    many = factories.sensor(machine=factories.machine(site=site))
    at = columns.from_instant(NOON) + np.arange(n, dtype=np.int64) * 1_000_000
    taken = columns.Columns(np.full(n, many.pk, np.int64), at, np.zeros(n), np.arange(n, dtype=np.int32))
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=np.zeros(n, np.uint8), reason=np.zeros(n, np.uint8))
    assert "more than 20,000 rows" in problem(http.get(NOW, asked(site)), status=400, name="invalid")["detail"]
    row = made(http, asked(site, form="parquet"))
    assert (row["status"], row["rows"]) == ("DONE", n)


def test_a_person_has_so_many_at_a_time(http: Client, vera: User, site: Site) -> None:
    for _ in range(requests.MOST_WAITING):
        assert http.post(API, asked(site), JSON).status_code == 202
    assert "wait for these" in problem(http.post(API, asked(site), JSON), status=409, name="conflict")["detail"]
    other = client(factories.user(site=site, role=Role.VIEWER))
    assert other.post(API, asked(site), JSON).status_code == 202
    Export.objects.update(status="RUNNING")
    key = Export.objects.filter(asked_by=vera).first()
    assert key is not None
    problem(http.delete(f"{API}{key.pk}/"), status=409, name="conflict")


def test_a_file_expires(http: Client, site: Site, sensor: Sensor) -> None:
    row = made(http, asked(site))
    assert housekeeping.forget_exports() == 0
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert housekeeping.forget_exports() == 1
    assert not ExportPiece.objects.exists()
    problem(http.get(row["file_url"]), status=409, name="conflict")
    assert http.get(row["status_url"]).json()["status"] == "EXPIRED"
    Export.objects.update(finished_at=timezone.now() - requests.REMEMBERED - timedelta(days=1))
    housekeeping.forget_exports()
    assert not Export.objects.exists()


# Who may


def test_what_people_did_is_for_who_reads_the_audit_trail(site: Site) -> None:
    for role in Role.values:
        http = client(factories.user(site=site, role=role))
        for what in known.What:
            status = 200 if known.TAKES[what] == "read" or role in (Role.AUDITOR, Role.ADMIN) else 403
            assert http.get(NOW, asked(site, what)).status_code == status, (role, what)


def test_nobody_else_sees_what_somebody_asked_for_and_no_other_site_is_exported(
    http: Client, site: Site, sensor: Sensor
) -> None:
    row = made(http, asked(site))
    for other in (client(factories.user(site=site)), client(factories.user(site=factories.site()))):
        assert other.get(API).json()["results"] == []
        for path in (row["status_url"], row["file_url"]):
            problem(other.get(path), status=404, name="not-found")
    stranger = client(factories.user(site=factories.site()))
    for answer in (stranger.get(NOW, asked(site)), stranger.post(API, asked(site), JSON)):
        problem(answer, status=400, name="invalid")


def test_who_lost_the_right_meanwhile_gets_nothing(http: Client, vera: User, site: Site, sensor: Sensor) -> None:
    done = made(http, asked(site))
    waiting = http.post(API, asked(site), JSON).json()["id"]
    Membership.objects.filter(user=vera).delete()
    assert http.get(done["file_url"]).status_code == 404
    assert jobs.perform(waiting) == "failed"
    row = Export.objects.get(pk=waiting)
    assert (row.status, "no longer" in row.reason, row.pieces.exists()) == ("FAILED", True, False)


def test_an_auditor_sees_on_a_page_who_exported_what(http: Client, site: Site, sensor: Sensor) -> None:
    made(http, asked(site))
    auditor, viewer = Client(), Client()
    auditor.force_login(factories.user(site=site, role=Role.AUDITOR, is_staff=True))
    viewer.force_login(factories.user(site=site, role=Role.VIEWER, is_staff=True))
    assert b"readings-2026-03-01-2026-03-02.csv" in auditor.get("/admin/agents/export/").content
    assert b"readings-2026-03-01-2026-03-02.csv" not in viewer.get("/admin/agents/export/").content
