"""The page with the calendar of work orders, and the question before an order moves to another time or person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from unfold import widgets

from maintenance import buttons, order_board_page, order_calendar, order_clashes, order_life
from maintenance.models import WorkOrder
from maintenance.order_life import Action
from maintenance.refusals import Refused
from sensors import ask, desk
from sensors.models import Site

NAME, MOVE = "order-calendar", "order-calendar-move"
AT = 7
"""Hour of the day that is proposed for what had no time yet."""


class Move(forms.Form):
    start = forms.SplitDateTimeField(
        widget=widgets.UnfoldAdminSplitDateTimeWidget, help_text="When the work is to begin."
    )
    minutes = forms.IntegerField(
        min_value=1, max_value=60 * 24 * 90, widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="How long it is thought to take.",
    )  # fmt: skip
    assignee = forms.ModelChoiceField(
        User.objects.none(), label="Who", required=False, widget=widgets.UnfoldAdminSelectWidget,
        empty_label="As it is", help_text="Who has it may change, but nobody is taken off it here.",
    )  # fmt: skip


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site."""
    if not order_board_page.orders_page().has_view_permission(request):
        raise PermissionDenied
    sites = {str(site.pk): site for site in desk.scope(request, Site.objects.order_by("name", "id"), path="pk")}
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Calendar of work orders", "sites": sites}
    site = sites.get(request.GET.get("site", "")) or next(iter(sites.values()), None)
    if site is None:
        return TemplateResponse(request, "admin/maintenance/order_calendar.html", page)
    with timezone.override(site.zone):
        page |= _shown(request, site)
        return TemplateResponse(request, "admin/maintenance/order_calendar.html", page).render()


def _shown(request: HttpRequest, site: Site) -> dict[str, Any]:
    now = timezone.now()
    today = now.astimezone(site.zone).date()
    first = order_calendar.monday(_day(request.GET.get("week", "")) or today)
    users = buttons.workers_of([site.pk]).filter(memberships__site=site)
    orders = WorkOrder.objects.filter(site=site)
    return {
        "site": site,
        "today": today,
        "week": order_calendar.week(orders, users, first=first, zone=site.zone, now=now),
        "movable": [status for status in order_life.Status if Action.PLANNED in order_life.possible(status)],
        "acts": order_board_page.acts_in(request, site.pk),
        "query": f"?site={site.pk}&week={first}",
        "weeks": [
            (name, reverse(NAME, query={"site": site.pk, "week": day.isoformat()}))
            for name, day in (
                ("Week before", first - timedelta(7)),
                ("This week", today),
                ("Week after", first + timedelta(7)),
            )
        ],
    }


def _day(text: str) -> date | None:
    """A day that a calendar can show."""
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return day if day is not None and 1900 < day.year < 2200 else None


def move(request: HttpRequest, key: int) -> HttpResponse:
    """Ask for time and person, both proposed by where the order was dropped, and plan and assign it."""
    page = order_board_page.orders_page()
    row = ask.row_of(page, request, key)
    zone = row.site.zone
    asked = {name: request.GET[name] for name in ("site", "week") if name in request.GET}
    actor: Any = request.user
    question = ask.Question(
        title="Move the work order",
        button="Move",
        done="Moved",
        form=partial(_form, request, [row], zone),
        perform=lambda order, said: order_calendar.move(
            order, actor=actor, start=said["start"], minutes=said["minutes"], assignee=said["assignee"]
        ),
        refusals=(Refused,),
        zone=zone,
        warn=order_clashes.warnings,
    )
    return ask.answer(page, request, [row], question, back=reverse(NAME, query=asked))


def _form(request: HttpRequest, rows: Sequence[WorkOrder], zone: tzinfo, data: Any) -> forms.Form:
    [order] = rows
    start = None if order.planned_start is None else order.planned_start.astimezone(zone)
    day = _day(request.GET.get("day", ""))
    if day is not None:
        at = start.timetz() if start else datetime(day.year, day.month, day.day, AT, tzinfo=zone).timetz()
        start = datetime.combine(day, at)
    who = request.GET.get("who", "")
    form = Move(data, initial={
        "start": start, "minutes": order.planned_minutes or 60,
        "assignee": int(who) if who.isdigit() else order.assigned_to_id,
    })  # fmt: skip
    cast(Any, form.fields["assignee"]).queryset = buttons.workers(rows)
    return form
