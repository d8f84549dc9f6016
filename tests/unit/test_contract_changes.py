from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import contract

PLAIN: dict[str, Any] = {
    "paths": {
        "/pumps/": {
            "post": {
                "parameters": [{"in": "query", "name": "site", "schema": {"type": "integer"}}],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PumpRequest"}}}
                },
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pump"}}}},
                    "400": {"description": "No"},
                },
            },
            "get": {"responses": {"200": {"description": "All"}}},
        }
    },
    "components": {
        "schemas": {
            "PumpRequest": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 50},
                    "kind": {"oneOf": [{"$ref": "#/components/schemas/Kind"}, {"type": "null"}]},
                    "power": {"type": "number"},
                    "parts": {"type": "array", "items": {"type": "object", "properties": {"tag": {"type": "string"}}}},
                },
            },
            "Pump": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {
                    "id": {"type": "integer"},
                    "name": {"type": "string"},
                    "note": {"type": "string"},
                    "driver": {"$ref": "#/components/schemas/Pump"},
                },
            },
            "Kind": {"type": "string", "enum": ["CENTRIFUGAL", "GEAR"]},
        }
    },
}

Change = Callable[[Any], Any]


def asks(of: Any) -> Any:
    return of["components"]["schemas"]["PumpRequest"]


def says(of: Any) -> Any:
    return of["components"]["schemas"]["Pump"]


def post(of: Any) -> Any:
    return of["paths"]["/pumps/"]["post"]


def changed(change: Change) -> list[str]:
    new = copy.deepcopy(PLAIN)
    change(new)
    return contract.breaking(PLAIN, new)


BREAKING: dict[str, tuple[Change, str]] = {
    "path": (lambda d: d["paths"].clear(), "GET /pumps/: the operation is gone"),
    "operation": (lambda d: d["paths"]["/pumps/"].pop("get"), "GET /pumps/: the operation is gone"),
    "parameter": (lambda d: post(d).pop("parameters"), "POST /pumps/: query parameter site: it is gone"),
    "required parameter": (
        lambda d: post(d)["parameters"].append({"in": "query", "name": "x", "required": True, "schema": {}}),
        "POST /pumps/: query parameter x: it is required now",
    ),
    "parameter's type": (
        lambda d: post(d)["parameters"][0].update(schema={"type": "string"}),
        "POST /pumps/: query parameter site: integer is no longer taken",
    ),
    "required field": (lambda d: asks(d)["required"].append("power"), "POST /pumps/: body/power: it is required now"),
    "field of the body": (lambda d: asks(d)["properties"].pop("power"), "POST /pumps/: body/power: it is gone"),
    "narrower type": (
        lambda d: asks(d)["properties"]["power"].update(type="integer"),
        "POST /pumps/: body/power: number is no longer taken",
    ),
    "narrower length": (
        lambda d: asks(d)["properties"]["name"].update(maxLength=10),
        "POST /pumps/: body/name: maxLength is narrower",
    ),
    "new pattern": (
        lambda d: asks(d)["properties"]["name"].update(pattern="x"),
        "POST /pumps/: body/name: pattern is narrower",
    ),
    "enum out of nothing": (
        lambda d: asks(d)["properties"]["name"].update(enum=["A"]),
        "POST /pumps/: body/name: other values no longer taken",
    ),
    "enum's value": (
        lambda d: d["components"]["schemas"]["Kind"].update(enum=["GEAR"]),
        "POST /pumps/: body/kind: an alternative is no longer taken",
    ),
    "alternative": (
        lambda d: asks(d)["properties"].update(kind={"$ref": "#/components/schemas/Kind"}),
        "POST /pumps/: body/kind: an alternative is no longer taken",
    ),
    "item's field": (
        lambda d: asks(d)["properties"]["parts"]["items"].update(properties={}),
        "POST /pumps/: body/parts[]/tag: it is gone",
    ),
    "media type": (
        lambda d: post(d)["requestBody"].update(content={"text/csv": {}}),
        "POST /pumps/: body: application/json is gone",
    ),
    "answer": (lambda d: post(d)["responses"].pop("201"), "POST /pumps/: answer 201: it is gone"),
    "field of the answer": (lambda d: says(d)["properties"].pop("note"), "POST /pumps/: answer 201/note: it is gone"),
    "sure field": (
        lambda d: says(d).update(required=["id"]), "POST /pumps/: answer 201/name: it can be left out now",
    ),
    "null": (
        lambda d: says(d)["properties"]["note"].update(type=["string", "null"]),
        "POST /pumps/: answer 201/note: null is new there",
    ),
    "number for a whole number": (
        lambda d: says(d)["properties"]["id"].update(type="number"), "POST /pumps/: answer 201/id: number is new there",
    ),
}  # fmt: skip
HARMLESS: dict[str, Change] = {
    "nothing": lambda d: None,
    "operation": lambda d: d["paths"].update({"/fans/": {"get": {"responses": {}}}}),
    "parameter": lambda d: post(d)["parameters"].append({"in": "query", "name": "x", "schema": {}}),
    "field of the body": lambda d: asks(d)["properties"].update(more={"type": "string"}),
    "field of the answer": lambda d: says(d)["properties"].update(more={"type": "string"}),
    "what need not be said": lambda d: asks(d).update(required=[]),
    "wider length": lambda d: asks(d)["properties"]["name"].update(maxLength=99),
    "enum's value": lambda d: d["components"]["schemas"]["Kind"]["enum"].append("SCREW"),
    "problem": lambda d: post(d)["responses"].pop("400"),
    "another name of a schema": lambda d: d["components"]["schemas"].update(Other=says(d)),
    "words": lambda d: says(d).update(description="Other"),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_can_break_a_client_is_named_with_its_place(name: str) -> None:
    change, told = BREAKING[name]
    assert told in changed(change)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_breaks_nobody_is_let_through(name: str) -> None:
    assert changed(HARMLESS[name]) == []


def test_the_command_prints_what_it_found_and_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(yaml.safe_dump(PLAIN))
    new.write_text(yaml.safe_dump({"paths": {}}))
    assert contract.main(str(old), str(new)) == 1
    assert "POST /pumps/: the operation is gone" in capsys.readouterr().out
    assert contract.main(str(old), str(old)) == 0
