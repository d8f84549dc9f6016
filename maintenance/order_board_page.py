"""The page with the board of work orders: cards by status, moved by the same steps as everywhere."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold import widgets

from maintenance import buttons, order_board, order_buttons
from maintenance.models import WorkOrder
from sensors import desk
from sensors.desk import Desk
from sensors.models import Site

NAME, MOVE = "order-board", "order-board-move"
WHO = [("", "Everybody"), ("me", "Me"), ("nobody", "Nobody yet")]


class Choice(forms.Form):
    site = forms.ChoiceField(required=False, widget=widgets.UnfoldAdminSelectWidget)
    assigned = forms.ChoiceField(
        required=False, label="Assigned to", choices=WHO, widget=widgets.UnfoldAdminSelectWidget
    )


def orders_page() -> Desk:
    return cast(Desk, admin.site._registry[WorkOrder])


def acts_in(request: HttpRequest, site_id: int) -> bool:
    """Whether whoever asks may take steps with the orders of a site."""
    return desk.may_in(request, site_id, "orders.act")


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site."""
    if not orders_page().has_view_permission(request):
        raise PermissionDenied
    sites = {str(site.pk): site.name for site in desk.scope(request, Site.objects.order_by("name", "id"), path="pk")}
    form = Choice(
        {"site": "", "assigned": ""} | {name: request.GET[name] for name in Choice.base_fields if name in request.GET}
    )
    cast(forms.ChoiceField, form.fields["site"]).choices = [("", "All sites"), *sites.items()]
    chosen = form.cleaned_data if form.is_valid() else {}
    columns = order_board.columns(
        _orders(request, chosen), now=timezone.now(), acts_in=lambda site_id: acts_in(request, site_id)
    )
    zones = {str(card.order.site.zone) for column in columns for card in column.cards}
    query = {name: value for name, value in chosen.items() if value}
    page: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Board of work orders",
        "form": form,
        "columns": [(column, _listed(column.status, query)) for column in columns],
        "any": any(column.total for column in columns),
        "days": order_board.COMPLETED_DAYS,
        "may_request": orders_page().may(request, None, "orders.request"),
        "several_sites": len(sites) > 1,
        "zones": sorted(zones),
        "back": f"?{request.GET.urlencode()}" if request.GET else "",
    }
    return TemplateResponse(request, "admin/maintenance/order_board.html", page)


def _orders(request: HttpRequest, chosen: dict[str, str]) -> QuerySet[WorkOrder]:
    orders: QuerySet[WorkOrder] = desk.scope(request, WorkOrder.objects.all(), path="site")
    if chosen.get("site"):
        orders = orders.filter(site_id=chosen["site"])
    if chosen.get("assigned") == "me":
        return orders.filter(assigned_to_id=request.user.pk)
    return orders.filter(assigned_to=None) if chosen.get("assigned") == "nobody" else orders


def _listed(status: str, query: dict[str, str]) -> str:
    return reverse("admin:maintenance_workorder_changelist", query={"status__exact": status, **query})


def move(request: HttpRequest, key: int, name: str) -> HttpResponse:
    """Take a step with a card: the button's question, and back to the board."""
    if name not in order_buttons.KNOWN:
        raise Http404(f"There is no step {name}.")
    back = reverse(NAME) + (f"?{request.GET.urlencode()}" if request.GET else "")
    return buttons.on_one(orders_page(), request, key, order_buttons.KNOWN[name], back=back)
