"""What every benchmark prints and keeps: a table, and the same rows as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("BELLWETHER_BENCH") or ROOT / ".bellwether" / "bench")
DATA = ROOT.parent / "shared" / "data"
"""Real data sets, where they are at hand: not part of the product."""


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
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(rows, indent=1))
