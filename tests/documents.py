"""The commands that documents show: found in their text, and held against what there is.

A command stands in a fenced block of a shell, in a fenced or indented block without a language that begins with a
program below, or inline between backticks. Commands of blocks are run (``tests/e2e/test_documents.py``); of all, also
those inline, the form is looked at: targets, options, modules, services, addresses.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.core.management import BaseCommand, CommandError, get_commands, load_command_class
from django.urls import Resolver404, resolve

ROOT = Path(__file__).resolve().parents[1]
SHELLS = {"bash", "sh", "shell", "console"}
PROGRAMS = ("make", "python", "python3", ".venv/bin/python", "manage.py", "docker", "curl", "cp", "mv", "git", "set")
PYTHONS = ("python", "python3", ".venv/bin/python")
ENDS = {"|", ">", ">>", "&&", "||", ";", "<", "2>"}
BEGINS = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(map(re.escape, PROGRAMS))})(?: |$)|[A-Z_]+=\$\(")
INLINE = re.compile(r"`((?:make|manage\.py|(?:python3?|\.venv/bin/python)\s(?:manage\.py|-m)|docker compose)\s[^`]+)`")
SAMPLES = {"$ANCHOR": f"1:{'0' * 64}"}
"""What a variable may hold, where an option takes nothing else."""
CI = ".ci/run"
ELSEWHERE = {
    "make demo": "e2e/test_golden_path.py::test_the_demonstration_finds_all_four_stretches_and_its_books_balance",
    "make up": "e2e/test_rolling_restart.py",
    "make test": CI,
    "make readiness": CI,
    "make audit": CI,
    "manage.py check --deploy": "integration/test_headers.py::test_production_is_checked_as_django_checks_it",
    "manage.py restore": "e2e/test_drill.py",
    "manage.py backtest": "integration/test_backtest.py",
    "curl -N": "integration/test_live.py",
}
"""Commands that begin so, and what runs them: a test, or a step of what CI runs."""

NOT_RUN = {
    "make coverage": "it runs the whole suite once more; unit/test_readiness.py holds how it is read",
    "docker compose": "there is no container engine; unit/test_deploy_files.py and unit/test_documents.py hold them "
    "against docker-compose.yml and the commands of manage.py",
}
"""Commands that nothing runs, with the reason."""

FENCE = re.compile(r"^ *```(\w*) *$")


@dataclass(frozen=True, slots=True)
class Command:
    """``text`` is what a shell gets, continued lines and all; ``inline``: it stands in a sentence."""

    page: str
    line: int
    text: str
    inline: bool = False

    @property
    def words(self) -> list[str]:
        """Of the first simple command in it; ``manage.py`` without the Python before it, and no variables."""
        words = shlex.split(self.text, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=[^$]*", words[0]):
            words = words[1:]
        if words[:1] and words[0] in PYTHONS and words[1:2] == ["manage.py"]:
            words = words[1:]
        return words

    @property
    def told(self) -> str:
        return f"{self.page}:{self.line} {' '.join(self.text.split())}"


def pages() -> list[str]:
    """Of the documents of the tree, but those of the API, whose examples are run on their own."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *(page for page in docs if not page.startswith("docs/api"))]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str, text: str | None = None) -> list[Command]:
    """Those of the blocks of a page, in order."""
    given = read(page) if text is None else text
    return [command for lines in _blocks(given) for command in _split(page, lines)]


def inline(page: str, text: str | None = None) -> list[Command]:
    given = re.sub(r"^ *```.*?^ *```", lambda m: "\n" * m[0].count("\n"), read(page) if text is None else text,
                   flags=re.S | re.M)  # fmt: skip
    return [
        Command(page, given.count("\n", 0, found.start()) + 1, " ".join(found[1].split()), inline=True)
        for found in INLINE.finditer(given)
    ]


def _blocks(text: str) -> Iterator[list[tuple[int, str]]]:
    """The lines of each block of commands, with their numbers."""
    language: str | None = None
    block: list[tuple[int, str]] = []
    before = ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        fence = FENCE.match(line)
        if fence and language is None:
            language, block = fence[1], []
        elif fence:
            yield from _if_commands(block, language or "")
            language, block = None, []
        elif language is not None or (line.startswith("    ") and (block or not before.strip())):
            block.append((number, line))
        elif block:
            yield from _if_commands(block, "")
            block = []
        before = line


def _if_commands(block: list[tuple[int, str]], language: str) -> Iterator[list[tuple[int, str]]]:
    lines = [(number, line.strip() if line.startswith("    ") else line) for number, line in block]
    if language == "console":
        lines = [(number, line.removeprefix("$ ")) for number, line in lines if line.startswith("$ ")]
    first = next((line for _, line in lines if line.strip() and not line.startswith("#")), "")
    if language in SHELLS or (not language and BEGINS.match(first)):
        yield lines


def _split(page: str, lines: list[tuple[int, str]]) -> Iterator[Command]:
    """A command goes on where a quote is open or a line ends in a backslash."""
    begun: list[tuple[int, str]] = []
    for number, line in lines:
        if not begun and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun.append((number, line))
        text = "\n".join(part for _, part in begun)
        if not text.endswith("\\") and _is_whole(text):
            yield Command(page, begun[0][0], text)
            begun = []
    if begun:
        yield Command(page, begun[0][0], "\n".join(part for _, part in begun))


def _is_whole(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return text.count("$(") <= text.count(")")


# Which are run, and where


def begins(command: Command, told: str) -> bool:
    return command.words[: len(told.split())] == told.split()


def proof(command: Command) -> str:
    """What runs it, or why nothing does; empty: it is run here."""
    found = [told for told in (ELSEWHERE | NOT_RUN) if begins(command, told)]
    return (ELSEWHERE | NOT_RUN)[max(found, key=len)] if found else ""


def every() -> Iterator[Command]:
    for page in pages():
        yield from commands(page)


def run_here() -> list[Command]:
    return [command for command in every() if not proof(command)]


# What is wrong with the form of one


def fault(command: Command) -> str:
    """Why a command cannot be as it is told; empty: it can."""
    words = list(_until(command.words, ENDS))
    if not words:
        return "" if "=$(" in command.text else "it is empty"
    if words[0] == "make":
        return _of_make(words[1:])
    if words[0] == "manage.py":
        return _of_manage(words[1:], inline=command.inline)
    if words[0] in PYTHONS and words[1:2] == ["-m"]:
        return _of_module(words[2])
    if words[:2] == ["docker", "compose"]:
        return _of_compose(words[2:])
    return _of_addresses(command.text) if "curl" in command.text else ""


def _until(words: Iterable[str], ends: set[str]) -> Iterator[str]:
    for word in words:
        if word in ends:
            return
        yield word


@functools.cache
def _makefile() -> str:
    return read("Makefile")


def _of_make(words: list[str]) -> str:
    for word in words:
        name = word.split("=")[0]
        if "=" in word and not re.search(rf"^{re.escape(name)} \?=", _makefile(), re.M):
            return f"make knows no variable {name}"
        if "=" not in word and not re.search(rf"^{re.escape(name)}:.*## ", _makefile(), re.M):
            return f"make knows no target {name}"
    return ""


def _of_manage(words: list[str], *, inline: bool) -> str:
    name = words[0] if words else ""
    app = get_commands().get(name)
    if app is None:
        return f"manage.py knows no command {name!r}"
    made = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    parser = made.create_parser("manage.py", name)
    if not inline:
        try:
            parser.parse_args([SAMPLES.get(word, word) for word in words[1:]])
        except CommandError as error:
            return str(error)
        return ""
    known = set(parser._option_string_actions)
    asked = {word.strip("[]|()").split("=")[0] for word in words[1:] if word.strip("[(").startswith("--")}
    return f"{name} knows no option {sorted(asked - known)}" if asked - known else ""


def _of_module(name: str) -> str:
    path = ROOT / name.replace(".", "/")
    there = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    return "" if there else f"there is no module {name}"


@functools.cache
def _services() -> set[str]:
    found: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))["services"]
    return set(found)


def _of_compose(words: list[str]) -> str:
    """Its services, and of ``run`` and ``exec`` the command within."""
    verb, rest = words[0], [word for word in words[1:] if not word.startswith("-") and not word[0].isdigit()]
    if verb in ("run", "exec"):
        named, within = rest[:1], rest[1:]
        if within[:2] == ["python", "manage.py"]:
            return _of_manage(words[words.index("manage.py") + 1 :], inline=False)
    else:
        named = [word.split("=")[0] for word in rest]
    strange = set(named) - _services()
    return f"Compose has no service {sorted(strange)}" if strange else ""


def _of_addresses(text: str) -> str:
    found = re.findall(r"https?://(?:127\.0\.0\.1:800[01]|[\w.-]*bellwether\.example(?:\.com)?)(/[^\s'\"?]*)?", text)
    for path in found:
        try:
            resolve(re.sub(r"\$\{?\w+\}?|BATCH", "1", path or "/"))
        except Resolver404:
            return f"the web server has no address {path}"
    return "" if found else "no address of the web server is named"
