"""What somebody reads who may not see a page; and the product's icon, where browsers look for it."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.urls import reverse

from config import not_allowed
from sensors.models import Membership
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_page_that_is_not_allowed_leads_back(client: Client) -> None:
    site = factories.site(name="Mine works")
    client.force_login(factories.user(site=site, role=Membership.Role.VIEWER, is_staff=True, username="vera"))
    answer = client.get(reverse("admin:sensors_site_add"))
    text = answer.content.decode()
    assert answer.status_code == 403
    assert f'href="{reverse("admin:index")}">To the overview' in text
    assert reverse("admin:maintenance_alarm_changelist") in text  # the menu


def test_programs_read_a_problem() -> None:
    answer = not_allowed.view(RequestFactory().get("/api/v1/sites/"), PermissionDenied())
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")


def test_browsers_find_the_icon_where_they_look(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert answer.status_code == 302
    assert finders.find(answer.headers["Location"].removeprefix("/static/"))
