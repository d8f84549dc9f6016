from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import path
from drf_spectacular.generators import SchemaGenerator

from maintenance.api import Alarms
from sensors import permissions
from sensors.models import Membership

Role = Membership.Role
PAGE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"


def printed(*args: str) -> str:
    out = StringIO()
    call_command("permissions", *args, stdout=out)
    return out.getvalue()


def test_the_page_holds_what_the_command_prints() -> None:
    page = PAGE.read_text()
    assert page.partition("<!-- table -->\n")[2].partition("<!-- end -->")[0] == printed("--markdown")


def test_the_command_prints_a_line_for_each_permission() -> None:
    head, *lines = printed().splitlines()
    assert len(head.split()) == 1 + len(Role)
    assert [line.split()[0] for line in lines] == list(permissions.TABLE)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.INGEST])
def test_who_only_reads_changes_nothing(role: str) -> None:
    reads = {permissions.READ, "audit.read"} | ({permissions.SEND} if role == Role.INGEST else set())
    assert {name for name, one in permissions.TABLE.items() if role in one.roles} <= reads


def test_a_sites_administrator_may_do_everything_in_it() -> None:
    assert [name for name, one in permissions.TABLE.items() if Role.ADMIN not in one.roles] == [
        permissions.INSTALLATION
    ]


def test_the_description_says_of_an_operation_what_it_takes_and_who_has_it() -> None:
    view = Alarms.as_view({"get": "list", "post": "acknowledge"})
    operations = SchemaGenerator(patterns=[path("alarms/", view)]).get_schema(public=True)["paths"]["/alarms/"]
    assert operations["get"]["x-permission"] == {"name": "read", "roles": sorted(Role.values)}
    takes = operations["post"]["x-permission"]
    assert takes == {"name": "alarms.act", "roles": ["ADMIN", "RELIABILITY", "TECHNICIAN"]}
    said = "Takes `alarms.act`: technician, reliability engineer or site administrator."
    assert operations["post"]["description"].endswith(said)


def test_who_has_a_permission_is_said_by_name() -> None:
    assert permissions.said("orders.approve") == "site administrator"
    assert permissions.said("orders.act") == "technician, planner or site administrator"
    assert "whole installation" in permissions.said(permissions.INSTALLATION)
