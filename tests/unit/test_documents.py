"""What documents name is there: commands and their options, addresses, pages of the admin, files, links."""

from __future__ import annotations

import re
from functools import cache

import pytest

from agents.menu import MENU
from tests import documents
from tests.documents import Command
from tests.unit import test_deploy_files, test_env
from tests.unit.test_threat_model import missing

PAPERS = (
    "docs/recovery.md", "docs/scaling.md", "docs/troubleshooting.md", "docs/security.md", "docs/upgrading.md",
    *(page for page in documents.pages() if page.startswith("docs/manual-")),
)  # fmt: skip
TITLES = "|".join(title for title, _ in MENU)
PAGE = re.compile(rf"(?=\b((?:{TITLES}) / [A-Z][\w -]+))")
OPERATION = re.compile(r"`(?:(GET|POST|PATCH|DELETE) )?(/api/v1/[^`\s]*)`")

OF_THE_DESCRIPTION = {"/api/v1/docs/", "/api/v1/schema/"}


@cache
def operations() -> dict[str, set[str]]:
    """The methods of each address of the API, with a mark in place of what it takes."""
    found: dict[str, set[str]] = {}
    for path, method in re.findall(
        r"^  (/\S+):$|^    (get|post|patch|put|delete):$", documents.read("docs/openapi.yaml"), re.M
    ):
        if path:
            at = found.setdefault(re.sub(r"\{\w+\}", "{}", path), set())
        elif method:
            at.add(method.upper())
    return found


def strange_operations(text: str) -> list[str]:
    told = []
    for method, path in OPERATION.findall(text):
        known = operations()
        plain = re.sub(r"\{\w+\}|<\w+>|\$\w+|\b\d+\b", "{}", path.split("?")[0])
        several = re.search(r"\{(\w+(?:,\w+)+)\}", plain)
        for one in [plain.replace(several[0], name) for name in several[1].split(",")] if several else [plain]:
            there = method in known.get(one, set()) if method else any(name.startswith(one) for name in known)
            if not there and one not in OF_THE_DESCRIPTION:
                told.append(f"{method} {path}".strip())
    return told


def strange_pages(text: str) -> list[str]:
    known = [f"{title} / {name}" for title, entries in MENU for name, _, _ in entries]
    found = PAGE.findall(" ".join(text.split()))
    return [page for page in found if not any(page.startswith(name) for name in known)]


def faults(commands: list[Command]) -> list[str]:
    return [f"{command.told}: {why}" for command in commands if (why := documents.fault(command))]


@pytest.mark.parametrize("page", documents.pages())
def test_a_page_shows_commands_that_can_be(page: str) -> None:
    assert faults([*documents.commands(page), *documents.inline(page)]) == []


@pytest.mark.parametrize("page", documents.pages())
def test_a_page_names_operations_pages_and_links_that_are_there(page: str) -> None:
    text = documents.read(page)
    assert strange_operations(text) == []
    assert strange_pages(text) == []
    folder = (documents.ROOT / page).parent
    linked = {link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if not link.endswith(".png")}
    assert [link for link in linked if not (folder / link).exists()] == []


@pytest.mark.parametrize("page", PAPERS)
def test_a_paper_names_settings_metrics_and_tests_that_are_there(page: str) -> None:
    text = documents.read(page)
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[`=]", text))
    assert {name.removesuffix("_FILE") for name in named} - test_env.names_read() == set()
    assert set(re.findall(r"\bpdm_\w+", text)) <= test_deploy_files.metrics()
    assert missing(text) == []


@cache
def source() -> str:
    """What the packages and the templates say."""
    folders = ("agents", "config", "maintenance", "mlops", "sensors", "templates")
    files = (path for folder in folders for path in (documents.ROOT / folder).rglob("*"))
    return "".join(path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".html"})


def test_lines_of_the_log_in_troubleshooting_are_written_somewhere() -> None:
    told = set(re.findall(r"`([a-z]+(?:\.[a-z-]+){1,2})`", documents.read("docs/troubleshooting.md")))
    assert len(told) > 10
    assert [name for name in told if f'"{name}"' not in source()] == []


@pytest.mark.parametrize("page", [page for page in PAPERS if "manual-" in page])
def test_a_manual_names_buttons_and_words_that_the_pages_have(page: str) -> None:
    named = set(re.findall(r"(?<!\*)\*([A-Za-z][^*\n]{2,40})\*(?!\*)", documents.read(page)))
    words = {name: (f'"{name}', f">{name}", f'"{name[0].upper()}{name[1:]}') for name in named}
    assert [name for name, ways in words.items() if not any(way in source() for way in ways)] == []


def test_every_paper_is_named_in_the_readme() -> None:
    readme = documents.read("README.md")
    assert [page for page in PAPERS if page not in readme] == []


# And what is wrong is seen

TEXT = """
Run `make nonsense` or `manage.py
nonsense`, and see:

    .venv/bin/python manage.py detect pump.csv \\
        --out judged.csv     # as a table

    {"sensor": "no command"}

```bash
# a comment
make demo
curl -s http://127.0.0.1:8000/api/v1/sites/ -d '{
  "a": 1}'
```

```json
make nothing
```

```console
$ make test
2 passed
```
"""


def test_commands_are_found_in_blocks_and_lines() -> None:
    found = [(one.line, " ".join(one.text.split())) for one in documents.commands("page", TEXT)]
    assert found == [
        (5, ".venv/bin/python manage.py detect pump.csv \\ --out judged.csv # as a table"),
        (12, "make demo"),
        (13, "curl -s http://127.0.0.1:8000/api/v1/sites/ -d '{ \"a\": 1}'"),
        (22, "make test"),
    ]
    assert [(one.line, one.text) for one in documents.inline("page", TEXT)] == [
        (2, "make nonsense"), (2, "manage.py nonsense"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("make nonsense", "no target nonsense"),
        ("make demo NONSENSE=1", "no variable NONSENSE"),
        ("python manage.py nonsense", "no command 'nonsense'"),
        (".venv/bin/python manage.py replay FILE.csv --nonsense", "unrecognized arguments: --nonsense"),
        ("manage.py kpis", "--site"),
        ("python -m tests.bench.nonsense", "no module"),
        ("docker compose stop nonsense", "no service"),
        ("docker compose up --detach --scale nonsense=3", "no service"),
        ("docker compose run --rm migrate python manage.py nonsense", "no command"),
        ("curl http://127.0.0.1:8000/nonsense/", "no address"),
        ("curl https://elsewhere.example/", "no address"),
    ],
)
def test_a_command_that_cannot_be_is_seen(text: str, why: str) -> None:
    assert why in documents.fault(Command("page", 1, text))


@pytest.mark.parametrize(
    "text",
    [
        "make chaos SEEDS=2",
        "BACKUP_TO=/backups python manage.py backup --list | tail -1",
        "python manage.py backup --new-key > key",
        "docker compose run --rm migrate python manage.py setup --site plant",
        "docker compose up --detach --scale detect=3",
        "curl https://bellwether.example/api/v1/alarms/$ALARM/acknowledge/ -X POST",
    ],
)
def test_a_command_that_can_be_is_let_through(text: str) -> None:
    assert documents.fault(Command("page", 1, text)) == ""


def test_an_option_inline_is_looked_at() -> None:
    (good, bad) = documents.inline("page", "`manage.py kpis --site SLUG [--json | --csv]` `manage.py kpis --nonsense`")
    assert documents.fault(good) == ""
    assert "--nonsense" in documents.fault(bad)


def test_an_operation_and_a_page_that_are_not_there_are_seen() -> None:
    assert (
        strange_operations("`GET /api/v1/alarms/<id>/` `/api/v1/alarms/` `POST /api/v1/work-orders/{id}/start/`") == []
    )
    assert strange_operations("`DELETE /api/v1/alarms/{id}/` `/api/v1/nonsense/`") == [
        "DELETE /api/v1/alarms/{id}/", "/api/v1/nonsense/",
    ]  # fmt: skip
    assert strange_pages("Look at Work / Alarms, or Flow / Failed work and Plant / Nonsense") == ["Plant / Nonsense"]
