from __future__ import annotations

import pytest
from django.db import DataError, connection
from django.test import Client
from pytest_django import Settings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]


def test_live_asks_nobody() -> None:
    assert Client().get("/health/live").json() == {"status": "live"}


def test_ready_names_its_parts() -> None:
    assert Client().get("/health/ready").json() == {"status": "ready", "postgres": "up", "redis": "up"}


def test_without_redis_the_service_is_degraded_and_ready(settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock?db=0"}}
    answer = Client().get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def test_metrics_show_the_flow_to_this_machine() -> None:
    text = Client().get("/metrics").content.decode()
    for name in ("pdm_parts_waiting", "pdm_parts_oldest_waiting_age_seconds", "pdm_runs_active", "pdm_runs_failed"):
        assert f"\n{name} 0.0" in text


def test_without_the_database_the_service_is_down_and_its_other_metrics_stay() -> None:
    with connection.cursor() as cursor, pytest.raises(DataError):
        cursor.execute("SELECT 1 / 0")  # from here on Postgres refuses every statement of this transaction
    assert Client(raise_request_exception=False).get("/health/ready").status_code == 503
    assert Client().get("/health/live").status_code == 200
    text = Client().get("/metrics").content.decode()
    assert "\npdm_database_up 0.0" in text
    assert "\npdm_runs_active" not in text
    assert "\npython_info" in text


def test_metrics_are_shut_to_others(settings: Settings) -> None:
    assert Client(REMOTE_ADDR="192.0.2.1").get("/metrics").status_code == 403
    settings.METRICS_TOKEN = "a token"
    assert Client().get("/metrics").status_code == 403
    assert Client(headers={"Authorization": "Bearer \xfc"}).get("/metrics").status_code == 403
    assert Client(headers={"Authorization": "Bearer wrong"}).get("/metrics").status_code == 403
    assert Client(headers={"Authorization": "Bearer a token"}).get("/metrics").status_code == 200
    settings.METRICS_TOKEN, settings.PRODUCTION = None, True
    assert Client().get("/metrics").status_code == 403
