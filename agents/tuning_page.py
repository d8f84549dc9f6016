"""The page that proposes delays and deadbands for a site's worst alarms, gives them to a sensor, takes them back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from agents import doorbell, proposals, sought
from agents.backtests import requests
from agents.doorbell import Bell
from maintenance import alarm_report, performance_page
from sensors import alarm_settings, desk
from sensors.columns import to_instant
from sensors.models import Sensor, Site

NAME = performance_page.TUNING


class Wanted(forms.Form):
    """What to do to which sensor; without delays or a deadband the newest change is undone.

    ``seek``: deadbands are to be looked for, for the sensors of the page.
    """

    seek = forms.BooleanField(required=False)
    sensor = forms.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    on = forms.IntegerField(min_value=0, max_value=alarm_settings.MOST_SECONDS, required=False)
    off = forms.IntegerField(min_value=0, max_value=alarm_settings.MOST_SECONDS, required=False)
    deadband = forms.FloatField(min_value=0, required=False)
    reason = forms.CharField(max_length=200, required=False)


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site, ``Http404`` for a site that is none of theirs.
    Without a site it is the first of theirs."""
    if not performance_page.may_view(request):
        raise PermissionDenied
    asked = request.GET.get("site", "")
    sites = desk.scope(request, Site.objects.order_by("name", "id"), path="pk")
    if asked.isdecimal() and len(asked) < 19:
        sites = sites.filter(pk=int(asked))
    site = sites.first() if not asked or asked.isdecimal() else None
    if site is None:
        raise Http404("There is no such site among yours.")
    if request.method == "POST":
        _act(request, site)
        return HttpResponseRedirect(reverse(NAME, query={"site": site.pk}))
    made = _report(site)
    page: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Quieter alarms of {site.name}",
        "offers": proposals.make(made),
        "may_change": _may_change(request, site.pk),
        "days": alarm_report.USUAL.days,
    }
    return TemplateResponse(request, "admin/agents/alarm_tuning.html", page)


def _may_change(request: HttpRequest, site_id: int) -> bool:
    return desk.may_in(request, site_id, "equipment.edit")


def _report(site: Site) -> alarm_report.Made:
    now = timezone.now()
    return alarm_report.make(site.pk, start=now - alarm_report.USUAL, end=now, now=now)


def _act(request: HttpRequest, site: Site) -> None:
    form = Wanted(request.POST)
    if not _may_change(request, site.pk):
        raise PermissionDenied
    asked = form.cleaned_data if form.is_valid() else {}
    user = request.user
    assert isinstance(user, User)  # who may change is logged in
    if asked.get("seek"):
        _seek(request, site, user)
        return
    if not Sensor.objects.filter(pk=asked.get("sensor") or 0, site=site).exists():
        raise Http404("There is no such sensor in the site.")
    given = {"on_delay_seconds": asked["on"], "off_delay_seconds": asked["off"], "deadband": asked["deadband"]}
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        if settings:
            sensor = alarm_settings.change(asked["sensor"], settings, reason=asked["reason"], actor=user)
        else:
            sensor = alarm_settings.undo(asked["sensor"], actor=user)
    except alarm_settings.NothingToUndo as error:
        messages.error(request, str(error))
        return
    delays = f"on-delay {sensor.on_delay_seconds} s, off-delay {sensor.off_delay_seconds} s"
    messages.success(request, f"{sensor}: {delays}, deadband {sensor.deadband:g} {sensor.unit}".rstrip() + ".")


def _seek(request: HttpRequest, site: Site, actor: User) -> None:
    made = _report(site)
    sensors = {offer.sensor.pk: offer.sensor for offer in proposals.make(made) if offer.sensor is not None}
    start, end = to_instant(made.report.start), to_instant(made.report.end)
    try:
        asked = sought.ask(sensors.values(), start=start, end=end, actor=actor)
    except requests.Refused as error:
        messages.error(request, str(error))
        return
    doorbell.ring_all(Bell("backtest", backtest_id) for backtest_id in asked)
    if asked:
        messages.success(request, f"Asked for {len(asked)}: a worker looks for them in the sensors' own readings.")
    else:
        messages.warning(request, "No sensor here has limits for which none is being looked for already.")
