"""How many of the product's lines its tests run, in all and of what must not fail: ``make coverage``.

All tests run, those that start the whole service too: what its processes run counts as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import results
from tests.bench.results import row

TESTS = ("tests/unit", "tests/integration", "tests/e2e", "tests/chaos")
PARTS = {
    "pipeline": (
        "agents/pipeline.py", "agents/stages.py", "agents/attempts.py", "agents/lanes.py", "agents/intake.py",
        "agents/ingest.py", "agents/validate.py", "agents/detect.py", "agents/decide.py", "agents/notify.py",
    ),
    "lease": ("agents/lease.py",),
    "store": (
        "sensors/store.py", "sensors/chunks.py", "sensors/compaction.py", "sensors/partitions.py", "sensors/rollups.py",
    ),
    "alarms": (
        "maintenance/alarms.py", "maintenance/alarm_life.py", "maintenance/alarm_steps.py", "maintenance/re_alarms.py",
    ),
}  # fmt: skip
"""Files by what they are of."""
PATIENCE = 600
"""Seconds of a test: whatever is counted takes longer, the making of a database most of all."""
LEAST, LEAST_OF_A_PART = 85.0, 90.0


def measure(tests: list[str], folder: Path) -> tuple[int, dict[str, Any]]:
    """How pytest ended, and coverage's report of it."""
    environment = os.environ | {"COVERAGE_FILE": str(folder / "data")}

    def coverage(*words: str) -> int:
        command = [sys.executable, "-m", "coverage", *words]
        return subprocess.run(command, cwd=results.ROOT, env=environment, check=False).returncode

    status = coverage("run", "-m", "pytest", "-q", f"--timeout={PATIENCE}", *tests)
    coverage("combine", "--quiet")
    report = folder / "report.json"
    coverage("json", "--quiet", "-o", str(report))
    return status, json.loads(report.read_text()) if report.exists() else {"files": {}}


def rows(status: int, report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for all and for each part of which something was run: what was not measured has none."""
    files = {name: found["summary"] for name, found in report["files"].items()}
    made = [row("pytest: exit status", status, "", goal=0, ok=status == 0)]
    for name, paths in {"all": tuple(files), **PARTS}.items():
        mine = [files[path] for path in paths if path in files]
        if lines := sum(one["num_statements"] for one in mine):
            share = 100.0 * sum(one["covered_lines"] for one in mine) / lines
            least = LEAST if name == "all" else LEAST_OF_A_PART
            detail = f"{lines:,} lines in {len(mine)} files"
            made.append(row(f"covered: {name}", share, "%", goal=f">= {least:g}", ok=share >= least, detail=detail))
    return made


def main() -> int:
    tests = sys.argv[1:] or ["--numprocesses", "2", "--dist", "loadfile", *TESTS]
    with tempfile.TemporaryDirectory(prefix="bellwether-coverage-") as folder:
        found = rows(*measure(tests, Path(folder)))
    results.show(found)
    results.keep("coverage", found)
    return int(any(one["ok"] is False for one in found))


if __name__ == "__main__":
    sys.exit(main())
