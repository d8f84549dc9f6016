"""The audit trail: who did what from where, in a chain in which nothing can be altered unseen."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from agents import jobs
from config import logging as ours
from maintenance import alarms
from maintenance.models import Alarm
from sensors import audit, audit_bound, audit_chain, audit_requests, journal
from sensors.audit import Act
from sensors.audit_chain import Head
from sensors.audit_models import AuditEntry, AuditHead
from sensors.models import Event, Membership, Site
from sensors.recorded import Recorded
from tests import factories, plant
from tests.client import JSON, client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
ROLES = Membership.Role


def entries(**fields: Any) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(**fields).order_by("id"))


def only(**fields: Any) -> AuditEntry:
    (found,) = entries(**fields)
    return found


@pytest.fixture
def chain() -> list[AuditEntry]:
    """Ten entries, sealed in two goes."""
    for n in range(10):
        audit.record([Act("thing.done", f"thing/{n}", actor="ann", detail={"n": n, "share": n / 7})])
        if n == 5:
            audit_chain.seal()
    audit_chain.seal()
    return entries()


def as_owner(statement: str, *values: Any) -> None:
    """What whoever owns the tables can do: switch the triggers off, alter, and switch them on."""
    with connection.cursor() as cursor:
        for table in ("sensors_auditentry", "sensors_audithead"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        for table in ("sensors_auditentry", "sensors_audithead"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def faults(**options: Any) -> list[str]:
    return audit_chain.verify(**options).faults


# What gets into it


def test_what_somebody_did_is_in_the_trail_with_where_it_came_from(client: Client) -> None:
    row = plant.rows(factories.site()).alarm
    user = factories.user(site=row.site, role=ROLES.TECHNICIAN)
    answer = asked(user, address="198.51.100.7").post(
        f"/api/v1/alarms/{row.pk}/acknowledge/", {"comment": "Seen."}, content_type=JSON
    )
    assert answer.status_code == 200
    entry = only(action=journal.ALARM_ACKNOWLEDGED)
    assert (entry.actor, entry.credential, entry.address) == (user.username, audit.TOKEN, "198.51.100.7")
    assert (entry.site_id, entry.target) == (row.site_id, f"alarm/{row.pk}")
    assert entry.detail["comment"] == "Seen."
    assert len(entry.request_id) == 36
    assert entry.reference == Event.objects.get(type=journal.ALARM_ACKNOWLEDGED).key
    assert timezone.now() - entry.at < timedelta(minutes=1)


def asked(user: Any, *, address: str = "127.0.0.1") -> Client:
    made = client(user)
    made.defaults["REMOTE_ADDR"] = address
    return made


def test_an_entry_goes_with_the_change_it_tells_of() -> None:
    alarm = plant.rows(factories.site()).alarm
    ann = factories.user(site=alarm.site, username="ann")
    with pytest.raises(RuntimeError, match="undone"), transaction.atomic():
        alarms.acknowledge(alarm.pk, actor=ann, comment="")
        assert only(action=journal.ALARM_ACKNOWLEDGED).credential == audit.SYSTEM
        raise RuntimeError("undone")
    assert entries(action=journal.ALARM_ACKNOWLEDGED) == []
    assert not Alarm.objects.get(pk=alarm.pk).is_acknowledged


def test_what_the_flow_does_is_in_the_journal_alone() -> None:
    journal.record([journal.Entry(journal.ALARM_OPENED, "alarm/1", "k/1", factories.NOON)])
    assert Event.objects.count() == 1
    assert entries() == []


def test_the_same_event_is_one_entry() -> None:
    entry = journal.Entry(journal.ALARM_COMMENTED, "alarm/1", "k/1", factories.NOON, actor="ann")
    journal.record([entry])
    journal.record([entry])
    assert only().reference == "k/1"


def test_logins_are_in_the_trail_the_good_and_the_bad(client: Client) -> None:
    site = factories.site()
    factories.user(site=site, username="ann", is_staff=True)
    form = {"username": "ann", "password": factories.PASSWORD, "next": "/admin/"}
    assert client.post(reverse("admin:login"), form | {"password": "wrong"}).status_code == 200
    assert client.post(reverse("admin:login"), form).status_code == 302
    assert client.post(reverse("admin:logout")).status_code == 200
    failed, good, out = entries()
    assert [e.action for e in (failed, good, out)] == [audit.LOGIN_FAILED, audit.LOGGED_IN, audit.LOGGED_OUT]
    assert {e.actor for e in (failed, good, out)} == {"ann"}
    assert (good.credential, good.address, good.site_id) == (audit.PASSWORD, "127.0.0.1", site.pk)
    assert "wrong" not in json.dumps(failed.detail) + failed.target


def test_a_token_is_asked_for_by_a_login(client: Client) -> None:
    factories.user(username="robot")
    said = {"username": "robot", "password": factories.PASSWORD}
    assert client.post("/api/v1/auth/token/", said, content_type=JSON).status_code == 200
    assert only().action == audit.LOGGED_IN
    assert client.post("/api/v1/auth/token/", said | {"password": "x"}, content_type=JSON).status_code == 401
    failed = only(action=audit.LOGIN_FAILED)  # and no refusal besides
    assert (failed.actor, failed.address) == ("robot", "127.0.0.1")
    assert len(entries()) == 2


def test_a_refusal_is_in_the_trail_of_the_site(client: Client) -> None:
    row = plant.rows(factories.site()).alarm
    viewer = factories.user(site=row.site, role=ROLES.VIEWER, username="vic")
    assert asked(viewer).post(f"/api/v1/alarms/{row.pk}/acknowledge/", {}, content_type=JSON).status_code == 403
    entry = only(action=audit.REFUSED)
    assert (entry.actor, entry.site_id, entry.detail) == ("vic", row.site_id, {"status": 403})
    assert entry.target == f"POST /api/v1/alarms/{row.pk}/acknowledge/"
    assert client.get("/api/v1/alarms/").status_code == 401
    assert entries(action=audit.REFUSED)[-1].credential == audit.NONE


def test_a_flood_of_refusals_is_counted_and_not_written(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(audit_requests.time, "monotonic", lambda: clock[0])
    for n in range(40):
        client.get(f"/api/v1/alarms/{n}/")
    for n in range(200):
        client.get("/api/v1/alarms/", REMOTE_ADDR=f"198.51.100.{n}")
    assert len(entries()) == audit_bound.MOST_KINDS
    clock[0] += 61
    client.get("/health/live")
    counted = entries()[audit_bound.MOST_KINDS :]
    assert [(e.detail["times_more"], e.target) for e in counted] == [
        (39, "GET api/v1/alarms/(?P<pk>[^/.]+)/$"), (200 - audit_bound.MOST_KINDS + 1, audit_requests.OTHERS),
    ]  # fmt: skip
    assert counted[0].address == "127.0.0.1"


def test_failed_logins_are_bounded_too(client: Client, settings: Any) -> None:
    settings.LOGIN_RATE = "1000/m"
    for n in range(100):
        client.post("/api/v1/auth/token/", {"username": f"n{n}", "password": "x"}, content_type=JSON)
    assert len(entries()) == audit_bound.MOST_KINDS


def test_a_file_that_is_given_out_is_in_the_trail(client: Client) -> None:
    row = plant.rows(factories.site())
    user = factories.user(site=row.machine.site, is_staff=True)
    client.force_login(user)
    said = {"kind": "sensors", "site": row.machine.site.pk, "format": "csv"}
    assert client.get(reverse("import-export-file"), said).status_code == 200
    entry = only(action=audit.EXPORTED)
    assert (entry.actor, entry.site_id, entry.credential) == (user.username, row.machine.site.pk, audit.SESSION)
    assert "kind=sensors" in entry.detail["query"]


def test_nobody_writes_into_the_trail_of_another_site(client: Client) -> None:
    user, theirs = factories.user(site=factories.site(), is_staff=True), factories.site()
    request = RequestFactory().get("/file", {"site": theirs.pk})
    request.user = user
    audit_requests.look(request, HttpResponse(headers={"Content-Disposition": "attachment"}))
    assert only(action=audit.EXPORTED).site_id == user.sites.get().pk


def test_what_is_changed_on_pages_of_the_admin_is_in_the_trail(admin_client: Client) -> None:
    site, user = factories.site(), factories.user(username="ann")
    inline = {"memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 0, "memberships-0-user": user.pk,
              "memberships-0-role": ROLES.ADMIN}  # fmt: skip
    form = {"name": "Works", "slug": site.slug, "time_zone": "UTC", **inline}
    assert admin_client.post(reverse("admin:sensors_site_change", args=[site.pk]), form).status_code == 302
    entry = only(action=audit.ADMIN_CHANGED)
    assert (entry.actor, entry.target, entry.site_id) == ("admin", f"sensors.site/{site.pk}", site.pk)
    assert "ann in Works: ADMIN" in json.dumps(entry.detail)
    assert admin_client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"}).status_code == 302
    assert only(action=audit.ADMIN_DELETED).detail["row"] == "ann"


def test_every_page_of_the_admin_records_its_changes() -> None:
    assert [m._meta.label for m, page in admin.site._registry.items() if not isinstance(page, Recorded)] == []


def test_a_new_password_is_in_the_trail_and_never_the_password_itself() -> None:
    user = factories.user(username="ann")
    user.set_password("a new one that is long")
    user.save()
    assert entries(action=audit.PASSWORD_CHANGED)[-1].target == "user/ann"
    assert all("long" not in f"{entry.target}{entry.detail}" for entry in entries())


def test_a_name_cannot_pass_for_a_line_of_the_log(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    forged = 'eve\n{"event": "audit", "action": "login.succeeded"}\x1b[2J\u2028'
    client.post("/api/v1/auth/token/", {"username": forged, "password": "x"}, content_type=JSON)
    entry = only(action=audit.LOGIN_FAILED)
    assert entry.actor.isprintable()
    assert entry.actor.startswith("eve\\n")
    for json_lines in (True, False):
        assert one_line_of(json_lines, actor=forged).count("\n") == 1


def one_line_of(json_lines: bool, **fields: str) -> str:
    """What the log's own formatter makes of it."""
    before = structlog.get_config()
    made = ours.configure(json=json_lines, level="INFO")["formatters"]["structured"]
    structlog.configure(**before)
    formatter = made.pop("()")(**made)
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    record = logging.LogRecord("x", logging.INFO, "", 0, {"event": "audit", **fields}, (), None)  # type: ignore[arg-type]
    record._logger, record._name = None, "info"  # type: ignore[attr-defined]  # as structlog marks its own
    handler.emit(record)
    return out.getvalue()


# That it holds


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sensors_auditentry SET actor = 'nobody'",
        "UPDATE sensors_auditentry SET number = NULL, previous = '', hash = ''",
        "DELETE FROM sensors_auditentry",
        "TRUNCATE sensors_auditentry",
        "UPDATE sensors_audithead SET number = 1",
        "DELETE FROM sensors_audithead",
        "TRUNCATE sensors_audithead",
        "INSERT INTO sensors_auditentry (actor, credential, request_id, action, target, detail, number, previous, hash)"
        " VALUES ('eve', 'none', '', 'x', '', '{}', 99, '', '')",
    ],
)
def test_the_database_refuses_to_alter_an_entry_even_for_the_owner(chain: list[AuditEntry], statement: str) -> None:
    with pytest.raises(Error, match=r"audit"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert len(entries()) == 10
    assert faults() == []


def test_an_entry_that_is_not_sealed_cannot_be_altered_either() -> None:
    audit.record([Act("thing.done", actor="ann")])
    for change in ("SET actor = 'eve'", "SET number = 1, previous = '', hash = '', actor = 'eve'"):
        with pytest.raises(Error, match="audit"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE sensors_auditentry {change}")


def test_an_entry_cannot_be_dated_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sensors_auditentry (at, actor, credential, request_id, action, target, detail)"
            " VALUES ('2020-01-01', 'eve', 'none', '', 'x', '', '{}')"
        )
    assert timezone.now() - only().at < timedelta(minutes=1)


def test_a_chain_that_nobody_touched_holds(chain: list[AuditEntry]) -> None:
    found = audit_chain.verify()
    assert (found.faults, found.entries, found.unsealed) == ([], 10, 0)
    assert [entry.number for entry in chain] == list(range(1, 11))
    assert found.head == Head(10, chain[-1].hash)
    assert audit_chain.seal() == 0


def test_a_deleted_entry_is_found(chain: list[AuditEntry]) -> None:
    as_owner("DELETE FROM sensors_auditentry WHERE number = 4")
    assert faults() == ["Number 4 is missing: it was deleted, or moved."]


def test_entries_deleted_at_the_end_are_found(chain: list[AuditEntry]) -> None:
    as_owner("DELETE FROM sensors_auditentry WHERE number > 8")
    assert faults() == ["The chain ends at 8, and went on to 10: entries at its end were deleted."]


@pytest.mark.parametrize(
    ("column", "value"),
    [("actor", "eve"), ("detail", '{"n": 3}'), ("at", "2026-01-01T00:00:00Z"), ("address", "10.0.0.1"), ("site_id", 5)],
)
def test_a_changed_entry_is_found(chain: list[AuditEntry], column: str, value: Any) -> None:
    as_owner(f"UPDATE sensors_auditentry SET {column} = %s WHERE number = 10", value)
    assert f"Number 10 (id {chain[9].pk}, thing.done) is not as it was sealed: it was changed." in faults()


def test_an_entry_put_in_is_found(chain: list[AuditEntry]) -> None:
    """Its maker can give it a right hash of its own, but not to those that follow."""
    as_owner("DELETE FROM sensors_auditentry WHERE number = 4")
    forged = AuditEntry(
        id=chain[3].pk, at=chain[3].at, actor="eve", credential="none", request_id="", action="x", detail={}, number=4,
        previous=chain[2].hash,
    )  # fmt: skip
    value = audit_chain.hash_of(forged, previous=chain[2].hash)
    as_owner(
        "INSERT INTO sensors_auditentry (id, at, actor, credential, request_id, action, target, detail, number,"
        " previous, hash) VALUES (%s, %s, 'eve', 'none', '', 'x', '', '{}', 4, %s, %s)",
        chain[3].pk, chain[3].at, chain[2].hash, value,
    )  # fmt: skip
    (fault,) = faults()
    assert fault.startswith(f"Number 5 (id {chain[4].pk}, thing.done) does not follow the entry before it")


def test_moved_entries_are_found(chain: list[AuditEntry]) -> None:
    as_owner("UPDATE sensors_auditentry SET number = 11 WHERE number = 3")
    as_owner("UPDATE sensors_auditentry SET number = 3 WHERE number = 7")
    as_owner("UPDATE sensors_auditentry SET number = 7 WHERE number = 11")
    told = " ".join(faults())
    for moved in (chain[2], chain[6]):
        assert f"(id {moved.pk}, thing.done) is not as it was sealed" in told


def test_an_entry_that_is_put_in_later_with_an_earlier_time_is_found(chain: list[AuditEntry]) -> None:
    as_owner(
        "INSERT INTO sensors_auditentry (at, actor, credential, request_id, action, target, detail)"
        " VALUES (now() - interval '1 day', 'eve', 'none', '', 'x', '', '{}')"
    )
    audit_chain.seal()
    (fault,) = faults()
    assert fault.startswith("Number 11")
    assert fault.endswith("it was put in afterwards.")


def test_a_chain_that_was_made_anew_is_found_by_an_anchor(chain: list[AuditEntry]) -> None:
    anchor = audit_chain.verify().head
    as_owner("UPDATE sensors_audithead SET number = 0, hash = ''")
    as_owner("UPDATE sensors_auditentry SET actor = 'eve', number = NULL, previous = '', hash = ''")
    audit_chain.seal()
    assert faults() == []
    (fault,) = faults(anchors=(anchor,))
    assert "the chain was made anew" in fault
    assert "was noted once" in faults(anchors=(Head(11, "0" * 64),))[0]


def test_what_is_deleted_before_it_was_sealed_is_missed_where_the_journal_has_it(chain: list[AuditEntry]) -> None:
    entry = journal.Entry(journal.ALARM_COMMENTED, "alarm/1", "k/1", factories.NOON, actor="ann")
    journal.record([entry])
    assert faults() == []
    as_owner("DELETE FROM sensors_auditentry WHERE reference = 'k/1'")
    assert faults() == ["alarm.commented of alarm/1 by ann has no entry: it was deleted before it was sealed."]


def test_an_entry_that_nobody_seals_is_told_of() -> None:
    audit.record([Act("thing.done", actor="ann")])
    assert faults() == []
    (fault,) = faults(now=timezone.now() + timedelta(hours=1))
    assert "was never sealed" in fault


def test_the_periodic_job_seals(chain: list[AuditEntry]) -> None:
    audit.record([Act("thing.done", actor="ann")])
    assert jobs.run("seal_audit", audit_chain.seal) is jobs.Result.DONE
    assert entries(number=None) == []
    assert AuditHead.objects.get().number == 11


def test_many_are_sealed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "MOST_AT_ONCE", 3)
    audit.record([Act("thing.done", f"thing/{n}") for n in range(8)])
    assert audit_chain.seal() == 8
    assert faults() == []


def test_the_command_names_the_fault_and_prints_the_end_of_the_chain(
    chain: list[AuditEntry], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("verify_audit")
    head = capsys.readouterr().out.splitlines()[-1].removeprefix("head ")
    call_command("verify_audit", "--anchor", head)
    as_owner("DELETE FROM sensors_auditentry WHERE number = 4")
    capsys.readouterr()
    with pytest.raises(CommandError, match="1 faults"):
        call_command("verify_audit", "--anchor", head)
    assert "Number 4 is missing" in capsys.readouterr().out
    with pytest.raises(CommandError, match="number:hash"):
        call_command("verify_audit", "--anchor", "4")


# Who reads it


@pytest.fixture
def two_sites() -> Iterator[tuple[Site, Site]]:
    mine, theirs = factories.site(), factories.site()
    for site in (mine, theirs, None):
        audit.record([Act("thing.done", actor="ann", site_id=None if site is None else site.pk)])
    yield mine, theirs


@pytest.mark.parametrize("role", [ROLES.AUDITOR, ROLES.ADMIN])
def test_an_auditor_reads_the_trail_of_their_site(two_sites: tuple[Site, Site], role: str, client: Client) -> None:
    mine, theirs = two_sites
    user = factories.user(site=mine, role=role, is_staff=True)
    listed = asked(user).get("/api/v1/audit/?action=thing.done").json()["results"]
    assert [row["site"] for row in listed] == [mine.pk]
    other = only(site=theirs, action="thing.done")
    assert asked(user).get(f"/api/v1/audit/{other.pk}/").status_code == 404
    client.force_login(user)
    assert (
        client.get(
            reverse("admin:sensors_auditentry_change", args=[only(site=mine, action="thing.done").pk])
        ).status_code
        == 200
    )
    assert client.get(reverse("admin:sensors_auditentry_change", args=[other.pk])).status_code == 302
    page = client.get(reverse("admin:sensors_auditentry_changelist"))
    assert [row.site_id for row in page.context["cl"].result_list if row.action == "thing.done"] == [mine.pk]


@pytest.mark.parametrize("role", sorted({*ROLES.values} - {ROLES.AUDITOR, ROLES.ADMIN}))
def test_nobody_else_reads_it(two_sites: tuple[Site, Site], role: str, client: Client) -> None:
    user = factories.user(site=two_sites[0], role=role, is_staff=True)
    assert asked(user).get("/api/v1/audit/").status_code == 403
    client.force_login(user)
    assert client.get(reverse("admin:sensors_auditentry_changelist")).status_code == 403
    entry = only(site=two_sites[0], action="thing.done")
    assert client.get(reverse("admin:sensors_auditentry_change", args=[entry.pk])).status_code == 403


def test_what_is_of_no_site_is_for_who_looks_after_all(two_sites: tuple[Site, Site], admin_client: Client) -> None:
    root = factories.user(is_superuser=True)
    rows = asked(root).get("/api/v1/audit/?action=thing.done").json()["results"]
    assert {row["site"] for row in rows} == {two_sites[0].pk, two_sites[1].pk, None}
    assert (
        asked(root).get(f"/api/v1/audit/?site={two_sites[0].pk}&action=thing.done").json()["results"][0]["actor"]
        == "ann"
    )
    entry = only(site=None, action="thing.done")
    page = admin_client.get(reverse("admin:sensors_auditentry_change", args=[entry.pk]))
    assert page.status_code == 200
    assert admin_client.post(reverse("admin:sensors_auditentry_delete", args=[entry.pk])).status_code == 403
