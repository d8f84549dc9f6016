"""Run targets of make, and keep how they ended as evidence: ``python -m tests.bench.outcome lint types``."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench import results
from tests.bench.results import row


def main(targets: list[str]) -> int:
    began = time.monotonic()
    command = ["make", "--no-print-directory", *targets]
    status = subprocess.run(command, cwd=results.ROOT, check=False).returncode
    told = f"make {' '.join(targets)}, {time.monotonic() - began:.0f} s"
    rows = [row("exit status", status, "", goal=0, ok=status == 0, detail=told)]
    results.show(rows)
    results.keep("-".join(["make", *targets]), rows)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
