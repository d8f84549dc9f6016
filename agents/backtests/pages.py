"""Pages of backtests: the form by which one is asked for, the list, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from unfold import widgets
from unfold.decorators import action

from agents import doorbell
from agents.backtests import proposal, requests, told
from agents.backtests.history import Target
from agents.doorbell import Bell
from agents.models import Backtest
from sensors import ask, label_pages, series, show
from sensors.desk import Desk, SiteFilter, column
from sensors.models import Equipment, Sensor, Site

MONTH = timedelta(days=30)
PLACES: Mapping[str, type[Sensor | Equipment | Site]] = {"sensor": Sensor, "machine": Equipment, "site": Site}
MOST_ALARMS = 50
STAYS = "Empty: as each sensor has it."


class Question(forms.Form):
    """What is to be judged, and what is to differ. Of a sensor the form begins with how things are."""

    from_at = label_pages.instant(help_text="First instant of the period.")
    to_at = label_pages.instant(help_text="The period ends before it.")
    look_back_days = forms.FloatField(
        initial=proposal.LOOK_BACK_DAYS, widget=widgets.UnfoldAdminTextInputWidget,
        help_text="Days before the period whose readings teach the detectors and are not counted.",
    )  # fmt: skip
    false_alarms_per_week = forms.FloatField(
        required=False, widget=widgets.UnfoldAdminTextInputWidget,
        help_text="To accept of each sensor, as 0.2 or 3. Empty: the detectors' own.",
    )  # fmt: skip
    detectors = forms.MultipleChoiceField(
        choices=[(name, name) for name in proposal.DETECTORS], initial=proposal.DETECTORS,
        widget=forms.CheckboxSelectMultiple, help_text="Those that judge.",
    )  # fmt: skip

    def __init__(self, target: Target, data: Any, **more: Any) -> None:
        super().__init__(data, **more)
        self.target = target
        sensor = target.sensor
        for name in (*(proposal.OF_A_SENSOR if sensor else ()), *proposal.DELAYS):
            about = "Empty: no limit." if name in proposal.LIMITS else "" if sensor else STAYS
            self.fields[name] = forms.FloatField(
                required=sensor is not None and name not in proposal.LIMITS, help_text=about,
                initial=getattr(sensor, name, None), widget=widgets.UnfoldAdminTextInputWidget,
            )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if self.errors:
            return said
        said["proposed"] = self._differs(said)
        try:
            requests.check_period(said["from_at"], said["to_at"], said["look_back_days"])
            proposal.read(said["proposed"], present=self.target.limits)
        except requests.Refused as error:
            self.add_error(error.field, str(error))
        except proposal.BadProposal as error:
            self.add_error(error.name, str(error))
        return said

    def _differs(self, said: Mapping[str, Any]) -> dict[str, object]:
        """What is not as it is now."""
        sensor, found = self.target.sensor, dict[str, object]()
        for name in (*proposal.OF_A_SENSOR, *proposal.DELAYS):
            if name in said and said[name] != getattr(sensor, name, None):
                found[name] = said[name]
        if said["false_alarms_per_week"] is not None:
            found["false_alarms_per_week"] = said["false_alarms_per_week"]
        if set(said["detectors"]) != set(proposal.DETECTORS):
            found["detectors"] = said["detectors"]
        return found


def target_of(row: Sensor | Equipment | Site) -> Target:
    if isinstance(row, Sensor):
        return Target(row.site, row.machine, row)
    return Target(row.site, row) if isinstance(row, Equipment) else Target(row)


def newest(target: Target) -> datetime:
    """Of the target's readings, and now where there is none."""
    ids = [sensor.pk for _, its in target.machines() for sensor in its]
    return max((one.measured_at for one in series.latest(ids).values()), default=datetime.now(UTC))


def asking(page: Backtests, request: HttpRequest) -> HttpResponse:
    """The form, on the way from a sensor, a machine or a site; and what becomes of the answers."""
    kind = next((name for name in PLACES if name in request.GET), None)
    if kind is None:
        raise Http404("A backtest is of a sensor, a machine or a site.")
    there: Any = page.admin_site._registry[PLACES[kind]]
    row = ask.row_of(there, request, request.GET[kind], takes=page.acts)
    if isinstance(row, Equipment) and row.level != Equipment.Level.MACHINE:
        raise Http404("A backtest is of a machine, not of a line or a component.")
    target = target_of(row)
    actor: Any = request.user
    until = newest(target).replace(second=0, microsecond=0) + timedelta(minutes=1) if request.method == "GET" else None
    begins = None if until is None else until - MONTH
    made: list[Backtest] = []

    def perform(_: object, said: dict[str, Any]) -> None:
        asked = {name: said[name] for name in ("from_at", "to_at", "look_back_days", "proposed")}
        made.append(requests.ask(target, **asked, actor=actor))
        doorbell.ring(Bell("backtest", made[-1].pk))

    question = ask.Question(
        takes=page.acts,
        title="Backtest",
        button="Judge anew",
        done="Asked for a backtest of",
        explain="Stored readings of a period are judged anew, as things are and with what you propose. Nothing live is "
        "touched. Of a sensor the form shows how things are: change what should differ.",
        form=partial(Question, target, initial={"from_at": begins, "to_at": until}),
        perform=perform,
        refusals=(requests.Refused,),
        after=lambda _: reverse("admin:agents_backtest_change", args=[made[-1].pk]),
    )
    return ask.answer(there, request, [row], question, back=label_pages.page_of(row))


@admin.register(Backtest)
class Backtests(Desk):
    acts = "backtests.run"
    list_before_template = "admin/agents/no_backtests.html"
    change_form_outer_before_template = "admin/agents/backtest.html"
    list_display = ("created_at", "place", "period", "differs", "status_label", "alarms", "asked_by")
    list_filter = (SiteFilter, "status", "created_at")
    list_select_related = ("site", "machine", "sensor", "asked_by")
    search_fields = ("=id", "sensor__external_id", "sensor__name", "machine__tag", "machine__name", "site__name")
    search_help_text = "A backtest's number, or part of a sensor's, machine's or site's name."
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = readonly_fields = (
        "place", "site", "period", "look_back", "differs", "status_label", "reason", "progress", "asked_by",
        "created_at", "took", "attempts",
    )  # fmt: skip
    actions_detail = ("again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer("result")
        alarms = {f"{side}_alarms": KT(f"result__{side}__alarms") for side in told.SIDES}
        return rows.select_related("site", "machine", "sensor").annotate(**alarms)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(partial(asking, self))
        return [path("ask/", view, name="agents_backtest_ask"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        shown = {"backtest": context(row)} if row is not None and row.result else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    @action(description="Run again", url_path="again", permissions=["act"], icon="replay")
    def again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)

        def perform(row: Any, answers: dict[str, Any]) -> None:
            requests.again(row.pk)
            doorbell.ring(Bell("backtest", row.pk))

        question = ask.Question(
            title="Run the backtest again", button="Run again", done="Asked again for", form=label_pages.Confirmation,
            perform=perform, refusals=(requests.Refused,), explain="With the same question.",
        )  # fmt: skip
        return ask.answer(self, request, [row], question, back=label_pages.page_of(row))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and row.status == Backtest.Status.FAILED and self.may(request, row, self.acts)
        return super().get_actions_detail(request, object_id) if shown else []

    @column("Of")
    def place(self, row: Backtest) -> str:
        return show.link(row.sensor or row.machine or row.site)

    @column("Period", ordering="from_at")
    def period(self, row: Backtest) -> str:
        return f"{row.from_at:%Y-%m-%d %H:%M} to {row.to_at:%Y-%m-%d %H:%M} UTC"

    @column("Look-back")
    def look_back(self, row: Backtest) -> str:
        return f"{row.look_back_days:g} days"

    @column("Proposed")
    def differs(self, row: Backtest) -> str:
        return told.proposal(row.proposed)

    @column("Status", ordering="status")
    def status_label(self, row: Backtest) -> str:
        return show.badge(row.status)

    @column("Alarms, present / proposed / live")
    def alarms(self, row: Any) -> str:
        counts = [getattr(row, f"{side}_alarms") for side in told.SIDES]
        return " / ".join(show.DASH if one is None else one for one in counts) if any(counts) else show.DASH

    @column("Judged")
    def progress(self, row: Backtest) -> str:
        return f"{row.slices_done} of {row.slices} slices" if row.slices else show.DASH

    @column("Took")
    def took(self, row: Backtest) -> str:
        return show.lasted(row.started_at, row.finished_at)


def context(row: Backtest) -> dict[str, Any]:
    """What the page of a backtest that is done shows: a table of both sides and of what was, and the first alarms."""
    result: Mapping[str, Any] = row.result or {}
    sides = told.sides(result)
    listed = {side: result[side]["listed"][:MOST_ALARMS] for side in sides}
    named = [one for alarms in listed.values() for one in alarms]
    tags = dict(Equipment.objects.filter(pk__in={one["machine"] for one in named}).values_list("pk", "tag"))
    names = dict(Sensor.objects.filter(pk__in={one["sensor"] for one in named}).values_list("pk", "external_id"))
    return {
        "result": result,
        "sides": [(side, told.ABOUT[side]) for side in sides],
        "lines": told.lines(result),
        "sought": told.sought(result) if "sought" in result else "",
        "versions": [(side, versions) for side, versions in result["detectors"].items()],
        "missed": result["present"]["missed"],
        "alarms": [
            {
                "side": side,
                "about": told.ABOUT[side],
                "more": result[side]["alarms"] - len(alarms),
                "rows": [
                    one
                    | {"machine": tags.get(one["machine"], show.DASH), "sensor": names.get(one["sensor"], show.DASH)}
                    | {name: one[name] and datetime.fromisoformat(one[name]) for name in ("raised_at", "returned_at")}
                    for one in alarms
                ],
            }
            for side, alarms in listed.items()
        ],
    }
