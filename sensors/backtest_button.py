"""The button that leads from a sensor, a machine or a site to the form of a backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action

from sensors.desk import Desk


class HasBacktest(Desk):
    """A page with the button that leads to the form of a backtest, which is of another layer: its address is known."""

    backtest_of = ""
    actions_detail: tuple[str, ...] = ("backtest",)
    button_takes: Mapping[str, str] = {
        "backtest": "backtests.run", "declare": "labels.edit", "request_work": "orders.request",
    }  # fmt: skip

    @action(description="Backtest", url_path="backtest", permissions=["backtests_run"], icon="science")
    def backtest(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:agents_backtest_ask", query={self.backtest_of: object_id}))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        """Those whose permission whoever asks has in the row's site."""
        row = self.get_object(request, str(object_id))
        offered = super().get_actions_detail(request, object_id) if row is not None else []
        takes = {name: to for name, to in self.button_takes.items() if not self.may(request, row, to)}
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [one for one in offered if one.action_name.removeprefix(prefix) not in takes]
