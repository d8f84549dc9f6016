"""The page that says how a site's alarms did over a period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from unfold import widgets

from maintenance import alarm_report
from maintenance.alarm_report import Made
from maintenance.alarm_targets import TARGETS, Verdict
from maintenance.isa182 import Actor
from sensors import bars, desk, show, ticks
from sensors.columns import DAY_US, SECOND_US, to_instant
from sensors.models import Site

NAME = "alarm-performance"
TUNING = "alarm-tuning"
"""The page that proposes what to do about them."""
MOST_FLOODS = 25
TONES = {Verdict.OK: "DONE", Verdict.MANAGEABLE: "HELD", Verdict.OVER: "FAILED"}
WORDS = {Verdict.OK: "ok", Verdict.MANAGEABLE: "manageable", Verdict.OVER: "over"}


class Choice(forms.Form):
    """Which site, which days (of the site's own, both included), and how many operators share its alarms."""

    site = forms.ChoiceField(widget=widgets.UnfoldAdminSelectWidget)
    start = forms.DateField(label="From", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    end = forms.DateField(label="To", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    operators = forms.IntegerField(
        min_value=1, max_value=alarm_report.MOST_OPERATORS, widget=widgets.UnfoldAdminIntegerFieldWidget
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A figure as the table shows it."""

    title: str
    value: str
    asked: str
    source: str
    verdict: SafeString | str


@dataclass(frozen=True, slots=True)
class Row:
    """An alarm as the tables show it, with the list of its alarms."""

    alarm: SafeString
    actor: Actor
    share: str


def may_view(request: HttpRequest) -> bool:
    return desk.sees_all(request) or bool(desk.roles(request))


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site."""
    if not may_view(request):
        raise PermissionDenied
    sites = {str(site.pk): site for site in desk.scope(request, Site.objects.order_by("name", "id"), path="pk")}
    now = timezone.now()
    form = _form(request, sites, today=now.date())
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Alarm performance", "form": form}
    if sites and form.is_valid():
        try:
            page |= _shown(sites[form.cleaned_data["site"]], form.cleaned_data, now=now)
        except alarm_report.BadPeriod as error:
            form.add_error(None, str(error))
    return TemplateResponse(request, "admin/maintenance/alarm_performance.html", page)


def _form(request: HttpRequest, sites: dict[str, Site], *, today: date) -> Choice:
    usual = {
        "site": next(iter(sites), ""),
        "start": (today - alarm_report.USUAL).isoformat(),
        "end": today.isoformat(),
        "operators": "1",
    }
    form = Choice(usual | {name: request.GET[name] for name in usual if name in request.GET})
    field: Any = form.fields["site"]
    field.choices = [(pk, site.name) for pk, site in sites.items()]
    return form


def _shown(site: Site, asked: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    zone = site.zone
    try:
        start, end = (
            datetime.combine(day, time(), tzinfo=zone) for day in (asked["start"], asked["end"] + timedelta(days=1))
        )
        made = alarm_report.make(site.pk, start=start, end=end, operators=asked["operators"], now=now)
    except OverflowError as error:
        raise alarm_report.BadPeriod("No calendar goes that far.") from error
    report = made.report
    daily = next(target for target in TARGETS.metrics if target.name == "day_mean")
    return {
        "report": report,
        "tuning": reverse(TUNING, query={"site": site.pk}),
        "shown_from": to_instant(report.start),
        "shown_to": to_instant(report.end),
        "days_meant": TARGETS.days,
        "lines": [
            Line(
                figure.target.title,
                show.number(figure.value, figure.target.unit),
                figure.target.asked or show.DASH,
                figure.target.source,
                show.badge(TONES[figure.verdict], WORDS[figure.verdict]) if figure.verdict in TONES else show.DASH,
            )
            for figure in report.figures
        ],
        "chart": mark_safe(
            bars.svg(
                bars.Bars(
                    title=f"Alarms of {site.name} by day",
                    start=report.start,
                    end=report.end,
                    length=DAY_US,
                    counts=report.by_day,
                    line=(daily.target or 0) * report.operators,
                    line_name="target",
                )
            )
        ),
        "top": [_row(made, actor) for actor in report.top],
        "nuisances": [_row(made, actor) for actor in report.nuisances],
        "floods": [
            (to_instant(flood.start), ticks.span((flood.end - flood.start) / SECOND_US), flood.activations)
            for flood in report.floods[:MOST_FLOODS]
        ],
        "more_floods": max(0, len(report.floods) - MOST_FLOODS),
    }


def _row(made: Made, actor: Actor) -> Row:
    words = f"{made.tags[actor.machine]}, {actor.mode}"
    listed = show.listing("maintenance_alarm", words, machine__id__exact=actor.machine, failure_mode__exact=actor.mode)
    return Row(listed, actor, f"{100 * actor.share:.1f} %")
