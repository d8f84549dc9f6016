"""What a planner looks for in the list of work orders: what is late, due, without a time, held, or asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from maintenance import order_board, order_print
from maintenance.models import WorkOrder
from maintenance.order_life import OVER, Status
from sensors import show

WEEK = timedelta(days=7)
TO_DO = ~Q(status__in=sorted(OVER))
SORTS: dict[str, tuple[str, Callable[[datetime], Q]]] = {
    "requested": ("Requested", lambda now: Q(status=Status.REQUESTED)),
    "overdue": ("Overdue", lambda now: TO_DO & Q(due_at__lt=now)),
    "due": ("Due within 7 days", lambda now: TO_DO & Q(due_at__gte=now, due_at__lt=now + WEEK)),
    "planned": ("Planned within 7 days", lambda now: TO_DO & Q(planned_start__gte=now, planned_start__lt=now + WEEK)),
    "unplanned": ("Without a time", lambda now: TO_DO & Q(planned_start=None)),
    "held": ("On hold", lambda now: Q(status=Status.ON_HOLD)),
}


class PlanningFilter(admin.SimpleListFilter):
    title = "planning"
    parameter_name = "planning"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, name) for key, (name, _) in SORTS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> QuerySet[WorkOrder]:
        wanted = SORTS.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(wanted[1](timezone.now()))


def minute(at: datetime | None) -> str:
    """An instant as a list of many shows it."""
    return show.DASH if at is None else date_format(timezone.localtime(at), "Y-m-d H:i")


def due_words(order: WorkOrder) -> SafeString | str:
    """When it is due, and whether that is over or near."""
    when = minute(order.due_at)
    how = order_board.due(order, timezone.now())
    mark = {"OVERDUE": show.badge("FAILED", "overdue"), "SOON": show.badge("HELD", "due soon")}.get(how, "")
    return format_html("{} {}", when, mark)


def paper(order: WorkOrder) -> SafeString:
    """The link to the order on paper."""
    return format_html('<a class="desk-link" href="{}">Print</a>', reverse(order_print.NAME, args=[order.pk]))
