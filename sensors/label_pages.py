"""Pages of what people know: labels and regimes, and the buttons by which they come about and are taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from sensors import ask, labels, regimes, series, show
from sensors.desk import Desk, SiteFilter, column
from sensors.models import Equipment, Label, Regime, Sensor

MOST_TEXT = 5_000
TAKES = "labels.edit"
SECOND = timedelta(seconds=1)
TOLD = ("sensor_page", "machine_page", "site", "created_by", "created_at", "retracted_by", "retracted_at")


def instant(*, help_text: str) -> forms.DateTimeField:
    """A field for an instant; in UTC, as the charts it is read from."""
    return forms.DateTimeField(widget=widgets.UnfoldAdminTextInputWidget, help_text=help_text)


def text(*, rows: int, help_text: str, required: bool = True) -> forms.CharField:
    area = widgets.UnfoldAdminTextareaWidget(attrs={"rows": rows})
    return forms.CharField(max_length=MOST_TEXT, widget=area, help_text=help_text, required=required)


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


class HoldsFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("holds", "Holds"), ("retracted", "Retracted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"holds": True, "retracted": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(retracted_at__isnull=wanted)


class ToldPage(Desk):
    """A page of what people said: for reading, and for taking back."""

    acts = TAKES
    list_select_related = ("site", "machine", "sensor", "created_by")
    search_fields = ("machine__tag", "machine__name", "sensor__external_id", "sensor__name")
    actions_detail = ("retract",)

    def take_back(self, request: HttpRequest, key: str, *, explain: str, write: Any) -> HttpResponse:
        row = ask.row_of(self, request, key)
        actor: Any = request.user
        question = ask.Question(
            title=f"Retract the {self.opts.verbose_name}",
            button="Retract",
            done="Retracted",
            explain=explain,
            form=Confirmation,
            perform=lambda row, answers: write(row.pk, actor=actor),
            refusals=(labels.AlreadyRetracted, regimes.AlreadyRetracted),
        )
        return ask.answer(self, request, [row], question, back=page_of(row))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and row.retracted_at is None and self.may(request, row, self.acts)
        return super().get_actions_detail(request, object_id) if shown else []

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: Any) -> str:
        return show.link(row.sensor) if row.sensor_id else "all of the machine"

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Any) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("Standing", ordering="retracted_at")
    def standing(self, row: Any) -> str:
        return show.badge("DONE", "holds") if row.retracted_at is None else show.badge("CANCELLED", "retracted")


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


@admin.register(Label)
class LabelPage(ToldPage):
    list_before_template = "admin/sensors/no_labels.html"
    list_display = ("from_at", "to_at", "kind_label", "machine_page", "sensor_page", "failure_mode", "standing",
                    "created_by", "about")  # fmt: skip
    list_filter = (SiteFilter, HoldsFilter, "kind")
    date_hierarchy = "from_at"
    fields = readonly_fields = (
        "kind_label", "standing", "from_at", "to_at", "failure_mode", "note", *TOLD
    )  # fmt: skip

    @action(description="Retract", url_path="retract", permissions=["act"], icon="undo")
    def retract(self, request: HttpRequest, object_id: str) -> HttpResponse:
        explain = "It will hold no longer. It stays in the list, with your name."
        return self.take_back(request, object_id, explain=explain, write=labels.retract)

    @column("Kind", ordering="kind")
    def kind_label(self, row: Label) -> str:
        return show.badge(row.kind)

    @column("Note")
    def about(self, row: Label) -> str:
        return show.short(row.note, 60) or show.DASH


@admin.register(Regime)
class RegimePage(ToldPage):
    list_before_template = "admin/sensors/no_regimes.html"
    list_display = ("since", "machine_page", "sensor_page", "standing", "created_by", "about")
    list_filter = (SiteFilter, HoldsFilter)
    date_hierarchy = "since"
    fields = readonly_fields = ("since", "standing", "reason", *TOLD)

    @action(description="Retract", url_path="retract", permissions=["act"], icon="undo")
    def retract(self, request: HttpRequest, object_id: str) -> HttpResponse:
        explain = "It will be in force no longer. What the detectors have forgotten for it does not come back."
        return self.take_back(request, object_id, explain=explain, write=regimes.retract)

    @column("Reason")
    def about(self, row: Regime) -> str:
        return show.short(row.reason, 60)


class NewNormal(forms.Form):
    """From when on, and why."""

    since = instant(help_text="The first instant of the new normal.")
    reason = text(
        rows=4, help_text="What has changed, such as another impeller or set point. It stays with the regime."
    )


def declare(page: Desk, request: HttpRequest, key: str) -> HttpResponse:
    """The button on the page of a machine or a sensor."""
    row: Equipment | Sensor = ask.row_of(page, request, key, takes=TAKES)
    actor: Any = request.user
    begins = _newest(row) if request.method == "GET" else None
    question = ask.Question(
        title="This is the new normal",
        button="Declare",
        done="Declared the new normal of",
        explain="From that instant on, what it does is normal. The detectors forget what they learned of it before and "
        "judge nothing until they are warm again; what they found and is not over ends. Fixed limits stay as they are.",
        form=partial(_form, begins),
        perform=lambda row, answers: _declare(row, actor, answers),
        takes=TAKES,
    )
    return ask.answer(page, request, [row], question, back=page_of(row))


def _form(begins: datetime | None, data: Any) -> NewNormal:
    return NewNormal(data, initial={"since": begins})


def _newest(row: Equipment | Sensor) -> datetime:
    """The newest reading of the sensor or of the machine's sensors, and now where there is none."""
    ids = [row.pk] if isinstance(row, Sensor) else list(row.machine_sensors.values_list("pk", flat=True))
    return max((found.measured_at for found in series.latest(ids).values()), default=datetime.now(UTC))


def _declare(row: Equipment | Sensor, actor: User, answers: dict[str, Any]) -> None:
    machine, sensor = (row.machine, row) if isinstance(row, Sensor) else (row, None)
    regimes.declare(machine=machine, sensor=sensor, since=answers["since"], reason=answers["reason"], actor=actor)


def declarable(page: Desk, request: HttpRequest, key: object, offered: Sequence[Any]) -> list[Any]:
    """The buttons on offer, where the row is a machine or a sensor and whoever asks may press them."""
    row = page.get_object(request, str(key))
    is_part = isinstance(row, Equipment) and row.level != Equipment.Level.MACHINE
    return [] if row is None or is_part else list(offered)


class Found(forms.Form):
    """What was true of a window."""

    kind = forms.ChoiceField(choices=Label.Kind.choices, widget=widgets.UnfoldAdminSelectWidget)
    failure_mode = forms.ChoiceField(
        required=False, widget=widgets.UnfoldAdminSelectWidget, help_text="Of a fault, where it is known."
    )
    of = forms.ChoiceField(
        choices=[("sensor", "This sensor"), ("machine", "All sensors of the machine")],
        widget=widgets.UnfoldAdminSelectWidget,
        help_text="Readings in the window of a fault teach the detectors nothing.",
    )
    from_at = instant(help_text="First instant of the window.")
    to_at = instant(help_text="Last instant of the window.")
    note = text(rows=4, required=False, help_text="What was found, for whoever looks at it later.")


def found_form(data: Any, *, modes: Sequence[tuple[str, str]], mode: str, from_at: datetime, to_at: datetime) -> Found:
    """The form, filled in for a window; it ends with the next full second."""
    end = to_at.replace(microsecond=0) + (SECOND if to_at.microsecond else timedelta())
    form = Found(data, initial={"failure_mode": mode, "from_at": from_at.replace(microsecond=0), "to_at": end})
    choice = form.fields["failure_mode"]
    if isinstance(choice, forms.ChoiceField):
        choice.choices = [("", "Not known"), *modes]
    return form


def add_label(sensor: Sensor, machine: Equipment, actor: User, answers: dict[str, Any]) -> None:
    """What the answers say, of the sensor or of the machine; a mode is kept of a fault only."""
    labels.add(
        machine=machine,
        sensor=sensor if answers["of"] == "sensor" else None,
        from_at=answers["from_at"],
        to_at=answers["to_at"],
        kind=answers["kind"],
        failure_mode=answers["failure_mode"] if answers["kind"] == Label.Kind.FAULT else "",
        note=answers["note"],
        actor=actor,
    )
