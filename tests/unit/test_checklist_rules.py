"""What an answer to an item of a checklist comes to, and what a file is by its content."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import checklist_rules, media_types
from maintenance.checklist_rules import Kind, NoAnswer

NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_reading_passes_exactly_within_its_limits(value: float, low: float | None, high: float | None) -> None:
    within = (-math.inf if low is None else low) <= value <= (math.inf if high is None else high)
    assert checklist_rules.passes(Kind.READING, low=low, high=high, value=value) is within


@pytest.mark.parametrize(
    ("kind", "said"),
    [("READING", {}), ("READING", {"value": math.nan}), ("READING", {"value": math.inf}), ("READING", {"passed": True}),
     ("TICK", {}), ("TICK", {"passed": False}), ("TICK", {"value": 1.0, "passed": True}), ("PASS_FAIL", {}),
     ("PASS_FAIL", {"value": 0.0})],
)  # fmt: skip
def test_what_is_no_answer_to_an_item_is_refused(kind: str, said: dict[str, float | bool]) -> None:
    with pytest.raises(NoAnswer):
        checklist_rules.passes(kind, low=None, high=None, **said)  # type: ignore[arg-type]


def test_a_tick_is_done_and_a_look_passes_or_fails() -> None:
    assert checklist_rules.passes(Kind.TICK, low=None, high=None, passed=True)
    assert checklist_rules.passes(Kind.PASS_FAIL, low=None, high=None, passed=True)
    assert not checklist_rules.passes(Kind.PASS_FAIL, low=None, high=None, passed=False)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x89PNG\r\n\x1a\n....", media_types.PNG), (b"\xff\xd8\xff\xe0....", media_types.JPEG),
        (b"RIFF....WEBPVP8 ", media_types.WEBP), (b"%PDF-1.7\n...", media_types.PDF),
        ("vibration;2,1 mm/s\n\täöü".encode(), media_types.TEXT), (b"", None), (b"  \n", None),
        (b"<!DOCTYPE html><p>", None), (b"\n <svg onload=alert(1)>", None), (b"<?xml version='1.0'?>", None),
        (b"notes <script>alert(1)</script>", None), (b"MZ\x00\x01", None), (b"PK\x03\x04\x14\x00", None),
        (b"\xfe\xff\x00<", None), (b"RIFF\x00\x10\x00\x00AVI ", None), (b"GIF89a\x01\x00", None),
    ],
)  # fmt: skip
def test_a_file_is_what_is_in_it(content: bytes, found: str | None) -> None:
    assert media_types.of(content) == found


@pytest.mark.parametrize(
    ("name", "media_type", "told"),
    [
        ("photo.JPG", media_types.JPEG, "photo.JPG"), ("photo.jpeg", media_types.JPEG, "photo.jpeg"),
        ("page.html", media_types.PNG, "page.html.png"), ("../../etc/passwd", media_types.TEXT, "passwd.txt"),
        ("readings.csv", media_types.TEXT, "readings.csv"), ("", media_types.PDF, "file.pdf"),
        ('a"\r\nSet-Cookie: x.pdf', media_types.PDF, "a Set-Cookie x.pdf"),
    ],
)  # fmt: skip
def test_a_file_is_handed_out_under_a_name_that_says_what_it_is(name: str, media_type: str, told: str) -> None:
    assert media_types.named(name, media_type) == told
