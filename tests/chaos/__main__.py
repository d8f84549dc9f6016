"""Everything that is broken on purpose, one after the other, and what came of it: ``make chaos``.

Each part is a command of its own (``python -m tests.chaos.PART``). All of them run, whatever one of them finds; the
rows of all are kept together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from tests.bench import results
from tests.bench.results import ROOT, row

PARTS = {
    "storm": "random faults on the whole service",
    "poison": "one part of two hundred that its stage does not survive",
    "baseline": "a plain Celery pipeline under the same faults as ours",
    "redis_minute": "Redis gone for a minute under load",
    "overload": "three times the capacity",
}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1", help="How many storms.")
    parser.add_argument("--first-seed", default="1")
    parser.add_argument("--seconds", default="75", help="Of faults in each storm.")
    parser.add_argument("--only", choices=PARTS, action="append", default=[], help="May be given several times.")
    asked = parser.parse_args()
    storm = ["--seeds", asked.seeds, "--first-seed", asked.first_seed, "--seconds", asked.seconds]
    everything: list[dict[str, Any]] = []
    for part in asked.only or PARTS:
        say(f"== {part}: {PARTS[part]}")
        began = time.monotonic()
        kept = results.OUT / f"{part.replace('_', '-')}.json"
        kept.unlink(missing_ok=True)
        command = [sys.executable, "-m", f"tests.chaos.{part}", *(storm if part == "storm" else [])]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        rows = json.loads(kept.read_text()) if kept.exists() else []
        ended = row(
            "exit status", status, "", goal=0, ok=status == 0, detail=f"{time.monotonic() - began:.0f} s in all"
        )
        everything += [one | {"name": f"{part}: {one['name']}"} for one in [*rows, ended]]
    results.keep("chaos", everything)
    failed = [one["name"] for one in everything if one["ok"] is False]
    say(f"== {len(failed)} failed" + "".join(f"\n   {name}" for name in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
