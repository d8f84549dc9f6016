"""What is said where somebody may not see or do what they asked for."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from sensors import problems


def view(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403: a page of the admin with a way back; a problem where programs ask."""
    if problems.is_for_clients(request):
        return problems.plain(request, "forbidden", "This is not for this account.")
    page = {**admin.site.each_context(request), "title": "Not allowed"}
    return render(request, "admin/not_allowed.html", page, status=403)
