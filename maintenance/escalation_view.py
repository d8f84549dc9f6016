"""How an alarm's escalation stands, as pages and REST show it: reads, and changes nothing."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, Prefetch, QuerySet
from rest_framework import serializers

from maintenance import escalations
from maintenance.escalation_models import Call, Escalation

Row = TypeVar("Row", bound=Model)


def with_running(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Alarms, each with the one escalation of it that runs, if one does, in the list ``running``. Two queries more."""
    running = Escalation.objects.filter(ended_at=None).prefetch_related("calls")
    return rows.prefetch_related(Prefetch("escalations", running, to_attr="running"))


def next_step(row: Escalation) -> str:
    """Whom an escalation that runs calls next, such as ``step 2 of 3: anna, time 2``."""
    step = escalations.plan(row)[row.step]
    return f"step {row.step + 1} of {len(row.plan)}: {step.name}" + (f", time {row.called + 1}" if row.called else "")


class CallOut(serializers.ModelSerializer[Call]):
    class Meta:
        model = Call
        fields = ["step", "time", "due_at", "at", "outcome", "whom"]


class Running(serializers.ModelSerializer[Escalation]):
    """The escalation that runs on an alarm ``with_running``; null where none does."""

    steps = serializers.SerializerMethodField(help_text="How many there are.")
    next = serializers.SerializerMethodField(help_text="Who is called at ``due_at``, in words.")
    calls = CallOut(many=True, help_text="Who was called so far.")

    class Meta:
        model = Escalation
        fields = ["id", "chain", "chain_name", "step", "steps", "next", "due_at", "started_at", "calls"]

    def get_steps(self, row: Escalation) -> int:
        return len(row.plan)

    def get_next(self, row: Escalation) -> str:
        return next_step(row)

    def get_attribute(self, instance: Any) -> Escalation | None:
        return next(iter(instance.running), None)
