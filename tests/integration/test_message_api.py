"""Messages and their tries over REST: of the caller's sites, without secrets, in a fixed number of queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sensors.families import Refresh
from sensors.models import Membership, Site
from tests import factories, plant

pytestmark = pytest.mark.django_db
URL = "/api/v1/notifications/"


def ask(site: Site, path: str = URL, **query: Any) -> Any:
    user = factories.user(site=site, role=Membership.Role.VIEWER)
    return Client().get(path, query, headers={"Authorization": f"Bearer {Refresh.for_user(user).access_token}"})


def test_messages_of_ones_sites_are_listed_with_their_tries_and_without_secrets() -> None:
    site = factories.site()
    mine = plant.rows(site)
    theirs = plant.rows(factories.site())
    answer = ask(site)
    (row,) = answer.json()["results"]
    assert (row["channel"], row["status"], row["error"]) == (mine.channel.pk, "FAILED", "550 no such user")
    assert [(line["attempt"], line["outcome"]) for line in row["tries"]] == [(1, "FAILED")]
    assert "s3cret" not in answer.content.decode()
    hidden = theirs.channel.notifications.get()
    assert ask(site, f"{URL}{hidden.pk}/").status_code == 404
    assert Client().get(URL).status_code == 401


def test_messages_are_filtered() -> None:
    site = factories.site()
    channel = plant.rows(site).channel
    plant.rows(site)
    assert len(ask(site, channel=channel.pk).json()["results"]) == 1
    assert ask(site, status="SENT").json()["results"] == []
    assert ask(site, created_before="2020-01-01T00:00:00Z").json()["results"] == []
    assert ask(site, status="NONSENSE").status_code == 400


def test_a_list_asks_as_often_at_10_rows_as_at_2() -> None:
    site = factories.site()
    counted = []
    for more in (2, 8):
        for _ in range(more):
            plant.rows(site)
        with CaptureQueriesContext(connection) as queries:
            ask(site)
        counted.append(len(queries))
    assert counted[0] == counted[1]
