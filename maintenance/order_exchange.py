"""The tables of work orders: requests that are imported, and all that is on record of orders, exported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tablib
from django.core.exceptions import ValidationError

from maintenance import alarm_steps, order_life, order_steps
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from sensors import exchange_cells
from sensors.exchange import Key, Rows
from sensors.models import Equipment

RECORD = (
    "id", "machine", "title", "status", "priority", "maintenance_type", "failure_mode", "alarm_id", "occurrences",
    "requested_by", "assigned_to", "opened_at", "due_at", "expected_cost", "planned_start", "planned_minutes",
    "started_at", "completed_at", "closed_at", "hold_reason", "findings", "verdict", "found_mode", "mechanism",
    "cause", "detection_method", "activity", "description",
)  # fmt: skip


class OrderRows(Rows):
    """Each row asks for work, as a request by hand or over REST does, and is judged by the same policies."""

    columns = (
        "machine", "title", "maintenance_type", "priority", "failure_mode", "description", "due_at", "expected_cost",
    )  # fmt: skip
    required = ("machine", "title", "maintenance_type")
    named_by = ("machine", "title")
    unchecked = tuple(
        field.name
        for field in WorkOrder._meta.fields
        if field.name not in {"title", "maintenance_type", "failure_mode", "description"}
    )

    class Meta(Rows.Meta):
        abstract = False
        model = WorkOrder

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """None: a request is always new. Machines are locked in their order, as everybody does."""
        machines = (one for one in self.equipment.values() if one.level == Equipment.Level.MACHINE)
        for machine in sorted(machines, key=lambda one: one.pk):
            alarm_steps.lock_machine(machine.pk)
        known = WorkOrder.objects.filter(machine__in=self.equipment.values()).exclude(status__in=order_life.OVER)
        self.asked = {(order.machine_id, order.title): str(order) for order in known}
        return {}

    def said(self, row: WorkOrder) -> dict[str, Any]:
        return {}

    def forbidden(self, row: WorkOrder) -> dict[str, ValidationError]:
        wrong = {}
        if row.expected_cost is not None:
            try:
                WorkOrder._meta.get_field("expected_cost").clean(row.expected_cost, row)
            except ValidationError as error:
                wrong["expected_cost"] = error
        if not row.machine_id:
            return wrong
        if row.machine.level != Equipment.Level.MACHINE:
            wrong["machine"] = ValidationError(str(order_steps.NotAMachine()))
        if found := self.asked.get((row.machine_id, row.title)):
            wrong["title"] = ValidationError(f"That is asked for already: {found}.")
        return wrong

    def save(self, row: WorkOrder) -> None:
        row.clean_fields(exclude=self.unchecked)
        try:
            made = order_steps.request(
                row.machine, actor=self.actor, title=row.title, maintenance_type=row.maintenance_type,
                priority=row.priority or "", description=row.description, failure_mode=row.failure_mode,
                due_at=row.due_at, expected_cost=row.expected_cost,
            )  # fmt: skip
        except Refused as refusal:
            raise ValidationError(str(refusal)) from refusal
        row.pk = made.pk
        self.asked[(row.machine_id, row.title)] = str(made)

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Nothing more: a request is in the journal already."""

    def table(self, rows: Iterable[WorkOrder]) -> tablib.Dataset:
        data = tablib.Dataset(headers=list(RECORD))
        for row in rows:
            data.append([_cell(row, name) for name in RECORD])
        return data


def _cell(row: WorkOrder, name: str) -> Any:
    value = getattr(row, name)
    if isinstance(value, Equipment):
        return exchange_cells.Text().render(value.tag)
    if value is None or isinstance(value, int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else exchange_cells.Text().render(value)
