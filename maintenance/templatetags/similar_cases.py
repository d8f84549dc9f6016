"""Similar past cases and what fixed them, for the pages of alarms and work orders."""

from __future__ import annotations

from typing import Any

from django import template

from maintenance import similar
from maintenance.models import Alarm, WorkOrder

register = template.Library()


@register.inclusion_tag("admin/maintenance/similar_cases.html")
def similar_to(row: Any) -> dict[str, Any]:
    if isinstance(row, Alarm):
        return {"cases": similar.like_alarm(row), "shown": True}
    if isinstance(row, WorkOrder):
        return {"cases": similar.like_order(row), "shown": True}
    return {"shown": False}
