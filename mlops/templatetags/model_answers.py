"""What models say of a machine, and when sensors will be at their limits, for pages, which are of another layer."""

from __future__ import annotations

from typing import Any

from django import template

from mlops import limits, said
from sensors.models import Equipment, Sensor

register = template.Library()


@register.inclusion_tag("admin/mlops/said_of_machine.html")
def said_of(machine: Any) -> dict[str, Any]:
    """Nothing where the page is not of a machine that exists."""
    if not isinstance(machine, Equipment) or machine.level != Equipment.Level.MACHINE:
        return {"lines": None}
    return {"lines": said.of_machine(machine), "silent": said.not_asked(machine)}


@register.inclusion_tag("admin/mlops/limits_ahead.html")
def limits_ahead(of: Any) -> dict[str, Any]:
    """Of a machine those of its sensors that are on the way to one; of a sensor whatever is known."""
    if isinstance(of, Sensor):
        return {"limits_ahead": limits.lines(limits.of_sensor(of)), "with_sensor": False}
    if not isinstance(of, Equipment) or of.level != Equipment.Level.MACHINE:
        return {"limits_ahead": None}
    on_the_way = [row for row in limits.of_machine(of) if row.state == row.State.TREND]
    return {"limits_ahead": limits.lines(on_the_way), "with_sensor": True}
