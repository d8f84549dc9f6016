"""What the board of work orders shows: a column for each status that is not over, and what was completed lately.

One query whatever is stored: each column has its most urgent cards, and says how many more there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber

from maintenance import approval_buttons, order_buttons, order_life, order_priority
from maintenance.buttons import Button
from maintenance.models import WorkOrder
from maintenance.order_life import Action, Status

COLUMNS = (
    Status.REQUESTED, Status.OPEN, Status.PLANNED, Status.ASSIGNED, Status.IN_PROGRESS, Status.ON_HOLD,
    Status.COMPLETED,
)  # fmt: skip
MOST_CARDS = 25
"""In a column; the list has the rest."""
COMPLETED_DAYS = 7
SOON = timedelta(days=3)
RANK = Case(
    *(When(priority=name, then=Value(place)) for place, name in enumerate(order_priority.PRIORITIES)),
    output_field=IntegerField(),
)
BUTTONS: dict[Action, Button] = {
    Action.APPROVED: approval_buttons.APPROVE, Action.REJECTED: approval_buttons.REJECT,
    Action.MODIFIED: approval_buttons.MODIFY, Action.DEFERRED: approval_buttons.DEFER,
    Action.PLANNED: order_buttons.PLAN,
    Action.ASSIGNED: order_buttons.ASSIGN, Action.STARTED: order_buttons.START, Action.HELD: order_buttons.HOLD,
    Action.RESUMED: order_buttons.RESUME, Action.COMPLETED: order_buttons.COMPLETE, Action.CLOSED: order_buttons.CLOSE,
    Action.CANCELLED: order_buttons.CANCEL, Action.REOPENED: order_buttons.REOPEN,
}  # fmt: skip
"""What is pressed for a step; the others are the flow's."""


@dataclass(frozen=True, slots=True)
class Move:
    """A step that can be taken with a card: the button's name and words, and the column that it leads to."""

    name: str
    label: str
    to: str


@dataclass(frozen=True, slots=True)
class Card:
    order: WorkOrder
    due: str
    """OVERDUE, SOON or nothing."""
    moves: tuple[Move, ...]

    @property
    def targets(self) -> str:
        """Column and button for each move that leads to another column, as the page's script reads them."""
        return " ".join(f"{move.to}:{move.name}" for move in self.moves if move.to != self.order.status)


@dataclass(frozen=True, slots=True)
class Column:
    status: str
    name: str
    cards: tuple[Card, ...]
    total: int

    @property
    def more(self) -> int:
        return self.total - len(self.cards)


def due(order: WorkOrder, now: datetime) -> str:
    """Whether an order that is not over is late, or will be soon."""
    if order.due_at is None or order.is_over:
        return ""
    return "OVERDUE" if order.due_at < now else "SOON" if order.due_at < now + SOON else ""


def moves(status: str) -> tuple[Move, ...]:
    """The steps that people can take from a status, in the order of a life."""
    able = order_life.possible(status)
    return tuple(
        Move(button.name, button.label, order_life.after(status, action))
        for action, button in BUTTONS.items()
        if action in able
    )


def on_it(orders: QuerySet[WorkOrder], now: datetime) -> QuerySet[WorkOrder]:
    """Of some orders those that a board shows, and how many there are of each status."""
    lately = Q(status=Status.COMPLETED, completed_at__gte=now - timedelta(days=COMPLETED_DAYS))
    return orders.filter(~Q(status__in=sorted(order_life.OVER)) | lately).order_by()


def columns(orders: QuerySet[WorkOrder], *, now: datetime, acts_in: Any) -> list[Column]:
    """The board of some orders. ``acts_in`` tells of a site's id whether whoever asks may take steps there."""
    first = on_it(orders, now).annotate(
        place=Window(
            RowNumber(), partition_by=F("status"), order_by=[RANK, F("due_at").asc(nulls_last=True), F("id").desc()]
        ),
        of_status=Window(Count("pk"), partition_by=F("status")),
    )
    shown = list(first.filter(place__lte=MOST_CARDS).select_related("machine", "assigned_to", "site").order_by("place"))
    return [_column(status, [row for row in shown if row.status == status], now, acts_in) for status in COLUMNS]


def _column(status: Status, rows: Sequence[Any], now: datetime, acts_in: Any) -> Column:
    steps = moves(status)
    cards = tuple(Card(row, due(row, now), steps if acts_in(row.site_id) else ()) for row in rows)
    return Column(status, WorkOrder.Status(status).label, cards, rows[0].of_status if rows else 0)
