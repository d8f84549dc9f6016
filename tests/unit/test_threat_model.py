"""Each control of the threat model names a test that is there."""

from __future__ import annotations

import ast
import re

from tests.unit.test_house_rules import ROOT

TEXT = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
PROOF = re.compile(r"`((?:unit|integration|e2e|chaos)/\w+\.py)(?:::(\w+))?`")


def controls() -> list[str]:
    part = TEXT.split("## Controls, each with its proof")[1].split("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ")][1:]


def missing(text: str) -> list[str]:
    """The proofs in a text that are not among the tests."""
    told = []
    for file, function in PROOF.findall(text):
        path = ROOT / "tests" / file
        known = ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else ()
        names = {node.name for node in known if isinstance(node, ast.FunctionDef)}
        if not names or (function and function not in names):
            told.append(f"{file}::{function}")
    return told


def test_every_control_names_a_test_that_is_there() -> None:
    assert len(controls()) > 20
    assert [line for line in controls() if not PROOF.search(line)] == []
    assert missing(TEXT) == []


def test_a_test_that_is_not_there_is_seen() -> None:
    assert missing("`unit/test_floors.py::test_of_nothing` `unit/test_nothing.py`") == [
        "unit/test_floors.py::test_of_nothing", "unit/test_nothing.py::",
    ]  # fmt: skip
