"""Compiled code is never older than its sources."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

from mlops.detectors import compiled


def test_what_is_kept_on_disk_belongs_to_the_sources_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(numba.config.CACHE_DIR).name == f"compiled-{compiled.sources()}"
    (tmp_path / "loop.py").write_text("a = 1\n")
    monkeypatch.setattr(compiled, "SOURCES", (tmp_path,))
    before = compiled.sources()
    assert compiled.sources() == before
    (tmp_path / "callee.py").write_text("b = 1\n")
    with_callee = compiled.sources()
    (tmp_path / "callee.py").write_text("b = 2\n")
    assert len({before, with_callee, compiled.sources()}) == 3
