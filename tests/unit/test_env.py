"""Reading the environment, and .env.example against what is read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

ROOT = Path(__file__).resolve().parents[2]
READERS = {
    "env.text",
    "env.optional",
    "env.flag",
    "env.integer",
    "env.words",
    "env.rate",
    "_secret",
    "os.environ.get",
    "os.getenv",
}
NOT_FOR_USERS = {"DJANGO_SETTINGS_MODULE", "PROMETHEUS_MULTIPROC_DIR"}


@cache
def names_read() -> frozenset[str]:
    """The first argument of every reader's call in our packages and in manage.py."""
    files = [ROOT / "manage.py", *(p for a in ("agents", "config", "maintenance", "mlops", "sensors")
                                   for p in (ROOT / a).rglob("*.py"))]  # fmt: skip
    found = {name for file in files for name in _names(ast.parse(file.read_text(encoding="utf-8")))}
    return frozenset(name.removesuffix("_FILE") for name in found) - NOT_FOR_USERS


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in READERS:
            key: ast.expr = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            key = node.slice
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def asked_for_by_compose() -> set[str]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text)) | set(re.findall(r"environment: ([A-Z_]+)$", text, re.M))


def example() -> dict[str, str]:
    """Each variable of .env.example, also those behind a #, with the comment above it."""
    explained, comment = {}, ""
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        variable = re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=.*", line)
        if variable:
            assert variable[1] not in explained, f"{variable[1]} stands twice"
            explained[variable[1]] = comment
        elif line.startswith("# "):
            comment = line
        else:
            comment = comment if line else ""
    return explained


def test_env_example_has_every_variable_that_is_read() -> None:
    assert (names_read() | asked_for_by_compose()) - set(example()) == set()


def test_env_example_has_no_variable_that_nobody_reads() -> None:
    assert set(example()) - names_read() - asked_for_by_compose() == set()


def test_the_readers_are_found() -> None:
    assert {"BELLWETHER_HOME", "DATABASE_URL", "SECRET_KEY", "LEASE_SECONDS", "ALLOWED_HOSTS"} <= names_read()


def test_env_example_explains_every_variable() -> None:
    # REDIS_PASSWORD speaks for itself below the heading of its group.
    assert {name for name, comment in example().items() if not comment} <= {"REDIS_PASSWORD"}


def test_env_example_holds_no_secret() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    secrets = re.findall(r"^([A-Z_]*(?:PASSWORD|TOKEN|SECRET|SECRET_KEY|SIGNING_KEY))=(.*)$", text, re.M)
    assert len(secrets) >= 8
    assert [name for name, value in secrets if value] == []


def test_a_value_is_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("X_SECRET_FILE", str(tmp_path / "secret"))
    assert env.text("X_SECRET") == "from the file"


def test_a_value_and_a_file_together_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_SECRET", "a")
    monkeypatch.setenv("X_SECRET_FILE", "/nonexistent")
    with pytest.raises(ImproperlyConfigured, match="both set"):
        env.text("X_SECRET")


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_SECRET_FILE", "/nonexistent")
    with pytest.raises(ImproperlyConfigured, match=r"X_SECRET_FILE='/nonexistent' cannot be read"):
        env.text("X_SECRET")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="X_MISSING is not set"):
        env.text("X_MISSING")


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_EMPTY", "")
    assert env.optional("X_EMPTY") is None
    assert env.text("X_EMPTY", "default") == "default"
    assert env.integer("X_EMPTY", 7) == 7
    assert env.flag("X_EMPTY", default=True) is True
    assert env.words("X_EMPTY", ["a"]) == ["a"]


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("YES", True), ("on", True), ("0", False), ("No", False)])
def test_a_flag_is_a_yes_or_a_no(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("X_FLAG", value)
    assert env.flag("X_FLAG", default=not expected) is expected


def test_anything_else_is_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_FLAG", "maybe")
    with pytest.raises(ImproperlyConfigured, match="not a yes or no"):
        env.flag("X_FLAG", default=False)


@pytest.mark.parametrize(
    ("value", "said"), [("1.5", "not a whole number"), ("ten", "not a whole number"), ("0", "below 1")]
)
def test_a_number_that_is_none_or_too_small_is_named(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("X_NUMBER", value)
    with pytest.raises(ImproperlyConfigured, match=said):
        env.integer("X_NUMBER", 5, minimum=1)


def test_words_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_WORDS", " a.example, ,b.example ")
    assert env.words("X_WORDS", []) == ["a.example", "b.example"]


@pytest.mark.parametrize("value", ["5", "0/m", "-1/m", "5/w", "a/m", "5/0s"])
def test_a_rate_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("X_RATE", value)
    with pytest.raises(ImproperlyConfigured, match="X_RATE"):
        env.rate("X_RATE", "1/s")


def test_rates_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for value in ("600/m", "20/30s", "1/d", "none"):
        monkeypatch.setenv("X_RATE", value)
        found.append(env.rate("X_RATE", "1/s"))
    assert found == [(600, 60), (20, 30), (1, 86_400), None]
