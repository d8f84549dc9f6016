"""Pages of failed work: cases by cause, what the doctor makes of them, and what a person can do about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold import widgets
from unfold.decorators import action

from agents import case_life, cases, dead_letters, diagnosis, doorbell, remedies
from agents.models import Case, CaseTransition, Run
from sensors import ask, desk, show
from sensors.desk import Desk, Lines, column
from sensors.models import BatchPart

MOST_RUNS = 20
"""Runs of a case that its page lists one by one."""
BADGES = {Case.Status.FAILED: "needs a person", Case.Status.REMEDIATING: "remedy under way"}
WAITING = Q(runs__status=Run.Status.FAILED)


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


class Reason(forms.Form):
    reason = forms.CharField(
        max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}), help_text="Kept in the history."
    )


@dataclass(frozen=True, slots=True)
class Button:
    """``perform`` takes case, the actor's name and the answers; ``for_runs``: only while runs of the case wait."""

    title: str
    label: str
    done: str
    explain: str
    perform: Callable[[Case, str, dict[str, Any]], object]
    form: type[forms.Form] = Confirmation
    for_runs: bool = True


LATE = (
    "What was done stays done, and it goes on from there: where nothing newer of the machine was judged meanwhile, "
    "alarms may open and messages go out; otherwise its readings are late, and neither page nor clear."
)
BUTTONS = {
    "replay_one": Button(
        "Replay one run as a trial", "Replay one", "Replaying one run of",
        f"The oldest run of the case goes on at the stage where it failed; the others wait. {LATE}",
        lambda case, actor, said: doorbell.ring_lanes(remedies.replay(case.pk, actor=actor, only_one=True)),
    ),
    "replay_all": Button(
        "Replay all runs of the case", "Replay all", "Replaying",
        f"All that wait go on at the stage where they failed. {LATE}",
        lambda case, actor, said: doorbell.ring_lanes(remedies.replay(case.pk, actor=actor)),
    ),
    "discard_all": Button(
        "Discard all runs of the case", "Discard all", "Discarded",
        "Nobody will judge what they carry. They stay, with your reason, and can still be replayed one by one.",
        lambda case, actor, said: remedies.discard(case.pk, actor=actor, reason=said["reason"]), form=Reason,
    ),
    "cancel_case": Button(
        "Cancel the case", "Cancel the case", "Cancelled",
        "The doctor leaves it alone from here on. Its runs stay set aside; what fails later is another case.",
        lambda case, actor, said: cases.cancel(case.pk, actor=actor, reason=said["reason"]), form=Reason,
        for_runs=False,
    ),
}  # fmt: skip
REFUSALS = (
    cases.NothingWaits, cases.NoReason, cases.NotACase, case_life.ForbiddenTransition, dead_letters.NotDiscardable,
)  # fmt: skip


class HistoryLines(Lines):
    model = CaseTransition
    verbose_name_plural = "history"
    fields = readonly_fields = ("at", "became", "actor", "reason")

    @column("Became")
    def became(self, row: CaseTransition) -> str:
        return _badge(row.to_status)


class StandingFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Not ended"), ("ended", "Resolved or cancelled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        if self.value() == "open":
            return queryset.exclude(status__in=Case.ENDED)
        return queryset.filter(status__in=Case.ENDED) if self.value() == "ended" else queryset


@admin.register(Case)
class CasePage(Desk):
    acts = "readings.repair"
    list_display = ("name", "status_label", "stage", "likely", "waiting_count", "sites", "oldest", "opened_at")
    list_filter = (StandingFilter, "status", "likely_cause", "stage")
    search_fields = ("=id", "=cause", "title", "error_class", "rule")
    search_help_text = "A case's number, a cause, a rule, or part of the error."
    ordering = (F("ended_at").desc(nulls_first=True), "-id")
    list_before_template = "admin/agents/no_cases.html"
    fieldsets = (
        (None, {"fields": (("status_label", "stage"), ("opened_at", "ended_at"), ("waiting_count", "failures"), "sites",
                           "run_list")}),
        ("What the doctor makes of it", {"fields": (("likely", "rule"), "because", "doing", ("attempts", "outcome"),
                                                    "looks_again")}),
        ("Error", {"fields": (("error_class", "cause"), "error_trace")}),
        ("What the rule read", {"fields": ("seen", "version"), "classes": ("collapse",)}),
    )  # fmt: skip
    readonly_fields = (
        "status_label", "stage", "opened_at", "ended_at", "waiting_count", "failures", "sites", "run_list", "likely",
        "rule", "because", "doing", "attempts", "outcome", "looks_again", "error_class", "cause", "error_trace", "seen",
        "version",
    )  # fmt: skip
    inlines = (HistoryLines,)
    actions_detail = tuple(BUTTONS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        """Sites share causes as they share lanes: a case is shown to those who may see all that its runs carried."""
        rows: QuerySet[Case] = admin.ModelAdmin.get_queryset(self, request)
        carried = BatchPart.objects.filter(run_id__in=Run.objects.filter(case=OuterRef(OuterRef("pk"))).values("pk"))
        rows = rows.annotate(
            waiting=Count("runs", filter=WAITING),
            oldest_waiting=Min("runs__finished_at", filter=WAITING),
            site_names=ArraySubquery(carried.order_by("batch__site__name").values("batch__site__name").distinct()),
        )
        if desk.sees_all(request):
            return rows
        mine = list(desk.roles(request))
        parts = BatchPart.objects.filter(run_id=OuterRef("pk"))
        seen = Exists(parts.filter(batch__site__in=mine)) & ~Exists(parts.exclude(batch__site__in=mine))
        runs = Run.objects.filter(case=OuterRef("pk"))
        return rows.filter(Exists(runs), ~Exists(runs.filter(~seen)))

    def may(self, request: HttpRequest, row: Any, to: str) -> bool:
        """In every site of which its runs carried readings."""
        if desk.sees_all(request) or row is None:
            return super().may(request, None, to)
        runs = Run.objects.filter(case=row).values("pk")
        carried = set(BatchPart.objects.filter(run_id__in=runs).values_list("batch__site_id", flat=True).distinct())
        return bool(carried) and carried <= set(desk.sites_where(request, to))

    @action(description="Replay one", url_path="replay-one", permissions=["act"], icon="play_arrow")
    def replay_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, "replay_one")

    @action(description="Replay all", url_path="replay-all", permissions=["act"], icon="replay")
    def replay_all(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, "replay_all")

    @action(description="Discard all", url_path="discard-all", permissions=["act"], icon="delete")
    def discard_all(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, "discard_all")

    @action(description="Cancel", url_path="cancel", permissions=["act"], icon="cancel")
    def cancel_case(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(request, object_id, "cancel_case")

    def _ask(self, request: HttpRequest, key: str, name: str) -> HttpResponse:
        row, button = ask.row_of(self, request, key), BUTTONS[name]
        actor = request.user.get_username()
        question = ask.Question(
            title=button.title, button=button.label, done=button.done, form=button.form, explain=button.explain,
            perform=lambda case, answers: button.perform(case, actor, answers), refusals=REFUSALS,
        )  # fmt: skip
        return ask.answer(self, request, [row], question, back=reverse("admin:agents_case_change", args=[row.pk]))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        if row is None or case_life.ended(row.status) or not self.may(request, row, self.acts):
            return []
        offered = super().get_actions_detail(request, object_id)
        names = {f"agents_case_{name}" for name, button in BUTTONS.items() if row.waiting or not button.for_runs}
        return [one for one in offered if one.action_name in names]

    @column("Failed work", ordering="title")
    def name(self, row: Case) -> str:
        return show.short(row.title, 90)

    @column("Status", ordering="status")
    def status_label(self, row: Case) -> str:
        return _badge(row.status)

    @column("Likely cause", ordering="likely_cause")
    def likely(self, row: Case) -> str:
        return row.get_likely_cause_display() if row.rule else show.DASH

    @column("Runs set aside", ordering="waiting")
    def waiting_count(self, row: Any) -> str:
        return show.count(row.waiting)

    @column("Sites")
    def sites(self, row: Any) -> str:
        return show.short(", ".join(row.site_names)) or show.DASH

    @column("Oldest", ordering="oldest_waiting")
    def oldest(self, row: Any) -> Any:
        return row.oldest_waiting

    @column("Because")
    def because(self, row: Case) -> str:
        return next((rule.says for rule in diagnosis.RULES if rule.name == row.rule), show.DASH)

    @column("Remedy")
    def doing(self, row: Case) -> str:
        return diagnosis.PLANS[diagnosis.Remedy(row.remedy)].says if row.remedy in set(diagnosis.Remedy) else show.DASH

    @column("Helped")
    def outcome(self, row: Case) -> str:
        return {None: "not known yet", True: "yes", False: "no"}[row.helped]

    @column("The doctor looks again")
    def looks_again(self, row: Case) -> Any:
        resting = case_life.ended(row.status) or row.status == Case.Status.FAILED
        return show.DASH if resting else row.due_at

    @column("Newest error")
    def error_trace(self, row: Case) -> str:
        newest = row.runs.order_by("-id").values_list("error", flat=True).first()
        return show.trace(newest or "")

    @column("Seen")
    def seen(self, row: Case) -> str:
        return show.pretty(row.evidence)

    @column("Runs")
    def run_list(self, row: Case) -> SafeString:
        """The first of them one by one, then a link to all."""
        found = row.runs.order_by("id").only("pk", "status", "lane")[:MOST_RUNS]
        lines = format_html_join("", "<li>{} {}</li>", ((show.link(run), show.badge(run.status)) for run in found))
        everything = show.listing("agents_run", "all runs of the case", case__id__exact=row.pk)
        return format_html('<ul class="desk-rows">{}</ul>{}', lines, everything)


def _badge(status: str) -> SafeString:
    return show.badge(status, BADGES.get(Case.Status(status), ""))
