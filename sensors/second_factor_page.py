"""The page on which staff set up a second factor, show it, and get new recovery codes."""

from __future__ import annotations

from typing import Any

import django_otp
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from unfold import widgets

from sensors import second_factor

NAME = second_factor.NAME
WRONG = "This is not the code, or there were too many tries; wait for the next one."


class Code(forms.Form):
    code = forms.CharField(
        max_length=40,
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )


def view(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    if not second_factor.has(user):
        return _enrol(request, user)
    if not user.is_verified():
        return _verify(request, user)
    if request.method == "POST" and "codes" in request.POST:
        return _page(request, "Recovery codes", codes=second_factor.new_recovery_codes(user))
    return _page(request, "Second factor", left=second_factor.left(user))


def _enrol(request: HttpRequest, user: User) -> HttpResponse:
    form = Code(request.POST if request.method == "POST" else None)
    if form.is_valid():
        if (codes := second_factor.enrol(request, form.cleaned_data["code"])) is not None:
            return _page(request, "Recovery codes", codes=codes, to=_next(request))
        form.add_error("code", WRONG)
    device = second_factor.pending(user)
    shown = {"picture": second_factor.picture(device), "key": second_factor.key_of(device)}
    return _page(request, "Set up a second factor", form=form, **shown)


def _verify(request: HttpRequest, user: User) -> HttpResponse:
    form = Code(request.POST if request.method == "POST" else None)
    if form.is_valid():
        device = second_factor.verify(user, form.cleaned_data["code"])
        if device is not None:
            django_otp.login(request, device)
            request.session.cycle_key()
            return HttpResponseRedirect(_next(request))
        form.add_error("code", WRONG)
    return _page(request, "Your second factor", form=form)


def _next(request: HttpRequest) -> str:
    """Where the person wanted to go, if it is a page of ours."""
    to = request.GET.get("next", "")
    ours = url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure())
    return to if ours else reverse("admin:index")


def _page(request: HttpRequest, title: str, **shown: Any) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, **shown}
    answer = TemplateResponse(request, "admin/sensors/second_factor.html", context)
    answer["Cache-Control"] = "no-store"
    return answer
