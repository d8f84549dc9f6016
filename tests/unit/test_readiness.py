"""What is claimed and what of it is shown: nothing turns green that was not measured, now, by the claim's command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.bench import covered, readiness, results, tested
from tests.bench.readiness_claims import AREAS, CLAIMS, Bound, Claim, Goals
from tests.bench.readiness_verdicts import Here, Judged, Verdict, judge, score

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MADE = {
    "command": "tests.bench.kettle --times 3",
    "commit": "a" * 40,
    "dirty": False,
    "processors": 2,
    "at": (NOW - timedelta(hours=1)).isoformat(),
}
CLAIM = Claim(
    "API", "The kettle boils in time", "kettle", "tests.bench.kettle --times 3", "bench-kettle",
    (Bound("kettle [0-9]: p95", "ms", below=3.0, count=2), Bound("kettles lost", "kettles", most=0.0)),
)  # fmt: skip
ROWS = [
    {"name": "kettle 1: p95", "unit": "ms", "value": 1.5, "ok": True, "made": MADE},
    {"name": "kettle 2: p95", "unit": "ms", "value": 2.5, "ok": True, "made": MADE},
    {"name": "kettles lost", "unit": "kettles", "value": 0, "ok": True, "made": MADE},
]
Rows = list[dict[str, Any]]


def here(*changed: str, days: float = 14, known: bool = True, lacks: str = "") -> Here:
    return Here(NOW, days, lambda commit, also: list(changed) if known else None, lambda claim: lacks)


def doctored(**changes: Any) -> Rows:
    return [row | changes for row in ROWS]


def made(**changes: Any) -> Rows:
    return [row | {"made": MADE | changes} for row in ROWS]


def test_fresh_and_good_evidence_is_good() -> None:
    found = judge(CLAIM, ROWS, here())
    assert (found.verdict, found.why) == (Verdict.GOOD, "")
    assert (found.value, found.commit) == ("2.5 ms (worst of 2)", "a" * 40)
    assert score([found]) == 100


DOCTORED: dict[str, tuple[Callable[[], Rows | None], Verdict, str]] = {
    "no file": (lambda: None, Verdict.NOT_SHOWN, "no evidence"),
    "no rows": (list, Verdict.NOT_SHOWN, "0 of 2 rows"),
    "too few rows": (lambda: ROWS[1:], Verdict.NOT_SHOWN, "1 of 2 rows"),
    "a figure left out": (lambda: ROWS[:2], Verdict.NOT_SHOWN, "0 of 1 rows 'kettles lost'"),
    "another unit": (lambda: doctored(unit="s"), Verdict.NOT_SHOWN, "0 of 2 rows"),
    "no value": (lambda: doctored(value=None), Verdict.NOT_SHOWN, "None is no figure"),
    "NaN": (lambda: doctored(value=float("nan")), Verdict.NOT_SHOWN, "nan is no figure"),
    "a word": (lambda: doctored(value="0"), Verdict.NOT_SHOWN, "'0' is no figure"),
    "a truth": (lambda: doctored(value=False), Verdict.NOT_SHOWN, "False is no figure"),
    "a bad value, called ok": (lambda: doctored(value=2.9), Verdict.BAD, "kettles lost: 2.9 kettles, not 0 kettles"),
    "no way it was made": (lambda: doctored(made=None), Verdict.NOT_SHOWN, "does not say when"),
    "no commit": (lambda: made(commit=""), Verdict.STALE, "not committed"),
    "no instant": (lambda: made(at="yesterday"), Verdict.NOT_SHOWN, "no instant"),
    "no time zone": (lambda: made(at="2026-11-28T10:00:00"), Verdict.NOT_SHOWN, "without a time zone"),
    "another command": (lambda: made(command="tests.bench.pot --times 3"), Verdict.NOT_SHOWN, "which is not"),
    "a short form": (lambda: made(command="tests.bench.kettle --times 1"), Verdict.NOT_SHOWN, "which is not"),
    "an option more": (lambda: made(command=MADE["command"] + " --smoke"), Verdict.NOT_SHOWN, "which is not"),
    "typed in a shell": (lambda: made(command="-c"), Verdict.NOT_SHOWN, "which is not"),
    "old": (lambda: made(at=(NOW - timedelta(days=15)).isoformat()), Verdict.STALE, "15.0 days old"),
    "of tomorrow": (lambda: made(at=(NOW + timedelta(days=1)).isoformat()), Verdict.STALE, "in the future"),
    "not committed": (lambda: made(dirty=True), Verdict.STALE, "not committed"),
    "not known whether": (lambda: made(dirty=None), Verdict.STALE, "not committed"),
}


@pytest.mark.parametrize("name", DOCTORED)
def test_doctored_evidence_turns_the_row_and_the_score_red(name: str) -> None:
    rows, verdict, why = DOCTORED[name]
    found = judge(CLAIM, rows(), here())
    assert found.verdict == verdict
    assert why in found.why
    assert score([found, judge(CLAIM, ROWS, here())]) == 50


def test_evidence_of_other_code_is_stale() -> None:
    found = judge(CLAIM, ROWS, here("agents/lease.py", "sensors/store.py"))
    assert (found.verdict, found.why) == (Verdict.STALE, "agents/lease.py and 1 more changed since aaaaaaaaa")
    assert judge(CLAIM, ROWS, here(known=False)).why == "made on aaaaaaaaa, which is not known here"


def test_what_was_made_just_now_is_of_the_code_at_hand_whether_committed_or_not() -> None:
    now = Here(NOW, 14, lambda commit, also: None, lambda claim: "", since=NOW - timedelta(hours=2))
    assert judge(CLAIM, made(dirty=True, commit=""), now).verdict == Verdict.GOOD
    earlier = (NOW - timedelta(hours=3)).isoformat()
    assert judge(CLAIM, made(dirty=True, at=earlier), now).verdict == Verdict.STALE


def test_evidence_of_more_than_is_asked_for_counts() -> None:
    assert judge(CLAIM, made(command="tests.bench.kettle --times 30"), here()).verdict == Verdict.GOOD


def test_the_oldest_row_says_how_old_the_evidence_is() -> None:
    old = MADE | {"at": (NOW - timedelta(days=20)).isoformat()}
    assert judge(CLAIM, [ROWS[0], ROWS[1] | {"made": old}, ROWS[2]], here()).verdict == Verdict.STALE


def test_what_the_machine_lacks_is_said_in_the_row_and_never_makes_it_good() -> None:
    lacks = "not to be shown on this machine: a tap is not installed"
    missing, bad = (judge(CLAIM, rows, here(lacks=lacks)) for rows in (None, doctored(value=9)))
    assert (missing.verdict, missing.why) == (Verdict.NOT_SHOWN, lacks)
    assert bad.verdict == Verdict.BAD
    assert bad.why.endswith(lacks)


def test_goals_count_only_where_the_benchmark_had_one() -> None:
    claim = Claim("ML", "It learns", "kettle", CLAIM.command, "", (Goals("kettle.*", count=3),))
    assert judge(claim, ROWS, here()).value == "3 of 3 goals"
    one = [ROWS[0] | {"ok": False, "goal": "< 1"}, *ROWS[1:]]
    assert (judge(claim, one, here()).verdict, judge(claim, one, here()).value) == (Verdict.BAD, "2 of 3 goals")
    assert judge(claim, [ROWS[0] | {"ok": None}, *ROWS[1:]], here()).verdict == Verdict.NOT_SHOWN
    assert judge(claim, [ROWS[0] | {"ok": "yes"}, *ROWS[1:]], here()).verdict == Verdict.BAD


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for evidence, and one claim."""
    monkeypatch.setattr(results, "OUT", tmp_path)
    monkeypatch.setattr(readiness, "CLAIMS", (CLAIM,))
    monkeypatch.setattr(readiness, "changed", _Unchanged())
    return tmp_path


class _Unchanged:
    def __call__(self, commit: str, also: tuple[str, ...]) -> list[str]:
        return []

    def cache_clear(self) -> None:
        """Nothing is remembered."""


def kept(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((folder / "readiness.json").read_text())
    return table


def test_the_command_prints_and_keeps_the_table(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert readiness.main([]) == 0
    assert "Score: 0 % of 1 claims" in capsys.readouterr().out
    fresh = {"at": datetime.now(UTC).isoformat()}
    (bench / "kettle.json").write_text(json.dumps(made(**fresh)))
    assert readiness.main([]) == 0
    assert "Score: 100 % of 1 claims" in capsys.readouterr().out
    (row,) = kept(bench)["rows"]
    assert (row["verdict"], row["run"], row["target"]) == ("good", "make bench-kettle", "< 3 ms; 0 kettles")
    (bench / "kettle.json").write_text(json.dumps([row | {"value": 7} for row in made(**fresh)]))
    assert readiness.main([]) == 1
    assert kept(bench)["score"] == 0
    (bench / "kettle.json").write_text("{}")
    assert readiness.main([]) == 0
    assert kept(bench)["rows"][0]["verdict"] == "not shown"


def test_a_quick_claim_is_measured_anew_and_fails_the_gate(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its evidence is good until its command is run, which here measures nothing."""
    (bench / "kettle.json").write_text(json.dumps(made(at=datetime.now(UTC).isoformat())))
    quick = Claim(CLAIM.area, CLAIM.says, "kettle", "tests.bench.no_kettle", "", CLAIM.shown_by, quick=True)
    monkeypatch.setattr(readiness, "CLAIMS", (CLAIM, quick))
    assert readiness.main(["--quick"]) == 1
    assert [row["verdict"] for row in kept(bench)["rows"]] == ["good", "not shown"]


def test_what_is_stale_or_missing_is_run_once_and_what_has_nothing_to_go_on_is_not(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = "this"  # the standard library's, which prints a poem and measures nothing
    shown_by = CLAIM.shown_by
    missing = [Claim("API", says, "missing", command, "", shown_by) for says in ("one", "two")]
    without = Claim("API", "three", "without", "antigravity", "", shown_by, programs=("no-such-program",))
    (bench / "kettle.json").write_text(json.dumps(made(at=datetime.now(UTC).isoformat())))
    monkeypatch.setattr(readiness, "CLAIMS", (CLAIM, *missing, without))
    assert readiness.main(["--run"]) == 0
    said = capfd.readouterr().out
    assert said.count("== ") == said.count("The Zen of Python") == 1
    assert [row["verdict"] for row in kept(bench)["rows"]] == ["good", "not shown", "not shown", "not shown"]
    assert kept(bench)["rows"][3]["why"] == "not to be shown on this machine: no-such-program is not installed"


def test_rows_are_kept_with_how_they_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "OUT", tmp_path)
    results.keep("kettle", [results.row("kettles lost", 0, "kettles", goal=0, ok=True)])
    (row,) = readiness.evidence("kettle") or []
    assert row["value"] == 0
    stamp = row["made"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(stamp["at"])) < timedelta(minutes=1)
    assert stamp["command"]
    assert isinstance(stamp["dirty"], bool)
    head = results.git("rev-parse", "HEAD")
    assert head is None or stamp["commit"] == head.strip()


def test_a_module_that_is_run_says_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "kettle.py").write_text("from tests.bench import results\nprint(results.STARTED['command'])")
    told = subprocess.run(
        [sys.executable, "-m", "kettle", "--x"],
        cwd=tmp_path, env={"PYTHONPATH": f"{results.ROOT}:{tmp_path}"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "kettle --x"


def test_a_file_that_changed_is_found_by_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "agents" / "lease.py").write_text("one")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@a", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = (results.git("rev-parse", "HEAD") or "").strip()
    readiness.changed.cache_clear()
    assert readiness.changed("0" * 40, ()) is None
    assert readiness.changed(commit, ()) == []
    (tmp_path / "agents" / "lease.py").write_text("two")
    (tmp_path / "agents" / "new.py").write_text("new")
    (tmp_path / "tests" / "new.py").write_text("new")
    assert readiness.changed(commit, ()) == []  # remembered, as within one table
    readiness.changed.cache_clear()
    assert readiness.changed(commit, ()) == ["agents/lease.py", "agents/new.py"]
    assert readiness.changed(commit, ("tests",)) == ["agents/lease.py", "agents/new.py", "tests/new.py"]
    readiness.changed.cache_clear()


# The claims


def test_every_area_has_a_claim_and_no_claim_stands_twice() -> None:
    assert {claim.area for claim in CLAIMS} == set(AREAS)
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)
    assert any(claim.quick for claim in CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: str(claim.says))
def test_a_claim_names_a_command_that_exists_and_has_a_target(claim: Claim) -> None:
    module = claim.command.split()[0]
    assert find_spec(module) is not None, module
    if claim.make:
        target = claim.make.split()[0]
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (results.ROOT / "Makefile").read_text(), re.M)
        assert recipe is not None, target
        assert module.rsplit(".", 1)[0] in recipe[1]
    assert claim.target
    for one in claim.shown_by:
        assert re.compile(one.rows)
        assert isinstance(one, Goals) or {one.below, one.most, one.least} != {None}


def test_claims_of_one_file_share_its_command() -> None:
    pairs = {(claim.file, claim.command, claim.make) for claim in CLAIMS}
    assert len(pairs) == len({file for file, _, _ in pairs})


def test_the_lines_of_parts_are_of_files_that_exist() -> None:
    for paths in covered.PARTS.values():
        assert [path for path in paths if not (results.ROOT / path).is_file()] == []


def test_coverage_that_was_not_measured_has_no_row() -> None:
    assert [row["name"] for row in covered.rows(1, {"files": {}})] == ["pytest: exit status"]
    files = {
        "agents/lease.py": {"summary": {"num_statements": 10, "covered_lines": 8}},
        "agents/menu.py": {"summary": {"num_statements": 10, "covered_lines": 10}},
    }
    found = {row["name"]: (row["value"], row["ok"]) for row in covered.rows(0, {"files": files})}
    assert found == {"pytest: exit status": (0, True), "covered: all": (90, True), "covered: lease": (80, False)}


def test_judged_rows_of_no_claim_score_nothing() -> None:
    assert score([]) == 0
    assert score([Judged(CLAIM, Verdict.STALE)]) == 0


def test_tests_that_told_nothing_have_no_row_and_skipped_ones_count_against() -> None:
    assert [row["name"] for row in tested.rows(4, {})] == ["pytest: exit status"]
    found = tested.rows(0, {"tests": 5, "failures": 1, "errors": 1, "skipped": 2})
    assert [(row["name"], row["value"], row["ok"]) for row in found[1:]] == [
        ("passed", 1, None),
        ("failed", 2, False),
        ("skipped", 2, False),
    ]
