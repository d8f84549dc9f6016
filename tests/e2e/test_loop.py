"""The loop, on real data through the real interfaces: from a reading to what its order teaches about the detector.

A year of the flow in a water branch is replayed; all that follows is done over REST, by an administrator and a
technician of the site: the order of the leak is approved, scheduled, given its part, carried out and closed with a
verdict, which changes the measured precision of the detector and the figures of maintenance.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from agents import water_flow
from tests.chaos.service import Service, until

PATIENCE = 180.0
MEMBERS = """
import json
from django.core.management import call_command
call_command("migrate", verbosity=0)
from sensors import onboarding
site, _ = onboarding.site(slug="branch", name="Water branch", time_zone="Europe/Rome")
people = {name: onboarding.member(name, site=site, role=role).user for name, role in
    (("ada", "ADMIN"), ("tom", "TECHNICIAN"))}
print(json.dumps({name: [user.pk, onboarding.new_password(user).password] for name, user in people.items()}))
"""
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(
        tmp_path_factory.mktemp("loop") / "home", lease_seconds=30, environment={"SCHEDULE_SECONDS": "2"}
    )  # fmt: skip
    try:
        made.prepare()
        yield made
    finally:
        made.stop()


class Person:
    """Somebody who works over REST, logged in with a password."""

    def __init__(self, url: str, name: str, key: int, password: str) -> None:
        self.url, self.http, self.name, self.key = f"{url}/api/v1/", requests.Session(), name, key
        told = self.http.post(f"{self.url}auth/token/", json={"username": name, "password": password}, timeout=30)
        self.http.headers["Authorization"] = f"Bearer {told.json()['access']}"

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(self.url + path, params=query, timeout=30)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def rows(self, path: str, **query: Any) -> Rows:
        found: Rows = self.get(path, **query)["results"]
        return found

    def post(self, path: str, **body: Any) -> Any:
        answer = self.http.post(self.url + path, json=body, timeout=30)
        assert answer.status_code in (200, 201, 202), (path, answer.text)
        return answer.json()

    def refused(self, path: str, **body: Any) -> dict[str, Any]:
        """The problem that is answered."""
        answer = self.http.post(self.url + path, json=body, timeout=30)
        assert answer.status_code >= 400, (path, answer.text)
        return dict(answer.json())


def comes(ask: Callable[[], Rows]) -> Rows:
    """What comes true in a while."""
    until(lambda: bool(ask()), limit=PATIENCE)
    return ask()


def ago(*, minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


@pytest.mark.timeout(400)
def test_what_a_sensor_measured_comes_back_as_knowledge(service: Service) -> None:
    members = json.loads(service.run("manage.py", "shell", "--no-imports", "-c", MEMBERS).splitlines()[-1])
    service.start()
    ada, tom = (Person(service.url, name, *members[name]) for name in ("ada", "tom"))
    (site,) = ada.rows("sites/")
    ada.post("approval-policies/", site=site["id"], answer="WAIT", wait_minutes=480, then="KEEP")
    service.run(
        "manage.py", "replay", str(water_flow.path()), "--site", "branch", "--machine", "Branch", "--time-zone",
        "Europe/Rome", "--kind", "FLOW", "--batch", "40", "--speed", "600000",
    )  # fmt: skip
    order, record = leak(ada)
    assert (record["real"], record["precision"]) == (0, None)
    figures, losses = report(ada, order)
    assert (figures["false_alarms"]["events"], figures["mttr"]["events"], losses) == (0, 0, [])
    key = f"work-orders/{order['id']}/"
    prepare(ada, tom, order)
    seal = wanted(ada, order)
    approved(ada, tom, order)
    assert stock(tom) == ("3.000", "2.000")
    scheduled(ada, tom, order)
    assert tom.post(f"alarms/{order['alarm']}/acknowledge/", comment="On my way")["is_acknowledged"]
    assert tom.post(f"{key}start/")["status"] == "IN_PROGRESS"
    carry_out(tom, order, seal)
    assert tom.post(f"{key}complete/", findings="Pipe leaked at the flange; seal replaced")["status"] == "COMPLETED"
    closed = ada.post(f"{key}close/", verdict="REAL", found_mode="LOO", activity="REPLACE")
    assert (closed["status"], ada.get(f"labels/{closed['label']}/")["kind"]) == ("CLOSED", "FAULT")
    learned(ada, order, ada.get(f"labels/{closed['label']}/"))


def leak(ada: Person) -> tuple[dict[str, Any], dict[str, Any]]:
    """The order that the alarm of the leak opened, and the record of the detector that found it."""
    (alarm,) = ada.rows("alarms/", failure_mode="LOO")
    (order,) = [row for row in ada.rows("work-orders/") if row["alarm"] == alarm["id"]]
    behind = [row for row in ada.rows("anomalies/") if row["failure_mode"] == "LOO"]
    assert alarm["occurrences"] == len(behind)
    (record,) = ada.rows("detector-records/", detector=behind[0]["detector"])
    assert record["unknown"] >= len(behind)
    return order, record


def prepare(ada: Person, tom: Person, order: dict[str, Any]) -> None:
    """What the site lays down beforehand: a checklist, and what an hour of the technician costs."""
    items = [
        {"text": "Flange is dry", "kind": "PASS_FAIL"}, {"text": "Flow at night", "kind": "READING", "high": 40.0},
    ]  # fmt: skip
    ada.post("checklist-templates/", site=order["site"], name="Flange", items=items)
    ada.post("labour-rates/", site=order["site"], worker=tom.key, hourly_cost="48.00")


def wanted(ada: Person, order: dict[str, Any]) -> dict[str, Any]:
    """A seal for the order, of three in the store: reserved when it is approved."""
    store = ada.post("stores/", site=order["site"], name="Main")
    seal = ada.post("parts/", site=order["site"], number="S-12", name="Flange seal", unit_cost="40.00")
    ada.post(f"parts/{seal['id']}/receive/", store=store["id"], quantity="3")
    return ada.post("work-order-parts/", order=order["id"], part=seal["id"], store=store["id"], quantity="1")


def approved(ada: Person, tom: Person, order: dict[str, Any]) -> None:
    """The order waits, as the policy says; only an administrator approves it, in their own name."""
    assert order["status"] == "REQUESTED"
    ada.post(f"work-orders/{order['id']}/modify/", expected_cost="48.00")
    waits = comes(lambda: [one for one in ada.rows("approvals-waiting/", order=order["id"]) if one["policy"]])
    assert [one["cost"] for one in waits] == ["88.00"]  # with the seal
    assert tom.refused(f"work-orders/{order['id']}/approve/", comment="Mine")["status"] == 409
    assert ada.post(f"work-orders/{order['id']}/approve/", comment="Before it bursts")["status"] == "OPEN"
    (decision,) = ada.rows("approval-decisions/", order=order["id"], what="APPROVED")
    assert (decision["actor"], decision["for_whom"]) == (ada.key, None)


def scheduled(ada: Person, tom: Person, order: dict[str, Any]) -> None:
    """The agent proposes who does it when; nothing is assigned before an administrator publishes that."""
    worker = ada.post("workers/", site=order["site"], user=tom.key)
    every_day = {"first_on": "2026-01-05", "days": 7, "every_days": 7, "starts": "06:00", "ends": "22:00"}
    ada.post("working-hours/", worker=worker["id"], **every_day)
    asked = ada.post("schedules/", site=order["site"], days=7)
    made = comes(lambda: [one for one in ada.rows("schedules/", status="PROPOSED") if one["id"] == asked["id"]])[0]
    assert made["cost"] >= made["bound"] > 0
    visits = ada.get(f"schedules/{made['id']}/")["visits"]
    (visit,) = [one for one in visits if one["order"] == order["id"]]
    assert ada.get(f"work-orders/{order['id']}/")["assigned_to"] is None
    ada.post(f"schedules/{made['id']}/publish/")
    told = ada.get(f"work-orders/{order['id']}/")
    assert (told["status"], told["assigned_to"], told["planned_start"]) == ("ASSIGNED", tom.key, visit["start_at"])


def stock(person: Person) -> tuple[str, str]:
    """How many seals lie in the store, and how many of them are free."""
    (row,) = person.rows("stocks/")
    return row["on_hand"], row["available"]


def carry_out(tom: Person, order: dict[str, Any], seal: dict[str, Any]) -> None:
    """The seal is taken, the checklist answered; without its answers the order is not completed."""
    tom.post(f"work-order-parts/{seal['id']}/issue/", quantity="1")
    assert stock(tom) == ("2.000", "2.000")
    (template,) = tom.rows("checklist-templates/")
    made = tom.post("checklists/", order=order["id"], template=template["id"])
    early = tom.refused(f"work-orders/{order['id']}/complete/", findings="Too early")
    assert (early["status"], "Flange is dry" in early["detail"]) == (409, True)
    dry, flow = made["items"]
    tom.post(f"checklists/{made['id']}/answer/", item=dry["id"], passed=True)
    told = tom.post(f"checklists/{made['id']}/answer/", item=flow["id"], value=21.5)
    assert [item["passed"] for item in told["items"]] == [True, True]
    tom.post("labour/", order=order["id"], from_at=ago(minutes=90), until_at=ago(minutes=30))
    costs = tom.get(f"work-orders/{order['id']}/costs/")
    assert (costs["by_kind"]["parts"], costs["by_kind"]["labour"], costs["total"]) == ("40.00", "48.00", "88.00")


def report(person: Person, order: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], Rows]:
    """The figures since before the first reading, by name; and what was lost by machine and failure mode."""
    told = person.get("kpis/", **{"site": order["site"], "from": "2022-01-01T00:00:00Z"})
    return {one["name"]: one for one in told["figures"]}, told["losses"]


def learned(ada: Person, order: dict[str, Any], label: dict[str, Any]) -> None:
    """The verdict counts at once: in the precision of the detector, and in the figures of maintenance."""
    (record,) = ada.rows("detector-records/")
    found = ada.rows("anomalies/", detector=record["detector"])
    inside = [one for one in found if label["from_at"] <= one["started_at"] <= label["to_at"]]
    assert order["occurrences"] <= len(inside)
    assert (record["real"], record["false"], record["precision"]) == (len(inside), 0, 1.0)
    figures, losses = report(ada, order)
    assert (figures["false_alarms"]["events"], figures["false_alarms"]["value"]) == (1, 0.0)
    assert (figures["planned_share"]["events"], figures["planned_share"]["value"]) == (1, 100.0)
    assert (figures["mtbf"]["events"], figures["mttr"]["events"]) == (1, 1)
    assert [(loss["tag"], loss["failure_mode"], loss["cost"]) for loss in losses] == [("Branch", "LOO", 88.0)]
