"""Carrying out work orders over REST and on the page beside the machine; files; who may do what of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from maintenance import attachments, checklists, order_steps
from maintenance.attachment_models import Attachment
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate
from maintenance.effort_models import Downtime, Labour, LabourRate, OrderCost
from maintenance.models import WorkOrder
from maintenance.permit_models import Permit, PermitRule, WorkRules
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import JSON, client, problem
from tests.integration.test_carrying_out import attached, make_template
from tests.integration.test_work_orders import make_order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/"
ROLES = Membership.Role
HOUR = timedelta(hours=1)
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path
    yield


@pytest.fixture
def order() -> WorkOrder:
    """In progress for two hours."""
    made, worker = make_order(), factories.user(is_superuser=True)
    order_steps.assign(made.pk, actor=worker, assignee=worker)
    return order_steps.start(made.pk, actor=worker, now=timezone.now() - 2 * HOUR)


def person(order: WorkOrder, role: str = ROLES.TECHNICIAN, **more: object) -> User:
    return factories.user(site=order.site, role=role, **more)


def upload(of: Client, order: WorkOrder, content: bytes = PNG, name: str = "seal.png") -> Any:
    return of.post(f"{API}attachments/", {"order": order.pk, "file": SimpleUploadedFile(name, content)})


def body_of(answer: Any) -> bytes:
    """What is handed out as a stream, which closes its file at the end."""
    return b"".join(answer.streaming_content)


# REST


def test_a_checklist_is_set_up_attached_and_answered_over_rest(order: WorkOrder) -> None:
    boss, hand = client(person(order, ROLES.ADMIN)), client(person(order))
    items = [{"text": "Guard in place", "kind": "PASS_FAIL"},
             {"text": "Vibration", "kind": "READING", "unit": "mm/s", "high": 4.5}]  # fmt: skip
    body = {"site": order.site_id, "name": "Monthly", "items": items}
    made = boss.post(f"{API}checklist-templates/", body, JSON)
    assert made.status_code == 201, made.content
    assert [one["text"] for one in made.json()["items"]] == ["Guard in place", "Vibration"]
    at = hand.post(f"{API}checklists/", {"order": order.pk, "template": made.json()["id"]}, JSON).json()
    changed = boss.patch(f"{API}checklist-templates/{made.json()['id']}/", {"items": [items[0]]}, JSON)
    assert len(changed.json()["items"]) == 1
    look, reading = (one["id"] for one in at["items"])
    path = f"{API}checklists/{at['id']}/answer/"
    early = hand.post(f"{API}work-orders/{order.pk}/complete/", {"findings": "done"}, JSON)
    assert "Guard in place; Vibration" in problem(early, status=409, name="conflict")["detail"]
    assert hand.post(path, {"item": look, "passed": True}, JSON).status_code == 200
    after = hand.post(path, {"item": reading, "value": 5.1, "note": "hot"}, JSON).json()["items"][1]
    assert (after["passed"], after["value"]) == (False, 5.1)
    asked = hand.get(f"{API}work-orders/{after['opened_order']}/").json()
    assert (asked["status"], asked["machine"]) == ("REQUESTED", order.machine_id)
    problem(hand.post(path, {"item": reading}, JSON), status=409, name="conflict")
    problem(hand.post(path, {"item": reading + 99, "value": 1}, JSON), status=400, name="invalid")
    problem(hand.delete(f"{API}checklists/{at['id']}/"), status=409, name="conflict")
    assert hand.post(f"{API}work-orders/{order.pk}/complete/", {"findings": "done"}, JSON).status_code == 200


def test_what_an_order_takes_is_entered_over_rest_and_summed(order: WorkOrder) -> None:
    hand = person(order)
    boss = client(person(order, ROLES.ADMIN))
    rate = boss.post(f"{API}labour-rates/", {"site": order.site_id, "worker": hand.pk, "hourly_cost": "60"}, JSON)
    assert rate.status_code == 201, rate.content
    start = timezone.now() - HOUR
    body = {"order": order.pk, "from_at": start.isoformat(), "minutes": 45}
    line = client(hand).post(f"{API}labour/", body, JSON)
    assert (line.status_code, line.json()["worker"], line.json()["hourly_cost"]) == (201, hand.pk, "60.00")
    problem(client(hand).post(f"{API}labour/", body, JSON), status=409, name="conflict")
    cost = {"order": order.pk, "kind": "RENTAL", "text": "Crane", "amount": "100.10"}
    made = client(hand).post(f"{API}other-costs/", cost, JSON)
    assert made.status_code == 201
    problem(client(hand).post(f"{API}other-costs/", cost | {"amount": "0"}, JSON), status=400, name="invalid")
    costs = client(hand).get(f"{API}work-orders/{order.pk}/costs/").json()
    assert costs == {
        "currency": "EUR", "total": "145.10", "by_kind": {"labour": "45.00", "parts": "0.00", "other": "100.10"},
        "unpriced_minutes": 0.0,
    }  # fmt: skip
    for path in (f"labour/{line.json()['id']}/", f"other-costs/{made.json()['id']}/"):
        assert client(hand).delete(f"{API}{path}").status_code == 204
    assert client(hand).get(f"{API}work-orders/{order.pk}/costs/").json()["total"] == "0.00"
    told = set(Event.objects.filter(type__startswith="labour_rate.").values_list("type", flat=True))
    assert told == {"labour_rate.added"}


def test_downtime_is_entered_ended_and_found_over_rest(order: WorkOrder) -> None:
    hand = client(person(order))
    start = (timezone.now() - HOUR).isoformat()
    body = {"machine": order.machine_id, "order": order.pk, "from_at": start, "reason": "BREAKDOWN"}
    made = hand.post(f"{API}downtimes/", body, JSON)
    assert (made.status_code, made.json()["until_at"], made.json()["is_planned"]) == (201, None, False)
    assert "breakdown" in problem(hand.post(f"{API}downtimes/", body, JSON), status=409, name="conflict")["detail"]
    assert len(hand.get(f"{API}downtimes/?lasts=true").json()["results"]) == 1
    ended = hand.post(f"{API}downtimes/{made.json()['id']}/end/", {}, JSON)
    assert (ended.status_code, ended.json()["until_at"] is None) == (200, False)
    assert hand.get(f"{API}downtimes/?lasts=true").json()["results"] == []
    assert hand.delete(f"{API}downtimes/{made.json()['id']}/").status_code == 204


def test_permits_are_ruled_issued_and_revoked_over_rest(order: WorkOrder) -> None:
    boss, hand = client(person(order, ROLES.ADMIN)), client(person(order))
    said = {"site": order.site_id, "four_eyes": True, "currency": "CHF", "permits": [{"kind": "HOT_WORK"}]}
    assert boss.post(f"{API}work-rules/", said, JSON).status_code == 201
    problem(boss.post(f"{API}work-rules/", said, JSON), status=400, name="invalid")
    problem(boss.post(f"{API}work-rules/", said | {"currency": "francs"}, JSON), status=400, name="invalid")
    hand.post(f"{API}work-orders/{order.pk}/hold/", {"comment": "Permit"}, JSON)
    stopped = hand.post(f"{API}work-orders/{order.pk}/resume/", {}, JSON)
    assert "hot work" in problem(stopped, status=409, name="conflict")["detail"]
    permit = {"order": order.pk, "kind": "HOT_WORK", "valid_until": (timezone.now() + HOUR).isoformat()}
    problem(hand.post(f"{API}permits/", permit, JSON), status=403, name="forbidden")
    made = boss.post(f"{API}permits/", permit, JSON)
    assert made.status_code == 201
    assert len(hand.get(f"{API}permits/?holds=true").json()["results"]) == 1
    assert hand.post(f"{API}work-orders/{order.pk}/resume/", {}, JSON).status_code == 200
    revoked = boss.post(f"{API}permits/{made.json()['id']}/revoke/", {"reason": "Gas"}, JSON).json()
    assert revoked["revoke_reason"] == "Gas"
    assert hand.get(f"{API}permits/?holds=true").json()["results"] == []


def every_row(order: WorkOrder) -> dict[str, int]:
    """An address of each kind, and the id of a row of the order's site."""
    boss = factories.user(is_superuser=True)
    now = timezone.now()
    checklists.attach(order.pk, actor=boss, template=make_template(order))
    span = {"from_at": now - HOUR, "until_at": now}
    rows = {
        "checklist-templates": ChecklistTemplate.objects.get(), "checklists": Checklist.objects.get(),
        "labour-rates": LabourRate.objects.create(site=order.site, worker=boss, hourly_cost=1),
        "labour": Labour.objects.create(order=order, worker=boss, **span),
        "other-costs": OrderCost.objects.create(order=order, kind="OTHER", text="x", amount=1),
        "downtimes": Downtime.objects.create(site=order.site, machine=order.machine, reason="OTHER", **span),
        "work-rules": WorkRules.objects.create(site=order.site),
        "permits": Permit.objects.create(
            site=order.site, order=order, kind="HEIGHT", valid_from=now, valid_until=now + HOUR, issued_by=boss
        ),
        "attachments": attachments.add(order.pk, actor=boss, file=SimpleUploadedFile("seal.png", PNG)),
    }  # fmt: skip
    return {name: row.pk for name, row in rows.items()}


def test_members_read_and_only_those_whose_role_allows_it_write(order: WorkOrder) -> None:
    keys = every_row(order)
    viewer, stranger = client(person(order, ROLES.VIEWER)), client(person(make_order(), ROLES.ADMIN))
    for name, key in keys.items():
        assert viewer.get(f"{API}{name}/{key}/").status_code == 200, name
        problem(viewer.delete(f"{API}{name}/{key}/"), status=405 if name == "permits" else 403, name={
            "permits": "method-not-allowed"}.get(name, "forbidden"))  # fmt: skip
        assert len(viewer.get(f"{API}{name}/").json()["results"]) == 1
        assert stranger.get(f"{API}{name}/").json()["results"] == []
        problem(stranger.get(f"{API}{name}/{key}/"), status=404, name="not-found")
    for name, action in (("checklists", "answer"), ("downtimes", "end"), ("permits", "revoke")):
        body = {"item": 1, "reason": "x"}
        problem(viewer.post(f"{API}{name}/{keys[name]}/{action}/", body, JSON), status=403, name="forbidden")
        problem(stranger.post(f"{API}{name}/{keys[name]}/{action}/", body, JSON), status=404, name="not-found")
    problem(stranger.get(f"{API}attachments/{keys['attachments']}/content/"), status=404, name="not-found")
    problem(stranger.get(f"{API}work-orders/{order.pk}/costs/"), status=404, name="not-found")
    assert body_of(viewer.get(f"{API}attachments/{keys['attachments']}/content/")) == PNG


def test_what_a_body_names_is_of_ones_own_sites(order: WorkOrder) -> None:
    keys = every_row(order)
    stranger = person(make_order(), ROLES.ADMIN)
    start = timezone.now().isoformat()
    for name, body in {
        "checklists": {"order": order.pk, "template": keys["checklist-templates"]},
        "labour": {"order": order.pk, "from_at": start, "minutes": 1},
        "other-costs": {"order": order.pk, "kind": "OTHER", "text": "x", "amount": "1"},
        "downtimes": {"machine": order.machine_id, "from_at": start, "reason": "OTHER"},
        "permits": {"order": order.pk, "kind": "HEIGHT", "valid_until": start},
        "labour-rates": {"site": order.site_id, "worker": stranger.pk, "hourly_cost": "1"},
    }.items():
        found = problem(client(stranger).post(f"{API}{name}/", body, JSON), status=400, name="invalid")
        assert "among yours" in str(found["errors"]), name


def test_lists_over_rest_ask_as_often_for_many_rows_as_for_one(order: WorkOrder) -> None:
    boss = factories.user(is_superuser=True)
    asking = client(boss)
    counted = []
    for more in (1, 4):
        for n in range(more):
            template = make_template(order, name=f"T{more}.{n}")
            checklists.attach(order.pk, actor=boss, template=template)
            OrderCost.objects.create(order=order, kind="OTHER", text="x", amount=1)
        with CaptureQueriesContext(connection) as queries:
            for name in ("checklists", "checklist-templates", "other-costs"):
                assert asking.get(f"{API}{name}/").status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]


# Files


def test_a_file_is_kept_as_what_it_is_and_handed_out_safely(order: WorkOrder) -> None:
    hand = client(person(order))
    made = upload(hand, order, name="../seal.html")
    assert made.status_code == 201, made.content
    assert (made.json()["name"], made.json()["media_type"]) == ("seal.html.png", "image/png")
    stored = Attachment.objects.get()
    assert "seal" not in stored.file.name
    answer = hand.get(f"{API}attachments/{stored.pk}/content/")
    assert body_of(answer) == PNG
    assert answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    text = upload(hand, order, b"2,1;mm/s\n", "log.csv").json()
    saved = hand.get(f"{API}attachments/{text['id']}/content/")
    assert body_of(saved) == b"2,1;mm/s\n"
    assert (saved["Content-Type"], saved["Content-Disposition"]) == ("text/plain", 'attachment; filename="log.csv"')
    Path(stored.file.path).unlink()
    problem(hand.get(f"{API}attachments/{stored.pk}/content/"), status=404, name="not-found")


@pytest.mark.parametrize(
    "content", [b"<!doctype html><script>alert(1)</script>", b"<svg onload=alert(1)>", b"MZ\x00\x01", b"PK\x03\x04\x00"]
)
def test_what_a_browser_or_a_shell_would_run_is_not_taken(order: WorkOrder, content: bytes, settings: Any) -> None:
    refused = problem(upload(client(person(order)), order, content, "photo.png"), status=409, name="conflict")
    assert "JPEG, PNG" in refused["detail"]
    assert not Attachment.objects.exists()
    assert [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()] == []


def test_a_file_that_is_too_large_is_refused_before_it_is_kept(order: WorkOrder, settings: Any) -> None:
    settings.ATTACHMENT_MAX_BYTES = 1_000
    hand = client(person(order))
    problem(upload(hand, order, PNG + bytes(1_000)), status=409, name="conflict")
    problem(upload(hand, order, PNG + bytes(100_000)), status=413, name="too-large")
    problem(hand.post(f"{API}attachments/", {"order": order.pk}, JSON), status=415, name="unsupported-media-type")
    assert not Attachment.objects.exists()


def test_a_file_goes_with_its_row_and_not_before(
    order: WorkOrder, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    mine, other = person(order), person(order)
    key = upload(client(mine), order).json()["id"]
    problem(client(other).delete(f"{API}attachments/{key}/"), status=409, name="conflict")
    kept = Path(settings.MEDIA_ROOT) / Attachment.objects.get().file.name
    with django_capture_on_commit_callbacks(execute=True):
        assert client(mine).delete(f"{API}attachments/{key}/").status_code == 204
        assert kept.exists()
    assert not kept.exists()


# The page beside the machine


def page(order: WorkOrder) -> str:
    return reverse("carry-out", args=[order.pk])


def staff(client: Client, order: WorkOrder, role: str = ROLES.TECHNICIAN) -> User:
    user = person(order, role, is_staff=True)
    client.force_login(user)
    return user


def test_the_page_takes_answers_labour_costs_downtime_and_files(client: Client, order: WorkOrder) -> None:
    tick, look, reading = attached(order, factories.user(is_superuser=True))
    hand = staff(client, order)
    LabourRate.objects.create(site=order.site, worker=hand, hourly_cost=30)
    start = (timezone.now() - HOUR).strftime("%Y-%m-%dT%H:%M")
    deeds: list[dict[str, Any]] = [
        {"do": "answer", "row": tick.pk, "passed": "true"}, {"do": "answer", "row": look.pk, "passed": "false"},
        {"do": "answer", "row": reading.pk, "value": "2.5", "note": "warm"},
        {"do": "labour", "labour-worker": hand.pk, "labour-from_at": start, "labour-minutes": 30},
        {"do": "cost", "cost-kind": "OTHER", "cost-text": "Bus", "cost-amount": "2.40"},
        {"do": "downtime", "downtime-from_at": start, "downtime-reason": "BREAKDOWN"},
        {"do": "file", "file-file": SimpleUploadedFile("seal.png", PNG)},
    ]  # fmt: skip
    for deed in deeds:
        answer = client.post(page(order), deed)
        assert answer.status_code == 302, (deed, answer.content.decode()[-4000:])
    shown = client.get(page(order)).content.decode()
    assert [item.passed for item in ChecklistItem.objects.all()] == [True, False, True]
    for words in ("17.40 EUR", "Failed: Guard in place", "2.5 mm/s", "warm", "it lasts", "seal.png"):
        assert words in shown, words
    client.post(page(order), {"do": "end_downtime", "row": Downtime.objects.get().pk})
    assert Downtime.objects.get().until_at is not None
    row = client.get(reverse("admin:maintenance_workorder_change", args=[order.pk])).content.decode()
    assert page(order) in row
    assert "3 of 3 items answered" in row
    file = client.get(reverse("attachment", args=[Attachment.objects.get().pk]))
    assert body_of(file) == PNG


def test_the_page_takes_and_shows_times_of_the_site(client: Client, order: WorkOrder) -> None:
    Site.objects.filter(pk=order.site_id).update(time_zone="Asia/Kathmandu")
    hand = staff(client, order)
    assert "In Asia/Kathmandu." in client.get(page(order)).content.decode()
    said = {"do": "labour", "labour-worker": hand.pk, "labour-from_at": "2026-03-02T08:00", "labour-minutes": 30}
    assert client.post(page(order), said).status_code == 302
    assert Labour.objects.get().from_at == datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
    assert "2026-03-02 08:00:00 +0545" in client.get(page(order)).content.decode()
    early = client.post(page(order), said | {"labour-from_at": "0001-01-01T01:00"})
    assert "There is no such time in UTC" in "".join(str(one) for one in get_messages(early.wsgi_request))


def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(client: Client, order: WorkOrder) -> None:
    hand = staff(client, order)
    start = timezone.now().strftime("%Y-%m-%dT%H:%M")
    said = {"do": "labour", "labour-worker": hand.pk, "labour-from_at": start, "labour-note": "Seal"}
    missing = client.post(page(order), said)
    assert missing.status_code == 200
    assert "This field is required" in missing.content.decode()
    refused = client.post(page(order), said | {"labour-minutes": 600}).content.decode()
    assert "not in the future" in refused
    assert 'value="Seal"' in refused
    assert "Only an administrator" in client.post(
        page(order), {"do": "permit", "permit-kind": "HEIGHT", "permit-valid_until": start}
    ).content.decode()  # fmt: skip
    for deed in ({"do": "nonsense"}, {"do": "withdraw_labour", "row": 1}, {"do": "detach", "row": "x"}):
        assert client.post(page(order), deed).status_code == 302
    assert not Labour.objects.exists()


def test_the_page_is_for_members_and_its_forms_for_those_who_work(client: Client, order: WorkOrder) -> None:
    theirs = make_order()
    tick, *_ = attached(theirs, factories.user(is_superuser=True))
    staff(client, order, ROLES.VIEWER)
    shown = client.get(page(order))
    assert shown.status_code == 200
    assert "Enter labour" not in shown.content.decode()
    assert client.post(page(order), {"do": "attach"}).status_code == 403
    assert client.get(page(theirs)).status_code == 404
    made = attachments.add(theirs.pk, actor=factories.user(is_superuser=True), file=SimpleUploadedFile("a.png", PNG))
    assert client.get(reverse("attachment", args=[made.pk])).status_code == 404
    staff(client, order)
    client.post(page(order), {"do": "answer", "row": tick.pk, "passed": "true"})
    assert ChecklistItem.objects.get(pk=tick.pk).passed is None


def test_the_page_asks_as_often_for_many_rows_as_for_one(client: Client, order: WorkOrder) -> None:
    staff(client, order)
    boss = factories.user(is_superuser=True)
    now = timezone.now()
    counted = []
    for more in (1, 5):
        for n in range(more):
            checklists.attach(order.pk, actor=boss, template=make_template(order, name=f"T{more}.{n}"))
            start = now - (2 + more + n) * HOUR
            Labour.objects.create(order=order, worker=boss, from_at=start, until_at=start + HOUR / 2)
            attachments.add(order.pk, actor=boss, file=SimpleUploadedFile("a.png", PNG))
            Permit.objects.create(
                site=order.site, order=order, kind="HEIGHT", valid_from=now, valid_until=now + HOUR, issued_by=boss
            )
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page(order)).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]
    assert counted[1] <= 35


def test_a_change_of_the_rules_in_the_admin_is_in_the_journal(client: Client, order: WorkOrder) -> None:
    staff(client, order, ROLES.ADMIN)
    form = {"site": order.site_id, "four_eyes": "on", "currency": "EUR", "permits-TOTAL_FORMS": 1,
            "permits-INITIAL_FORMS": 0, "permits-0-maintenance_type": "", "permits-0-kind": "HEIGHT"}  # fmt: skip
    assert client.post(reverse("admin:maintenance_workrules_add"), form).status_code == 302
    rule = PermitRule.objects.get()
    assert str(rule) == "Work at height for every type"
    told = Event.objects.get(type="work_rules.added")
    assert told.data["after"]["permits"] == [{"maintenance_type": "", "kind": "HEIGHT"}]
