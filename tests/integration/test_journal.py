"""The journal keeps each event once, with the change it tells of."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import transaction
from pytest_django import DjangoAssertNumQueries

from sensors import journal
from sensors.models import Event
from tests import factories

pytestmark = pytest.mark.django_db


def entry(key: str = "alarm.opened/1", **fields: object) -> journal.Entry:
    base = {"type": journal.ALARM_OPENED, "subject": "alarm/1", "occurred_at": factories.NOON}
    return journal.Entry(**{**base, "key": key, **fields})  # type: ignore[arg-type]


def test_the_same_event_comes_once(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(2):  # and one for the audit trail, where somebody did it
        journal.record([entry(), entry("alarm.opened/2", data={"priority": "HIGH"}, actor="ann")])
    journal.record([entry(), entry("alarm.opened/3")])
    assert list(Event.objects.order_by("id").values_list("key", flat=True)) == [f"alarm.opened/{n}" for n in (1, 2, 3)]
    assert Event.objects.get(key="alarm.opened/2").data == {"priority": "HIGH"}


def test_nothing_to_record_costs_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        journal.record([])


def test_an_event_goes_with_the_change_it_tells_of() -> None:
    with pytest.raises(RuntimeError, match="undone"), transaction.atomic():
        journal.record([entry()])
        raise RuntimeError("undone")
    assert not Event.objects.exists()


def test_a_type_nobody_knows_is_refused() -> None:
    with pytest.raises(journal.UnknownType, match=r"alarm\.exploded"):
        journal.record([entry(type="alarm.exploded")])


def test_days_that_expired_are_told_of_once() -> None:
    journal.record([journal.readings_expired(date(2020, 5, 1))] * 2)
    assert Event.objects.get().subject == "readings/2020-05-01"
