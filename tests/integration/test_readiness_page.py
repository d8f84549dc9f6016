"""The page of readiness: what the command kept, with its date, for operators alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests import factories

pytestmark = pytest.mark.django_db

ROW = {
    "area": "recovery", "claim": "It is back within 30 minutes (RTO)", "target": "< 1,800 s", "value": "61 s",
    "run": "make drill", "command": "tests.bench.drill", "at": "2026-11-27T10:00:00+00:00", "commit": "b" * 40,
    "verdict": "good", "why": "",
}  # fmt: skip
MISSING = ROW | {"value": "", "at": "", "commit": "", "verdict": "not shown", "why": "its <b>command</b> was not run"}
TABLE = {"at": "2026-11-28T12:34:56+00:00", "commit": "a" * 40, "score": 50.0, "rows": [ROW, MISSING]}


@pytest.fixture
def table(tmp_path: Path, settings: Settings) -> Path:
    settings.READINESS_FILE = tmp_path / "readiness.json"
    return tmp_path / "readiness.json"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def asked(client: Client) -> str:
    answer = client.get(reverse("readiness"))
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_shows_each_claim_with_its_evidence_and_when_it_was_printed(operator: Client, table: Path) -> None:
    table.write_text(json.dumps(TABLE))
    text = asked(operator)
    for shown in (
        "1 of 2 claims are shown",
        "2026-11-28 12:34 UTC",
        "aaaaaaaaa",
        "61 s",
        "2026-11-27 10:00, bbbbbbbbb",
    ):
        assert shown in text
    assert "its &lt;b&gt;command&lt;/b&gt; was not run" in text


def test_without_a_table_it_says_what_makes_one(operator: Client, table: Path) -> None:
    assert "make readiness was not run here yet." in asked(operator)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{}], "at": "never", "commit": ""}', '{"rows": 3}'])
def test_a_file_that_is_no_table_is_no_error(operator: Client, table: Path, text: str) -> None:
    table.write_text(text)
    assert "cannot be read" in asked(operator)


def test_it_is_for_operators_alone(client: Client, table: Path) -> None:
    table.write_text(json.dumps(TABLE))
    site = factories.site()
    for fields in ({}, {"site": site, "role": "ADMIN"}):
        given: dict[str, Any] = {"is_staff": True, **fields}
        client.force_login(factories.user(**given))
        assert client.get(reverse("readiness")).status_code == 403
        assert reverse("readiness") not in client.get(reverse("admin:index")).content.decode()


def test_the_menu_leads_operators_to_it(operator: Client, table: Path) -> None:
    assert reverse("readiness") in operator.get(reverse("admin:index")).content.decode()
