"""The page on which people request work on a machine: the request that REST takes, with the same refusals."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold import widgets

from maintenance import order_steps
from maintenance.carrying_forms import moment
from maintenance.models import Priority, WorkOrder
from maintenance.order_buttons import AREA, MODES, PICK
from maintenance.refusals import Refused
from sensors import access, ask, show
from sensors.desk import Desk, common_zone
from sensors.models import Equipment

TEXT = widgets.UnfoldAdminTextInputWidget


class Machines(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the types only
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.tag} {obj.name} ({obj.site})"


class WorkRequest(forms.Form):
    machine = Machines(Equipment.objects.none(), widget=PICK)
    title = forms.CharField(max_length=200, widget=TEXT, help_text="What is to be done, in a line.")
    description = forms.CharField(required=False, max_length=20_000, widget=AREA(attrs={"rows": 4}))
    maintenance_type = forms.ChoiceField(
        label="Type", choices=WorkOrder.Type.choices, initial=WorkOrder.Type.CORRECTIVE_DEFERRED, widget=PICK,
        help_text="In the words of EN 13306.",
    )  # fmt: skip
    priority = forms.ChoiceField(
        required=False, choices=[("", "By the rule"), *Priority.choices], widget=PICK,
        help_text="The rule: by the machine's criticality, immediate or not, and the time to failure.",
    )  # fmt: skip
    hours_to_failure = forms.FloatField(
        required=False, min_value=0, widget=TEXT(attrs={"type": "number", "step": "any"}),
        help_text="The early bound, where it is known.",
    )  # fmt: skip
    failure_mode = forms.ChoiceField(
        required=False, choices=MODES, widget=PICK,
        help_text="In the sense of ISO 14224. A machine has one open order for each.",
    )  # fmt: skip
    due_at = moment("Due", required=False)
    expected_cost = forms.DecimalField(
        required=False, min_value=0, max_digits=12, decimal_places=2,
        widget=TEXT(attrs={"type": "number", "step": "0.01"}), help_text="Beside its parts, where it is known.",
    )  # fmt: skip

    def __init__(self, data: Any, *, machines: QuerySet[Equipment], initial: Any, zone: tzinfo) -> None:
        super().__init__(data, initial=initial)
        cast(Any, self.fields["machine"]).queryset = machines
        ask.name_zone(self, zone)


def view(page: Desk, request: HttpRequest) -> HttpResponse:
    """Ask, or request it and go to the new order. Only machines of sites in which whoever asks may act are offered."""
    actor: Any = request.user
    sites = access.sites(actor, to="orders.request")
    machines = Equipment.objects.filter(level=Equipment.Level.MACHINE, site__in=sites)
    asked_for = cast(Desk, admin.site._registry[Equipment]).get_object(request, request.GET.get("machine", ""))
    zone = common_zone(sites) if asked_for is None else page.zone_of([asked_for])
    with timezone.override(zone):
        form = WorkRequest(
            request.POST if request.method == "POST" else None,
            machines=machines.select_related("site").order_by("site__name", "tag"),
            initial={"machine": asked_for},
            zone=zone,
        )
        made = _requested(form, actor) if form.is_valid() else None
    if made is not None:
        messages.success(request, f"Requested: {made}. It waits for approval.")
        return HttpResponseRedirect(reverse("admin:maintenance_workorder_change", args=[made.pk]))
    back = reverse("admin:maintenance_workorder_changelist")
    context = {
        **page.admin_site.each_context(request),
        "title": "Request work",
        "opts": page.opts,
        "question": {"button": "Request", "explain": "It waits for approval, as the site's policies say."},
        "form": form,
        "back": back if asked_for is None else reverse("admin:sensors_equipment_change", args=[asked_for.pk]),
    }
    return TemplateResponse(request, "admin/ask.html", context)


def _requested(form: WorkRequest, actor: User) -> WorkOrder | None:
    """The new order, or none where it is refused, which the form then says."""
    said = ask.in_utc(form.cleaned_data)
    try:
        return order_steps.request(said.pop("machine"), actor=actor, **said)
    except order_steps.OneIsOpen as refusal:
        told = format_html("{} It is {}.", refusal.__doc__ or "", show.link(refusal.order))
        form.add_error("failure_mode", told)
    except Refused as refusal:
        form.add_error(None, str(refusal))
    return None
