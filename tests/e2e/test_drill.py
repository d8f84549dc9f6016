"""The drill in small: a database is lost while a client writes, and brought back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import results


@pytest.mark.timeout(600)
def test_what_was_lost_comes_back_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.drill", "--smoke"],
        cwd=results.ROOT, env=os.environ | {"BELLWETHER_BENCH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "drill-smoke.json").read_text())}
    assert rows["tables that are not as they were"]["value"] == 0
    assert rows["tables that are not as they were"]["ok"] is True
    assert rows["RTO: from the loss to a server that answers"]["ok"] is True
