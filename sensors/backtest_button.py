"""The button that leads from a sensor, a machine or a site to the form of a backtest."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action

from sensors.desk import ACTORS, Desk


class HasBacktest(Desk):
    """A page with the button that leads to the form of a backtest, which is of another layer: its address is known."""

    backtest_of = ""
    actions_detail: tuple[str, ...] = ("backtest",)

    @action(description="Backtest", url_path="backtest", permissions=["act"], icon="science")
    def backtest(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:agents_backtest_ask", query={self.backtest_of: object_id}))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and self.may(request, row, ACTORS)
        return super().get_actions_detail(request, object_id) if shown else []
