"""A REST client for tests: Django's, with a token."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from sensors.families import Refresh

JSON = "application/json"


def client(user: User | None = None) -> Client:
    """Logged in as a user by a fresh token, or anonymous."""
    if user is None:
        return Client()
    return Client(headers={"Authorization": f"Bearer {Refresh.for_user(user).access_token}"})


def problem(answer: Any, *, status: int, name: str) -> dict[str, Any]:
    """The problem details of an answer, which must be of this status and type."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"/problems/{name}"
    assert body["detail"]
    return body
