"""The rules of secure code, held against the source itself; beside bandit, and beside those in test_house_rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import secret_scan
from tests.unit.test_house_rules import ROOT, Rule, Source, complaints, ours

OF_A_REQUEST = {"request", "req", "data", "body", "form", "params", "said", "text", "user", "GET", "POST", "META",
                "query_params", "kwargs", "options", "environ", "headers", "COOKIES"}  # fmt: skip
"""Names under which code holds what somebody sent."""
SENT = re.compile(r"\brequest\.(data|GET|POST|query_params|headers|META|COOKIES)\b|\.validated_data\b")
SQL = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|DROP|CREATE|ALTER|TRUNCATE)\b|\b(FROM|WHERE|JOIN) \S")
DRAWS = {
    "maintenance/kpi_page.py": "drawings of our own, whose texts are escaped where they are drawn",
    "maintenance/order_print.py": "the QR code that segno drew",
    "maintenance/performance_page.py": "a drawing of our own",
    "sensors/second_factor.py": "the QR code that segno drew",
    "sensors/sensor_page.py": "a drawing of our own, and a line break",
}
"""Where HTML is marked as safe, and why it is."""
RAW_SQL = {"maintenance/log.py": "one of the fixed texts, by the language of the site"}
DUMPS = {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve"}
FILTERS = {"filter", "exclude", "annotate", "alias", "aggregate", "values", "update", "create", "order_by", "get"}


def nothing_that_was_sent_is_expanded(source: Source) -> Iterator[str]:
    """``filter(**request.data)`` lets whoever asks name fields and lookups."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILTERS:
            for word in node.keywords:
                if word.arg is None and SENT.search(ast.unparse(word.value)):
                    yield f"{source.path}:{node.lineno} {node.func.attr}(**{ast.unparse(word.value)})"


def nothing_that_was_sent_is_put_into_sql(source: Source) -> Iterator[str]:
    """What a statement is built of is our own; values are parameters."""
    for node in source.nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if SQL.search(text):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue) and _names(part.value) & OF_A_REQUEST:
                        yield f"{source.path}:{node.lineno} SQL of {ast.unparse(part.value)}"


def _names(value: ast.expr) -> set[str]:
    nodes = list(ast.walk(value))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def html_is_marked_safe_in_few_places(source: Source) -> Iterator[str]:
    for node in source.nodes:
        called = isinstance(node, ast.Call) and ast.unparse(node.func) in {"mark_safe", "SafeString"}
        if called and source.path not in DRAWS:
            yield f"{source.path}:{node.lineno} {ast.unparse(node)[:60]}"


def no_sql_past_the_orm(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name.endswith(".objects.raw") or name.endswith(".extra"):
            yield f"{source.path}:{node.lineno} {name}"
        if name == "RawSQL" and source.path not in RAW_SQL:
            yield f"{source.path}:{node.lineno} RawSQL"


def no_model_is_loaded_that_can_carry_code(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in DUMPS and node.attr.startswith("load"):
            yield f"{source.path}:{node.lineno} {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("get_untrusted_types", "read_pickle")):
            yield f"{source.path}:{node.lineno} {ast.unparse(node.func)}"


RULES: list[Rule] = [
    nothing_that_was_sent_is_expanded,
    nothing_that_was_sent_is_put_into_sql,
    html_is_marked_safe_in_few_places,
    no_sql_past_the_orm,
    no_model_is_loaded_that_can_carry_code,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_packages_hold_to(rule: Rule) -> None:
    assert complaints(rule, ours()) == []


def test_the_exceptions_are_still_needed() -> None:
    texts = {source.path: source.text for source in ours()}
    assert [path for path in DRAWS if "mark_safe(" not in texts.get(path, "")] == []
    assert [path for path in RAW_SQL if "RawSQL(" not in texts.get(path, "")] == []


UNSAFE = re.compile(r"\|\s*safe(seq)?\b|{%\s*autoescape\s+off|<[^>]*\son[a-z]+\s*=|javascript:", re.I)


def unsafe(text: str) -> list[str]:
    return [match[0] for match in UNSAFE.finditer(re.sub(r"{% (?!autoescape).*?%}", "", text))]


def test_templates_escape_and_have_no_handlers_of_their_own() -> None:
    templates = [path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt"}]
    plain = {path for path in templates if path.suffix == ".txt"}  # mail without markup: nothing to escape
    found = {path.name: unsafe(path.read_text(encoding="utf-8")) for path in templates if path not in plain}
    assert {name: what for name, what in found.items() if what} == {}


BROKEN: list[tuple[Rule, str]] = [
    (nothing_that_was_sent_is_expanded, "Row.objects.filter(**request.data)"),
    (nothing_that_was_sent_is_expanded, "rows.annotate(**self.request.GET.dict())"),
    (nothing_that_was_sent_is_put_into_sql, 'cursor.execute(f"SELECT {request.GET} FROM t")'),
    (nothing_that_was_sent_is_put_into_sql, "x = f\"DELETE FROM t WHERE name = '{said['name']}'\""),
    (html_is_marked_safe_in_few_places, "mark_safe(row.name)"),
    (no_sql_past_the_orm, "Row.objects.raw(query)"),
    (no_sql_past_the_orm, "rows.extra(where=[x])"),
    (no_sql_past_the_orm, "RawSQL(text, [])"),
    (no_model_is_loaded_that_can_carry_code, "model = joblib.load(path)"),
    (no_model_is_loaded_that_can_carry_code, "trusted = skops.io.get_untrusted_types(file=path)"),
]


@pytest.mark.parametrize(("rule", "text"), BROKEN)
def test_a_rule_sees_what_breaks_it(rule: Rule, text: str) -> None:
    assert len(complaints(rule, (Source("sensors/bad.py", text),))) == 1


def test_an_unsafe_template_is_seen() -> None:
    for text in ("{{ row.name|safe }}", "{% autoescape off %}", '<a onclick="x()">', '<a href="javascript:x">'):
        assert len(unsafe(text)) == 1


def test_the_rule_of_sql_leaves_constants_alone() -> None:
    fine = Source("sensors/good.py", 'cursor.execute(f"SELECT {COLUMNS} FROM {Row._meta.db_table} WHERE id = %s", [x])')
    assert complaints(nothing_that_was_sent_is_put_into_sql, (fine,)) == []


def test_bandits_exceptions_are_few_and_say_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    skips = re.search(r"^\[tool\.bandit\]\n.*?^skips = \[\n(.*?)^\]", text, re.S | re.M)
    assert skips is not None
    lines = skips[1].splitlines()
    assert len(lines) <= 11
    assert all(re.fullmatch(r'    "B\d{3}",  # .+', line) for line in lines)
    noted = [path for path in Path(ROOT).glob("[a-z]*/**/*.py") if "# nosec" in path.read_text(encoding="utf-8")]
    assert [path for path in noted if "tests" not in path.parts] == []


def test_a_secret_that_is_new_is_seen(tmp_path: Path) -> None:
    assert {file for file, _, _ in secret_scan.known()} & {"config/settings.py", "docker-compose.yml"} == set()
    leak = tmp_path / "leak.py"
    for text in ('key = "AK' + 'IAIOSFODNN7ABCDEFGH"', "-----BEGIN RSA PRIV" + "ATE KEY-----"):
        leak.write_text(f"{text}\n", encoding="utf-8")
        assert secret_scan.scan([str(leak)]) - secret_scan.known()
    assert secret_scan.scan([".env.example"]) <= secret_scan.known()
