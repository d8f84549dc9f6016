"""Each command that a document shows is run here, or the test that runs it is named."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class
from django.db import connection
from pyrage import x25519
from pytest_django.live_server_helper import LiveServer

from maintenance.part_models import Part
from sensors import audit_chain
from sensors.families import Refresh
from sensors.models import Batch, Membership
from tests import documents, factories, plant
from tests.documents import ROOT, Command
from tests.unit.test_threat_model import missing

Role = Membership.Role
ENDS_WITH = {"manage.py watchdog": {0, 1}}
"""Statuses beside 0: the watchdog finds what is wrong in the rows of these tests."""

SPEAKS = {
    "docs/manual-technician.md": Role.TECHNICIAN,
    "docs/manual-planner.md": Role.PLANNER,
    "docs/manual-engineer.md": Role.RELIABILITY,
    "docs/manual-data-scientist.md": Role.DATA_SCIENTIST,
    "docs/manual-auditor.md": Role.AUDITOR,
    "docs/manual-administrator.md": Role.ADMIN,
}
"""Whose token ``$TOKEN`` is on a page, elsewhere an administrator of the installation's."""

PASSWORD = "as-the-setup-printed-it"
HISTORY = (
    "number;asset;text;reported;begun;done;kind;damage;cost\n1;P-9;Seal;01.03.2025;02.03.2025;03.03.2025;C;leak;12,5\n"
)
SHELL = """
set -euo pipefail
curl() { command curl --fail-with-body --silent --show-error --max-time 20 "$@"; }
trap 'env -0 > "$VARIABLES"' EXIT
set -a
"""


@dataclass
class Desk:
    """A folder to work in, and a server to ask: what the documents stand before."""

    folder: Path
    server: str
    rows: plant.Rows
    variables: dict[str, str] = field(default_factory=dict)

    def turn_to(self, page: str) -> None:
        """Each page begins with what it says that it begins with."""
        role = SPEAKS.get(page)
        site = self.rows.order.site
        audit_chain.seal()
        person = factories.user(site=site, role=role) if role else User.objects.get(username="admin")
        self.variables = {
            "TOKEN": str(Refresh.for_user(person).access_token),
            "SITE": str(site.pk),
            "ALARM": str(self.rows.alarm.pk),
            "ORDER": str(self.rows.order.pk),
            "MACHINE": str(self.rows.machine.pk),
            "SENSOR": str(self.rows.sensor.pk),
            "PERSON": person.get_username(),
            "PART": str(Part.objects.values_list("pk", flat=True)[0]),
            "ANCHOR": str(audit_chain.verify(anchors=()).head),
        }

    def text(self, command: Command) -> str:
        """With what stands for something of the reader's own."""
        text = re.sub(r"https?://(127\.0\.0\.1:8000|bellwether\.example(\.com)?)", self.server, command.text)
        text = text.replace('"password": "..."', f'"password": "{PASSWORD}"').replace(
            '"site": 1', f'"site": {self.rows.order.site_id}'
        )
        newest = Batch.objects.order_by("-received_at").first()
        return text.replace("/BATCH/", f"/{newest.pk if newest else 'none'}/")

    def run(self, command: Command) -> str:
        """What is wrong; empty: nothing."""
        words = [re.sub(r"\$(\w+)", lambda name: self.variables[name[1]], word) for word in command.words]
        plain = words[:1] == ["manage.py"] and not {"|", "&&", "<"} & set(words)
        status, said = self._here(words[1:]) if plain else self._shell(self.text(command))
        allowed = next((ends for begins, ends in ENDS_WITH.items() if documents.begins(command, begins)), {0})
        return "" if status in allowed else f"{command.told}: ended with {status}: {said[-600:]}"

    def _here(self, words: list[str]) -> tuple[int, str]:
        """In this process, which has read the models already."""
        target: Path | None = None
        if ">" in words:
            words, target = words[: words.index(">")], self.folder / words[words.index(">") + 1]
        said = io.StringIO()
        status: Any = 0
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                load_command_class(get_commands()[words[0]], words[0]).run_from_argv(["manage.py", *words])
            except SystemExit as end:
                status = end.code
        if target:
            target.write_text(said.getvalue(), encoding="utf-8")
        return int(status or 0), said.getvalue()

    def _shell(self, text: str) -> tuple[int, str]:
        """In a shell; what it sets, the next one has."""
        kept = self.folder / "variables"
        done = subprocess.run(
            ["bash", "-c", f"{SHELL}{text}"], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | self.variables | {"VARIABLES": str(kept), "DATABASE_URL": _address()},
        )  # fmt: skip
        after = dict(one.split("=", 1) for one in kept.read_text(encoding="utf-8").split("\0") if "=" in one)
        self.variables |= {name: value for name, value in after.items() if os.environ.get(name) != value}
        return done.returncode, done.stdout + done.stderr


def _address() -> str:
    """The database of this test, for what is run in a process of its own."""
    given = connection.settings_dict
    return f"postgresql://{given['USER']}@/{given['NAME']}?host={given['HOST'].replace('/', '%2F')}"


@pytest.fixture
def desk(transactional_db: None, live_server: LiveServer, tmp_path: Path, settings: Any,
         monkeypatch: pytest.MonkeyPatch) -> Desk:  # fmt: skip
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in (".venv", "manage.py", ".env.example"):
        (folder / name).symlink_to(ROOT / name)
    settings.STATIC_ROOT = tmp_path / "static"
    settings.BACKUP_TO, settings.BACKUP_SPOOL = str(tmp_path / "backups"), tmp_path / "spool"
    settings.BACKUP_RECIPIENT = str(x25519.Identity.generate().to_public())
    rows = "".join(
        f"2026-03-01T{hour:02}:{minute:02}:00Z,{20 + minute % 7}\n" for hour in range(6) for minute in range(60)
    )
    for name in ("FILE.csv", "pump.csv"):
        (folder / name).write_text(f"time,flow\n{rows}", encoding="utf-8")
    (folder / "orders.csv").write_text(HISTORY, encoding="utf-8")
    (folder / "orders.json").write_text(_mapping(), encoding="utf-8")
    works = factories.site(slug="works")
    factories.machine(site=works, tag="LINE-1", level="LINE")
    site = factories.site(slug="plant", time_zone="Europe/Rome")
    User.objects.create_superuser("admin", "", PASSWORD)
    factories.user(site=site, role=Role.INGEST, username="plant-ingest", password=PASSWORD)
    return Desk(folder, live_server.url, plant.rows(site))


def _mapping() -> str:
    """The example in docs/history.md."""
    (found,) = re.findall(r"^    \{\n.*?^    \}\n", documents.read("docs/history.md"), flags=re.S | re.M)
    return str(found)


@pytest.mark.timeout(400)
def test_the_commands_of_the_documents_do_what_is_said(desk: Desk) -> None:
    wrong, page = [desk.run(Command("before", 0, "manage.py backup"))], ""  # there is one to list and to check
    for command in documents.run_here():
        if command.page != page:
            page = command.page
            desk.turn_to(page)
        wrong.append(desk.run(command))
    assert [told for told in wrong if told] == []


def test_what_is_not_run_here_is_named_and_run_there() -> None:
    assert len(documents.run_here()) > 20
    others = [command for command in documents.every() if documents.proof(command)]
    declared = documents.ELSEWHERE | documents.NOT_RUN
    assert [told for told in declared if not any(documents.begins(one, told) for one in others)] == []
    tests = [by for by in documents.ELSEWHERE.values() if by != documents.CI]
    assert missing(" ".join(f"`{by}`" for by in tests)) == []
    steps = [told.removeprefix("make ") for told, by in documents.ELSEWHERE.items() if by == documents.CI]
    assert [step for step in steps if f"make --no-print-directory {step}" not in documents.read(documents.CI)] == []


def test_a_command_that_fails_is_seen(desk: Desk) -> None:
    desk.turn_to("README.md")
    assert "ended with 1" in desk.run(Command("page", 1, "manage.py kpis --site nowhere"))
    assert "ended with 22" in desk.run(Command("page", 1, "curl http://127.0.0.1:8000/api/v1/sites/"))
    assert (
        desk.run(Command("page", 1, 'curl http://127.0.0.1:8000/api/v1/sites/ -H "Authorization: Bearer $TOKEN"')) == ""
    )
