"""What people laid down about a machine's alarms, for the machine's page, which is of another layer."""

from __future__ import annotations

from typing import Any

from django import template

from maintenance import definition_view
from sensors.models import Equipment

register = template.Library()


@register.inclusion_tag("admin/maintenance/definitions_of_machine.html")
def definitions_of(machine: Any) -> dict[str, Any]:
    """Nothing where the page is not of a machine that exists."""
    if not isinstance(machine, Equipment) or machine.level != Equipment.Level.MACHINE:
        return {"lines": None}
    return {"machine": machine, "lines": definition_view.of_machine(machine)}
