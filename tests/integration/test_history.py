"""Work orders of the past are imported: once each, with their machines, and all that is wrong with a file told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from maintenance import kpi_report
from maintenance.models import PastOrder, WorkOrder, WorkOrderTransition
from sensors.models import Equipment, Event, Site
from tests import factories
from tests.bench import excavators as bench

pytestmark = pytest.mark.django_db

MAPPING: dict[str, Any] = {
    "source": "old",
    "fields": {
        "machine": {"column": "asset"}, "title": {"column": "text"}, "opened": {"column": "day"},
        "completed": {"column": "done"}, "started": {"column": "day"}, "type": {"value": "CORRECTIVE_DEFERRED"},
        "cost": {"column": "cost"}, "failure_mode": {"value": "ELU"}, "activity": {"value": "REPLACE"},
        "part": {"value": "Pump"}, "worker": {"value": "Ana"},
    },
}  # fmt: skip
ROWS = ["A,Leak,2004-07-01,2004-07-03,12.50", "A,Leak,2004-07-01,2004-07-03,12.50", "B,Bent,2005-07-01,,"]


@pytest.fixture
def site() -> Site:
    return factories.site(slug="mine", name="Mine")


def run(tmp_path: Path, *args: str, rows: list[str] = ROWS, mapping: dict[str, Any] = MAPPING) -> tuple[str, str]:
    (tmp_path / "orders.csv").write_text("\n".join(["asset,text,day,done,cost", *rows]), "utf-8")
    (tmp_path / "mapping.json").write_text(json.dumps(mapping), "utf-8")
    out, errors = StringIO(), StringIO()
    files = [str(tmp_path / "orders.csv"), "--mapping", str(tmp_path / "mapping.json")]
    call_command("import_history", *files, "--site", "mine", *args, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


def test_rows_become_closed_orders_of_machines_that_are_made(site: Site, tmp_path: Path) -> None:
    told, wrong = run(tmp_path)
    assert "3 rows: 3 new, 0 imported before, 0 bad; machines to be made: A, B" in told
    assert "Imported 3 orders; 0 were there before. Machines made: 2." in told
    assert wrong == ""
    first = WorkOrder.objects.earliest("id")
    assert (first.machine.tag, first.status, first.found_mode, first.activity) == ("A", "CLOSED", "ELU", "REPLACE")
    assert first.completed_at == datetime(2004, 7, 3, tzinfo=UTC)
    assert (first.past.cost, first.past.part, first.past.worker) == (Decimal("12.50"), "Pump", "Ana")
    actions = first.transitions.values_list("action", flat=True)
    assert list(actions) == ["OPENED", "STARTED", "COMPLETED", "CLOSED"]
    last = WorkOrder.objects.latest("id")
    assert (last.completed_at, last.past.cost) == (last.opened_at, None)
    assert list(last.transitions.values_list("action", flat=True)) == ["OPENED", "CLOSED"]
    assert Event.objects.count() == 0


def test_a_row_is_imported_once(site: Site, tmp_path: Path) -> None:
    run(tmp_path)
    told, _ = run(tmp_path, rows=[*ROWS, ROWS[0], "C,New,2006-01-01,,"])
    assert "5 rows: 2 new, 3 imported before" in told
    assert (WorkOrder.objects.count(), PastOrder.objects.count(), Equipment.objects.count()) == (5, 5, 3)
    factories.site(slug="other")
    assert "Imported 3" in run(tmp_path, "--site", "other")[0]


def test_a_dry_run_tells_every_error_and_does_nothing(site: Site, tmp_path: Path) -> None:
    rows = [*ROWS, "A,,2004-07-01,,1,5", "A,x,tomorrow,,1e9", "B,x,2005-07-02,2005-07-01,1"]
    told, wrong = run(tmp_path, "--dry-run", rows=rows)
    assert [line.split(":")[0] for line in wrong.splitlines()] == [
        "line 5",
        "line 6, day",
        "line 6, day",
        "line 6, cost",
        "line 7",
    ]
    assert "6 rows: 3 new, 0 imported before, 3 bad" in told
    with pytest.raises(CommandError, match="Nothing was imported"):
        run(tmp_path, rows=rows)
    assert (WorkOrder.objects.count(), Equipment.objects.count()) == (0, 0)
    assert "Imported 3 orders" in run(tmp_path, "--skip-bad-rows", rows=rows)[0]


def test_a_line_is_no_machine(site: Site, tmp_path: Path) -> None:
    factories.machine(site=site, tag="A", level="LINE")
    with pytest.raises(CommandError, match="A is equipment of this site, and no machine"):
        run(tmp_path)


@pytest.mark.parametrize("wrong", [["--site", "none"], ["--mapping", "/nowhere.json"]])
def test_what_is_not_there_is_named(site: Site, tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        run(tmp_path, *wrong)


def test_history_counts_in_the_figures(site: Site, tmp_path: Path) -> None:
    run(tmp_path)
    made = kpi_report.make(
        site.pk, start=datetime(2004, 7, 1, tzinfo=UTC), end=datetime(2006, 7, 1, tzinfo=UTC),
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    figures = {one.entry.name: one for one in made.figures}
    assert (figures["mtbf"].events, figures["mttr"].events, figures["mttr"].value) == (3, 2, 48.0)
    assert sum(loss.cost for loss in made.losses) == 2500


@pytest.mark.skipif(not bench.FOLDER.exists(), reason="the excavators' work orders are not at hand")
def test_the_excavators_fit_a_mapping(site: Site) -> None:
    for file, mapping in bench.FILES:
        out = StringIO()
        call_command(
            "import_history", str(bench.FOLDER / file), "--mapping", str(bench.MAPPINGS / mapping), "--site", "mine",
            "--dry-run", stdout=out, stderr=out,
        )  # fmt: skip
        assert " 0 bad" in out.getvalue(), out.getvalue()[-2_000:]
    assert WorkOrderTransition.objects.count() == 0
