"""The page that proposes delays for a site's worst alarms, gives them to a sensor, and takes them back."""

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

from agents import proposals
from maintenance import alarm_report, performance_page
from sensors import desk, timing
from sensors.desk import EDITORS
from sensors.models import Sensor, Site

NAME = performance_page.TUNING


class Wanted(forms.Form):
    """What to do to which sensor; without delays the newest change is undone."""

    sensor = forms.IntegerField(min_value=1, max_value=2**63 - 1)
    on = forms.IntegerField(min_value=0, max_value=timing.MOST_SECONDS, required=False)
    off = forms.IntegerField(min_value=0, max_value=timing.MOST_SECONDS, required=False)
    reason = forms.CharField(max_length=200, required=False)


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site, ``Http404`` for a site that is none of theirs."""
    if not performance_page.may_view(request):
        raise PermissionDenied
    asked = request.GET.get("site", "")
    sites = desk.scope(request, Site.objects.all(), path="pk")
    site = sites.filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 19 else None
    if site is None:
        raise Http404("There is no such site among yours.")
    if request.method == "POST":
        _act(request, site)
        return HttpResponseRedirect(reverse(NAME, query={"site": site.pk}))
    now = timezone.now()
    made = alarm_report.make(site.pk, start=now - alarm_report.USUAL, end=now, now=now)
    page: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Quieter alarms of {site.name}",
        "offers": proposals.make(made),
        "may_change": _may_change(request, site.pk),
        "days": alarm_report.USUAL.days,
    }
    return TemplateResponse(request, "admin/agents/alarm_tuning.html", page)


def _may_change(request: HttpRequest, site_id: int) -> bool:
    return desk.sees_all(request) or site_id in desk.sites_in_role(request, EDITORS)


def _act(request: HttpRequest, site: Site) -> None:
    form = Wanted(request.POST)
    if not _may_change(request, site.pk):
        raise PermissionDenied
    if not form.is_valid() or not Sensor.objects.filter(pk=form.cleaned_data["sensor"], site=site).exists():
        raise Http404("There is no such sensor in the site.")
    asked, user = form.cleaned_data, request.user
    assert isinstance(user, User)  # who may change is logged in
    try:
        if asked["on"] is None or asked["off"] is None:
            sensor = timing.undo(asked["sensor"], actor=user)
        else:
            sensor = timing.change(
                asked["sensor"], on_delay_seconds=asked["on"], off_delay_seconds=asked["off"],
                reason=asked["reason"], actor=user,
            )  # fmt: skip
    except timing.NothingToUndo as error:
        messages.error(request, str(error))
        return
    messages.success(
        request, f"{sensor}: on-delay {sensor.on_delay_seconds} s, off-delay {sensor.off_delay_seconds} s."
    )
