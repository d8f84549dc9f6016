"""Bodies and addresses that nobody sends by mistake: each a clear problem, wherever it is sent."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from maintenance.models import Alarm, WorkOrder
from sensors.models import Sensor
from tests import factories
from tests.client import JSON, client, problem
from tests.integration.test_api_objects import API, feed, member

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

OPEN = ("auth/token/", "auth/refresh/", "auth/blacklist/")
SURROGATE = b'{"username":"\\ud800","password":"x","refresh":"\\ud800","comment":"\\ud800","assignee":"\\ud800"}'
NUL = (
    b'{"username":"a\\u0000","password":"x","refresh":"a\\u0000","comment":"a\\u0000","assignee":"a\\u0000",'
    b'"findings":"a\\u0000"}'
)
UNREADABLE = {
    "broken": b"{",
    "brackets": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "no UTF-8": b"\xff\xfe",
    "half a character": SURROGATE,
    "no number": b'{"username":NaN}',
}
WRONG = {"list": b"[1]", "null": b"null", "text": b'"x"', "nul": NUL}
NUMBERS = ("0", "-1", "abc", "%00", "1.0", "%F0%9F%98%80", "%FF", "9" * 400)
LISTS = ("sites", "equipment", "sensors", "batches", "anomalies", "alarms", "work-orders", "labels", "regimes", "runs")
FILTERS = {
    "equipment": ("site", "parent", "level", "criticality", "tag"),
    "sensors": ("site", "equipment", "machine", "kind", "external_id"),
    "batches": ("site",),
    "anomalies": ("site", "machine", "sensor", "nature", "kind", "detector", "retrospective", "started_after"),
    "alarms": ("site", "machine", "failure_mode", "priority", "is_active", "is_acknowledged", "is_open"),
    "work-orders": ("site", "machine", "maintenance_type", "priority", "status", "assigned_to", "alarm"),
    "labels": ("site", "machine", "sensor", "kind", "failure_mode", "retracted", "ends_after", "starts_before"),
    "regimes": ("site", "machine", "sensor", "retracted", "since_after", "since_before"),
    "runs": ("status", "stage", "lane"),
}
VALUES = ("%00", "9" * 30, "-1", "1e40", "1.5", "NaN", "%ED%A0%80", "%FF", "0001-01-01T00:00:00%2B14:00")


@pytest.fixture(autouse=True)
def _no_limit(settings: Settings) -> None:
    settings.LOGIN_RATE = "100000/d"


@pytest.fixture
def sensor() -> Sensor:
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    made = factories.sensor(machine=machine, high=10.0)
    feed(made, [1.0, 2.0, 30.0, 40.0, 30.0])
    return made


def actions() -> list[str]:
    alarm, order = Alarm.objects.get(), WorkOrder.objects.get()
    return ["labels/", "regimes/", f"alarms/{alarm.pk}/comment/"] + [
        f"work-orders/{order.pk}/{verb}/" for verb in ("assign", "complete")
    ]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_body_that_cannot_be_read_is_a_clear_problem_everywhere(sensor: Sensor, body: bytes) -> None:
    for path in OPEN:
        problem(Client().post(API + path, body, JSON), status=400, name="malformed")
    http = client(member(sensor))
    for path in actions():
        problem(http.post(API + path, body, JSON), status=400, name="malformed")


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_a_body_of_the_wrong_shape_is_a_clear_problem_everywhere(sensor: Sensor, body: bytes) -> None:
    for path in OPEN:
        assert Client().post(API + path, body, JSON).status_code in (400, 401)
    http = client(member(sensor))
    for path in actions():
        problem(http.post(API + path, body, JSON), status=400, name="invalid")


def test_a_body_of_ten_megabytes_is_read_nowhere(sensor: Sensor) -> None:
    http = client(member(sensor))
    for path in [*OPEN, *actions()]:
        problem(http.post(API + path, b" " * 10_000_000, JSON), status=413, name="too-large")


def test_another_content_type_is_a_clear_problem_everywhere(sensor: Sensor) -> None:
    http = client(member(sensor))
    for path in [*OPEN, *actions()]:
        problem(http.post(API + path, b"a=b", "text/csv"), status=415, name="unsupported-media-type")


@pytest.mark.parametrize("name", LISTS)
def test_an_id_that_can_be_none_is_not_found(name: str) -> None:
    http = client(factories.user(is_superuser=True))
    for number in NUMBERS:
        problem(http.get(f"{API}{name}/{number}/"), status=404, name="not-found")


@pytest.mark.parametrize("name", FILTERS)
def test_no_value_of_a_filter_is_a_fault_of_the_service(name: str) -> None:
    http = client(factories.user(is_superuser=True))
    for field in FILTERS[name]:
        for value in VALUES:
            assert http.get(f"{API}{name}/?{field}={value}").status_code in (200, 400)


@pytest.mark.parametrize(
    "query",
    [
        "from=0001-01-01T00:00:00%2B14:00", "to=0001-01-01T00:00:00%2B14:00", "to=9999-12-31T23:59:59-14:00",
        "from=9999-12-31T23:59:59.999999Z", "points=%00", "from=%00", "to=NaN",
    ],
)  # fmt: skip
def test_no_window_is_a_fault_of_the_service(sensor: Sensor, query: str) -> None:
    answer = client(member(sensor)).get(f"{API}sensors/{sensor.pk}/readings/?{query}")
    assert answer.status_code in (200, 400)


def test_all_of_time_is_a_window(sensor: Sensor) -> None:
    window = "from=0001-01-01T00:00:00Z&to=9999-12-31T00:00:00Z&points=4"
    body = client(member(sensor)).get(f"{API}sensors/{sensor.pk}/readings/?{window}").json()
    assert (body["total"], [reading["value"] for reading in body["readings"]]) == (5, [1.0, 40.0, 30.0])


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b c", "Bearer a.b.c", "Bearer \xfc", "Bearer " + "x" * 9000])
def test_what_is_no_token_is_refused(header: str) -> None:
    answer = Client(headers={"Authorization": header}).get(f"{API}sites/")
    problem(answer, status=401, name="not-authenticated")


def test_another_host_is_a_clear_problem() -> None:
    problem(Client().get(f"{API}sites/", headers={"Host": "elsewhere.example"}), status=400, name="invalid")
