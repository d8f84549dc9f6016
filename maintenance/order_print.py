"""A work order on paper: what is to be done, with its parts, permits and checklists, room for what was found, and a QR
code that leads back to its page."""

from __future__ import annotations

import segno
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from maintenance import checklist_answers, order_board, order_board_page, part_pages, permits
from maintenance.checklist_models import ChecklistItem, ItemKind, PermitKind
from maintenance.models import WorkOrder
from sensors import show

NAME = "order-print"
LINES = 7
"""To write on."""


def view(request: HttpRequest, key: int) -> HttpResponse:
    """Raises ``Http404`` where whoever asks may not see the order."""
    order = order_board_page.orders_page().get_object(request, str(key))
    if not isinstance(order, WorkOrder):
        raise Http404(f"There is no work order {key}.")
    address = settings.PUBLIC_URL + reverse("admin:maintenance_workorder_change", args=[order.pk])
    now = timezone.now()
    page = {
        "order": order,
        "address": address,
        "qr": qr(address),
        "zone": order.site.zone,
        "printed_at": now,
        "is_overdue": order_board.due(order, now) == "OVERDUE",
        "permits": sorted(PermitKind(kind).label for kind in permits.needed(order)),
        "parts": [
            (row, part_pages.amount(row.wanted, row.part.unit)) for row in order.parts.select_related("part", "store")
        ],
        "checklists": [
            (checklist, [(item, _to_answer(item)) for item in checklist.items.all()])
            for checklist in order.checklists.prefetch_related("items")
        ],
        "lines": range(LINES),
    }
    with timezone.override(order.site.zone):
        return TemplateResponse(request, "admin/maintenance/order_print.html", page).render()


def _to_answer(item: ChecklistItem) -> str:
    """The limits of a reading, and the answer where there is one."""
    limits = show.bounds(item.low, item.high, item.unit) if item.kind == ItemKind.READING else ""
    answer = checklist_answers.in_words(item) if item.answered_at is not None else ""
    return ": ".join(said for said in (limits, answer) if said)


def qr(address: str) -> SafeString:
    """The address as a QR code, an SVG that is part of the page. Level M: it can be read with 15 % of it soiled."""
    code = segno.make_qr(address, error="m")
    return mark_safe(code.svg_inline(scale=4, border=4, title="QR code: this order's page"))
