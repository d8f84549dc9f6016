"""The page of the figures of maintenance, with pictures, and as a table to take away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from unfold import widgets

from maintenance import kpi_api, kpi_plots, kpi_report, performance_page
from maintenance.kpi import Figure
from maintenance.kpi_groups import Loss
from maintenance.kpi_report import Report
from sensors import bars, desk, show, ticks
from sensors.columns import DAY_US, to_instant
from sensors.models import Equipment, Site

NAME = "maintenance-figures"
MOST_CHOICES = 500
NODES = (Equipment.Level.LINE, Equipment.Level.MACHINE)


class Choice(forms.Form):
    """Which site or part of it, and which days (of the site's own, both included)."""

    site = forms.ChoiceField(widget=widgets.UnfoldAdminSelectWidget)
    equipment = forms.CharField(
        required=False, label="Line or machine (tag)",
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"list": "kpi-equipment", "placeholder": "all"}),
    )  # fmt: skip
    start = forms.DateField(label="From", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    end = forms.DateField(label="To", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))


@dataclass(frozen=True, slots=True)
class Line:
    """A figure as the table shows it."""

    figure: Figure
    value: str
    interval: str


@dataclass(frozen=True, slots=True)
class Row:
    """A loss as the table shows it, with the list of its orders."""

    orders: SafeString
    loss: Loss
    downtime: str
    cost: str


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site."""
    if not performance_page.may_view(request):
        raise PermissionDenied
    sites = {str(site.pk): site for site in desk.scope(request, Site.objects.order_by("name", "id"), path="pk")}
    now = timezone.now()
    form = _form(request, sites, today=now.date())
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Maintenance figures", "form": form}
    if sites and form.is_valid():
        site = sites[form.cleaned_data["site"]]
        try:
            made = _made(site, form.cleaned_data, now=now)
        except (kpi_report.BadPeriod, kpi_report.NoEquipment) as error:
            form.add_error(None, str(error))
        else:
            if request.GET.get("as") == "csv":
                return kpi_api.as_csv(made)
            page |= _shown(site, made) | {"table": f"?{_query(request)}"}
    return TemplateResponse(request, "admin/maintenance/kpis.html", page)


def _query(request: HttpRequest) -> str:
    asked = request.GET.copy()
    asked["as"] = "csv"
    return asked.urlencode()


def _form(request: HttpRequest, sites: dict[str, Site], *, today: date) -> Choice:
    usual = {
        "site": next(iter(sites), ""), "equipment": "", "start": (today - kpi_report.USUAL).isoformat(),
        "end": today.isoformat(),
    }  # fmt: skip
    form = Choice(usual | {name: request.GET[name] for name in usual if name in request.GET})
    field: Any = form.fields["site"]
    field.choices = [(pk, site.name) for pk, site in sites.items()]
    return form


def _made(site: Site, asked: dict[str, Any], *, now: datetime) -> Report:
    zone, node = site.zone, None
    if asked["equipment"]:
        node = Equipment.objects.filter(site=site, level__in=NODES, tag=asked["equipment"]).first()
        if node is None:
            raise kpi_report.NoEquipment(f"{site} has no line or machine with the tag {asked['equipment']}.")
    try:
        start, end = (
            datetime.combine(day, time(), tzinfo=zone) for day in (asked["start"], asked["end"] + timedelta(days=1))
        )
        return kpi_report.make(site.pk, start=start, end=end, now=now, equipment_id=node.pk if node else None)
    except OverflowError as error:
        raise kpi_report.BadPeriod("No calendar goes that far.") from error


def _shown(site: Site, made: Report) -> dict[str, Any]:
    by_downtime = any(loss.downtime for loss in made.losses)
    names = [f"{made.tags[loss.machine]} {loss.mode}".strip() for loss in made.losses]
    weights = [loss.downtime if by_downtime else float(loss.failures) for loss in made.losses]
    failures = bars.Bars(
        title=f"Failures of {site.name}", start=made.period.start, end=made.period.end, length=made.length,
        counts=made.failures,
    )  # fmt: skip
    choices = Equipment.objects.filter(site=site, level__in=NODES).order_by("level", "tag")
    return {
        "report": made,
        "shown_from": to_instant(made.period.start),
        "shown_to": to_instant(made.period.end),
        "choices": list(choices.values_list("tag", "name")[:MOST_CHOICES]),
        "total": sum(made.failures),
        "piece_days": made.length // DAY_US,
        "lines": [Line(one, show.number(one.value, one.entry.unit), _interval(one)) for one in made.figures],
        "bars": mark_safe(bars.svg(failures)),
        "pareto": mark_safe(
            kpi_plots.pareto(
                "What was lost by machine and failure mode", "h" if by_downtime else "failures", names, weights,
                [loss.so_far for loss in made.losses],
            )
        ),
        "lasting": mark_safe(kpi_plots.lasting("How long machines last from one failure to the next", made.curve)),
        "losses": [_row(made, loss) for loss in made.losses],
        "parts": [part for part in made.parts if len(made.parts) > 1],
    }  # fmt: skip


def _interval(one: Figure) -> str:
    if one.low is None and one.high is None:
        return show.DASH
    return show.bounds(one.low, one.high, one.entry.unit)


def _row(made: Report, loss: Loss) -> Row:
    words = f"{made.tags[loss.machine]}, {loss.mode or 'no mode'}"
    listed = show.listing(
        "maintenance_workorder", words, machine__id__exact=loss.machine, failure_mode__exact=loss.mode
    )
    cost = f"{loss.cost / 100:,.2f}" if loss.cost else show.DASH
    return Row(listed, loss, ticks.span(3600 * loss.downtime) if loss.downtime else show.DASH, cost)
