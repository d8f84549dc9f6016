"""Many writes in one request: each by the rules of one, with a result of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from maintenance.models import Alarm, AlarmTransition, Suppression, WorkOrder
from sensors import audit, bulk, permissions
from sensors.api import Scoped
from sensors.audit_models import AuditEntry
from sensors.bulk import in_bulk
from sensors.models import Label, Membership, Site
from sensors.policy import READS, takes
from tests import factories, matrix, plant
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/"
ALARMS, ORDERS, LABELS = f"{API}alarms/bulk/", f"{API}work-orders/bulk/", f"{API}labels/bulk/"


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def tina(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.TECHNICIAN)


@pytest.fixture
def http(tina: User) -> Client:
    return client(tina)


def alarms(site: Site, number: int) -> list[Alarm]:
    """None of them shelved."""
    found = [plant.rows(site) for _ in range(number)]
    for rows in found:
        rows.suppression.delete()
    return [rows.alarm for rows in found]


def send(http: Client, path: str, action: str, *items: Any, status: int = 200, **headers: str) -> Any:
    answer = http.post(path, {"action": action, "items": list(items)}, JSON, headers=headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_each_item_is_done_as_if_it_had_come_alone(http: Client, tina: User, site: Site) -> None:
    first, second = alarms(site, 2)
    said = send(http, ALARMS, "acknowledge", {"id": first.pk, "comment": "Seen"}, {"id": second.pk})
    assert said == {
        "done": 2, "refused": 0,
        "results": [
            {"index": 0, "status": 200, "id": first.pk}, {"index": 1, "status": 200, "id": second.pk}
        ],
    }  # fmt: skip
    step = AlarmTransition.objects.filter(alarm=first).latest("id")
    assert (step.action, step.actor, step.comment) == ("ACKNOWLEDGED", tina, "Seen")
    assert AuditEntry.objects.filter(actor=tina.username, target=f"alarm/{second.pk}").exists()


def test_what_is_refused_of_one_holds_up_no_other_and_says_where_it_is_wrong(http: Client, site: Site) -> None:
    one, other, elsewhere = *alarms(site, 2), plant.rows(factories.site()).alarm
    until = (timezone.now() + timedelta(hours=1)).isoformat()
    said = send(
        http, ALARMS, "shelve",
        {"id": one.pk, "reason": "Loose cable", "until": until}, {"id": one.pk, "reason": "Again", "until": until},
        {"id": elsewhere.pk, "reason": "x", "until": until}, {"id": other.pk, "reason": "", "until": "soon"},
        {"id": "x"}, 5, {"id": other.pk, "reason": "Loose too", "until": until},
        status=207,
    )  # fmt: skip
    assert [result["status"] for result in said["results"]] == [200, 409, 404, 400, 400, 400, 200]
    assert (said["done"], said["refused"]) == (2, 5)
    assert set(Suppression.objects.values_list("machine", "reason")) == {
        (one.machine_id, "Loose cable"), (other.machine_id, "Loose too"),
        (elsewhere.machine_id, "Probe is <b>loose</b>"),
    }  # fmt: skip
    twice, strange, wrong, no_id, no_item = (result["problem"] for result in said["results"][1:6])
    assert (twice["type"], twice["status"]) == ("/problems/conflict", 409)
    assert [error["pointer"] for error in strange["errors"]] == ["#/items/2/id"]
    assert [error["pointer"] for error in wrong["errors"]] == ["#/items/3/reason", "#/items/3/until"]
    assert [error["pointer"] for error in no_id["errors"]] == ["#/items/4/id"]
    assert [error["pointer"] for error in no_item["errors"]] == ["#/items/5"]


def test_the_right_is_looked_at_in_the_site_of_each_item(tina: User, site: Site) -> None:
    second = factories.site()
    Membership.objects.create(user=tina, site=second, role=Membership.Role.VIEWER)
    mine, seen = plant.rows(site).alarm, plant.rows(second).alarm
    said = send(client(tina), ALARMS, "acknowledge", {"id": mine.pk}, {"id": seen.pk}, status=207)
    assert [result["status"] for result in said["results"]] == [200, 403]
    seen.refresh_from_db()
    assert not seen.is_acknowledged
    assert AuditEntry.objects.filter(action=audit.REFUSED, actor=tina.username, target=f"POST {ALARMS}").count() == 1


def test_who_may_do_none_of_it_is_refused_as_a_whole(site: Site) -> None:
    rows = plant.rows(site)
    viewer = client(factories.user(site=site, role=Membership.Role.VIEWER))
    body = {"action": "acknowledge", "items": [{"id": rows.alarm.pk}]}
    problem(viewer.post(ALARMS, body, JSON), status=403, name="forbidden")
    engineer = client(factories.user(site=site, role=Membership.Role.RELIABILITY))
    plan = {"action": "plan", "items": [{"id": rows.order.pk}]}  # may ask for work, and not plan it
    problem(engineer.post(ORDERS, plan, JSON), status=403, name="forbidden")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], "#"), ({"items": [{"id": 1}]}, "#/action"), ({"action": "bulk", "items": [{"id": 1}]}, "#/action"),
        ({"action": ["acknowledge"], "items": [{"id": 1}]}, "#/action"), ({"action": "acknowledge"}, "#/items"),
        ({"action": "acknowledge", "items": []}, "#/items"), ({"action": "acknowledge", "items": {}}, "#/items"),
        ({"action": "acknowledge", "items": [{}] * (bulk.MOST + 1)}, "#/items"),
        ({"action": "acknowledge", "items": [{}], "a/b": 1}, "#/a~1b"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_as_a_whole(http: Client, body: Any, pointer: str) -> None:
    said = problem(http.post(ALARMS, body, JSON), status=400, name="invalid")
    assert [error["pointer"] for error in said["errors"]] == [pointer]


def test_a_key_holds_for_the_whole_with_what_was_refused_in_it(http: Client, site: Site) -> None:
    (alarm,) = alarms(site, 1)
    items: tuple[Any, ...] = ({"id": alarm.pk}, {"id": alarm.pk})
    first = send(http, ALARMS, "acknowledge", *items, status=207, **{"Idempotency-Key": "night-shift"})
    assert [result["status"] for result in first["results"]] == [200, 409]
    again = send(http, ALARMS, "acknowledge", *items, status=207, **{"Idempotency-Key": "night-shift"})
    assert again == first
    assert AlarmTransition.objects.filter(alarm=alarm, action="ACKNOWLEDGED").count() == 1


def test_orders_are_asked_for_planned_and_given_in_numbers(site: Site) -> None:
    planner = factories.user(site=site, role=Membership.Role.PLANNER)
    http, machine = client(planner), plant.rows(site).machine
    wanted = [{"machine": machine.pk, "title": f"Guard {n}", "maintenance_type": "INSPECTION"} for n in range(3)]
    said = send(http, ORDERS, "create", *wanted, {"machine": 0, "title": "x"}, status=207)
    assert [result["status"] for result in said["results"]] == [201, 201, 201, 400]
    keys = [result["id"] for result in said["results"][:3]]
    assert [WorkOrder.objects.get(pk=key).title for key in keys] == ["Guard 0", "Guard 1", "Guard 2"]
    send(client(factories.user(site=site)), ORDERS, "approve", *({"id": key} for key in keys))
    plan = {"start": "2026-12-03T07:00:00Z", "minutes": 90}
    send(http, ORDERS, "plan", *({"id": key, **plan} for key in keys))
    send(http, ORDERS, "assign", *({"id": key, "assignee": planner.username} for key in keys))
    assert set(WorkOrder.objects.filter(pk__in=keys).values_list("status", "planned_minutes")) == {("ASSIGNED", 90)}


def test_labels_are_set_in_numbers_and_the_same_twice_is_one(http: Client, site: Site) -> None:
    sensor = plant.rows(site).sensor
    window = {
        "sensor": sensor.pk,
        "kind": "EXPECTED",
        "from_at": "2025-03-01T12:00:00Z",
        "to_at": "2025-03-01T13:00:00Z",
    }
    said = send(http, LABELS, "create", window, window, {"sensor": 0}, status=207)
    assert [result["status"] for result in said["results"]] == [201, 200, 400]
    assert said["results"][0]["id"] == said["results"][1]["id"]
    send(http, LABELS, "retract", {"id": said["results"][0]["id"]})
    assert Label.objects.get(pk=said["results"][0]["id"]).retracted_at is not None


def test_an_item_costs_what_it_needs_and_no_more_the_more_there_are(http: Client, site: Site) -> None:
    found = alarms(site, 9)

    def statements(of: list[Alarm]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            send(http, ALARMS, "comment", *({"id": alarm.pk, "comment": "Seen"} for alarm in of))
        return len(seen)

    statements(found[:1])  # what a process learns once
    one, four, nine = statements(found[:1]), statements(found[:4]), statements(found)
    assert (nine - four) / 5 == (four - one) / 3
    with CaptureQueriesContext(connection) as alone:
        assert http.post(f"{API}alarms/{found[0].pk}/comment/", {"comment": "x"}, JSON).status_code == 200
    assert (nine - four) / 5 < len(alone)


@in_bulk(
    "odd thing", "odd things", tag="labels", takes="labels.edit", create=serializers.Serializer, example={"items": []}
)
class OddThings(Scoped):
    """Adds a site for each item; one fails by itself, another because its connection is gone."""

    policy = READS | takes("labels.edit", "create")

    def create(self, request: Any) -> Response:
        made = factories.site(name="odd")
        if request.data.get("how") == "bug":
            raise ZeroDivisionError("secret")
        if request.data.get("how") == "gone":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return Response({"id": made.pk}, status=201)


def odd(user: User, *hows: str, **headers: str) -> Any:
    body = {"action": "create", "items": [{"how": how} for how in hows]}
    request = APIRequestFactory().post("/api/v1/odd/bulk/", body, format="json", headers=headers)
    force_authenticate(request, user)
    return OddThings.as_view({"post": "bulk"})(request)


def test_an_item_that_fails_has_failed_alone_and_tells_nothing(tina: User) -> None:
    answer = odd(tina, "", "bug", "")
    assert [result["status"] for result in answer.data["results"]] == [201, 500, 201]
    assert answer.data["results"][1]["problem"]["type"] == "/problems/internal"
    assert "secret" not in str(answer.data)
    assert Site.objects.filter(name="odd").count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_item_whose_connection_breaks_is_refused_and_the_next_is_done(tina: User) -> None:
    answer = odd(tina, "", "gone", "")
    assert [result["status"] for result in answer.data["results"]] == [201, 503, 201]
    assert Site.objects.filter(name="odd").count() == 2


@pytest.mark.django_db(transaction=True)
def test_with_a_key_a_connection_that_breaks_takes_all_of_it_back(tina: User) -> None:
    answer = odd(tina, "", "gone", "", **{"Idempotency-Key": "all-or-none"})
    assert (answer.status_code, answer.data["type"]) == (503, "/problems/unavailable")
    assert Site.objects.filter(name="odd").count() == 0
    assert odd(tina, "", "", **{"Idempotency-Key": "all-or-none"}).status_code == 200


def test_who_may_do_it_singly_is_let_in_to_do_it_in_numbers() -> None:
    views = {one.view for one in matrix.operations() if hasattr(one.view, "bulk_actions")}
    assert len(views) >= 7
    for view in views:
        let_in = permissions.roles(view.policy["bulk"])
        for name in view.bulk_actions:
            assert permissions.roles(view.policy[name]) <= let_in, (view, name)
            assert callable(getattr(view, name))
