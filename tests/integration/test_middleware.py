"""What programs do not pass, people do; and both are counted and logged."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from sensors.models import Membership
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

INGEST = "/api/v1/data/ingest"


@pytest.fixture
def sender() -> User:
    return factories.user(site=factories.site(), role=Membership.Role.INGEST, password=None)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_page_has_a_session_and_a_program_needs_none(sender: User) -> None:
    person = Client()
    assert person.get("/admin/login/").status_code == 200
    person.force_login(factories.user(is_staff=True, is_superuser=True))
    assert person.get("/admin/").status_code == 200
    assert person.get("/api/v1/sensors/").status_code == 401  # a session is no token
    answer = client(sender).get("/api/v1/sensors/")
    assert (answer.status_code, answer.cookies) == (200, {})
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_write_to_an_address_without_its_last_slash_is_told_the_right_one(sender: User, method: str) -> None:
    """A client that was led on would send it again as a GET, without its body."""
    told = problem(getattr(client(sender), method)("/api/v1/work-orders"), status=404, name="not-found")
    assert told["detail"] == "There is nothing at /api/v1/work-orders; what is meant may be /api/v1/work-orders/."
    problem(client(sender).post("/api/v1/nowhere"), status=404, name="not-found")


def test_who_reads_is_led_to_the_address_with_its_last_slash(sender: User) -> None:
    answer = client(sender).get("/api/v1/sensors?page_size=1")
    assert (answer.status_code, answer["Location"]) == (301, "/api/v1/sensors/?page_size=1")


def test_a_request_of_a_program_is_counted_by_view_status_and_time(sender: User) -> None:
    of = {"view": "ingest", "method": "POST"}
    names = {
        "django_http_responses_total_by_status_view_method_total": of | {"status": "422"},
        "django_http_responses_total_by_status_total": {"status": "422"},
        "django_http_requests_latency_seconds_by_view_method_count": of,
    }
    before = {name: count(name, **labels) for name, labels in names.items()}
    for _ in range(2):
        assert client(sender).post(INGEST, [3], JSON).status_code == 422
    assert {name: count(name, **labels) - before[name] for name, labels in names.items()} == dict.fromkeys(names, 2.0)


def test_only_what_failed_leaves_a_line(sender: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="django.request")
    with capture_logs() as lines:
        assert client(sender).post(INGEST, [3], JSON).status_code == 422
        assert client(sender).get("/api/v1/sensors/").status_code == 200
    said = [line for line in lines if line["event"].startswith("request_")]
    assert [(line["event"], line["code"], line["request"]) for line in said] == [
        ("request_finished", 422, f"POST {INGEST}")
    ]
    assert [record for record in caplog.records if record.name == "django.request"] == []
