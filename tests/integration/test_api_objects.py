from __future__ import annotations

import base64
import html
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from agents import sweeper
from agents.export_models import Export
from agents.models import Backtest, Run
from agents.report_models import Report
from maintenance import people_api
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait, Delegation
from maintenance.attachment_models import Attachment
from maintenance.checklist_models import Checklist, ChecklistTemplate
from maintenance.definition_models import AlarmDefinition
from maintenance.effort_models import Downtime, Labour, LabourRate, OrderCost
from maintenance.escalation_models import Chain, Escalation, Override, Rota
from maintenance.flood_models import Flood
from maintenance.models import (
    Alarm,
    Anomaly,
    Channel,
    DetectorRecord,
    LogLine,
    MaintenanceWindow,
    Notification,
    Reader,
    Subscription,
    Suppression,
    WorkOrder,
)
from maintenance.operating_models import OperatingState
from maintenance.parent_models import ParentRule
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store, Tool, ToolLoan
from maintenance.permit_models import Permit, WorkRules
from maintenance.plan_models import Meter, Plan
from maintenance.schedule_models import Schedule, ScheduleVisit
from maintenance.webhook_models import Webhook, WebhookDelivery
from mlops.drift_models import DriftCheck
from mlops.models import Deployment, ModelPolicy, Prediction, Question, Training
from mlops.performance_models import LivePerformance
from sensors import api, inbox, labels, problems, regimes
from sensors.audit_models import AuditEntry
from sensors.default_models import SensorDefault
from sensors.families import Refresh
from sensors.identity_models import ApiKey
from sensors.models import Batch, Label, Membership, Regime, Sensor, Site
from sensors.operating_models import OperatingRule
from tests import factories, plant
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/"
OPEN = {
    "api/v1/auth/token/", "api/v1/auth/refresh/", "api/v1/auth/blacklist/", "api/v1/schema/", "api/v1/docs/",
    "api/v1/auth/token/refresh/", "api/v1/auth/token/blacklist/",
}  # fmt: skip


@pytest.fixture
def sensor() -> Sensor:
    """A sensor whose readings led to an anomaly, an alarm and a work order."""
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    made = factories.sensor(machine=machine, high=10.0)
    feed(made, [1.0, 2.0, 30.0, 40.0, 30.0])
    tell(made)
    return made


def tell(sensor: Sensor) -> None:
    actor, noon = factories.user(), factories.NOON
    labels.add(machine=sensor.machine, sensor=sensor, from_at=noon, to_at=noon, kind="FAULT", actor=actor)
    regimes.declare(machine=sensor.machine, sensor=None, since=noon, reason="New impeller", actor=actor)
    MaintenanceWindow.objects.create(
        site=sensor.site, reason="Stop", first_on=noon.date(), starts=noon.time(), minutes=60
    )
    of = {"site": sensor.site, "machine": sensor.machine}
    OperatingRule.objects.create(**of, off_hides=["ALL"])
    OperatingState.objects.create(**of)
    Backtest.objects.create(
        site=sensor.site, sensor=sensor, from_at=noon, to_at=noon + timedelta(days=1), look_back_days=1
    )
    Report.objects.create(site=sensor.site, kind="ANOMALY", form="CSV", from_at=noon, to_at=noon + timedelta(days=1))
    to = Channel.objects.create(site=sensor.site, kind="CONSOLE", name=f"log {sensor.pk}")
    Notification.objects.create(
        site=sensor.site, channel=to, event_type="alarm.opened", payload={}, key=f"told/{sensor.pk}"
    )
    plant.approval(WorkOrder.objects.get(machine=sensor.machine), factories.user(site=sensor.site), 10**6 + sensor.pk)
    Flood.objects.create(site=sensor.site, began_at=noon, ended_at=noon, activations=11)
    ParentRule.objects.create(site=sensor.site, machine=sensor.machine, equipment=sensor.machine, hides=["ALL"])
    SensorDefault.objects.create(site=sensor.site, equipment_class=f"C{sensor.pk}", on_delay_seconds=0)
    AlarmDefinition.objects.create(site=sensor.site, machine=sensor.machine, response="Look", priority="HIGH")
    Suppression.objects.create(
        site=sensor.site, machine=sensor.machine, kind="SHELVED", reason="Loose", from_at=noon,
        until=noon + timedelta(hours=1), ended_at=noon + timedelta(hours=1),
    )  # fmt: skip
    of = {"site": sensor.site, "machine": sensor.machine}
    meter = Meter.objects.create(**of, name="Hours")
    Plan.objects.create(**of, title="Oil", every=1, first_on=noon.date(), meter=meter, meter_every=10.0)


def feed(sensor: Sensor, values: list[float]) -> None:
    start = factories.NOON - timedelta(hours=2)
    items = [
        {"sensor": sensor.pk, "measured_at": (start + timedelta(minutes=n)).isoformat(), "value": value}
        for n, value in enumerate(values)
    ]
    inbox.accept(site=sensor.site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON)
    sweeper.work_off(sweeper.due())


def member(sensor: Sensor, role: str = Membership.Role.TECHNICIAN, **fields: Any) -> User:
    return factories.user(site=sensor.site, role=role, **fields)


LISTS = ("sites", "equipment", "sensors", "batches", "anomalies", "alarms", "work-orders", "labels", "regimes",
         "detector-records", "backtests", "suppressions", "notifications", "alarm-definitions",
         "maintenance-windows", "channels", "operating-rules", "operating-states", "floods", "plans", "meters",
         "approvals-waiting", "approval-decisions", "approval-policies", "delegations", "sensor-defaults",
         "parent-rules", "reports")  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_list_and_its_rows_show_what_is_of_ones_own_site_only(sensor: Sensor, name: str) -> None:
    rows = client(member(sensor, Membership.Role.VIEWER)).get(f"{API}{name}/").json()["results"]
    assert len(rows) == 1
    path = f"{API}{name}/{rows[0]['id']}/"
    assert client(member(sensor)).get(path).json()["id"] == rows[0]["id"]
    stranger = client(factories.user(site=factories.site()))
    problem(stranger.get(path), status=404, name="not-found")
    listed = stranger.get(f"{API}{name}/").json()["results"]
    assert rows[0]["id"] not in [row["id"] for row in listed]


@pytest.mark.parametrize("name", [name for name in LISTS if name != "sites"])
def test_a_list_costs_the_same_queries_whatever_its_length(name: str) -> None:
    site = factories.site()
    user = factories.user(site=site)
    counts = []
    for _ in range(2):
        for _ in range(3):
            made = factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL"), high=10.0)
            feed(made, [1.0, 30.0])
            tell(made)
        with CaptureQueriesContext(connection) as queries:
            assert client(user).get(f"{API}{name}/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_list_comes_in_pages(sensor: Sensor) -> None:
    for _ in range(4):
        factories.sensor(machine=sensor.machine)
    http = client(member(sensor))
    page = http.get(f"{API}sensors/?page_size=2").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"]:
        page = http.get(page["next"]).json()
        seen += [row["id"] for row in page["results"]]
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("position", ["p=%00", "p=abc", "p=", "o=-1", "nonsense"])
def test_a_cursor_that_was_tampered_with_is_a_clear_problem(sensor: Sensor, position: str) -> None:
    cursor = base64.b64encode(position.encode()).decode()
    for name in ("alarms", "batches"):
        answer = client(member(sensor)).get(f"{API}{name}/", {"cursor": cursor})
        assert answer.status_code in (200, 400), answer.content


def test_filters_narrow_a_list(sensor: Sensor) -> None:
    http = client(member(sensor))
    for query, count in (
        ("is_open=true", 1),
        ("is_open=false", 0),
        ("priority=LOW", 0),
        (f"machine={sensor.machine_id}", 1),
    ):
        assert len(http.get(f"{API}alarms/?{query}").json()["results"]) == count
    problem(http.get(f"{API}alarms/?priority=LOUD"), status=400, name="invalid")


def test_readings_come_in_a_window_in_at_most_so_many_points_with_their_peaks(sensor: Sensor) -> None:
    http = client(member(sensor))
    other = factories.sensor(machine=sensor.machine)
    values = [float(n % 7) for n in range(100)]
    values[37], values[71] = 99.0, -99.0
    feed(other, values)
    path = f"{API}sensors/{other.pk}/readings/"
    whole = http.get(path).json()
    assert (whole["total"], len(whole["readings"])) == (100, 100)
    few = http.get(f"{path}?points=20").json()
    assert few["total"] == 100
    assert len(few["readings"]) <= 20
    assert {99.0, -99.0} <= {r["value"] for r in few["readings"]}
    window = http.get(path, {"from": whole["readings"][10]["measured_at"], "to": whole["readings"][20]["measured_at"]})
    assert window.json()["readings"] == whole["readings"][10:20]


@pytest.mark.parametrize(
    "query", ["points=3", "points=99999", "from=yesterday", "from=2026-03-02T00:00Z&to=2026-03-01T00:00Z"]
)
def test_a_window_that_makes_no_sense_is_a_clear_problem(sensor: Sensor, query: str) -> None:
    answer = client(member(sensor)).get(f"{API}sensors/{sensor.pk}/readings/?{query}")
    problem(answer, status=400, name="invalid")


def test_rollups_come_by_the_hour_or_by_the_day(sensor: Sensor) -> None:
    http = client(member(sensor))
    other = factories.sensor(machine=sensor.machine)
    feed(other, [1.0, 2.0, 6.0])
    path = f"{API}sensors/{other.pk}/rollups/"
    (hour, *more) = http.get(path).json()["rollups"]
    (day,) = http.get(path, {"every": "day"}).json()["rollups"]
    assert sum(found["readings"] for found in (hour, *more)) == day["readings"] == 3
    assert (day["counted"], day["mean"], day["low"], day["high"]) == (3, 3.0, 1.0, 6.0)
    assert (day["first"], day["last"]) == (1.0, 6.0)
    assert day["deviation"] == pytest.approx((14 / 3) ** 0.5)
    assert day["high_at"] > day["low_at"] >= hour["start_at"]
    empty = factories.sensor(machine=sensor.machine)
    assert http.get(f"{API}sensors/{empty.pk}/rollups/").json()["rollups"] == []
    problem(http.get(path, {"from": "1990-01-01T00:00Z"}), status=400, name="invalid")


def test_a_window_with_too_many_readings_is_a_clear_problem(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{API}sensors/{sensor.pk}/readings/"
    http = client(member(sensor))
    monkeypatch.setattr(api, "MOST_READINGS", 5)
    assert http.get(path).json()["total"] == 5
    monkeypatch.setattr(api, "MOST_READINGS", 4)
    problem(http.get(path), status=400, name="invalid")


def test_the_first_day_of_all_is_a_window_too(sensor: Sensor) -> None:
    answer = client(member(sensor)).get(f"{API}sensors/{sensor.pk}/readings/?to=0001-01-01T12:00:00Z")
    assert answer.json()["readings"] == []


def test_a_filter_does_not_tell_whether_a_row_of_another_site_exists(sensor: Sensor) -> None:
    http = client(factories.user(site=factories.site()))
    for name, field, there in (("alarms", "machine", sensor.machine_id), ("sensors", "site", sensor.site_id)):
        for value in (there, 987_654_321):
            answer = http.get(f"{API}{name}/?{field}={value}")
            assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_a_sensor_without_readings_has_an_empty_series(sensor: Sensor) -> None:
    empty = factories.sensor(machine=sensor.machine)
    assert client(member(sensor)).get(f"{API}sensors/{empty.pk}/readings/").json()["readings"] == []


def test_an_alarm_is_commented_and_acknowledged_once(sensor: Sensor) -> None:
    alarm = Alarm.objects.get()
    http = client(member(sensor))
    path = f"{API}alarms/{alarm.pk}/"
    assert http.post(f"{path}comment/", {"comment": "On my way"}, JSON).status_code == 200
    body = http.post(f"{path}acknowledge/", {"comment": "Seen"}, JSON).json()
    assert body["is_acknowledged"] is True
    assert [(t["action"], t["comment"]) for t in body["transitions"][-2:]] == [
        ("COMMENTED", "On my way"),
        ("ACKNOWLEDGED", "Seen"),
    ]
    problem(http.post(f"{path}acknowledge/", {}, JSON), status=409, name="conflict")
    problem(http.post(f"{path}comment/", {}, JSON), status=400, name="invalid")


def test_a_work_order_is_assigned_started_and_completed_with_findings(sensor: Sensor) -> None:
    order = WorkOrder.objects.get()
    worker = member(sensor)
    http = client(worker)
    path = f"{API}work-orders/{order.pk}/"
    problem(http.post(f"{path}start/", {}, JSON), status=409, name="conflict")
    problem(http.post(f"{path}assign/", {"assignee": "nobody"}, JSON), status=400, name="invalid")
    stranger = factories.user(site=factories.site())
    problem(http.post(f"{path}assign/", {"assignee": stranger.username}, JSON), status=400, name="invalid")
    assert http.post(f"{path}assign/", {"assignee": worker.username}, JSON).json()["status"] == "ASSIGNED"
    assert http.post(f"{path}start/", {}, JSON).json()["status"] == "IN_PROGRESS"
    problem(http.post(f"{path}complete/", {"findings": ""}, JSON), status=400, name="invalid")
    done = http.post(f"{path}complete/", {"findings": "Valve was shut"}, JSON).json()
    assert (done["status"], done["findings"]) == ("COMPLETED", "Valve was shut")
    problem(http.post(f"{path}cancel/", {"comment": "no"}, JSON), status=409, name="conflict")


def test_work_is_requested_approved_planned_and_held_and_what_was_found_is_on_record(sensor: Sensor) -> None:
    worker, boss = client(member(sensor)), client(member(sensor, "ADMIN"))
    asked = {"machine": sensor.machine_id, "title": "Guard is loose", "maintenance_type": "INSPECTION"}
    made = worker.post(f"{API}work-orders/", asked, JSON)
    assert (made.status_code, made.json()["status"], made.json()["priority"]) == (201, "REQUESTED", "HIGH")
    path = f"{API}work-orders/{made.json()['id']}/"
    problem(worker.post(f"{path}approve/", {}, JSON), status=409, name="conflict")
    assert boss.post(f"{path}approve/", {"comment": "Do it"}, JSON).json()["status"] == "OPEN"
    plan = {"start": "2026-03-05T07:00:00Z", "minutes": 45}
    assert worker.post(f"{path}plan/", plan, JSON).json()["planned_minutes"] == 45
    problem(worker.post(f"{path}plan/", plan | {"minutes": 0}, JSON), status=400, name="invalid")
    name = User.objects.get(pk=made.json()["requested_by"]).username
    for verb, body, status in (
        ("assign", {"assignee": name}, "ASSIGNED"), ("start", {}, "IN_PROGRESS"),
        ("hold", {"comment": "No ladder"}, "ON_HOLD"), ("resume", {}, "IN_PROGRESS"),
        ("complete", {"findings": "Tightened"}, "COMPLETED"),
        ("close", {"mechanism": "1.5", "activity": "ADJUST"}, "CLOSED"), ("reopen", {"comment": "Loose again"}, "OPEN"),
    ):  # fmt: skip
        answer = worker.post(f"{path}{verb}/", body, JSON)
        assert (answer.status_code, answer.json()["status"]) == (200, status), verb
    problem(worker.post(f"{path}close/", {"mechanism": "77"}, JSON), status=400, name="invalid")


def test_work_is_requested_only_for_machines_of_the_sites_one_works_in(sensor: Sensor) -> None:
    asked = {"machine": sensor.machine_id, "title": "x", "maintenance_type": "INSPECTION", "failure_mode": "LOO"}
    problem(client(member(sensor, "VIEWER")).post(f"{API}work-orders/", asked, JSON), status=403, name="forbidden")
    stranger = client(factories.user(site=factories.site()))
    problem(stranger.post(f"{API}work-orders/", asked, JSON), status=400, name="invalid")
    mode = WorkOrder.objects.get().failure_mode
    again = client(member(sensor)).post(f"{API}work-orders/", asked | {"failure_mode": mode}, JSON)
    problem(again, status=409, name="conflict")
    assert WorkOrder.objects.count() == 1


ACTIONS = [
    ("alarms", "acknowledge", {}), ("alarms", "comment", {"comment": "x"}), ("work-orders", "start", {}),
    ("work-orders", "cancel", {"comment": "x"}), ("work-orders", "complete", {"findings": "x"}),
    ("work-orders", "approve", {}), ("work-orders", "hold", {"comment": "x"}), ("work-orders", "close", {}),
    ("work-orders", "reopen", {"comment": "x"}), ("work-orders", "modify", {"priority": "LOW"}),
    ("work-orders", "defer", {"comment": "x", "until": "2099-01-01T00:00:00Z"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "verb", "body"), ACTIONS)
def test_only_who_works_in_the_site_acts(sensor: Sensor, name: str, verb: str, body: dict[str, str]) -> None:
    row = Alarm.objects.get() if name == "alarms" else WorkOrder.objects.get()
    path = f"{API}{name}/{row.pk}/{verb}/"
    problem(client().post(path, body, JSON), status=401, name="not-authenticated")
    problem(client(factories.user(site=factories.site())).post(path, body, JSON), status=404, name="not-found")
    for role in (Membership.Role.VIEWER, Membership.Role.INGEST):
        problem(client(member(sensor, role)).post(path, body, JSON), status=403, name="forbidden")
    row.refresh_from_db()
    assert row.transitions.count() == 1


def test_runs_are_for_administrators_of_the_installation(sensor: Sensor) -> None:
    run = Run.objects.get()
    problem(client(member(sensor, Membership.Role.ADMIN)).get(f"{API}runs/"), status=403, name="forbidden")
    http = client(factories.user(is_superuser=True))
    assert [row["id"] for row in http.get(f"{API}runs/").json()["results"]] == [run.pk]
    assert len(http.get(f"{API}runs/{run.pk}/").json()["stage_attempts"]) == 5
    problem(http.post(f"{API}runs/{run.pk}/replay/", {}, JSON), status=409, name="conflict")
    Run.objects.update(status="FAILED", stage="NOTIFY")
    run.stage_attempts.filter(stage="NOTIFY").delete()
    assert http.post(f"{API}runs/{run.pk}/replay/", {}, JSON).status_code == 202
    sweeper.work_off(sweeper.due())
    run.refresh_from_db()
    assert run.status == "DONE"


def routes() -> list[str]:
    """Every route below the API, with 1 for each number and a UUID for each id of a batch."""

    def walk(patterns: list[Any], prefix: str) -> list[str]:
        found = []
        for pattern in patterns:
            route = prefix + str(pattern.pattern).lstrip("^").rstrip("$")
            if isinstance(pattern, URLResolver):
                found += walk(pattern.url_patterns, route)
            elif isinstance(pattern, URLPattern):
                found.append(route.replace("(?P<pk>[^/.]+)", "1"))
        return found

    return [route for route in walk(get_resolver().url_patterns, "") if route.startswith("api/")]


def test_every_route_is_shut_to_the_anonymous() -> None:
    found = routes()
    assert len(found) > 15
    for route in set(found) - OPEN:
        for method in ("get", "post", "put", "patch", "delete"):
            answer = getattr(client(), method)(f"/{route}", {}, JSON)
            problem(answer, status=401, name="not-authenticated")


def of_escalation(site: Site) -> dict[str, int]:
    """Ids of what is told to whom, of who is called, and of what is done, of a machine that is added to the site."""
    plant.rows(site)
    models: dict[str, type[Model]] = {
        "escalation-chains": Chain, "rotas": Rota, "on-call-overrides": Override, "escalations": Escalation,
        "persons": Reader, "channels": Channel, "subscriptions": Subscription, "parts": Part, "stores": Store,
        "stocks": Stock, "stock-movements": Movement, "work-order-parts": OrderPart, "tools": Tool,
        "tool-loans": ToolLoan, "checklist-templates": ChecklistTemplate, "checklists": Checklist,
        "labour-rates": LabourRate, "labour": Labour, "other-costs": OrderCost, "downtimes": Downtime,
        "work-rules": WorkRules, "permits": Permit, "attachments": Attachment, "log": LogLine, "api-keys": ApiKey,
        "webhooks": Webhook, "webhook-deliveries": WebhookDelivery,
        "exports": Export,
    }  # fmt: skip
    return {name: model._default_manager.order_by("id")[0].pk for name, model in models.items()}


SHARED = ("ml/models", "ml/deployments")
"""What every member of any site may read."""


def of_models() -> dict[str, Any]:
    models: dict[str, type[Model]] = {
        "ml/models": ModelPolicy, "ml/deployments": Deployment, "ml/trainings": Training,
        "ml/predictions": Prediction, "ml/drift-checks": DriftCheck,
        "ml/performances": LivePerformance,
    }  # fmt: skip
    asked = Question.objects.create(kind="PREDICT", name="wear", asked_by=factories.user(), asked={})
    return {name: model._default_manager.all()[0].pk for name, model in models.items()} | {"ml/questions": asked.key}


def of_schedule() -> dict[str, int]:
    """Ids of who works when, and of the schedule."""
    rows: dict[str, Any] = {name: view.queryset for name, view in people_api.LISTS.items()}
    rows |= {"schedules": Schedule.objects.all(), "schedule-visits": ScheduleVisit.objects.all()}
    return {name: found.order_by("id")[0].pk for name, found in rows.items()}


def test_no_route_shows_or_changes_anything_of_another_site(sensor: Sensor) -> None:
    stranger = client(factories.user(site=factories.site()))
    ids = {
        "sites": sensor.site_id, "equipment": sensor.machine_id, "sensors": sensor.pk,
        "batches": Batch.objects.get().pk, "auth": Refresh.for_user(factories.user())["family"],
        "anomalies": Anomaly.objects.all()[0].pk,
        "alarms": Alarm.objects.get().pk, "runs": Run.objects.get().pk, "cases": 1,
        "audit": AuditEntry.objects.filter(site=sensor.site)[0].pk,
        "work-orders": WorkOrder.objects.get().pk, "labels": Label.objects.get().pk,
        "regimes": Regime.objects.get().pk, "detector-records": DetectorRecord.objects.all()[0].pk,
        "backtests": Backtest.objects.get().pk, "reports": Report.objects.get().pk,
        "notifications": Notification.objects.get().pk,
        "suppressions": Suppression.objects.get().pk, "alarm-definitions": AlarmDefinition.objects.get().pk,
        "maintenance-windows": MaintenanceWindow.objects.get().pk, "floods": Flood.objects.get().pk,
        "plans": Plan.objects.get().pk, "meters": Meter.objects.get().pk,
        "sensor-defaults": SensorDefault.objects.get().pk, "parent-rules": ParentRule.objects.get().pk,
        "operating-rules": OperatingRule.objects.get(machine=sensor.machine).pk,
        "operating-states": OperatingState.objects.get(machine=sensor.machine).pk,
        "approvals-waiting": ApprovalWait.objects.get().pk, "approval-decisions": ApprovalDecision.objects.get().pk,
        "approval-policies": ApprovalPolicy.objects.get().pk, "delegations": Delegation.objects.get().pk,
        **of_escalation(sensor.site), **of_schedule(), **of_models(),
    }  # fmt: skip
    for route in set(routes()) - OPEN:
        name = route.split("/")[2].replace("ml", f"ml/{route.split('/')[3]}")
        if "1" not in route.split("/"):
            continue
        path = "/" + route.replace("/1/", f"/{ids[name]}/")
        for method in ("get", "post", "put", "patch", "delete"):
            if method == "get" and name in SHARED:
                continue
            answer = getattr(stranger, method)(path, {}, JSON)
            assert answer.status_code in (403, 404, 405), (method, path, answer.content)


def test_an_unknown_address_is_a_problem() -> None:
    problem(client().get("/api/v1/nothing"), status=404, name="not-found")


def test_an_unknown_address_outside_the_api_is_a_page_for_people() -> None:
    answer = client().get("/admin-of-old/")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_the_type_of_a_problem_leads_to_a_page_for_people() -> None:
    answer = client().get(client().get("/api/v1/nothing").json()["type"])
    assert answer["Content-Type"].startswith("text/html")
    assert "belongs to a site that the account is no member of" in answer.content.decode()


@pytest.mark.parametrize("name", problems.TITLES)
def test_every_type_of_problem_is_explained(name: str) -> None:
    page = client().get(f"/problems/{name}")
    assert page.status_code == 200
    assert problems.MEANINGS[name] in html.unescape(page.content.decode())
