"""How templates of the admin write values: the words and numbers of ``sensors.show``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from sensors import show

register = template.Library()


@register.filter
def reading(value: float | None, unit: str = "") -> str:
    return show.number(value, unit)


@register.filter
def expected(anomaly: Any, unit: str = "") -> str:
    return show.bounds(anomaly.expected_low, anomaly.expected_high, unit)


@register.filter
def until(start: datetime | None, end: datetime | None) -> str:
    return show.lasted(start, end)


@register.filter
def badge(value: str, text: str = "") -> SafeString:
    return show.badge(value, text)


@register.filter
def words(value: str) -> str:
    return value.replace("_", " ").lower()


@register.filter
def counted(value: int | None) -> str:
    return show.count(value)
