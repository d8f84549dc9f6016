"""Cookies and keys of production."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories
from tests.unit.test_house_rules import ROOT

LOADED = """
import json, sys
from config import wsgi
from django.conf import settings
names = [f"{kind}_COOKIE_{what}" for kind in ("SESSION", "CSRF") for what in ("NAME", "SECURE", "HTTPONLY", "SAMESITE")]
json.dump({name: getattr(settings, name) for name in [*names, "SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH", "DEBUG"]},
          sys.stdout)
"""


def started(**changed: str) -> subprocess.CompletedProcess[str]:
    """A web server of production as far as its door; nothing is connected to."""
    given = {name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "JWT_SIGNING_KEY", "FLOWER_PASSWORD")}
    given |= {
        "BELLWETHER_PRODUCTION": "1", "ALLOWED_HOSTS": "bellwether.example", "MLFLOW_PORT": "0",
        "PUBLIC_URL": "https://bellwether.example", "DATABASE_URL": "postgresql://nobody@/nowhere?host=/nonexistent",
        "REDIS_URL": "unix:///nonexistent/redis.sock?db=0",
    }  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    given = {name: value for name, value in (given | changed).items() if value}
    return subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, env=kept | given, capture_output=True, text=True, timeout=120
    )


def test_cookies_of_production_stay_with_their_host_and_out_of_scripts(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_urlsafe(48), encoding="utf-8")
    done = started(SECRET_KEY="", SECRET_KEY_FILE=str(key))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for kind in ("SESSION", "CSRF"):
        assert found[f"{kind}_COOKIE_NAME"].startswith("__Host-")
        assert found[f"{kind}_COOKIE_SECURE"] and found[f"{kind}_COOKIE_HTTPONLY"]
        assert found[f"{kind}_COOKIE_SAMESITE"] == "Lax"
    assert (found["SESSION_COOKIE_DOMAIN"], found["SESSION_COOKIE_PATH"], found["DEBUG"]) == (None, "/", False)


@pytest.mark.parametrize("changed", [{"SECRET_KEY": "short"}, {"SECRET_KEY": ""}])
def test_the_web_server_does_not_start_with_a_weak_key(changed: dict[str, str]) -> None:
    done = started(**changed)
    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr
    assert done.stdout == ""


@pytest.mark.django_db
def test_the_key_of_sessions_is_changed_with_an_overlap(settings: Any, client: Client) -> None:
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    page = reverse("admin:index")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new key " * 6
    settings.SECRET_KEY_FALLBACKS = [old]
    assert client.get(page).status_code == 200
    client.force_login(factories.user(is_superuser=True, is_staff=True))  # by the new key
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get(page).status_code == 200
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another one " * 6, []
    assert client.get(page).status_code == 302


@pytest.mark.django_db
def test_a_session_of_a_key_that_was_taken_out_is_over(settings: Any, client: Client) -> None:
    client.force_login(factories.user(is_superuser=True, is_staff=True))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key " * 6, []
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.django_db
def test_the_cookies_that_are_set_are_for_this_server_alone(client: Client) -> None:
    factories.user(username="ann", is_staff=True)
    answer = client.post(reverse("admin:login"), {"username": "ann", "password": factories.PASSWORD})
    assert answer.status_code == 302
    for name in ("sessionid", "csrftoken"):
        cookie = answer.cookies[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["domain"], cookie["path"]) == (True, "Lax", "", "/")
