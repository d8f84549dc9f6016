"""What speaks against the time and person of a planned order; it hinders nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import DateTimeField, Expression, ExpressionWrapper, F, QuerySet, Value
from django.utils import timezone

from maintenance import order_life
from maintenance.models import WorkOrder

LONGEST = timedelta(days=91)
"""No order is planned to take longer (``order_buttons.Plan``), so that nobody need look back further."""
MINUTE = timedelta(minutes=1)
MOST_NAMED = 5
"""Other orders that a warning names."""


def planned_between(
    orders: QuerySet[WorkOrder], start: datetime | Expression, end: datetime | Expression
) -> QuerySet[WorkOrder]:
    """Of some orders those planned in a span, all or part of it."""
    until = ExpressionWrapper(F("planned_start") + F("planned_minutes") * Value(MINUTE), output_field=DateTimeField())
    near = orders.filter(planned_start__lt=end, planned_start__gt=start - LONGEST)
    return near.alias(until=until).filter(until__gt=start)


def warnings(order: WorkOrder) -> Sequence[str]:
    """What a planner should know of an order's time: that it has passed, and what else its person has then."""
    if order.planned_start is None or order.is_over or order.started_at is not None:
        return []
    told = []
    if order.planned_start < timezone.now() - MINUTE:
        told.append(f"WO-{order.pk} is planned to begin in the past, {_at(order.planned_start)}.")
    if order.assigned_to is not None:
        names = [_named(other, order) for other in _at_the_same_time(order)[: MOST_NAMED + 1]]
        more = [] if len(names) <= MOST_NAMED else ["more"]
        if names:
            told.append(f"{order.assigned_to} has other work while WO-{order.pk} is planned: "
                        f"{'; '.join(names[:MOST_NAMED] + more)}.")  # fmt: skip
    return told


def _at_the_same_time(order: WorkOrder) -> QuerySet[WorkOrder]:
    # The database reckons: it knows of times after the last of Python's.
    start = Value(order.planned_start, output_field=DateTimeField())
    end = start + Value((order.planned_minutes or 1) * MINUTE)
    others = WorkOrder.objects.filter(assigned_to=order.assigned_to_id).exclude(pk=order.pk)
    to_do = others.exclude(status__in=sorted(order_life.OVER))
    return planned_between(to_do, start, end).order_by("planned_start", "id")


def _named(other: WorkOrder, order: WorkOrder) -> str:
    """An order of another site is not named: who plans here may not see it."""
    name = f"WO-{other.pk}" if other.site_id == order.site_id else "an order of another site"
    when = "" if other.planned_start is None else f" at {_at(other.planned_start)}"
    return f"{name}{when}, {other.planned_minutes} min"


def _at(instant: datetime) -> str:
    return f"{timezone.localtime(instant):%Y-%m-%d %H:%M}"
