"""Whether the commands that documents show do what is said: how many are run here, elsewhere, or by nothing.

python -m tests.bench.documents
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests import documents
from tests.bench import results
from tests.bench.results import row

FILES = ("tests/unit/test_documents.py", "tests/unit/test_capacity.py", "tests/e2e/test_documents.py")


def main() -> int:
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *FILES], cwd=results.ROOT, check=False)
    rows = told(good=done.returncode == 0)
    results.show(rows)
    results.keep("documents", rows)
    return done.returncode


def told(*, good: bool) -> list[dict[str, Any]]:
    """``good``: all of them did."""
    every, here = list(documents.every()), documents.run_here()
    not_run = [one for one in every if any(documents.begins(one, told) for told in documents.NOT_RUN)]
    pages = len({one.page for one in every})
    inline = sum(len(documents.inline(page)) for page in documents.pages())
    elsewhere = len(every) - len(here) - len(not_run)
    return [
        row("commands in blocks, run here", len(here), "", goal="all end well", ok=good, detail=f"{pages} documents"),
        row("commands in blocks, run by another test", elsewhere, "", detail=", ".join(documents.ELSEWHERE)),
        row("commands in blocks that nothing runs", len(not_run), "", detail=", ".join(documents.NOT_RUN)),
        row("commands inline, held against the code", inline, "", goal="all there", ok=good),
    ]


if __name__ == "__main__":
    sys.exit(main())
