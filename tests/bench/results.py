"""What every benchmark prints and keeps: a table, and the same rows as JSON, each with how it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("BELLWETHER_BENCH") or ROOT / ".bellwether" / "bench")
DATA = ROOT.parent / "shared" / "data"
"""Real data sets, where they are at hand: not part of the product."""
PRODUCT = ("agents", "config", "maintenance", "mlops", "sensors", "templates", "manage.py", "requirements.txt")
"""What a figure is about: where it changes, what was measured before says nothing any more."""


def git(*arguments: str) -> str | None:
    """What git says; None where there is no git, no repository, or no such commit."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def provenance() -> dict[str, Any]:
    """Of this process: its command, the commit it began on, and whether the product or the tests differed from it."""
    main = sys.modules["__main__"]
    module = main.__spec__.name.removesuffix(".__main__") if main.__spec__ else Path(sys.argv[0]).name
    changed = git("status", "--porcelain", "--", *PRODUCT, "tests")
    return {
        "command": " ".join([module, *sys.argv[1:]]),
        "commit": (git("rev-parse", "HEAD") or "").strip(),
        "dirty": changed is None or changed != "",
        "processors": len(os.sched_getaffinity(0)),
    }


STARTED = provenance()
"""As it was when the benchmark began: what is committed while it runs is not what it measures."""


def row(
    name: str, value: float, unit: str, *, goal: str | float | None = None, ok: bool | None = None,
    baseline: float | None = None, detail: str = "",
) -> dict[str, Any]:  # fmt: skip
    """One figure; ``ok`` says whether the goal was reached, None where there is none."""
    ratio = value / baseline if baseline else None
    return {"name": name, "goal": goal, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio, "ok": ok,
            "detail": detail}  # fmt: skip


def show(rows: list[dict[str, Any]]) -> None:
    for found in rows:
        mark = {True: "ok  ", False: "FAIL", None: "    "}[found["ok"]]
        goal = "" if found["goal"] is None else f"goal {found['goal']}"
        ratio = "" if found["ratio"] is None else f"{found['ratio']:.2f} x {found['baseline']:g}"
        line = (
            f"{mark} {found['name']:46} {found['value']:>12,.6g} {found['unit']:22} {goal:20} {ratio} {found['detail']}"
        )
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def wide(lines: Iterable[Sequence[str]]) -> None:
    """A table whose first line is its head, as Markdown."""
    head, *body = lines
    widths = [max(len(cell) for cell in column) for column in zip(head, *body, strict=True)]
    rule = ["-" * width for width in widths]
    for line in (head, rule, *body):
        sys.stdout.write(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        )
    sys.stdout.write("\n")
    sys.stdout.flush()


def keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows down; ``made`` of each says when, by what and on which commit, for ``make readiness``."""
    OUT.mkdir(parents=True, exist_ok=True)
    made = STARTED | {"at": datetime.now(UTC).isoformat(timespec="seconds")}
    (OUT / f"{name}.json").write_text(json.dumps([found | {"made": made} for found in rows], indent=1))
