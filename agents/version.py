"""The version of the code: a hash over its source. Knows no models, so that it can be taken when the process starts."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agents", "config", "maintenance", "mlops", "sensors")


def version_of(root: Path) -> str:
    """The hash over the Python files of our packages below ``root``: their places and their text."""
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def current() -> str:
    """The version this process runs: read once, so that files which change under it change nothing."""
    return version_of(ROOT)
