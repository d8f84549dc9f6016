"""The OpenAPI description: complete, true to what is committed, and nothing in it that breaks a client unmarked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from jsonschema import Draft202012Validator

from sensors.description import described
from tests import contract
from tests.contract import Node

DOCS = Path(__file__).resolve().parents[2] / "docs"


@cache
def api() -> Node:
    return described()


def of(node: Node) -> Node:
    while "$ref" in node:
        found: Any = api()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def operations() -> Iterator[tuple[str, Node]]:
    for path, methods in api()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def bodies(operation: Node) -> Iterator[Node]:
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from of(body).get("content", {}).values()


def test_it_is_made_without_a_warning() -> None:
    GENERATOR_STATS.reset()  # type: ignore[no-untyped-call]
    described.cache_clear()
    assert described()["openapi"] == "3.1.1"
    assert (dict(GENERATOR_STATS._warn_cache), dict(GENERATOR_STATS._error_cache)) == ({}, {})


def test_the_committed_one_is_the_one_that_is_served() -> None:
    assert contract.load(DOCS / "openapi.yaml") == api(), "make openapi writes it anew"


@pytest.mark.django_db
def test_it_is_served_to_everybody() -> None:
    answer = Client().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert (answer.status_code, answer.json() == api()) == (200, True)


def test_no_change_that_breaks_a_client_goes_in_unmarked() -> None:
    marked = set(re.findall(r"^- `(.+)`", (DOCS / "openapi-breaking.md").read_text(), re.M))
    assert set(contract.breaking(contract.load(DOCS / "openapi-released.yaml"), api())) == marked


def test_every_operation_says_what_it_does_who_may_and_what_can_go_wrong() -> None:
    for name, operation in operations():
        assert operation.get("summary"), name
        assert re.search(r"\b(Takes|Open to)\b", operation.get("description", "")), name
        problems = {code for code in operation["responses"] if code >= "400"}
        assert {"400", "401", "403", "405", "406", "429", "500", "503"} <= problems, name
        if not name.startswith("GET"):
            assert {"409", "413", "415", "422"} <= problems, name
        for code in problems:
            assert set(of(operation["responses"][code])["content"]) == {"application/problem+json"}, (name, code)


def test_every_operation_has_examples_and_each_is_valid_by_its_own_schema() -> None:
    seen: set[str] = set()
    for name, operation in operations():
        found = 0
        for media in bodies(operation):
            for example in media.get("examples", {}).values():
                found += 1
                if str((media["schema"], example)) in seen:
                    continue
                seen.add(str((media["schema"], example)))
                schema = {**media["schema"], "components": api()["components"]}
                wrong = [error.message for error in Draft202012Validator(schema).iter_errors(of(example)["value"])]
                assert wrong == [], name
        assert found, name


def test_every_post_takes_a_key_but_those_for_tokens() -> None:
    without = []
    for name, operation in operations():
        headers = [one["name"] for one in map(of, operation.get("parameters", [])) if one["in"] == "header"]
        if name.startswith("POST") and "Idempotency-Key" not in headers:
            without.append(name)
    assert without == [
        f"POST /api/v1/auth/{name}/" for name in ("blacklist", "refresh", "token", "token/blacklist", "token/refresh")
    ]


def test_a_time_of_day_is_none_of_json_schema_which_has_an_offset() -> None:
    schemas = api()["components"]["schemas"].values()
    fields = [field for schema in schemas for field in schema.get("properties", {}).values()]
    times = [field for field in fields if field.get("format", "").startswith("time")]
    assert {field["format"] for field in times} == {"time-local"}
    assert all(re.search(field["pattern"], "06:30") and re.search(field["pattern"], "06:30:00") for field in times)


def test_every_list_comes_in_pages() -> None:
    bare = set()
    for name, operation in operations():
        answer = of(operation["responses"].get("200", {})).get("content", {}).get("application/json", {})
        if name.startswith("GET") and of(answer.get("schema", {})).get("type") == "array":
            bare.add(name)
    assert bare == set(SHORT)


SHORT = {
    "GET /api/v1/plans/{id}/upcoming/": "the next ten",
    "GET /api/v1/auth/sessions/": "one's own log-ins, of a month at most",
    "GET /api/v1/ml/forecast/": "one for each limit of a sensor",
    "GET /api/v1/runs/{id}/payload/": "so many parts at most",
}
"""Lists that do not grow, and why."""


def test_what_will_end_is_marked() -> None:
    marked = {name for name, operation in operations() if operation.get("deprecated")}
    assert marked == {"POST /api/v1/auth/token/blacklist/", "POST /api/v1/auth/token/refresh/"}


@pytest.mark.parametrize("code", ["400", "401", "404", "412", "429", "503"])
def test_a_problem_is_described_once_with_an_example(code: str) -> None:
    answer = api()["components"]["responses"][f"Problem{code}"]
    assert answer["content"]["application/problem+json"]["examples"]["Example"]["value"]["status"] == int(code)
