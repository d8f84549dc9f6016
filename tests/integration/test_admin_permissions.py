"""Every page of the admin and every button on it, for every role of the site: what the table says, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import RequestFactory

from mlops.models import ModelPolicy
from sensors import permissions
from sensors.desk import Desk
from sensors.models import Membership
from tests import factories, plant
from tests.integration.test_admin_scope import OPERATORS

pytestmark = pytest.mark.django_db

ROLES = Membership.Role.values


def asked(user: User, *, method: str = "get") -> HttpRequest:
    request: HttpRequest = getattr(RequestFactory(), method)("/admin/", {"post": "yes"})
    request.user = user
    setattr(request, "_dont_enforce_csrf_checks", True)  # noqa: B010 - the class does not know it
    return request


def names(listed: Any) -> Iterator[str]:
    for one in listed or ():
        yield from names(one["items"]) if isinstance(one, dict) else [one]


def buttons(page: Any) -> set[str]:
    return {*names(page.actions_detail), *names(page.actions_row), *names(page.actions_list)}


def takes(page: Any, button: str) -> str:
    """The permission by the table that a button of a page names."""
    (named,) = getattr(page, button).allowed_permissions
    return page.acts if named == "act" else named.replace("_", ".", 1)


def is_refused(call: Any, *args: Any, **named: Any) -> bool:
    try:
        call(*args, **named)
    except PermissionDenied:
        return True
    return False


def wrong_rows(page: Any, row: Any, people: dict[str, User]) -> Iterator[str]:
    """What of seeing and changing a page's rows is not as the table says."""
    edits, adds = (permissions.roles(to) if to else frozenset() for to in (page.edits, page.adds or page.edits))
    may = {
        what: {role for role, user in people.items() if getattr(page, f"has_{what}_permission")(asked(user), *of)}
        for what, of in (("view", [row]), ("add", []), ("change", [row]), ("delete", [row]))
    }
    if may["view"] != permissions.roles(page.sees):
        yield f"seen by {may['view']}"
    for what, able in (("add", adds), ("change", edits), ("delete", edits)):
        if may[what] and may[what] != able:  # a page may leave one of them out for everybody
            yield f"{what}: {sorted(may[what])}, by the table {sorted(able)}"
    for role in set(ROLES) - edits:
        for view in (page.changeform_view, page.delete_view):
            if not is_refused(view, asked(people[role], method="post"), str(row.pk)):
                yield f"{view.__name__} by {role}"


def wrong_buttons(page: Any, row: Any, people: dict[str, User]) -> Iterator[str]:
    """Which of a page's buttons are pressed by others than the table says."""
    for button in buttons(page):
        able = permissions.roles(takes(page, button))
        named = {} if button in set(names(page.actions_list)) else {"object_id": str(row.pk)}
        for role in set(ROLES) - able:
            if not is_refused(getattr(page, button), asked(people[role], method="post"), **named):
                yield f"{button} by {role}"
        if not all(page.may(asked(people[role]), row, takes(page, button)) for role in able):
            yield f"{button} is refused to one of {sorted(able)}"


def test_every_page_and_button_is_as_the_table_says() -> None:
    rows = plant.rows(factories.site(), name="mine")
    ModelPolicy.objects.update(site=rows.machine.site, equipment_class="PUMP")
    people = {role: factories.user(site=rows.machine.site, role=role, is_staff=True) for role in ROLES}
    wrong, seen = [], 0
    for model, page in admin.site._registry.items():
        if not isinstance(page, Desk) or model in OPERATORS:
            continue
        row = page.get_queryset(asked(people[Membership.Role.ADMIN])).order_by("pk").first()
        assert row is not None, model
        found = [*wrong_rows(page, row, people), *wrong_buttons(page, row, people)]
        wrong += [f"{type(page).__name__}: {one}" for one in found]
        seen += len(buttons(page))
    assert wrong == []
    assert seen > 60


def test_every_button_names_a_permission_of_the_table() -> None:
    for page in admin.site._registry.values():
        if isinstance(page, Desk):
            assert {takes(page, button) for button in buttons(page)} <= set(permissions.TABLE), type(page)
            assert {to for to in (page.edits, page.adds, page.acts) if to} <= set(permissions.TABLE), type(page)
