"""Pages of trainings: asked for by a button, looked at while they go on, done again where they failed."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from agents import doorbell
from agents.doorbell import Bell
from agents.trainings import requests
from mlops.model_pages import OfModels
from mlops.models import ModelPolicy, Training
from mlops.names import NAMES
from sensors import access, ask, show
from sensors.desk import column
from sensors.models import Site


class Wanted(forms.Form):
    """Which model, by its name or as that of a site and a class of its machines, and how long is searched."""

    name = forms.ChoiceField(required=False, widget=widgets.UnfoldAdminSelectWidget, label="Model")
    site = forms.ModelChoiceField(
        Site.objects.none(), required=False, widget=widgets.UnfoldAdminSelectWidget,
        help_text="In place of a model: its own, learned from what is stored of its machines.",
    )  # fmt: skip
    equipment_class = forms.CharField(
        required=False, max_length=50, widget=widgets.UnfoldAdminTextInputWidget, label="Class of its machines",
        help_text="Such as PUMP. Their sensors have to be tagged with features.",
    )  # fmt: skip
    look_back_days = forms.IntegerField(
        required=False, widget=widgets.UnfoldAdminTextInputWidget, label="Days it learns from",
        help_text="Up to the newest reading, from now on. Empty: as before, at first 90.",
    )  # fmt: skip
    seconds = forms.FloatField(
        required=False, widget=widgets.UnfoldAdminTextInputWidget,
        help_text="For the search of hyper-parameters. Empty: as long as is usual for the model; 0: none.",
    )  # fmt: skip

    def __init__(self, data: Any, *, user: Any) -> None:
        super().__init__(data)
        shared = [(name, f"{name} ({experiment})") for name, experiment in NAMES.items()] if user.is_superuser else []
        sites = access.sites(user, to="models.train")
        own = ModelPolicy.objects.filter(site__in=sites).order_by("name").values_list("name", flat=True)
        fields: Any = self.fields
        fields["name"].choices = [("", "-"), *((name, f"{name} (of a site)") for name in own), *shared]
        fields["site"].queryset = sites

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if bool(said.get("name")) == bool(said.get("site")):
            raise forms.ValidationError("Choose a model, or a site and the class of its machines.")
        return said


@admin.register(Training)
class TrainingPage(OfModels):
    acts = "models.train"
    list_before_template = "admin/agents/no_trainings.html"
    list_display = ("created_at", "name", "status_label", "progress", "cause_label", "made", "asked_by", "took")
    list_filter = ("status", "cause", "name")
    list_select_related = ("asked_by", "version")
    search_fields = ("=id", "name", "reason")
    ordering = ("-id",)
    date_hierarchy = "created_at"
    fields = readonly_fields = (
        "name", "status_label", "progress", "reason", "made", "cause_label", "options_told", "asked_by", "created_at",
        "took", "attempts",
    )  # fmt: skip
    actions_list = ("train",)
    actions_detail = ("again",)

    @action(description="Train a model", url_path="train", permissions=["act"], icon="model_training")
    def train(self, request: HttpRequest) -> HttpResponse:
        return asking(self, request)

    @action(description="Do it again", url_path="again", permissions=["act"], icon="replay")
    def again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)

        def perform(row: Any, answers: dict[str, Any]) -> None:
            requests.again(row.pk)
            doorbell.ring(Bell("train", row.pk))

        question = ask.Question(
            title="Do the training again", button="Do it again", done="Asked again for", form=forms.Form,
            perform=perform, refusals=(requests.Refused,), explain="With the same options.",
        )  # fmt: skip
        return ask.answer(self, request, [row], question, back=_page(row))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and row.status == Training.Status.FAILED and self.may(request, row, self.acts)
        return super().get_actions_detail(request, object_id) if shown else []

    @column("Status", ordering="status")
    def status_label(self, row: Training) -> str:
        return show.badge(row.status)

    @column("Done")
    def progress(self, row: Training) -> str:
        return f"{row.done_share:.0%} {row.step}".strip() if row.status in Training.UNFINISHED else show.DASH

    @column("Because", ordering="cause")
    def cause_label(self, row: Training) -> str:
        return row.get_cause_display()

    @column("Made")
    def made(self, row: Training) -> str:
        return show.link(getattr(row, "version", None))

    @column("Options")
    def options_told(self, row: Training) -> str:
        return show.pretty(row.options)

    @column("Took")
    def took(self, row: Training) -> str:
        return show.lasted(row.started_at, row.finished_at)


def asking(page: TrainingPage, request: HttpRequest) -> HttpResponse:
    """The form, and the page of the training that was asked for."""
    actor: Any = request.user
    made: list[Training] = []

    def perform(_: object, said: dict[str, Any]) -> None:
        options = {} if said["seconds"] is None else {"seconds": said["seconds"]}
        name = said["name"] or requests.model_of(
            said["site"], said["equipment_class"], look_back_days=said["look_back_days"]
        )
        made.append(requests.ask(name, cause=Training.Cause.PERSON, actor=actor, options=options))
        doorbell.ring(Bell("train", made[-1].pk))

    question = ask.Question(
        title="Train a model", button="Train", done="Asked for", form=partial(Wanted, user=actor), perform=perform,
        refusals=(requests.Refused,), after=lambda _: _page(made[-1]),
        explain="A worker reads the model's data, holds out what is later, and measures what it learned beside the "
        "baselines and the champion. It speaks only if it is better than all of them.",
    )  # fmt: skip
    return ask.answer(page, request, [Training()], question, back=reverse("admin:mlops_training_changelist"))


def _page(row: Training) -> str:
    return reverse("admin:mlops_training_change", args=[row.pk])
