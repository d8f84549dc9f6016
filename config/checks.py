"""System checks of the configuration: ``manage.py check`` names what would fail or be unsafe later.

E004 and E005, the limits that keep work from being done twice, E009, E010 and W011 hold everywhere; the others in
production only (``check --deploy`` shows Django's own beside them).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from agents import failpoints
from config.celery import app
from sensors import signing

SHORTEST_SECRET, SHORTEST_PASSWORD = 50, 20
NEW_SECRET = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"


@register(Tags.security)
def check_production(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION:
        return []
    return [*_debug(), *_secrets(), *_passwords(), *_addresses(), *_failpoint()]


def refuse_unsafe() -> None:
    """For the web server, which no command starts that would look. Raises ``ImproperlyConfigured``."""
    if found := check_production(None):
        raise ImproperlyConfigured(" ".join(f"{one.msg} ({one.id})" for one in found))


@register("networks")
def check_networks(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A mistyped network would show up only when the first webhook goes out."""
    found: list[CheckMessage] = []
    for network in settings.WEBHOOK_ALLOWED_NETWORKS:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            hint = "Write networks such as 10.1.0.0/16, separated by commas."
            found.append(Error(f"WEBHOOK_ALLOWED_NETWORKS: {error}.", hint=hint, id="bellwether.E009"))
    return found


@register("keys")
def check_signing_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """The web server does not start with them (``config.wsgi``)."""
    return [Error(fault, hint=NEW_SECRET, id="bellwether.E010") for fault in signing.faults()]


@register("limits")
def check_limits(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Time limit < lease < visibility timeout, or work is taken over while it still runs."""
    lease, hard = settings.LEASE_SECONDS, app.conf.task_time_limit
    visibility = app.conf.broker_transport_options["visibility_timeout"]
    found: list[CheckMessage] = []
    if lease <= hard:
        found.append(
            Error(
                f"LEASE_SECONDS ({lease}) is not above the tasks' hard time limit ({hard}).",
                hint=f"Set LEASE_SECONDS above {hard}, or the sweep takes work over while it still runs.",
                id="bellwether.E004",
            )
        )
    if visibility <= lease:
        found.append(
            Error(
                f"The broker's visibility timeout ({visibility}) is not above LEASE_SECONDS ({lease}).",
                hint=f"Set LEASE_SECONDS below {visibility}, or Redis rings again while the work is leased.",
                id="bellwether.E005",
            )
        )
    return found


@register(Tags.database)
def check_wall(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A web server that connects as the owner of the tables is held by no row security."""
    if settings.DATABASE_WEB_URL:
        return []
    kind = Error if settings.PRODUCTION and settings.IS_WEB else Warning
    return [
        kind(
            "DATABASE_WEB_URL is not set: the web server is the owner of all tables, whose rows nothing keeps apart.",
            hint=f"Let it connect as {settings.DATABASE_WEB_ROLE}; see docs/deployment.md.",
            id="bellwether.E011" if kind is Error else "bellwether.W011",
        )
    ]


def _failpoint() -> list[CheckMessage]:
    hint = "It is for tests: a process that gets there fails on purpose."
    return [
        Error(f"{name} is set in production.", hint=hint, id="bellwether.E008")
        for name in (failpoints.VARIABLE, failpoints.POISON)
        if os.environ.get(name)
    ]


def _debug() -> list[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [Error("DEBUG is on in production.", hint="It shows settings and source to anyone.", id="bellwether.E001")]


def _secrets() -> list[CheckMessage]:
    secrets = {"SECRET_KEY": str(settings.SECRET_KEY), "JWT_SIGNING_KEY": str(settings.SIMPLE_JWT["SIGNING_KEY"])}
    secrets |= {f"SECRET_KEY_FALLBACKS, key {n},": key for n, key in enumerate(settings.SECRET_KEY_FALLBACKS, 1)}
    found: list[CheckMessage] = []
    for name, value in secrets.items():
        if len(value) < SHORTEST_SECRET:
            found.append(
                Error(f"{name} is shorter than {SHORTEST_SECRET} characters.", hint=NEW_SECRET, id="bellwether.E002")
            )
        elif "insecure" in value.lower():
            found.append(Error(f"{name} calls itself insecure.", hint=NEW_SECRET, id="bellwether.E002"))
    if secrets["SECRET_KEY"] == secrets["JWT_SIGNING_KEY"]:
        found.append(
            Error(
                "SECRET_KEY and JWT_SIGNING_KEY are the same.",
                hint="Use two: whoever learns one must not be able to sign tokens and sessions both.",
                id="bellwether.E003",
            )
        )
    return found


def _passwords() -> list[CheckMessage]:
    """What guards pages for operators; one that is not set closes its page."""
    words = {name: getattr(settings, name) for name in ("FLOWER_PASSWORD", "METRICS_TOKEN", "MLFLOW_TRACKING_PASSWORD")}
    return [
        Error(f"{name} is shorter than {SHORTEST_PASSWORD} characters.", hint=NEW_SECRET, id="bellwether.E012")
        for name, word in words.items()
        if word and len(word) < SHORTEST_PASSWORD
    ]


def _addresses() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if urlsplit(settings.PUBLIC_URL).scheme != "https":
        found.append(
            Error(
                f"PUBLIC_URL ({settings.PUBLIC_URL}) is not https.",
                hint="Links in messages lead there; set it to the https address people use.",
                id="bellwether.E006",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Error(
                "ALLOWED_HOSTS lets every host name through.",
                hint="Name the hosts; a forged Host header ends up in links otherwise.",
                id="bellwether.E007",
            )
        )
    return found
