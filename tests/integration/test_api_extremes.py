"""The largest and smallest that a body can say, in each of its members, to every operation that writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from sensors.description import described
from tests import factories, matrix
from tests.client import JSON, client, problem
from tests.contract import Node

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

NUMBERS = (2**63 - 1, -(2**63), 2**31, 1.7e308)
TEXTS = ("a\u0000b", "9" * 400, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31")
WRITES = ("post", "put", "patch")
OUTSIDE = ("auth/", "api-keys/")
"""Log-ins are counted, and keys made, by tests of their own."""


def of(node: Node) -> Node:
    while "$ref" in node:
        found: Any = described()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def examples() -> dict[tuple[str, str], Any]:
    """The first example of what each operation takes, by method and path."""
    found = {}
    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            body = of(operation.get("requestBody", {})).get("content", {}).get(JSON, {})
            for example in list(body.get("examples", {}).values())[:1]:
                found[method, path] = of(example)["value"]
    return found


def extremes(body: Any) -> Iterator[Any]:
    """The body, with one number or text in it put to an extreme: each to the next of them."""
    for number, (way, value) in enumerate(leaves(body)):
        if isinstance(value, bool):
            continue
        given = NUMBERS if isinstance(value, (int, float)) else TEXTS
        made = copy.deepcopy(body)
        inside = made
        for step in way[:-1]:
            inside = inside[step]
        inside[way[-1]] = given[number % len(given)]
        yield made


def leaves(body: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    members = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in members:
        yield from leaves(value, (*way, key)) if isinstance(value, (dict, list)) else [((*way, key), value)]


def test_no_extreme_is_a_fault_of_the_service() -> None:
    plant = matrix.Plant()
    http: Client = plant.clients[matrix.OPERATOR]
    known, faults, asked = examples(), [], 0
    for operation in matrix.operations():
        path = plant.path(operation)
        template = str(operation).split(" ", 1)[1].replace("{pk}", "{id}")
        body = known.get((operation.method, template))
        if operation.method not in WRITES or body is None or operation.name.startswith(OUTSIDE):
            continue
        if isinstance(body, dict):
            body = body | {name: value for name, value in plant.body.items() if name in body}
        for extreme in extremes(body):
            asked += 1
            with transaction.atomic():
                answer = getattr(http, operation.method)(path, json.dumps(extreme), JSON)
                transaction.set_rollback(True)
            if answer.status_code >= 500 and answer.status_code != 503:
                faults.append(f"{operation} {json.dumps(extreme)[:300]}: {answer.status_code}")
    assert asked > 200
    assert faults == []


def test_what_no_view_answers_is_told_so_and_is_no_fault() -> None:
    asking = client(factories.user(is_superuser=True))
    for path in ("ml/check_drift/", "ml/retrain/", "alarms/", "sites/"):
        problem(asking.options(f"/api/v1/{path}"), status=405, name="method-not-allowed")
