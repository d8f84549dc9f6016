"""Approval through its pages and over REST: what waits, decisions one by one and in bulk, policies, delegations."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import approve
from agents.channels import rendering
from agents.channels.contract import Message
from maintenance import approvals
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait, Delegation
from maintenance.models import Notification, WorkOrder
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import JSON, client, problem
from tests.integration.test_approvals import NOW, WAITS, ask, lay, mailbox

pytestmark = pytest.mark.django_db

API = "/api/v1/"
DAY = timedelta(days=1)


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, username="anna", is_staff=True)


@pytest.fixture
def tina(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.TECHNICIAN, username="tina", is_staff=True)


def waiting(site: Site, by: User, *, many: int = 2) -> list[WorkOrder]:
    orders = [ask(site, by, title=f"Paint part {n}") for n in range(many)]
    approve.look()
    return orders


def listing(http: Client, user: User, **query: str) -> Any:
    http.force_login(user)
    return http.get(reverse("admin:maintenance_approvalwait_changelist"), query)


def states(orders: list[WorkOrder]) -> list[str]:
    return [WorkOrder.objects.get(pk=order.pk).status for order in orders]


# Pages


def test_what_waits_longest_comes_first_and_what_is_overdue_is_marked(
    client: Client, site: Site, anna: User, tina: User
) -> None:
    lay(site, anna, **WAITS)
    first, second = waiting(site, tina)
    ApprovalWait.objects.filter(order=second).update(since=NOW - 9999 * DAY)
    ApprovalWait.objects.filter(order=first).update(until=timezone.now() - DAY)
    page = listing(client, anna)
    assert [row.order for row in page.context["cl"].result_list] == [second, first]
    text = page.content.decode()
    assert text.count("overdue</") == 1
    assert "Waiting for approval" in text
    overdue = listing(client, anna, standing="overdue").context["cl"].result_list
    assert [row.order for row in overdue] == [first]


def test_each_sees_what_waits_for_them(client: Client, site: Site, anna: User, tina: User) -> None:
    boss = factories.user(site=site, is_staff=True)
    lay(site, anna, **WAITS | {"approver": anna})
    waiting(site, tina)
    for user, many in ((anna, 2), (boss, 0), (tina, 0)):
        assert listing(client, user, standing="mine").context["cl"].result_count == many


@pytest.mark.parametrize(
    ("action", "answers", "after"),
    [
        ("approve_selected", {"comment": "Go"}, "OPEN"),
        ("reject_selected", {"comment": "No"}, "CANCELLED"),
        (
            "defer_selected",
            {"comment": "Later", "until_0": f"{timezone.now() + DAY:%Y-%m-%d}", "until_1": "08:00:00"},
            "REQUESTED",
        ),
    ],
)
def test_many_are_decided_on_at_once(
    client: Client, site: Site, anna: User, tina: User, action: str, answers: dict[str, str], after: str
) -> None:
    orders = waiting(site, tina, many=3)
    rows = [str(pk) for pk in ApprovalWait.objects.filter(order__in=orders[:2]).values_list("pk", flat=True)]
    client.force_login(anna)
    there = reverse("admin:maintenance_approvalwait_changelist")
    ticked = {"action": action, "_selected_action": rows}
    assert client.post(there, ticked).status_code == 200
    assert states(orders) == ["REQUESTED"] * 3
    assert client.post(there, ticked | {"confirmed": "1"} | answers).status_code == 302
    assert states(orders) == [after, after, "REQUESTED"]
    assert {row.actor for row in ApprovalDecision.objects.all()} == {anna}
    assert ApprovalDecision.objects.count() == 2


def test_who_may_not_decide_is_told_so_and_nothing_happens(client: Client, site: Site, anna: User, tina: User) -> None:
    orders = waiting(site, tina, many=1)
    client.force_login(tina)
    there = reverse("admin:maintenance_workorder_approve", args=[orders[0].pk])
    answer = client.post(there, {"confirmed": "1", "comment": ""}, follow=True)
    assert "Only an administrator of the site decides" in answer.content.decode()
    assert states(orders) == ["REQUESTED"]


def test_a_request_is_set_aside_until_a_time_of_the_site(client: Client, site: Site, anna: User, tina: User) -> None:
    Site.objects.filter(pk=site.pk).update(time_zone="Europe/Rome")
    waiting(site, tina, many=1)
    client.force_login(anna)
    wait = ApprovalWait.objects.get()
    there = reverse("admin:maintenance_approvalwait_defer", args=[wait.pk])
    assert "It is asked for anew then. In Europe/Rome." in client.get(there).content.decode()
    said = {"confirmed": "1", "until_0": "2020-01-01", "until_1": "08:00", "comment": "No crane"}
    refused = client.post(there, said)
    assert refused.status_code == 200
    assert refused.context["form"].non_field_errors()
    for typed in ('value="2020-01-01"', 'value="08:00"', "No crane"):
        assert typed in refused.content.decode(), typed
    day = timezone.now().date() + DAY
    assert client.post(there, said | {"until_0": f"{day}"}).status_code == 302
    wait.refresh_from_db()
    at = datetime.combine(day, time(8), tzinfo=ZoneInfo("Europe/Rome")).astimezone(UTC)
    assert wait.deferred_until == at
    assert f"until {at:%Y-%m-%d %H:%M} UTC: No crane" in wait.order.transitions.order_by("-id")[0].comment


def test_a_request_is_changed_on_its_page(client: Client, site: Site, anna: User, tina: User) -> None:
    (order,) = waiting(site, tina, many=1)
    client.force_login(anna)
    wait = ApprovalWait.objects.get()
    there = reverse("admin:maintenance_approvalwait_modify", args=[wait.pk])
    assert 'value="LOW" selected' in client.get(there).content.decode()
    said = {"confirmed": "1", "priority": "HIGH", "maintenance_type": "INSPECTION", "expected_cost": "120.50"}
    assert client.post(there, said).status_code == 302
    order.refresh_from_db()
    assert (order.priority, str(order.expected_cost), order.status) == ("HIGH", "120.50", "REQUESTED")
    page = client.get(reverse("admin:maintenance_workorder_change", args=[order.pk])).content.decode()
    assert "priority: LOW → HIGH; expected cost: nothing → 120.50" in page


def test_policies_are_laid_down_and_delegations_given_in_admin(
    client: Client, site: Site, anna: User, tina: User
) -> None:
    client.force_login(anna)
    form = {"site": site.pk, "answer": "WAIT", "wait_minutes": 60, "then": "KEEP", "reminders": 0}
    there = reverse("admin:maintenance_approvalpolicy_add")
    assert "needs a time" in client.post(there, form | {"then": ""}).content.decode()
    assert client.post(there, form).status_code == 302
    assert ApprovalPolicy.objects.get().updated_by == anna
    span = {"from_at_0": "2030-01-01", "from_at_1": "08:00", "until_at_0": "2030-01-09", "until_at_1": "08:00"}
    there = reverse("admin:maintenance_delegation_add")
    mine = client.post(there, {"site": site.pk, "taker": anna.pk} | span)
    assert "That is yourself." in mine.content.decode()
    assert client.post(there, {"site": site.pk, "taker": tina.pk} | span).status_code == 302
    row = Delegation.objects.get()
    assert (row.giver, row.taker) == (anna, tina)
    assert (
        client.post(reverse("admin:maintenance_delegation_end", args=[row.pk]), {"confirmed": "1"}).status_code == 302
    )
    row.refresh_from_db()
    assert row.ended_at is not None
    events = Event.objects.filter(type__startswith="delegation").order_by("id")
    assert list(events.values_list("type", "actor")) == [
        ("delegation.added", "anna"), ("delegation.ended", "anna"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["approvalwait", "approvaldecision"])
def test_what_the_record_holds_is_edited_by_nobody(
    client: Client, site: Site, anna: User, tina: User, kind: str
) -> None:
    lay(site, anna, **WAITS)
    waiting(site, tina, many=1)
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    row = {"approvalwait": ApprovalWait, "approvaldecision": ApprovalDecision}[kind].objects.get()  # type: ignore[attr-defined]
    for name in ("change", "delete"):
        there = reverse(f"admin:maintenance_{kind}_{name}", args=[row.pk])
        assert client.post(there, {"post": "yes"}).status_code == 403


# REST


def test_what_waits_is_listed_oldest_first_and_filtered(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    first, second = waiting(site, tina)
    ApprovalWait.objects.filter(order=second).update(since=NOW - 9999 * DAY)
    assert [one["order"] for one in client(anna).get(f"{API}approvals-waiting/").json()["results"]] == [
        second.pk, first.pk,
    ]  # fmt: skip
    approvals.defer(second.pk, actor=anna, until=timezone.now() + DAY, comment="Later")
    ApprovalWait.objects.filter(order=first).update(until=timezone.now() - DAY)
    http = client(anna)

    def found(query: str) -> list[int]:
        return sorted(row["order"] for row in http.get(f"{API}approvals-waiting/?{query}").json()["results"])

    assert found("") == [first.pk, second.pk]
    assert found("overdue=true") == found("deferred=false") == [first.pk]
    assert found("overdue=false") == found("deferred=true") == [second.pk]
    assert found("mine=true") == [first.pk, second.pk]
    row = next(one for one in http.get(f"{API}approvals-waiting/").json()["results"] if one["order"] == first.pk)
    assert (row["is_overdue"], row["title"], row["priority"]) == (True, "Paint part 0", "LOW")


def test_many_are_decided_on_over_rest_each_by_itself(site: Site, anna: User, tina: User) -> None:
    first, second = waiting(site, tina)
    theirs = ask(factories.site(), anna)
    approvals.approve(second.pk, actor=anna)
    body: dict[str, Any] = {"orders": [first.pk, second.pk, theirs.pk], "decision": "REJECT", "comment": "No"}
    path = f"{API}approvals-waiting/decide/"
    answer = client(anna).post(path, body, JSON)
    assert [(one["order"], one["done"]) for one in answer.json()] == [
        (first.pk, True), (second.pk, False), (theirs.pk, False),
    ]  # fmt: skip
    assert "cannot be rejected" in answer.json()[1]["detail"]
    assert states([first, second, theirs]) == ["CANCELLED", "OPEN", "REQUESTED"]
    refused = client(tina).post(path, body | {"orders": [first.pk]}, JSON).json()
    assert "Only an administrator" in refused[0]["detail"]
    for wrong in ({"until": "2030-01-01T00:00:00Z"}, {"decision": "DEFER"}, {"decision": "YES"}, {"orders": []}):
        problem(client(anna).post(path, body | wrong, JSON), status=400, name="invalid")


def test_a_request_is_changed_and_set_aside_over_rest(site: Site, anna: User, tina: User) -> None:
    (order,) = waiting(site, tina, many=1)
    path, http = f"{API}work-orders/{order.pk}/", client(anna)
    changed = http.post(f"{path}modify/", {"priority": "HIGH", "expected_cost": "99.50"}, JSON).json()
    assert (changed["priority"], changed["expected_cost"], changed["status"]) == ("HIGH", "99.50", "REQUESTED")
    problem(http.post(f"{path}modify/", {"priority": "HIGH"}, JSON), status=409, name="conflict")
    said = {"until": "2001-01-01T00:00:00Z", "comment": "Budget"}
    problem(http.post(f"{path}defer/", said, JSON), status=409, name="conflict")
    said["until"] = (timezone.now() + DAY).isoformat()
    assert http.post(f"{path}defer/", said, JSON).json()["transitions"][-1]["action"] == "DEFERRED"
    problem(client(tina).post(f"{path}modify/", {"priority": "LOW"}, JSON), status=409, name="conflict")
    kept = http.get(f"{API}approval-decisions/?order={order.pk}").json()["results"]
    assert [one["what"] for one in kept] == ["DEFERRED", "MODIFIED"]
    assert kept[0]["actor"] == anna.pk


def test_policies_over_rest_are_laid_down_by_administrators(site: Site, anna: User, tina: User) -> None:
    path, http = f"{API}approval-policies/", client(anna)
    body = {"site": site.pk, "answer": "WAIT", "approver": "anna", "wait_minutes": 60, "then": "REJECT"}
    problem(client(tina).post(path, body, JSON), status=403, name="forbidden")
    made = http.post(path, body, JSON)
    assert made.status_code == 201, made.content
    assert (made.json()["approver"], made.json()["revision"]) == ("anna", 1)
    one = f"{path}{made.json()['id']}/"
    changed = http.patch(one, {"wait_minutes": 30, "site": 999}, JSON).json()
    assert (changed["wait_minutes"], changed["revision"], changed["site"]) == (30, 2, site.pk)
    for wrong in (
        {"approver": "tina"}, {"approver": factories.user(site=factories.site()).username}, {"then": "YES"},
        {"wait_minutes": None}, {"reminders": 2},
    ):  # fmt: skip
        problem(http.patch(one, wrong, JSON), status=400, name="invalid")
    problem(http.post(path, body, JSON), status=400, name="invalid")
    problem(http.post(path, body | {"site": factories.site().pk}, JSON), status=400, name="invalid")
    problem(client(tina).delete(one), status=403, name="forbidden")
    assert http.delete(one).status_code == 204


def test_delegations_over_rest_are_given_by_administrators_and_ended_once(site: Site, anna: User, tina: User) -> None:
    path, http = f"{API}delegations/", client(anna)
    body = {"site": site.pk, "taker": "tina", "until_at": (timezone.now() + DAY).isoformat(), "reason": "Holiday"}
    problem(client(tina).post(path, body | {"taker": "anna"}, JSON), status=403, name="forbidden")
    problem(http.post(path, body | {"taker": "anna"}, JSON), status=400, name="invalid")
    made = http.post(path, body, JSON).json()
    assert (made["giver"], made["taker"]) == ("anna", "tina")
    (order,) = waiting(site, tina, many=1)
    assert client(tina).post(f"{API}work-orders/{order.pk}/approve/", {}, JSON).json()["status"] == "OPEN"
    kept = ApprovalDecision.objects.get()
    assert (kept.actor, kept.for_whom) == (tina, anna)
    assert client(tina).post(f"{path}{made['id']}/end/", {}, JSON).json()["ended_at"] is not None
    problem(http.post(f"{path}{made['id']}/end/", {}, JSON), status=409, name="conflict")


@pytest.mark.parametrize("name", ["approvals-waiting", "approval-decisions", "approval-policies", "delegations"])
def test_lists_ask_as_often_at_20_rows_as_at_2(site: Site, anna: User, tina: User, name: str) -> None:
    counted = []
    for more in (2, 18):
        for _ in range(more):
            lay(site, anna, most_cost=ApprovalPolicy.objects.count(), **WAITS | {"approver": anna})
            Delegation.objects.create(site=site, giver=anna, taker=tina, from_at=NOW, until_at=NOW + DAY)
        waiting(site, tina, many=more)
        with CaptureQueriesContext(connection) as queries:
            assert client(anna).get(f"{API}{name}/").status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]


# Messages


@pytest.mark.parametrize(
    ("language", "subject", "words"),
    [
        ("en", "[LOW] Waits for approval: Paint part 0", ["Asked:         anna", "Then:          it is rejected"]),
        (
            "pt",
            "[BAIXA] Aguarda aprovação: Paint part 0",
            ["A decidir por: anna", "Depois:        a solicitação é rej"],
        ),
    ],
)
def test_a_message_says_who_is_asked_until_when_and_what_then(
    site: Site, anna: User, tina: User, language: str, subject: str, words: list[str]
) -> None:
    mailbox(site, anna, "anna")
    lay(site, anna, answer="WAIT", approver=anna, wait_minutes=60, then="REJECT")
    waiting(site, tina, many=1)
    row = Notification.objects.get()
    said = rendering.render(
        Message(row.key, row.event_type, row.subject_line, row.payload, "", "", "UTC", NOW, language=language)
    )
    assert said.subject == subject
    for line in words:
        assert line in said.text
    until = ApprovalWait.objects.get().until
    assert until is not None
    assert f"{until:%H:%M:%S}" in said.text
    assert words[0].rpartition(" ")[2] in said.html
