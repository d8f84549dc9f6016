"""The life of a work order, its priority, and the lists of failure data: the pure parts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import failure_data, order_life, order_priority
from maintenance.models import WorkOrder
from maintenance.order_life import Action, Status


def test_the_table_of_orders_knows_every_status_and_each_can_be_left_and_reached() -> None:
    assert [status.value for status in Status] == [status.value for status in WorkOrder.Status]
    assert set(WorkOrder.OVER) == order_life.OVER
    assert {before for before, _ in order_life.TABLE} == set(Status)
    assert set(order_life.TABLE.values()) | {Status.REQUESTED} == set(Status)


@given(st.sampled_from(list(Status)), st.sampled_from(list(Action)))
def test_an_action_is_possible_exactly_where_it_leads_somewhere(status: Status, action: Action) -> None:
    if action in order_life.possible(status):
        assert order_life.after(status, action) in Status
    else:
        with pytest.raises(order_life.NotPossibleNow, match=f"{action} in status {status}"):
            order_life.after(status, action)


def test_nothing_begins_without_somebody_and_nothing_is_closed_that_was_not_completed() -> None:
    begins = [before for (before, action) in order_life.TABLE if action is Action.STARTED]
    closes = [before for (before, action) in order_life.TABLE if action is Action.CLOSED]
    assert (begins, closes) == ([Status.ASSIGNED], [Status.COMPLETED])


CRITICALITIES = list(order_priority.BY_CRITICALITY)


@given(st.sampled_from(CRITICALITIES), st.booleans(), st.none() | st.floats(0, 1e5))
def test_less_time_or_a_severe_deviation_never_makes_an_order_less_urgent(
    criticality: str, severe: bool, hours: float | None
) -> None:
    def place(**fields: object) -> int:
        return order_priority.PRIORITIES.index(order_priority.priority(criticality=criticality, **fields))  # type: ignore[arg-type]

    assert place(severe=True, hours_to_failure=hours) <= place(severe=False, hours_to_failure=hours)
    if hours is not None:
        assert place(severe=severe, hours_to_failure=hours / 2) <= place(severe=severe, hours_to_failure=hours)


@pytest.mark.parametrize(
    ("hours", "found"),
    [(None, "MEDIUM"), (24.0, "HIGH"), (24.1, "MEDIUM"), (720.0, "MEDIUM"), (721.0, "LOW")],
)
def test_the_time_that_is_left_moves_the_priority_by_one_step(hours: float | None, found: str) -> None:
    assert order_priority.priority(criticality="HIGH", severe=False, hours_to_failure=hours) == found


def test_the_lists_of_failure_data_fit_their_columns() -> None:
    for name, codes in failure_data.KNOWN.items():
        field = {"mechanisms": "mechanism", "causes": "cause", "activities": "activity"}.get(name, "detection_method")
        longest = WorkOrder._meta.get_field(field).max_length
        assert longest is not None
        assert all(len(code) <= longest for code in codes)
    assert failure_data.MECHANISMS["2.4"] == "Wear"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"provenance": {"vocabulary": " "}}, "where the codes come from"),
        ({"causes": []}, "causes: is empty"),
        ({"causes": [{"code": "A", "name": "a"}, {"code": "A", "name": "b"}]}, "causes/1: A comes twice"),
        ({"causes": [{"code": "", "name": "a"}]}, "causes/0: needs a code and a name"),
        ({"causes": [{"code": "A"}]}, "KeyError"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_it_is_wrong(change: dict[str, object], says: str) -> None:
    good = json.loads(failure_data.FILE.read_text("utf-8"))
    with pytest.raises(failure_data.BadLists, match=says):
        failure_data.read(json.dumps(good | change))
    with pytest.raises(failure_data.BadLists, match="JSONDecodeError"):
        failure_data.read("{")
