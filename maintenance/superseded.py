"""Messages that are no longer called for: they ask for a response to an alarm that was hidden before they went out.

Which those are is read here with the messages themselves; ``notifications`` and ``digests`` mark them. The state of a
machine and the alarm of a parent hide in event time: what happened before they began is told, however late it is known.
"""

from __future__ import annotations

from typing import Any

from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    DateTimeField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from maintenance import alarm_life
from maintenance.models import Notification, Suppression

ASKING = (
    "alarm.opened", "alarm.raised", "alarm.reopened", "alarm.unshelved", "alarm.unsuppressed", "alarm.back_in_service",
    "alarm.re_alarmed", "alarm.escalated",
)  # fmt: skip
"""Kinds of event that ask for a response. Not among them: back to normal, and that the alarm is shown again soon."""


def with_hiding(rows: QuerySet[Notification]) -> QuerySet[Any]:
    """The messages, each with ``hidden_by``: what hides the alarm to which it asks to respond; empty where nothing
    does."""
    hiding = Suppression.objects.filter(
        Q(failure_mode="") | Q(failure_mode=OuterRef("mode_told")),
        Q(operating=None, parent_rule=None) | Q(from_at__lte=OuterRef("at_told")),
        machine_id=OuterRef("machine_told"),
        ended_at=None,
    )
    strength = Case(*(When(kind=kind, then=Value(rank)) for rank, kind in enumerate(alarm_life.STRENGTH)))
    strongest = Coalesce(Subquery(hiding.order_by(strength).values("kind")[:1]), Value(""))
    return rows.annotate(
        machine_told=Cast(KT("payload__machine__id"), BigIntegerField()),
        mode_told=KT("payload__failure_mode"),
        at_told=Cast(KT("payload__at"), DateTimeField()),
    ).annotate(hidden_by=Case(When(event_type__in=ASKING, then=strongest), default=Value(""), output_field=CharField()))


def reason(hidden_by: str) -> str:
    """Such as ``Not sent: its alarm was shelved before.``"""
    return f"Not sent: its alarm was {Suppression.Kind(hidden_by).label.lower()} before."
