"""What every answer tells a browser: each header on each address of the resolver."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from config import headers
from sensors.models import Membership
from tests import factories, plant
from tests.client import client as caller
from tests.unit.test_house_rules import ROOT

pytestmark = pytest.mark.django_db
YEAR = 31_536_000
SINGLE = re.compile(r"<[^>]*>|\(\?P<\w+>(?:[^()]|\([^()]*\))*\)")


def addresses(patterns: Any = None, before: str = "/") -> Iterator[str]:
    """One address for each pattern, with 1 for whatever it takes."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        part = re.sub(r"[\^$]|\\[AZ]", "", SINGLE.sub("1", str(entry.pattern))).replace("\\", "")
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, before + part)
        elif isinstance(entry, URLPattern):
            yield before + part


@cache
def known() -> tuple[str, ...]:
    return tuple(sorted(set(addresses())))


_asked: dict[str, Any] = {}
"""Asked once for all tests of this file: it is some hundred requests."""


@pytest.fixture
def answers(settings: Any) -> dict[str, Any]:
    """What each address answers to somebody who has not logged in, in a production that is asked over TLS."""
    if _asked:
        return _asked
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, YEAR
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    made = Client(raise_request_exception=False)
    _asked.update({address: made.get(address, secure=True) for address in known()})
    return _asked


EVERYWHERE = {
    "X-Content-Type-Options": r"nosniff",
    "X-Frame-Options": r"DENY",
    "Referrer-Policy": r"same-origin",
    "Cross-Origin-Opener-Policy": r"same-origin",
    "Cross-Origin-Resource-Policy": r"same-origin",
    "Strict-Transport-Security": rf"max-age={YEAR}; includeSubDomains; preload",
    "Permissions-Policy": r".*camera=\(\).*microphone=\(\).*",
    "Content-Security-Policy": r"(?=.*default-src 'none')(?=.*frame-ancestors 'none')(?=.*base-uri 'none').*",
}


def test_each_header_is_on_every_address(answers: dict[str, Any]) -> None:
    assert len(answers) > 400
    assert {answer.status_code for answer in answers.values()} <= {200, 301, 302, 400, 401, 403, 404, 405, 503}
    for name, value in EVERYWHERE.items():
        without = [a for a, answer in answers.items() if not re.fullmatch(value, answer.get(name, ""))]
        assert without == [], name


def test_what_is_for_one_person_is_kept_nowhere(answers: dict[str, Any]) -> None:
    personal = [a for a in answers if a.startswith(headers.KEPT_NOWHERE)]
    assert len(personal) > 400
    assert [a for a in personal if "no-store" not in answers[a]["Cache-Control"]] == []


def test_no_page_allows_what_stands_in_it(answers: dict[str, Any]) -> None:
    for address, answer in answers.items():
        policy = answer["Content-Security-Policy"]
        assert "unsafe-inline" not in policy, address
        assert address.startswith(headers.ADMIN) or "unsafe" not in policy, address
    page = answers["/admin/login/"]["Content-Security-Policy"]
    for part in ("script-src 'self' 'unsafe-eval'", "object-src 'none'", "form-action 'self'", "base-uri 'none'"):
        assert f"{part};" in f"{page};"
    assert "script-src 'self';" in f"{answers['/api/v1/docs/']['Content-Security-Policy']};"
    assert answers["/api/v1/alarms/"]["Content-Security-Policy"] == headers.NO_PAGE


def test_pages_over_plain_http_are_sent_to_tls(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/admin/login/")["Location"] == "https://testserver/admin/login/"
    assert Client().get("/health/live").status_code == 200


def test_what_is_asked_for_with_an_account_is_kept_nowhere(client: Client) -> None:
    rows = plant.rows(factories.site())
    user = factories.user(site=rows.machine.site, is_staff=True, role=Membership.Role.ADMIN)
    assert caller(user).get("/api/v1/alarms/")["Cache-Control"] == "no-store"
    client.force_login(user)
    page = client.get(reverse("admin:maintenance_alarm_change", args=[rows.alarm.pk]))
    assert "no-store" in page["Cache-Control"]


def inline(html: str) -> list[str]:
    """What stands in a page and would take a hash or a nonce."""
    styles = [
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for text in re.findall(r"<style[^>]*>(.*?)</style>", html, re.S)
    ]
    scripts = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>", html)
    bound = re.findall(r"<[^>]*\s(?:style|on[a-z]+)=\"[^\"]*\"", html)
    return [*styles, *scripts, *bound]


def test_what_stands_in_pages_is_let_through_by_its_hash(admin_client: Client) -> None:
    rows = plant.rows(factories.site())
    asked = [address for address in known() if address.startswith("/admin/") and "/1/" not in address]
    asked += [reverse("admin:maintenance_alarm_change", args=[rows.alarm.pk]), "/problems/invalid",
              "/act/acknowledge/x", reverse("admin:sensors_sensor_change", args=[rows.sensor.pk]),
              "/api/v1/docs/"]  # fmt: skip
    found = {}
    for address in asked:
        answer = admin_client.get(address)
        if answer.get("Content-Type", "").startswith("text/html"):
            found[address] = set(inline(answer.content.decode())) - set(headers.THEME_STYLES)
    assert len(found) > 150
    assert {address: what for address, what in found.items() if what} == {}


def test_production_is_checked_as_django_checks_it() -> None:
    """With what ``make check`` gives; nothing is connected to."""
    given = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "FLOWER_PASSWORD")}
    given |= {
        "BELLWETHER_PRODUCTION": "1", "ALLOWED_HOSTS": "bellwether.example", "MLFLOW_PORT": "0",
        "PUBLIC_URL": "https://bellwether.example", "METRICS_TOKEN": secrets.token_urlsafe(48),
        "DATABASE_URL": "postgresql://nobody@/nowhere?host=/nonexistent",
        "DATABASE_WEB_URL": "postgresql://bellwether_web@/nowhere?host=/nonexistent",
        "REDIS_URL": "unix:///nonexistent/redis.sock?db=0",
    }  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=kept | given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    weak = given | {"SECRET_KEY": "django-insecure-" + "x" * 50}
    done = subprocess.run(command, cwd=ROOT, env=kept | weak, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "bellwether.E002" in done.stderr
