"""What GET answers, held against the OpenAPI description: every list, row and list of a row that the plant has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from sensors.description import described
from sensors.models import Sensor, Site
from tests import factories, plant
from tests.client import client
from tests.contract import Node

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NEEDS = {"/api/v1/kpis/": "site={site}", "/api/v1/kpis/csv/": "site={site}", "/api/v1/alarm-report/": "site={site}",
         "/api/v1/ml/forecast/": "sensor={sensor}",
         "/api/v1/exports/now/": "site={site}&what=alarms&form=ndjson&from_at=2026-03-01T00:00:00Z"
         "&to_at=2026-03-02T00:00:00Z",
         "/api/v1/equipment/{id}/health/": ""}  # fmt: skip
SEEN_LEAST = 120
"""Addresses whose answers are looked at; fewer would mean that the plant has rows of fewer kinds."""


@pytest.fixture
def site() -> Site:
    site = factories.site()
    plant.rows(site)
    return site


@pytest.fixture
def http(site: Site) -> Client:
    return client(factories.user(is_superuser=True))


def of(node: Node) -> Node:
    while "$ref" in node:
        found: Any = described()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def asked(http: Client, site: Site) -> Iterator[tuple[str, str, Node]]:
    """Path of the description, address and operation of what can be read; ids are those that the lists show."""
    gets = {path: methods["get"] for path, methods in described()["paths"].items() if "get" in methods}
    known: dict[str, Any] = {}
    sensor = Sensor.objects.filter(equipment__site=site).values_list("pk", flat=True).first()
    for path in sorted(gets, key=lambda path: path.count("{")):
        list_path, _, rest = path.partition("{")
        if not rest:
            needs = NEEDS.get(path, "").format(site=site.pk, sensor=sensor)
            yield path, f"{path}?{needs}".rstrip("?"), gets[path]
            continue
        if list_path not in known:
            rows = http.get(list_path).json().get("results") or [{}]
            known[list_path] = next((rows[0][key] for key in ("id", "name", "key") if key in rows[0]), None)
        if known[list_path] is not None:
            yield path, list_path + str(known[list_path]) + rest.partition("}")[2], gets[path]


def instants(schema: Node, value: Any) -> Iterator[str]:
    """The values that are instants by their schema."""
    schema = of(schema)
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from instants(part, value)
    if schema.get("format") == "date-time" and isinstance(value, str):
        yield value
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from instants(inner, value[name])
    elif isinstance(value, list):
        for one in value:
            yield from instants(schema.get("items", {}), one)


def test_every_answer_is_as_it_is_described_and_its_instants_are_in_utc(http: Client, site: Site) -> None:
    wrong, seen, times = [], 0, 0
    for path, address, operation in asked(http, site):
        if path.endswith(("/content/", "/download/", "/file/", "/live/")):  # no file, no stream
            continue
        answer = http.get(address)
        if answer.status_code == 404:
            continue
        assert answer.status_code == 200, (address, answer.content)
        if answer["Content-Type"] != "application/json":
            continue
        body, seen = answer.json(), seen + 1
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        errors = Draft202012Validator({**schema, "components": described()["components"]}).iter_errors(body)
        wrong += [(path, list(error.absolute_path), error.message[:200]) for error in errors]
        found = list(instants(schema, body))
        wrong += [(path, [], f"{instant} is not in UTC") for instant in found if not Z.fullmatch(instant)]
        times += len(found)
    assert wrong == [], "\n".join(map(str, wrong))
    assert seen >= SEEN_LEAST
    assert times > seen


def test_every_order_that_a_list_offers_is_one_it_can_give(http: Client, site: Site) -> None:
    for path, address, operation in asked(http, site):
        for one in map(of, operation.get("parameters", ())):
            if one["name"] == "ordering":
                for order in one["schema"]["enum"]:
                    answer = http.get(address, {"ordering": order, "page_size": 1})
                    assert answer.status_code == 200, (path, order)
                    if (following := answer.json()["next"]) is not None:
                        assert http.get(following).status_code == 200, (path, order)
