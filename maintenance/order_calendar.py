"""The calendar of work orders: who has what planned in a week of the site, and what has no time yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from maintenance import order_board, order_clashes, order_life, order_steps
from maintenance.models import WorkOrder
from maintenance.order_life import Action

MOST_BLOCKS, MOST_UNPLANNED = 400, 40
"""Shown of a week, and of what has no time yet; the page says that there are more."""


@dataclass(frozen=True, slots=True)
class Block:
    """A planned order on a day: of one that takes several days its first in the week."""

    order: WorkOrder
    start: datetime
    end: datetime
    due: str
    can_move: bool

    @property
    def mark(self) -> str:
        return self.due or self.order.priority

    @property
    def is_longer(self) -> bool:
        """Whether it goes on on another day than it begins."""
        return self.start.date() != self.end.date()


@dataclass(frozen=True, slots=True)
class Day:
    on: date
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the calendar; ``user`` is None for what nobody has yet."""

    user: User | None
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class Week:
    days: tuple[date, ...]
    people: tuple[Person, ...]
    is_cut: bool
    unplanned: tuple[WorkOrder, ...]
    unplanned_is_cut: bool


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def week(orders: QuerySet[WorkOrder], users: Iterable[User], *, first: date, zone: tzinfo, now: datetime) -> Week:
    """Of a site's orders those planned in the seven days from ``first`` on, by person. Three queries."""
    days = tuple(first + timedelta(days=n) for n in range(7))
    start, end = (datetime.combine(day, time(), tzinfo=zone) for day in (first, first + timedelta(days=7)))
    to_do = orders.exclude(status__in=sorted(order_life.OVER)).select_related("machine", "assigned_to")
    planned = order_clashes.planned_between(to_do, start, end)
    rows = list(planned.order_by("planned_start", "id")[: MOST_BLOCKS + 1])
    blocks = [_block(row, zone, now) for row in rows[:MOST_BLOCKS]]
    waiting = to_do.filter(planned_start=None).order_by(order_board.RANK, F("due_at").asc(nulls_last=True), "-id")
    unplanned = list(waiting[: MOST_UNPLANNED + 1])
    known = {user.pk: user for user in users} | {b.order.assigned_to_id: b.order.assigned_to for b in blocks}
    known.pop(None, None)
    people = [None, *sorted((one for one in known.values() if one), key=lambda one: one.get_username())]
    return Week(
        days, tuple(_person(one, days, blocks) for one in people), len(rows) > MOST_BLOCKS,
        tuple(unplanned[:MOST_UNPLANNED]), len(unplanned) > MOST_UNPLANNED,
    )  # fmt: skip


def _block(order: WorkOrder, zone: tzinfo, now: datetime) -> Block:
    if order.planned_start is None:
        raise ValueError(f"{order} is not planned")
    start = order.planned_start.astimezone(zone)
    end = (order.planned_start + timedelta(minutes=order.planned_minutes or 0)).astimezone(zone)
    return Block(order, start, end, order_board.due(order, now), Action.PLANNED in order_life.possible(order.status))


def _person(user: User | None, days: tuple[date, ...], blocks: Iterable[Block]) -> Person:
    pk = None if user is None else user.pk
    mine = [block for block in blocks if block.order.assigned_to_id == pk]
    return Person(user, tuple(Day(day, tuple(b for b in mine if max(b.start.date(), days[0]) == day)) for day in days))


def move(order: WorkOrder, *, actor: User, start: datetime, minutes: int, assignee: User | None) -> None:
    """Give an order another time, another person or both, all of it or nothing. Raises ``Refused``."""
    with transaction.atomic():
        if (order.planned_start, order.planned_minutes) != (start, minutes):
            order_steps.plan(order.pk, actor=actor, start=start, minutes=minutes)
        if assignee is not None and assignee.pk != order.assigned_to_id:
            order_steps.assign(order.pk, actor=actor, assignee=assignee)
