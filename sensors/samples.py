"""Examples in the OpenAPI description, made from its schemas: one of each body, valid by its own schema.

What a schema cannot know, such as what a title may sound like, stands in a table by the names of fields.
"""

from __future__ import annotations

from typing import Any

from sensors import problems

Schema = dict[str, Any]

SHARED = ("IdempotencyKey", "IfMatch", "IfNoneMatch", "cursor", "page_size", "ordering")
NOON = "2026-03-01T12:00:00Z"
FORMATS: dict[str, str] = {
    "date-time": NOON,
    "date": "2026-03-01",
    "time-local": "12:00:00",
    "uuid": "0b6f8a52-6c1c-4c3e-9a0e-4d2f0c5b7a11",
    "uri": "https://bellwether.example/",
    "email": "maria@plant.example",
    "binary": "(bytes)",
    "decimal": "120.50",
}
NAMED: dict[str, Any] = {
    "title": "Guard of the coupling is loose",
    "description": "Found on the round; the bolts are there.",
    "comment": "Seen, on my way.",
    "reason": "The suction strainer is blocked.",
    "name": "Pump 7",
    "tag": "P-107",
    "slug": "north",
    "time_zone": "Europe/Berlin",
    "unit": "mm/s",
    "external_id": "pump-7/vibration",
    "username": "maria",
    "assignee": "maria",
    "equipment_class": "PUMP",
    "cursor": "cD0xMjM=",
    "next": "https://bellwether.example/api/v1/alarms/?cursor=cD0xMjM%3D",
    "previous": None,
    "results": None,
    "detail": "See errors.",
    "pointer": "#/title",
    "parameter": "machine",
    "value": 21.5,
}
"""By the name of a field, where what stands here is valid by the field's schema."""
del NAMED["results"]


def add(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """A hook of drf-spectacular: an example for every body that has none, and the problem answers, written once."""
    parts = result["components"]
    _say_once(parts["schemas"])
    parts["responses"] = {f"Problem{code}": _problem(code) for code in sorted(problems.ANSWERS)}
    made: Schema = parts.setdefault("examples", {})
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["parameters"] = [_shared(one, parts) for one in operation.get("parameters", [])]
            for body in (operation.get("requestBody"), *operation["responses"].values()):
                for media in (body or {}).get("content", {}).values():
                    if "examples" not in media and "schema" in media:
                        media["examples"] = {"Example": _once(media["schema"], parts["schemas"], made)}
    return result


def _say_once(node: Any) -> None:
    """What may be anything may be null too: as alternatives a null would be both, and so be valid by neither."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(inner, dict) and {} in inner.get("oneOf", ()):
            del inner["oneOf"]
        _say_once(inner)


def _shared(parameter: Schema, parts: Schema) -> Schema:
    """A parameter that many operations have is written once."""
    name = parameter["name"].replace("-", "")
    if name not in SHARED or parts.setdefault("parameters", {}).setdefault(name, parameter) != parameter:
        return parameter
    return {"$ref": f"#/components/parameters/{name}"}


def _once(schema: Schema, schemas: Schema, made: Schema) -> Schema:
    """An example; that of a named schema is written once."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name:
        return {"value": sample(schema, schemas)}
    if name not in made:
        made[name] = {"value": sample(schema, schemas)}
    return {"$ref": f"#/components/examples/{name}"}


def _problem(code: int) -> Schema:
    name, title = problems.BY_STATUS[code], problems.ANSWERS[code]
    value = {"type": f"/problems/{name}", "title": title, "status": code, "instance": "/api/v1/alarms/17/"}
    value["detail"] = problems.MEANINGS[name]
    if code == 400:
        value |= {"detail": "See errors.", "errors": [{"detail": "This field is required.", "pointer": "#/title"}]}
    media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {"Example": {"value": value}}}
    answer: Schema = {"description": title, "content": {problems.MEDIA_TYPE: media}}
    if code in (429, 503):
        seconds = {
            "description": "Seconds to wait before the same request is sent again.",
            "schema": {"type": "integer"},
        }
        answer["headers"] = {"Retry-After": seconds}
    if code == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return answer


def sample(schema: Schema, schemas: Schema, *, name: str = "", above: tuple[str, ...] = ()) -> Any:
    """A value that is valid by a schema. ``name``: of the field; ``above``: the named schemas that it is in."""
    if "$ref" in schema:
        ref = schema["$ref"].rpartition("/")[2]
        return sample(schemas[ref], schemas, name=name, above=(*above, ref))
    for given in ("example", "default", "const"):
        if given in schema:
            return schema[given]
    if "enum" in schema:
        return next((value for value in schema["enum"] if value not in ("", None)), schema["enum"][0])
    if "allOf" in schema:
        return sample(_merged(schema["allOf"], schemas), schemas, name=name, above=above)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return _first_of(schema[choice], schemas, name=name, above=above)
    return _of_type(schema, schemas, name=name, above=above)


def _first_of(choices: list[Schema], schemas: Schema, *, name: str, above: tuple[str, ...]) -> Any:
    deeper = [one for one in choices if one.get("$ref", "").rpartition("/")[2] not in above]
    return sample((deeper or choices)[0], schemas, name=name, above=above)


def _merged(parts: list[Schema], schemas: Schema) -> Schema:
    merged: Schema = {}
    for part in parts:
        merged |= schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return merged


def _of_type(schema: Schema, schemas: Schema, *, name: str, above: tuple[str, ...]) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((one for one in kinds if one != "null"), "null") if isinstance(kinds, list) else kinds
    if kind == "object":
        return _object(schema, schemas, above=above)
    if kind == "array":
        least = max(schema.get("minItems", 1), 1)
        return [sample(schema.get("items", {}), schemas, name=name, above=above)] * least
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        return _number(schema, kind, name=name)
    return _text(schema, name=name) if kind == "string" else None


def _object(schema: Schema, schemas: Schema, *, above: tuple[str, ...]) -> Schema:
    made = {}
    for name, field in schema.get("properties", {}).items():
        made[name] = sample(field, schemas, name=name, above=above)
    more = schema.get("additionalProperties")
    if not made and isinstance(more, dict):
        made["temperature"] = sample(more, schemas, above=above)
    return made


def _number(schema: Schema, kind: str, *, name: str) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1 if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    wanted: Any = NAMED.get(name, 1)
    number = wanted if isinstance(wanted, int | float) else 1
    number = number if low is None else max(number, low)
    number = number if high is None else min(number, high)
    return int(number) if kind == "integer" else number


def _text(schema: Schema, *, name: str) -> Any:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    wanted = NAMED.get(name, "text")
    text = wanted if isinstance(wanted, str) else "text"
    if "pattern" in schema:
        text = PATTERNS.get(schema["pattern"], text)
    return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), "x")


PATTERNS = {r"^[A-Z]{3}$": "VIB", r"^\d\d-\d\d$": "04-01"}
"""A text for each pattern."""
