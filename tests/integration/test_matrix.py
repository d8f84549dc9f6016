"""Every operation of the router, asked for by every role, a stranger and nobody: what the table says, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework import viewsets
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from maintenance.models import Alarm
from sensors import permissions, policy
from sensors.models import Membership
from sensors.policy import READS
from tests import factories, matrix

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]


def test_every_operation_declares_a_permission_of_the_table() -> None:
    known = {*permissions.TABLE, permissions.PUBLIC}
    assert [str(one) for one in matrix.operations() if one.takes not in known] == []
    assert len(matrix.operations()) > 250


def test_what_a_policy_names_is_served() -> None:
    """A name that was mistyped, or of an action that is no more, guards nothing."""
    for operation in matrix.operations():
        named = set(operation.view.policy) - {"list", "retrieve"}
        assert [name for name in named if not hasattr(operation.view, name)] == [], operation


def test_every_operation_lets_in_by_the_table_and_changes_nothing_for_others() -> None:
    cells = matrix.measure()
    assert [cell.wrong for cell in cells if cell.wrong] == []
    assert {cell.caller for cell in cells} == set(matrix.CALLERS)


def test_a_change_that_is_undone_again_is_counted() -> None:
    made = matrix.Plant()
    acknowledge = next(one for one in matrix.operations() if str(one).endswith("/alarms/{pk}/acknowledge/"))
    cell = made.ask(acknowledge, Membership.Role.TECHNICIAN)
    assert (cell.status, cell.wrong) == (200, "")
    assert cell.touched >= 2  # the alarm and its history
    assert not Alarm.objects.get().is_acknowledged
    viewer = made.ask(acknowledge, Membership.Role.VIEWER)
    assert (viewer.status, viewer.touched) == (403, 0)


class Undeclared(viewsets.ViewSet):
    def list(self, request: Any) -> Response:
        return Response([])


class Declared(Undeclared):
    policy = READS


@pytest.mark.parametrize(("view", "status"), [(Undeclared, 403), (Declared, 200)])
def test_a_view_without_a_policy_is_shut_to_everybody(view: Any, status: int) -> None:
    for user in (factories.user(site=factories.site()), factories.user(is_superuser=True)):
        request = APIRequestFactory().get("/")
        force_authenticate(request, user)
        assert view.as_view({"get": "list"})(request).status_code == status


def test_one_may_change_ones_own_and_nobody_elses() -> None:
    made = matrix.Plant()
    readers = next(one for one in matrix.operations() if str(one) == "PATCH /api/v1/persons/{pk}/")
    assert made.ask(readers, Membership.Role.VIEWER).status == 403
    own = made.rows.channel.reader
    assert own is not None
    assert policy.is_for_own(type("View", (), {"action": "partial_update", "own": ("partial_update",)}))
    made.people[Membership.Role.VIEWER] = own.user
    assert made.ask(readers, Membership.Role.VIEWER).status == 200
