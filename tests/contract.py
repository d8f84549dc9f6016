"""Whether a client that was written by one description of the API can still speak by another one.

    python -m tests.contract OLD NEW

prints each change that can break a client, and ends with 1 where there is one. What is new and may be left out breaks
nobody; that an answer has more members or more values of an enum does not either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Node = dict[str, Any]
TYPES = ("null", "boolean", "object", "array", "number", "string")
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
NARROWER = {  # by key: whether a value of it takes less than another one
    "maxLength": lambda old, new: new < old, "maximum": lambda old, new: new < old,
    "maxItems": lambda old, new: new < old, "minLength": lambda old, new: new > old,
    "minimum": lambda old, new: new > old, "minItems": lambda old, new: new > old,
    "pattern": lambda old, new: new != old, "format": lambda old, new: new != old,
}  # fmt: skip


def load(path: Path) -> Node:
    with path.open("rb") as file:
        found: Node = yaml.CSafeLoader(file).get_single_data()
    return found


def breaking(old: Node, new: Node) -> list[str]:
    """The changes that can break a client, each with the operation and the place."""
    return sorted(set(Comparison(old, new).run()))


class Comparison:
    """``asked``: whether what clients send is compared (it must not get narrower) or what they get (nor wider)."""

    def __init__(self, old: Node, new: Node) -> None:
        self.old, self.new = old, new
        self.under_way: set[tuple[str, str, bool]] = set()

    def run(self) -> Iterator[str]:
        for path, operations in self.old["paths"].items():
            for method in METHODS:
                if method in operations:
                    name = f"{method.upper()} {path}"
                    after = self.new["paths"].get(path, {}).get(method)
                    found = ["the operation is gone"] if after is None else self._operation(operations[method], after)
                    yield from (f"{name}: {change}" for change in found)

    def _operation(self, old: Node, new: Node) -> Iterator[str]:
        yield from self._parameters(old, new)
        before, after = old.get("requestBody"), new.get("requestBody")
        if before:
            yield from self._contents("body", before, after or {}, asked=True)
        if after and after.get("required") and not (before or {}).get("required"):
            yield "body: it is required now"
        for code, answer in old["responses"].items():
            if code.startswith("2") and code not in new["responses"]:
                yield f"answer {code}: it is gone"
            elif code.startswith("2"):
                yield from self._contents(f"answer {code}", answer, new["responses"][code], asked=False)

    def _parameters(self, old: Node, new: Node) -> Iterator[str]:
        before, after = (
            {(one["in"], one["name"]): one for one in (self._of(doc, raw) for raw in node.get("parameters", []))}
            for doc, node in ((self.old, old), (self.new, new))
        )
        for (where, name), one in after.items():
            if one.get("required") and not before.get((where, name), {}).get("required"):
                yield f"{where} parameter {name}: it is required now"
        for (where, name), one in before.items():
            if (where, name) not in after:
                yield f"{where} parameter {name}: it is gone"
            else:
                there = after[where, name]
                yield from self._schema(f"{where} parameter {name}", one["schema"], there["schema"], asked=True)

    def _contents(self, place: str, old: Node, new: Node, *, asked: bool) -> Iterator[str]:
        old, new = self._of(self.old, old), self._of(self.new, new)
        for kind, media in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"{place}: {kind} is gone"
            elif "schema" in media:
                yield from self._schema(place, media["schema"], new["content"][kind].get("schema", {}), asked=asked)

    def _of(self, document: Node, node: Node) -> Node:
        """What a node refers to; parts that hold together are put together."""
        while "$ref" in node:
            found: Any = document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        for part in node.get("allOf", []):
            node = {**node, **self._of(document, part)}
        return node

    def _schema(self, place: str, old: Node, new: Node, *, asked: bool) -> Iterator[str]:
        key = (str(old.get("$ref", id(old))), str(new.get("$ref", id(new))), asked)
        if key in self.under_way:
            return
        self.under_way.add(key)
        try:
            yield from self._compared(place, self._of(self.old, old), self._of(self.new, new), asked=asked)
        finally:
            self.under_way.discard(key)

    def _compared(self, place: str, old: Node, new: Node, *, asked: bool) -> Iterator[str]:
        before, after = _choices(old), _choices(new)
        if len(before) > 1 or len(after) > 1:
            yield from self._choice(place, before, after, asked=asked)
            return
        sent, taken = (old, new) if asked else (new, old)  # what is sent must be among what is taken
        if extra := _types(sent) - _wider(_types(taken)):
            yield f"{place}: {' or '.join(sorted(extra))} is {'no longer taken' if asked else 'new there'}"
            return
        if asked:
            yield from self._limits(place, old, new)
        yield from self._members(place, old, new, asked=asked)
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict):
                there = new.get(inner)
                yield from self._schema(f"{place}[]", old[inner], there if isinstance(there, dict) else {}, asked=asked)

    def _limits(self, place: str, old: Node, new: Node) -> Iterator[str]:
        values = [value for value in old.get("enum", [...]) if value not in new.get("enum", old.get("enum", ()))]
        if "enum" in new and values:
            yield f"{place}: {'other values' if values == [...] else ', '.join(map(str, values))} no longer taken"
        for key, narrower in NARROWER.items():
            if key in new and (key not in old or narrower(old[key], new[key])):
                yield f"{place}: {key} is narrower"

    def _members(self, place: str, old: Node, new: Node, *, asked: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                yield f"{place}/{name}: it is gone"
            else:
                yield from self._schema(f"{place}/{name}", schema, after[name], asked=asked)
        must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
        if asked:
            yield from (f"{place}/{name}: it is required now" for name in sorted(must_after - must_before))
        else:
            lost = (must_before - must_after) & after.keys()
            yield from (f"{place}/{name}: it can be left out now" for name in sorted(lost))

    def _choice(self, place: str, old: list[Node], new: list[Node], *, asked: bool) -> Iterator[str]:
        """Each that a client may send must be taken by one; each that it may get it must have known."""
        for one in old if asked else new:
            pairs = [(one, other) if asked else (other, one) for other in (new if asked else old)]
            if not any(not list(self._schema(place, before, after, asked=asked)) for before, after in pairs):
                yield f"{place}: {'an alternative is no longer taken' if asked else 'there is a new alternative'}"


def _choices(schema: Node) -> list[Node]:
    found: list[Node] = schema.get("oneOf") or schema.get("anyOf") or [schema]
    return found


def _types(schema: Node) -> set[str]:
    """The types that a value may have. Nothing said: all of them."""
    said = schema.get("type", "object" if "properties" in schema else list(TYPES))
    return set(said if isinstance(said, list) else [said])


def _wider(types: set[str]) -> set[str]:
    """A whole number is a number too."""
    return types | {"integer"} if "number" in types else types


def main(old: str, new: str) -> int:
    found = breaking(load(Path(old)), load(Path(new)))
    sys.stdout.write("".join(f"{change}\n" for change in found) or "Nothing that breaks a client.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
