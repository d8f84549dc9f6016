"""The life of a case of failed runs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import case_life
from agents.case_life import Status
from agents.models import Case

ENDS = {Status.RESOLVED, Status.CANCELLED}
ALLOWED = {
    ("", "OPEN"),
    ("OPEN", "INVESTIGATING"), ("OPEN", "REMEDIATING"), ("OPEN", "RESOLVED"), ("OPEN", "CANCELLED"),
    ("INVESTIGATING", "REMEDIATING"), ("INVESTIGATING", "FAILED"), ("INVESTIGATING", "RESOLVED"),
    ("INVESTIGATING", "CANCELLED"),
    ("REMEDIATING", "REMEDIATING"), ("REMEDIATING", "FAILED"), ("REMEDIATING", "RESOLVED"),
    ("REMEDIATING", "CANCELLED"),
    ("FAILED", "REMEDIATING"), ("FAILED", "RESOLVED"), ("FAILED", "CANCELLED"),
}  # fmt: skip
"""Written out once more, so that a slip in the table shows."""


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
def test_a_step_is_allowed_or_is_refused_by_name(before: Status, after: Status) -> None:
    if (before, after) in ALLOWED:
        case_life.check(before, after)
    else:
        with pytest.raises(case_life.ForbiddenTransition, match=f"{before or 'new'} cannot become {after}"):
            case_life.check(before, after)


@given(st.lists(st.sampled_from(Status)))
def test_whatever_is_asked_in_whatever_order_no_case_leaves_its_end_or_skips_its_beginning(
    wishes: list[Status],
) -> None:
    walked = [Status.NEW]
    for wish in wishes:
        try:
            case_life.check(walked[-1], wish)
        except case_life.ForbiddenTransition:
            continue
        walked.append(wish)
    assert walked[1:2] in ([], [Status.OPEN])
    assert all(pair in ALLOWED for pair in itertools.pairwise(walked))
    assert [status for status in walked[:-1] if status in ENDS] == []


def test_every_case_can_still_come_to_an_end() -> None:
    for status in set(Status) - ENDS - {Status.NEW}:
        assert case_life.FOLLOWS[status] >= ENDS
        assert not case_life.ended(status)
    assert all(case_life.ended(status) for status in ENDS)


def test_the_table_knows_the_statuses_that_are_stored() -> None:
    assert {status.value for status in Status} - {""} == set(Case.Status.values)
    assert {status.value for status in ENDS} == set(Case.ENDED)
