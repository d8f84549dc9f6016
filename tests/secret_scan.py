"""Secrets in what git carries that the baseline does not know: ``python -m tests.secret_scan``. ``--write``: it does.

By file and hash, not by line: an edit above one that is known and is none changes nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / ".secrets.baseline"
Found = tuple[str, str, str]


def baseline() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return read


def known() -> set[Found]:
    return {(one["file"], one["type"], one["hash"]) for one in baseline()["known"]}


def scan(files: list[str]) -> set[Found]:
    """What looks like a secret, of files below the root: file, type, and a hash of it."""
    found = SecretsCollection(root=str(ROOT))
    with transient_settings({"plugins_used": baseline()["plugins_used"], "filters_used": baseline()["filters_used"]}):
        for file in files:
            found.scan_file(file)
    return {(file, one.type, one.secret_hash) for file, one in found}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and name != BASELINE.name and (ROOT / name).is_file()]


def main() -> int:
    found = scan(tracked())
    if "--write" in sys.argv:
        rows = [{"file": file, "type": kind, "hash": value} for file, kind, value in sorted(found)]
        BASELINE.write_text(json.dumps(baseline() | {"known": rows}, indent=1) + "\n", encoding="utf-8")
        return 0
    new = sorted(found - known())
    for file, kind, _ in new:
        sys.stdout.write(f"{file}: {kind}\n")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
