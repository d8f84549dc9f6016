"""The page on which an order is carried out, for a phone beside the machine as for a desk; and its files."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from maintenance import attachments, checklist_answers, order_costs, permits
from maintenance.attachment_models import Attachment
from maintenance.carrying_forms import DEEDS, Form
from maintenance.checklist_models import ChecklistItem, PermitKind
from maintenance.models import WorkOrder
from maintenance.permit_models import Permit
from maintenance.refusals import Refused
from sensors import ask, desk, show
from sensors.desk import Desk, column

NAME, FILE = "carry-out", "attachment"


def view(request: HttpRequest, order_id: int) -> HttpResponse:
    """Shown to members of the order's site; what is done on it takes who works there. 404 for all others."""
    order = get_object_or_404(_orders(request), pk=order_id)
    with timezone.override(order.site.zone):
        return _answer(request, order)


def _answer(request: HttpRequest, order: WorkOrder) -> HttpResponse:
    may_act = desk.may_in(request, order.site_id, "orders.act")
    wrong: dict[str, Form] = {}
    if request.method == "POST":
        if not may_act:
            raise PermissionDenied
        name = request.POST.get("do", "")
        bound = _do(request, order, name)
        if bound is None:
            return HttpResponseRedirect(f"{address(order.pk)}#{DEEDS[name].part if name in DEEDS else ''}")
        wrong[name] = bound
    page = _shown(request, order, wrong, may_act=may_act)
    return TemplateResponse(request, "admin/maintenance/carry_out.html", page).render()


def file(request: HttpRequest, attachment_id: int) -> FileResponse:
    """A file of an order that whoever asks may see."""
    rows = desk.scope(request, Attachment.objects.all(), path="site")
    return attachments.handed_out(get_object_or_404(rows, pk=attachment_id))


def address(order_id: int) -> str:
    return reverse(NAME, args=[order_id])


def _orders(request: HttpRequest) -> QuerySet[WorkOrder]:
    return desk.scope(request, WorkOrder.objects.select_related("machine", "assigned_to", "site"), path="site")


def _do(request: HttpRequest, order: WorkOrder, name: str) -> Form | None:
    """Do it and say so, or say why not; the form where it has to be filled in anew."""
    deed = DEEDS.get(name)
    if deed is None:
        messages.error(request, "There is no such thing to do here.")
        return None
    actor: Any = request.user
    form = deed.form(order, actor, request.POST, request.FILES, name if deed.shown else "")
    if not form.is_valid():
        if deed.shown:
            return form
        told = "; ".join(f"{field}: {' '.join(map(str, errors))}" for field, errors in form.errors.items())
        messages.error(request, told)
        return None
    try:
        deed.perform(order, actor, ask.in_utc(form.cleaned_data))
    except (Refused, ValidationError) as refusal:
        text = "; ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)
        messages.error(request, text)
        return form if deed.shown else None
    messages.success(request, f"{deed.done}.")
    return None


def _shown(request: HttpRequest, order: WorkOrder, wrong: dict[str, Form], *, may_act: bool) -> dict[str, Any]:
    actor: Any = request.user
    shown = {name: deed for name, deed in DEEDS.items() if deed.shown} if may_act else {}
    lists = order.checklists.prefetch_related("items__answered_by", "items__opened_order")
    now = timezone.now()
    return {
        **admin.site.each_context(request),
        "title": f"Carry out {order}",
        "order": order,
        "state": show.badge(order.status),
        "back": show.link(order, f"WO-{order.pk}"),
        "machine": show.link(order.machine),
        "may_act": may_act,
        "forms": [
            (name, deed, wrong.get(name) or deed.form(order, actor, prefix=name), name in wrong)
            for name, deed in shown.items()
        ],
        "checklists": [
            (checklist, [(item, checklist_answers.in_words(item), _limits(item)) for item in checklist.items.all()])
            for checklist in lists
        ],
        "labour": order.labour.select_related("worker"),
        "costs": order_costs.of([order.pk], site_id=order.site_id)[order.pk],
        "other_costs": order.other_costs.select_related("entered_by"),
        "downtimes": order.downtimes.select_related("entered_by"),
        "missing": [PermitKind(kind).label for kind in permits.missing(order, at=now)],
        "permits": [(row, standing(row)) for row in order.permits.select_related("issued_by")],
        "files": [(row, reverse(FILE, args=[row.pk])) for row in order.attachments.select_related("added_by")],
    }


def _limits(item: ChecklistItem) -> str:
    return show.bounds(item.low, item.high, item.unit) if item.kind == "READING" else ""


def standing(row: Permit) -> str:
    """How a permit stands now."""
    now = timezone.now()
    if row.revoked_at is not None:
        return show.badge("FAILED", "revoked")
    if row.valid_from > now:
        return show.badge("WAITING", "not yet")
    return show.badge("DONE", "valid") if row.valid_until > now else show.badge("HELD", "ended")


class CarriedOut(Desk):
    """Columns of an order's page that say how far it is carried out, and lead to where that is done."""

    @column("Carry out")
    def carry_out(self, row: WorkOrder) -> str:
        items = ChecklistItem.objects.filter(checklist__order=row)
        open_items, all_items = items.filter(passed=None).count(), items.count()
        words = f"{all_items - open_items} of {all_items} items answered" if all_items else "no checklist"
        link = format_html('<a class="desk-link" href="{}">Checklists, labour, downtime, files</a>', address(row.pk))
        return format_html("{} ({})", link, words)

    @column("Cost so far")
    def cost(self, row: WorkOrder) -> str:
        costs = order_costs.of([row.pk], site_id=row.site_id)[row.pk]
        unpriced = f", without {costs.unpriced_minutes:g} min of people who had no rate"
        return f"{costs.total} {costs.currency}{unpriced if costs.unpriced_minutes else ''}"

    @column("Permits")
    def permits_held(self, row: WorkOrder) -> str:
        now = timezone.now()
        held = [f"{permit}" for permit in permits.of_order(row, at=now).order_by("valid_until")]
        missing = [f"{PermitKind(kind).label} is missing" for kind in permits.missing(row, at=now)]
        return "; ".join([*held, *missing]) or show.DASH

    @column("Because of")
    def failed_at(self, row: WorkOrder) -> str:
        item = ChecklistItem.objects.filter(opened_order=row).select_related("checklist__order").first()
        return show.DASH if item is None else show.link(item.checklist.order, f"{item} at WO-{item.checklist.order_id}")
