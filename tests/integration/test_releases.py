"""The version of the code, and since when it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import releases


def source(root: Path, text: str) -> Path:
    (root / "agents").mkdir(exist_ok=True)
    (root / "agents" / "decide.py").write_text(text)
    return root


def test_another_line_of_code_is_another_version_and_the_same_source_the_same(tmp_path: Path) -> None:
    one = releases.version_of(source(tmp_path, "x = 1"))
    assert releases.version_of(source(tmp_path, "x = 2")) != one
    assert releases.version_of(source(tmp_path, "x = 1")) == one
    (tmp_path / "agents" / "decide.py").rename(tmp_path / "agents" / "detect.py")
    assert releases.version_of(tmp_path) != one
    assert len(releases.current()) == 12


@pytest.mark.django_db
def test_a_version_is_noted_once_and_knows_what_ran_before_it() -> None:
    assert releases.deployment_of("bbb") is None
    releases.note("aaa")
    releases.note("bbb")
    releases.note("aaa")
    first, second = releases.deployment_of("aaa"), releases.deployment_of("bbb")
    assert (first and first.follows, second and second.follows) == ("", "aaa")
