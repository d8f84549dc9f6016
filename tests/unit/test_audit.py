from __future__ import annotations

import pytest

from agents import audit
from agents.audit import Figure, Kind


def test_nothing_beyond_its_limit_is_no_finding() -> None:
    assert audit.judge([Figure(kind, 0, 0.0) for kind in Kind]) == ()
    assert audit.judge([]) == ()
    assert audit.passed(())


@pytest.mark.parametrize("kind", Kind)
def test_each_figure_beyond_its_limit_is_a_finding_that_says_what_to_do(kind: Kind) -> None:
    (found,) = audit.judge([Figure(kind, 3, 71.5)])
    assert (found.kind, found.count, found.oldest_seconds) == (kind, 3, 71.5)
    assert found.what
    assert found.todo


@pytest.mark.parametrize("kind", Kind)
def test_only_what_is_wrong_with_the_service_itself_fails_the_audit(kind: Kind) -> None:
    assert audit.passed(audit.judge([Figure(kind, 1, 1.0)])) == (kind is Kind.SILENT_SENSORS)


def test_findings_come_in_one_order() -> None:
    figures = [Figure(kind, 1, 1.0) for kind in reversed(Kind)]
    assert [found.kind for found in audit.judge(figures)] == list(Kind)
