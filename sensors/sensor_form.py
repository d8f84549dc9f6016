"""The form of a sensor, where an alarm setting that is left empty is that of its site's defaults, and says so."""

from __future__ import annotations

from copy import copy
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold import widgets

from sensors import fleet, sensor_defaults, show
from sensors.default_models import SensorDefault
from sensors.desk import Desk, KeepsSite, column
from sensors.models import Sensor
from sensors.sensor_defaults import BUILT_IN, OWN, SETTINGS

CAN_BE_NONE = tuple(name for name, value in BUILT_IN.items() if value is None)


def _words(name: str) -> str:
    field: Any = Sensor._meta.get_field(name)
    return str(field.verbose_name)


class SensorForm(KeepsSite):
    """``own``: the settings that are the sensor's own, once the form is valid."""

    own: frozenset[str] = frozenset()
    without = forms.MultipleChoiceField(
        required=False, choices=[(name, _words(name)) for name in CAN_BE_NONE],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None of these here, whatever the defaults of the site say. All other settings that are left empty "
        "are those of the defaults.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: Sensor = self.instance
        found = sensor_defaults.sources(row) if row.pk else {}
        for name in SETTINGS:
            if (field := self.fields.get(name)) is None:
                continue  # whoever may not change it gets a form without it
            field.required = False
            self.initial[name] = getattr(row, name) if found.get(name) == OWN else None
            if row.pk and found.get(name) != OWN:
                whose = "by default" if name in found else "built in"
                field.help_text = f"{field.help_text} In force: {_shown(getattr(row, name))} ({whose})."
        without = [name for name in CAN_BE_NONE if found.get(name) == OWN and getattr(row, name) is None]
        self.initial["without"] = without

    def clean(self) -> dict[str, Any]:
        answers: dict[str, Any] = super().clean() or self.cleaned_data
        given = {name for name in SETTINGS if answers.get(name) is not None}
        for name in given & set(answers.get("without", ())):
            self.add_error(name, "Either a value or without.")
        self.own = frozenset(given.union(answers.get("without", ())))
        told = self._said(answers)
        for name in SETTINGS:
            if name in self.fields and name not in self.own and name not in self.errors:
                answers[name] = told.get(name, BUILT_IN[name])
        for name in self.own.difference(given):
            answers[name] = None
        return answers

    def _said(self, answers: dict[str, Any]) -> dict[str, Any]:
        """What the defaults say for the sensor as it is to be; nothing where that is not known yet."""
        row = copy(self.instance)
        for name in ("site", "equipment", "kind", "unit", "period_seconds"):
            if answers.get(name) is not None:
                setattr(row, name, answers[name])
        if row.site_id is None or row.equipment_id is None or row.equipment.machine is None:
            return {}
        row.machine = row.equipment.machine
        told = sensor_defaults.said(row, sensor_defaults.of_site(row.site_id))
        return {name: value for name, (_, value) in told.items()}


class HasSettings(Desk):
    """A sensor's page: saves the form, and shows what holds and where it comes from."""

    form = SensorForm

    def save_model(self, request: HttpRequest, obj: Sensor, form: Any, change: bool) -> None:
        fleet.save_sensor(obj, own=form.own)

    @column("Without")
    def without(self, row: Sensor) -> str:
        found = sensor_defaults.sources(row)
        names = [_words(name) for name in CAN_BE_NONE if found.get(name) == OWN and getattr(row, name) is None]
        return ", ".join(names) or show.DASH

    @column("In force")
    def where_from(self, row: Sensor) -> str:
        if row._state.adding:
            return show.DASH
        found = sensor_defaults.sources(row)
        by_id = SensorDefault.objects.in_bulk([source for source in found.values() if isinstance(source, int)])
        lines = [
            (_words(name), _shown(getattr(row, name)), _source(found.get(name), by_id))
            for name in SETTINGS
            if name in found
        ]
        table = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", lines)
        head = "<thead><tr><th>Setting</th><th>Value</th><th>From</th></tr></thead>"
        return format_html("<table>" + head + "<tbody>{}</tbody></table>", table) if lines else "what is built in"


def _source(source: int | str | None, by_id: dict[int, SensorDefault]) -> str:
    row = by_id.get(source) if isinstance(source, int) else None
    return "the sensor's own" if row is None else format_html("default: {}", show.link(row))


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
