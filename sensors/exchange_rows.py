"""The tables of equipment and sensors: their columns, and what of them may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from sensors import fleet, sensor_defaults, store
from sensors.default_models import SensorDefault
from sensors.exchange import Key, Rows
from sensors.models import Equipment, Sensor


class EquipmentRows(Rows):
    key = ("tag",)
    columns = (
        "tag", "name", "level", "parent", "equipment_class", "criticality", "machine_group", "support_class",
    )  # fmt: skip
    required = ("tag",)

    class Meta(Rows.Meta):
        abstract = False
        model = Equipment

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        return {(tag,): self.equipment[tag] for (tag,) in keys if tag in self.equipment}

    def forbidden(self, row: Equipment) -> dict[str, ValidationError]:
        if not self.before:
            return {}
        now, wrong = self.said(row), {}
        if now["level"] != self.before["level"]:
            wrong["level"] = ValidationError("The level of equipment that exists stays as it is.")
        elif row.level == Equipment.Level.COMPONENT and now["parent"] != self.before["parent"]:
            wrong["parent"] = ValidationError("A component stays with the machine that was judged with it.")
        return wrong

    def save(self, row: Equipment) -> None:
        self.equipment[row.tag] = fleet.save_equipment(row, constraints=False)


class SensorRows(Rows):
    """An alarm setting whose cell says something else than holds is the sensor's own from then on; one whose cell is
    empty is that of the site's defaults, unless the sensor is expressly without it."""

    defaults: tuple[SensorDefault, ...] = ()
    own: frozenset[str] = frozenset()
    """The settings that are the own ones of the sensor that is read."""
    key = ("external_id",)
    columns = (
        "external_id", "name", "equipment", "gateway", "kind", "unit", "measuring_point", "feature",
        "physical_low", "physical_high", "low_low", "low", "high", "high_high", "deadband", "alarm_readings",
        "alarm_readings_of", "rise_per_minute",
        "fall_per_minute", "rate_span_seconds", "resolution", "max_rate", "period_seconds", "silent_after_seconds",
        "lateness_seconds", "on_delay_seconds", "off_delay_seconds", "calibration_due_on",
    )  # fmt: skip
    required = ("external_id",)

    class Meta(Rows.Meta):
        abstract = False
        model = Sensor

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """After equipment, and the site before its sensors, like whoever writes equipment or defaults."""
        sensor_defaults.hold(self.site.pk)
        self.defaults = tuple(sensor_defaults.of_site(self.site.pk))
        found = Sensor.objects.filter(site=self.site, external_id__in=[name for (name,) in keys]).select_related(
            "site", "equipment__machine", "equipment__parent", "gateway"
        )
        return {(row.external_id,): row for row in found.select_for_update(of=("self",), no_key=True).order_by("id")}

    def after_init_instance(self, instance: Sensor, new: bool, row: Any, **kwargs: Any) -> None:
        super().after_init_instance(instance, new, row, **kwargs)
        found = {} if new else sensor_defaults.sources(instance)
        self.own = frozenset(name for name, source in found.items() if source == sensor_defaults.OWN)

    def import_instance(self, instance: Sensor, row: Any, **kwargs: Any) -> None:
        super().import_instance(instance, row, **kwargs)
        self.own = self._own(instance, row)
        machine = instance.equipment.machine if instance.equipment_id is not None else None
        if machine is not None:
            instance.machine = machine
            sensor_defaults.settle_by(self.defaults, instance, own=self.own)

    def _own(self, sensor: Sensor, cells: Mapping[str, Any]) -> frozenset[str]:
        said = {name: cells[name] != "" for name in sensor_defaults.SETTINGS if name in cells}
        emptied = {name for name, is_said in said.items() if not is_said and self.before.get(name) is not None}
        new = {
            name
            for name, is_said in said.items()
            if is_said and (name not in self.before or getattr(sensor, name) != self.before[name])
        }
        return self.own - emptied | new

    def forbidden(self, row: Sensor) -> dict[str, ValidationError]:
        moved = self.before and self.before["equipment"] != self.said(row)["equipment"]
        if moved and store.has_readings(row.pk):
            return {"equipment": ValidationError("A sensor with readings stays with the machine it was judged with.")}
        return {}

    def said(self, row: Sensor) -> dict[str, Any]:
        return super().said(row) if row.equipment_id is not None else {}

    def save(self, row: Sensor) -> None:
        fleet.save_sensor(row, own=self.own, constraints=False)
