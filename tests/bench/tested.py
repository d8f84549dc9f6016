"""Run some tests, and keep as evidence how many passed: ``python -m tests.bench.tested NAME FILE ...``.

A test that is skipped shows nothing, so it counts against the claim as one that fails does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.bench import results
from tests.bench.results import row


def run(paths: list[str]) -> tuple[int, dict[str, int]]:
    """How pytest ended, and how many tests there were, failed and were skipped; nothing where it told nothing."""
    with tempfile.TemporaryDirectory(prefix="bellwether-tested-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", f"--junitxml={report}", *paths]
        status = subprocess.run(command, cwd=results.ROOT, check=False).returncode
        found = ElementTree.parse(report).find("testsuite") if report.exists() else None
        names = ("tests", "failures", "errors", "skipped")
        return status, {} if found is None else {name: int(found.attrib[name]) for name in names}


def rows(status: int, found: dict[str, int]) -> list[dict[str, Any]]:
    made = [row("pytest: exit status", status, "", goal=0, ok=status == 0)]
    if found:
        wrong, skipped = found["failures"] + found["errors"], found["skipped"]
        made += [
            row("passed", found["tests"] - wrong - skipped, "tests"),
            row("failed", wrong, "tests", goal=0, ok=not wrong),
            row("skipped", skipped, "tests", goal=0, ok=not skipped),
        ]
    return made


def main(name: str, *paths: str) -> int:
    found = rows(*run(list(paths)))
    results.show(found)
    results.keep(name, found)
    return int(any(one["ok"] is False for one in found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
