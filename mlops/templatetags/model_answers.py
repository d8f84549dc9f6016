"""What models say of a machine, for the machine's page, which is of another layer."""

from __future__ import annotations

from typing import Any

from django import template

from mlops import said
from sensors.models import Equipment

register = template.Library()


@register.inclusion_tag("admin/mlops/said_of_machine.html")
def said_of(machine: Any) -> dict[str, Any]:
    """Nothing where the page is not of a machine that exists."""
    if not isinstance(machine, Equipment) or machine.level != Equipment.Level.MACHINE:
        return {"lines": None}
    return {"lines": said.of_machine(machine), "silent": said.not_asked(machine)}
