"""The page on which a discovered sensor is adopted: which machine, what it measures."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets

from sensors import ask, discovery, show
from sensors.desk import Desk
from sensors.models import DiscoveredSensor, Equipment, Sensor

WORDS = {
    Sensor.Kind.TEMPERATURE: ("temp",), Sensor.Kind.PRESSURE: ("press", "bar"), Sensor.Kind.FLOW: ("flow",),
    Sensor.Kind.VIBRATION: ("vib", "accel"), Sensor.Kind.LEVEL: ("level",), Sensor.Kind.SPEED: ("speed", "rpm"),
    Sensor.Kind.CURRENT: ("current", "amp"), Sensor.Kind.VOLTAGE: ("volt",), Sensor.Kind.POWER: ("power", "watt"),
}  # fmt: skip


class Adoption(forms.Form):
    """Where the sensor sits and what it measures."""

    equipment = forms.ModelChoiceField(
        Equipment.objects.none(), required=False, empty_label="A new machine, named below",
        widget=widgets.UnfoldAdminSelectWidget, help_text="The machine or component it sits on.",
    )  # fmt: skip
    new_machine = forms.CharField(
        required=False, max_length=100, widget=widgets.UnfoldAdminTextInputWidget,
        help_text="Tag of a machine to create, where it is none of the above.",
    )  # fmt: skip
    name = forms.CharField(max_length=200, widget=widgets.UnfoldAdminTextInputWidget)
    kind = forms.ChoiceField(choices=Sensor.Kind.choices, widget=widgets.UnfoldAdminSelectWidget)
    unit = forms.CharField(
        required=False, max_length=32, widget=widgets.UnfoldAdminTextInputWidget, help_text="Such as l/s or °C."
    )

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        if "equipment" in self.errors or "new_machine" in self.errors:
            return answers
        if bool(answers.get("equipment")) == bool(answers.get("new_machine")):
            raise ValidationError("Choose the equipment it sits on, or name a new machine: one of the two.")
        return answers


def guess_kind(name: str) -> str:
    """What a sensor of that name most likely measures."""
    lower = name.lower()
    return next((kind for kind, words in WORDS.items() if any(word in lower for word in words)), Sensor.Kind.OTHER)


def view(page: Desk, request: HttpRequest, key: str) -> HttpResponse:
    found: DiscoveredSensor = ask.row_of(page, request, key)
    places = Equipment.objects.filter(site_id=found.site_id).exclude(level=Equipment.Level.LINE).order_by("tag")
    question = ask.Question(
        title=f"Adopt {found.external_id}",
        button="Adopt",
        done="Adopted",
        explain=f"{show.count(found.readings)} readings were held back for it. Once it is adopted they go through the "
        "flow as if they came now, judged by when they were measured.",
        form=partial(_form, found, places),
        perform=_adopt,
        refusals=(discovery.AlreadyAdopted, discovery.WrongSite),
        after=_sensor_page,
    )
    return ask.answer(page, request, [found], question, back=reverse("admin:sensors_discoveredsensor_changelist"))


def _form(found: DiscoveredSensor, places: QuerySet[Equipment], data: Any) -> Adoption:
    form = Adoption(data, initial={"name": found.external_id, "kind": guess_kind(found.external_id)})
    choice = form.fields["equipment"]
    if isinstance(choice, forms.ModelChoiceField):
        choice.queryset = places
    return form


def _adopt(found: DiscoveredSensor, answers: dict[str, Any]) -> None:
    tag = answers["new_machine"]
    equipment = answers["equipment"] or Equipment(
        site_id=found.site_id, tag=tag, name=tag, level=Equipment.Level.MACHINE
    )
    discovery.adopt(found.pk, equipment=equipment, kind=answers["kind"], unit=answers["unit"], name=answers["name"])


def _sensor_page(found: DiscoveredSensor) -> str:
    found.refresh_from_db(fields=["sensor"])
    return reverse("admin:sensors_sensor_change", args=[found.sensor_id])
