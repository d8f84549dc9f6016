"""Errors as Sentry gets them: each once, and without what is secret or personal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
import sentry_sdk
from django.test import Client
from pytest_django import Settings

from agents import tasks, version
from agents import watchdog as dog
from config import health, reports
from tests.collector import Reports

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "correct-horse-battery-9"


@pytest.fixture
def sentry(settings: Settings) -> Iterator[Reports]:
    with Reports() as sink:
        settings.SENTRY_DSN, settings.SENTRY_ENVIRONMENT = sink.dsn, "test-hall"
        handler = reports.Handler()
        logging.getLogger().addHandler(handler)
        try:
            yield sink
        finally:
            logging.getLogger().removeHandler(handler)
            sentry_sdk.get_client().close()
            sentry_sdk.init()


def broken() -> NoReturn:
    local = SECRET
    raise RuntimeError(f"no way in for ann@example.com with password={local}")


def told(sink: Reports) -> dict[str, object]:
    sentry_sdk.flush(5)
    (event,) = sink.events
    text = json.dumps(event)
    assert SECRET not in text
    assert "ann@example.com" not in text
    assert (event["release"], event["environment"]) == (f"bellwether@{version.current()}", "test-hall")
    assert not {"user", "request", "breadcrumbs"} & set(event)
    value = event["exception"]["values"][-1]
    assert (value["type"], value["value"]) == ("RuntimeError", "no way in for [mail] with password=[redacted]")
    assert value["stacktrace"]["frames"][-1]["function"] == "broken"
    assert "vars" not in value["stacktrace"]["frames"][-1]
    tags: dict[str, object] = event["tags"]
    return tags


def test_an_exception_in_a_view_arrives_once(sentry: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_postgres", broken)
    asking = Client(raise_request_exception=False, headers={"X-Request-ID": "order-4711"})
    assert asking.get("/health/ready").status_code == 500
    assert told(sentry)["request_id"] == "order-4711"


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")  # binding a task that names its queue
def test_an_exception_in_a_task_arrives_once(sentry: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dog, "watch", broken)
    assert tasks.watchdog.apply().failed()
    tags = told(sentry)
    assert tags["logger"] == "celery.app.trace"


def test_what_is_no_exception_is_not_reported(sentry: Reports) -> None:
    logging.getLogger("agents.x").error("something is odd")
    assert Client().get("/api/v1/sensors/").status_code == 401
    sentry_sdk.flush(5)
    assert sentry.events == []
