"""Who is let in where: every operation of the router asked for by every role, a stranger and nobody.

A *cell* is one operation asked for by one caller. What should come of it is in the table of permissions, by the policy
that the view declares; what came of it is the status, and how many rows of the database were touched, as Postgres
itself counts them for the transaction: what is written and undone again counts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from rest_framework.test import APIRequestFactory, force_authenticate

from maintenance.attachment_models import Attachment
from mlops.models import ModelPolicy, Question
from sensors import directory, permissions, policy
from sensors.models import Membership
from tests import factories, plant
from tests.client import JSON, client

Role = Membership.Role
STRANGER, ANONYMOUS, OPERATOR = "stranger", "anonymous", "operator"
CALLERS = (*Role.values, STRANGER, ANONYMOUS, OPERATOR)
SHUT = (401, 403, 404)
SHARED = ("ml/models", "ml/deployments")
"""What every member of any site reads, while no site owns the model."""
OWN = ("auth/sessions",)
"""Of whoever asks alone: a stranger sees and ends theirs, and no others (``test_token_families``)."""
TABLES = """
SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname <> ALL(%s)
"""
TOUCHED = """
SELECT sum(
    pg_stat_get_xact_tuples_inserted(t) + pg_stat_get_xact_tuples_updated(t) + pg_stat_get_xact_tuples_deleted(t)
) FROM unnest(%s::oid[]) t
"""
NOTES = ["sensors_auditentry", "sensors_audithead"]
"""Tables in which a refusal itself is noted: a row more in them is no change."""
FACTORY = APIRequestFactory()
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """``takes``: the permission by the view's policy; None: it has none."""

    route: str
    method: str
    view: type[Any]
    takes: str | None
    own: bool = False

    @property
    def name(self) -> str:
        """The list it is of."""
        return self.route.removeprefix("api/v1/").split("/(")[0].strip("/")

    @property
    def of_one(self) -> bool:
        return "(?P<" in self.route

    def __str__(self) -> str:
        return f"{self.method.upper()} /" + re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", self.route)


@dataclass(frozen=True, slots=True)
class Cell:
    operation: Operation
    caller: str
    status: int
    touched: int
    body: bytes

    @property
    def may(self) -> bool:
        """By the table."""
        takes = self.operation.takes
        if takes == permissions.PUBLIC:
            return True
        if self.caller == STRANGER and self.operation.name in OWN:
            return True
        if self.caller in (STRANGER, ANONYMOUS) or takes is None:
            return self.caller == OPERATOR
        return self.caller == OPERATOR or self.caller in permissions.roles(takes)

    @property
    def wrong(self) -> str:
        """What is wrong with it; empty where it is as the table says."""
        if self.status >= 500 and self.status != 503:
            return f"{self.operation} fails for {self.caller}: {self.status} {self.body[:200]!r}"
        if self.may:
            shut = self.status in (401, 403) and self.operation.takes != permissions.PUBLIC
            return f"{self.operation} refuses {self.caller}: {self.status} {self.body[:200]!r}" if shut else ""
        if self.touched:
            return f"{self.operation} changes {self.touched} rows for {self.caller}, and answers {self.status}"
        if self.status in SHUT or (self.caller == STRANGER and self._shows_nothing):
            return ""
        return f"{self.operation} lets {self.caller} in: {self.status} {self.body[:200]!r}"

    @property
    def _shows_nothing(self) -> bool:
        """A list that is there for everybody, without anything of the plant in it; a body that names rows which are
        not the stranger's; a model that no site owns."""
        if self.operation.of_one:
            return self.operation.method == "get" and self.operation.name in SHARED and self.status == 200
        return self.status in (200, 400, 409, 415) and b"plantmine" not in self.body


def operations() -> list[Operation]:
    """Of every route below the API every method that it serves."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[Any], prefix: str) -> Iterator[Operation]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern).lstrip("^").rstrip("$")
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/"):
            yield from _of(pattern.callback, route)


def _of(callback: Any, route: str) -> Iterator[Operation]:
    view = callback.cls(**callback.initkwargs)
    actions = getattr(callback, "actions", None)
    if actions is not None:
        view.action_map = actions
    for method in METHODS:
        if method in actions if actions is not None else hasattr(view, method):
            yield Operation(route, method, type(view), _takes(view, method))


def _takes(view: Any, method: str) -> str | None:
    try:
        return policy.of(view, method)
    except LookupError:
        return None


class Plant:
    """A site with a row of every kind, somebody in every role, and somebody who has every right in another site."""

    def __init__(self) -> None:
        self.site = factories.site(slug="plantmine", name="plantmine works")
        self.rows = plant.rows(self.site, name="plantmine")
        ModelPolicy.objects.update(site=self.site, equipment_class="PUMP")
        people = {role: factories.user(site=self.site, role=role) for role in Role.values}
        people[STRANGER] = factories.user(site=factories.site(), role=Role.ADMIN)
        people[OPERATOR] = factories.user(is_superuser=True)
        asked = Question.objects.create(kind="PREDICT", name="wear", asked_by=people[Role.VIEWER], asked={})
        self.people = people
        self.clients: dict[str, Client] = {ANONYMOUS: client()} | {who: client(user) for who, user in people.items()}
        for one in self.clients.values():
            one.raise_request_exception = False
        first = self.rows
        self.keys: dict[str, Any] = {"ml/questions": asked.key, "sites": self.site.pk, "equipment": first.machine.pk}
        self.body = {
            "site": self.site.pk, "machine": first.machine.pk, "equipment": first.machine.pk, "sensor": first.sensor.pk,
            "order": first.order.pk, "orders": [first.order.pk], "name": "x", "title": "x", "reason": "x",
            "comment": "x", "decision": "APPROVE", "maintenance_type": "INSPECTION", "state": "OFF",
        }  # fmt: skip

        with connection.cursor() as cursor:
            cursor.execute(TABLES, [NOTES])
            self._tables = [oid for (oid,) in cursor.fetchall()]
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        self._touched = self.touched()

    def path(self, operation: Operation) -> str:
        if operation.of_one and operation.name not in self.keys:
            model = operation.view.queryset.model
            row = model._default_manager.order_by("pk").first()
            self.keys[operation.name] = 1 if row is None else row.pk
        return "/" + re.sub(r"\(\?P<\w+>[^)]*\)", str(self.keys.get(operation.name, "")), operation.route)

    def ask(self, operation: Operation, caller: str) -> Cell:
        """Whatever comes of it is undone. Who has no right here comes through all of the stack; the others, who are
        many, by the view that the router names for the address."""
        before, path = self._touched, self.path(operation)
        with transaction.atomic():
            ask = self._through_all if caller in (STRANGER, ANONYMOUS) else self._by_view
            status, body = ask(operation, caller, path)
            transaction.set_rollback(True)
        self._touched = self.touched()
        return Cell(operation, caller, status, self._touched - before, body)

    def touched(self) -> int:
        """Rows inserted, changed and deleted in this transaction so far, those that were undone again included."""
        with connection.cursor() as cursor:
            cursor.execute(TOUCHED, [self._tables])
            return int(cursor.fetchone()[0])

    def _through_all(self, operation: Operation, caller: str, path: str) -> tuple[int, bytes]:
        if operation.method == "get":
            query = "" if operation.of_one else f"?site={self.site.pk}"
            answer = self.clients[caller].get(path + query)
        else:
            answer = getattr(self.clients[caller], operation.method)(path, self.body, JSON)
        return answer.status_code, b"" if answer.streaming else answer.content

    def _by_view(self, operation: Operation, caller: str, path: str) -> tuple[int, bytes]:
        body = None if operation.method == "get" else self.body
        request = getattr(FACTORY, operation.method)(path, body, format="json")
        force_authenticate(request, self.people[caller], token=directory.numbers().access)
        found = resolve(path)
        answer = found.func(request, *found.args, **found.kwargs)
        if answer.streaming:
            answer.file_to_stream.close()
        return answer.status_code, str(getattr(answer, "data", "")).encode()


def measure(callers: tuple[str, ...] = CALLERS) -> list[Cell]:
    """Inside of a transaction that the caller undoes. What is for everybody is asked for once."""
    made = Plant()
    attached = Attachment.objects.get()
    attached.file.save("seal.png", ContentFile(b"seal"))
    made.begin()
    try:
        return [
            made.ask(operation, caller)
            for operation in operations()
            for caller in (callers if operation.takes != permissions.PUBLIC else (ANONYMOUS,))
        ]
    finally:
        attached.file.delete()


def lines(cells: list[Cell]) -> list[list[str]]:
    """Operations by callers, as measured."""
    found: dict[Operation, dict[str, Cell]] = {}
    for cell in cells:
        found.setdefault(cell.operation, {})[cell.caller] = cell
    head = ["operation", "permission", *CALLERS]
    marks = [
        [str(one), one.takes or "NONE", *(_mark(by_caller.get(caller)) for caller in CALLERS)]
        for one, by_caller in found.items()
    ]
    return [head, *marks]


def _mark(cell: Cell | None) -> str:
    if cell is None:  # of what is for everybody
        return "yes"
    if cell.wrong:
        return "WRONG"
    let_in = cell.may and cell.status not in (401, 403)
    return "yes" if let_in else "-"
