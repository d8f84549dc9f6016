"""The table of preventive plans, each found by its machine and title."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from maintenance import plans
from maintenance.plan_models import Meter, Plan
from sensors import exchange_cells
from sensors.exchange import Key, Rows
from sensors.models import Sensor

SEVERAL = "The machine has several plans of this title: change them on their pages."
KEPT = {
    "kind": "The kind of a plan that exists stays as it is.",
    "sensor": "A plan that exists stays with its sensor.",
}


class OfMachine(exchange_cells.Text):
    """A sensor or a meter of the row's machine, by what it is called there."""

    def __init__(self, attribute: str, known: Callable[[], Mapping[Key, Any]]) -> None:
        super().__init__()
        self.attribute, self.known = attribute, known

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        text = super().clean(value, row, **kwargs)
        if not text:
            return None
        machine = exchange_cells.Text().clean(row["machine"])
        found = self.known().get((machine, text))
        if found is None:
            raise ValueError(f"{machine} has none that is called {text!r}.")
        return found

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else exchange_cells.exported(getattr(value, self.attribute))


class PlanRows(Rows):
    key = ("machine", "title")
    columns = ("machine", "kind", "sensor", *plans.SAID)
    required = ("machine", "title")
    unchecked = ()

    class Meta(Rows.Meta):
        abstract = False
        model = Plan

    def cell(self, field: Any, *, comma: bool) -> Any:
        if field.related_model is Sensor:
            return OfMachine("external_id", lambda: self.sensors)
        if field.related_model is Meter:
            return OfMachine("name", lambda: self.meters)
        return super().cell(field, comma=comma)

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Locked in the order meter, plan, as everybody does."""
        machines = list(self.equipment.values())
        meters = Meter.objects.filter(machine__in=machines).select_related("machine").order_by("id")
        meters = meters.select_for_update(of=("self",), no_key=True)
        self.meters: dict[Key, Meter] = {(one.machine.tag, one.name): one for one in meters}
        called = self.texts.get("sensor", [])
        sensors = Sensor.objects.filter(machine__in=machines, external_id__in=called).select_related("machine")
        self.sensors: dict[Key, Sensor] = {(one.machine.tag, one.external_id): one for one in sensors}
        rows = Plan.objects.filter(machine__in=machines, title__in={title for _, title in keys}).order_by("id")
        rows = rows.select_related("site", "machine", "sensor", "meter")
        found: dict[Key, Any] = {}
        self.several: set[Key] = set()
        for row in rows.select_for_update(of=("self",), no_key=True):
            key = (row.machine.tag, row.title)
            self.several |= {key} & found.keys()
            found[key] = row
        return found

    def import_instance(self, instance: Any, row: Any, **kwargs: Any) -> None:
        """A plan that exists keeps the total it was first due at where the row says none, unless its meter changes:
        else it would move with each import."""
        first, meter = instance.meter_first, instance.meter_id
        super().import_instance(instance, row, **kwargs)
        if self.before and instance.meter_first is None and instance.meter_id == meter:
            instance.meter_first = first

    def forbidden(self, row: Plan) -> dict[str, ValidationError]:
        if not self.before:
            return {}
        now = self.said(row)
        wrong = {name: ValidationError(told) for name, told in KEPT.items() if now[name] != self.before[name]}
        if (row.machine.tag, row.title) in self.several:
            wrong["title"] = ValidationError(SEVERAL)
        return wrong

    def save(self, row: Plan) -> None:
        if row._state.adding:
            plans.add(row, actor=self.actor)
        else:
            said = {name: getattr(row, name) for name in plans.SAID if name in self.sheet.headers}
            plans.change(row.pk, actor=self.actor, **said)

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Nothing more: a plan that was added or changed is in the journal already."""
