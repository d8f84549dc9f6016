"""Pages of what machines are doing: the rules, and the states with a way to tell them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from maintenance import failure_modes, operating, operating_book
from maintenance.definition_pages import MODES
from maintenance.operating_models import OperatingState
from maintenance.refusals import Refused
from sensors import ask, show
from sensors.desk import Desk, KeepsSite, SiteFilter, column
from sensors.models import Equipment, Sensor
from sensors.operating_models import OperatingRule

HIDDEN = [(failure_modes.ALL, "All failure modes"), *MODES[1:]]
KINDS = [("", "None"), *Sensor.Kind.choices]
STATES = [(one.value, OperatingState.State(one.value).label) for one in operating.TELLABLE]
TONES = {"OFF": "HELD", "STARTING": "WAITING", "RUNNING": "DONE", "UNKNOWN": "CANCELLED"}


class RuleForm(KeepsSite):
    sensor_kind = forms.ChoiceField(
        label="Or kind of sensor", required=False, choices=KINDS, widget=widgets.UnfoldAdminSelectWidget,
        help_text="The only sensor of this kind that a machine has. Neither: people or a control system tell.",
    )  # fmt: skip
    off_hides = forms.MultipleChoiceField(
        label="Hidden while it is off", required=False, choices=HIDDEN,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip
    startup_hides = forms.MultipleChoiceField(
        label="Hidden while it starts up", required=False, choices=HIDDEN,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            operating_book.check(self.instance)
        except ValidationError as error:
            self.add_error(None, error)


@admin.register(OperatingRule)
class RulePage(Desk):
    edits = "alarms.edit"
    form = RuleForm
    list_before_template = "admin/maintenance/no_operating_rules.html"
    list_display = ("place", "known_by", "starts_for", "hidden_off", "hidden_startup", "holds", "site")
    list_filter = (SiteFilter,)
    list_select_related = ("site", "machine", "sensor")
    search_fields = ("machine__tag", "machine__name", "equipment_class", "sensor__external_id")
    autocomplete_fields = ("machine", "sensor")
    fieldsets = (
        ("Of what", {"fields": ("site", ("machine", "equipment_class"))}),
        ("How it is known", {"fields": (("sensor", "sensor_kind"), ("off_below", "running_above"), "startup_seconds")}),
        ("What is hidden", {"fields": (("off_hides", "startup_hides"),)}),
        ("How long at most", {"fields": (("holds_minutes", "most_hours"),)}),
        ("Kept", {"fields": (("revision", "updated_by", "updated_at"),)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("revision", "updated_by", "updated_at", *(operating_book.SCOPE if obj else ()))

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        operating_book.save(obj, actor=actor)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        actor: Any = request.user
        operating_book.delete(obj, actor=actor)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            self.delete_model(request, row)

    @column("Of", ordering="machine__tag")
    def place(self, row: OperatingRule) -> str:
        return str(row.machine) if row.machine is not None else f"class {row.equipment_class}"

    @column("Known by", ordering="sensor_kind")
    def known_by(self, row: OperatingRule) -> str:
        return row.how

    @column("Start-up", ordering="startup_seconds")
    def starts_for(self, row: OperatingRule) -> str:
        return f"{row.startup_seconds} s" if row.startup_seconds else show.DASH

    @column("Hidden while off")
    def hidden_off(self, row: OperatingRule) -> str:
        return _words(row.off_hides)

    @column("Hidden while starting up")
    def hidden_startup(self, row: OperatingRule) -> str:
        return _words(row.startup_hides)

    @column("Holds", ordering="holds_minutes")
    def holds(self, row: OperatingRule) -> str:
        return f"{row.holds_minutes} min after it was said, {row.most_hours} h at most"


def _words(modes: list[str]) -> str:
    return "all" if failure_modes.ALL in modes else ", ".join(modes) or show.DASH


class Said(forms.Form):
    state = forms.ChoiceField(label="It is", choices=STATES, widget=widgets.UnfoldAdminSelectWidget)
    reason = forms.CharField(
        required=False, max_length=500, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Who looks at what is hidden reads it.",
    )  # fmt: skip


class TellForm(Said, forms.ModelForm):  # type: ignore[type-arg]  # the class takes none at run time
    class Meta:
        model = OperatingState
        fields = ("machine", "state")

    def clean_machine(self) -> Equipment:
        machine: Equipment = self.cleaned_data["machine"]
        if operating.rule_of(machine) is None:
            raise ValidationError(str(operating.NoRule()))
        return machine

    def validate_unique(self) -> None:
        """What is known of the machine already is told anew."""

    def validate_constraints(self) -> None:
        """The row is not made of the form: see ``maintenance.operating``."""


@admin.register(OperatingState)
class StatePage(Desk):
    acts = adds = "machines.act"
    list_before_template = "admin/maintenance/no_operating_states.html"
    list_display = ("machine_page", "state_label", "since", "starts_until", "source", "said_last", "hides")
    list_filter = (SiteFilter, "state")
    list_select_related = ("machine", "told_by")
    search_fields = ("machine__tag", "machine__name", "source")
    autocomplete_fields = ("machine",)
    actions_detail = ("tell_state",)
    SHOWN = ("machine_page", "state_label", "since", "starts_until", "source", "said_last", "hides", "history")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("machine", "state", "reason")}),)
        first, *others = self.SHOWN
        return ((None, {"fields": ((first, others[0]), tuple(others[1:3]), tuple(others[3:5]), tuple(others[5:]))}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.SHOWN

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The first word on a machine is said on the form of a new row, others by the button."""
        return super().get_form(request, obj, change, **(kwargs if obj else kwargs | {"form": TellForm}))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        said = form.cleaned_data
        if not self.may(request, OperatingState(site_id=said["machine"].site_id), self.acts):
            raise PermissionDenied
        row = operating.tell(said["machine"], said["state"], actor=actor, reason=said["reason"])
        obj.pk, obj.state, obj.site_id = row.pk, row.state, row.site_id

    @action(description="Tell the state", url_path="tell", permissions=["act"], icon="power_settings_new")
    def tell_state(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)
        actor: Any = request.user
        question = ask.Question(
            title="Tell what the machine is",
            button="Tell",
            done="Told",
            explain="From now on. That it is off holds for as long as its rule says after it was last told; what its "
            "sensor, where it has one, says anew goes before.",
            form=Said,
            perform=lambda row, said: operating.tell(row.machine, said["state"], actor=actor, reason=said["reason"]),
            refusals=(Refused,),
        )
        back = reverse("admin:maintenance_operatingstate_change", args=[row.pk])
        return ask.answer(self, request, [row], question, back=back)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: OperatingState) -> str:
        return show.link(row.machine)

    @column("State", ordering="state")
    def state_label(self, row: OperatingState) -> str:
        return show.badge(TONES[row.state], row.get_state_display().lower())

    @column("Said last", ordering="confirmed_at")
    def said_last(self, row: OperatingState) -> str:
        if row.confirmed_at is None:
            return show.DASH
        holds = f", holds until {row.due_at:%Y-%m-%d %H:%M} UTC" if row.state == row.State.OFF and row.due_at else ""
        return f"{row.confirmed_at:%Y-%m-%d %H:%M} UTC{holds}"

    @column("Hidden by it")
    def hides(self, row: OperatingState) -> str:
        return show.listing("maintenance_suppression", "show", operating__id__exact=row.pk, standing="all")

    @column("History")
    def history(self, row: OperatingState) -> str:
        return show.listing("sensors_event", "what it was before", q=f"operating-state/{row.pk}")
