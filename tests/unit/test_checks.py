"""What ``manage.py check`` says about a configuration."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage, registry
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from agents import failpoints
from config import checks
from config.celery import app

KEY = "k" * 60
SAFE = {
    "PRODUCTION": True,
    "DEBUG": False,
    "SECRET_KEY": "s" * 60,
    "PUBLIC_URL": "https://bellwether.example",
    "ALLOWED_HOSTS": ["bellwether.example"],
}


@pytest.mark.parametrize(
    ("production", "is_web", "url", "found"),
    [
        (True, True, "postgresql://bellwether_web@db/x", []),
        (True, True, None, ["bellwether.E011"]),
        (True, False, None, ["bellwether.W011"]),
        (False, True, None, ["bellwether.W011"]),
    ],
)
def test_a_web_server_that_owns_the_tables_is_named(
    settings: Settings, production: bool, is_web: bool, url: str | None, found: list[str]
) -> None:
    settings.PRODUCTION, settings.IS_WEB, settings.DATABASE_WEB_URL = production, is_web, url
    assert ids(checks.check_wall(None)) == found


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def configure(settings: Settings, *, key: str = KEY, **changed: Any) -> None:
    for name, value in (SAFE | changed).items():
        setattr(settings, name, value)
    settings.SIMPLE_JWT = settings.SIMPLE_JWT | {"SIGNING_KEY": key}


def test_safe_settings_pass(settings: Settings) -> None:
    configure(settings)
    assert checks.check_production(None) == []
    assert checks.check_limits(None) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"DEBUG": True}, ["bellwether.E001"]),
        ({"SECRET_KEY": "short"}, ["bellwether.E002"]),
        ({"SECRET_KEY": "s" * 49}, ["bellwether.E002"]),
        ({"SECRET_KEY": "django-Insecure-" + "s" * 60}, ["bellwether.E002"]),
        ({"key": "short"}, ["bellwether.E002"]),
        ({"key": "insecure" * 8}, ["bellwether.E002"]),
        ({"key": "s" * 60}, ["bellwether.E003"]),
        ({"SECRET_KEY_FALLBACKS": ["old" * 20, "short"]}, ["bellwether.E002"]),
        ({"FLOWER_PASSWORD": "operator"}, ["bellwether.E012"]),
        ({"METRICS_TOKEN": "metrics"}, ["bellwether.E012"]),
        ({"MLFLOW_TRACKING_PASSWORD": "mlflow"}, ["bellwether.E012"]),
        ({"PUBLIC_URL": "http://bellwether.example"}, ["bellwether.E006"]),
        ({"PUBLIC_URL": "bellwether.example"}, ["bellwether.E006"]),
        ({"ALLOWED_HOSTS": ["bellwether.example", "*"]}, ["bellwether.E007"]),
        ({"DEBUG": True, "ALLOWED_HOSTS": ["*"]}, ["bellwether.E001", "bellwether.E007"]),
    ],
)
def test_an_unsafe_setting_is_named_in_production(
    settings: Settings, changed: dict[str, Any], expected: list[str]
) -> None:
    configure(settings, **changed)
    found = checks.check_production(None)
    assert ids(found) == expected
    assert all(message.hint and message.is_serious() for message in found)


def test_the_web_server_does_not_start_where_something_is_unsafe(settings: Settings) -> None:
    configure(settings)
    checks.refuse_unsafe()
    configure(settings, SECRET_KEY="short")
    with pytest.raises(ImproperlyConfigured, match=r"bellwether\.E002"):
        checks.refuse_unsafe()


def test_development_may_be_unsafe(settings: Settings) -> None:
    configure(settings, PRODUCTION=False, DEBUG=True, SECRET_KEY="short", key="short", ALLOWED_HOSTS=["*"])
    assert checks.check_production(None) == []


def test_a_lease_must_outlive_the_hard_time_limit(settings: Settings) -> None:
    settings.LEASE_SECONDS = app.conf.task_time_limit
    assert ids(checks.check_limits(None)) == ["bellwether.E004"]
    settings.LEASE_SECONDS = app.conf.task_time_limit + 1
    assert checks.check_limits(None) == []


def test_the_visibility_timeout_must_outlive_the_lease(settings: Settings) -> None:
    visibility = app.conf.broker_transport_options["visibility_timeout"]
    settings.LEASE_SECONDS = visibility
    assert ids(checks.check_limits(None)) == ["bellwether.E005"]
    settings.LEASE_SECONDS = visibility - 1
    assert checks.check_limits(None) == []


def test_django_runs_the_checks() -> None:
    registered = registry.registry.get_checks()
    assert checks.check_production in registered
    assert checks.check_limits in registered


def test_the_secret_itself_is_never_shown(settings: Settings) -> None:
    configure(settings, SECRET_KEY="insecure-and-private" * 3, key="private")
    for message in checks.check_production(None):
        assert "private" not in f"{message.msg} {message.hint}"


def test_a_failpoint_is_refused_in_production(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(settings, key=KEY)
    monkeypatch.setenv(failpoints.VARIABLE, "DETECT:claimed")
    assert ids(checks.check_production(None)) == ["bellwether.E008"]


def test_a_mistyped_network_is_named(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["10.0.0.0/8", "10.0.0.1/8", "plant"]
    assert ids(checks.check_networks(None)) == ["bellwether.E009", "bellwether.E009"]
