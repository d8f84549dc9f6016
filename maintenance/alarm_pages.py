"""What people do about alarms in the admin beyond acknowledging: hide them for a time, and see all that is hidden."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import CharField, Count, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from maintenance import buttons, hidden
from maintenance.alarm_life import ADVISORY, State
from maintenance.models import Alarm, AlarmTransition, Suppression
from sensors import show
from sensors.desk import Desk, Lines, SiteFilter, column

STATES = {
    State.UNACK: "active, not acknowledged",
    State.ACKED: "active, acknowledged",
    State.RTNUN: "over, not acknowledged",
    State.SHLVD: "shelved",
    State.DSUPR: "suppressed by design",
    State.OOSRV: "out of service",
    State.NORMAL: "over",
}


class StateFilter(admin.SimpleListFilter):
    """By the name of the state in ISA-18.2."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, f"{state.value}: {words}") for state, words in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        wanted = self.value() or ""
        return hidden.in_state(queryset, wanted) if wanted in STATES else queryset


class AsksFilter(admin.SimpleListFilter):
    """Advisories, which ask for nothing and tell nobody, apart from the alarms that ask for a response."""

    title = "asks for"
    parameter_name = "asks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("response", "A response"), ("nothing", "Nothing: advisories")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        if self.value() == "response":
            return queryset.exclude(priority=ADVISORY)
        return queryset.filter(priority=ADVISORY) if self.value() == "nothing" else queryset


class Hideable(Desk):
    """A page of alarms, each with its state, and the buttons for what people do about them."""

    acts = "alarms.act"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return hidden.with_state(super().get_queryset(request))

    @column("State", ordering="is_open")
    def state_label(self, row: Any) -> str:
        return show.badge(row.state, f"{row.state}: {STATES[State(row.state)]}")

    @admin.action(description="Acknowledge", permissions=["act"])
    def acknowledge_selected(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.ACKNOWLEDGE, action="acknowledge_selected")

    @admin.action(description="Take back the acknowledgement", permissions=["act"])
    def unacknowledge_selected(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.UNACKNOWLEDGE, action="unacknowledge_selected")

    @admin.action(description="Shelve", permissions=["act"])
    def shelve_selected(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.SHELVE, action="shelve_selected")

    @admin.action(description="Unshelve", permissions=["act"])
    def unshelve_selected(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.UNSHELVE, action="unshelve_selected")

    @admin.action(description="Assign to somebody", permissions=["act"])
    def assign_selected(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.ASSIGN_ALARM, action="assign_selected")

    @action(description="Acknowledge", url_path="acknowledge", permissions=["act"], icon="check")
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.ACKNOWLEDGE)

    @action(description="Unacknowledge", url_path="unacknowledge", permissions=["act"], icon="remove_done")
    def unacknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.UNACKNOWLEDGE)

    @action(description="Shelve", url_path="shelve", permissions=["act"], icon="snooze")
    def shelve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.SHELVE)

    @action(description="Unshelve", url_path="unshelve", permissions=["act"], icon="visibility")
    def unshelve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.UNSHELVE)

    @action(description="Assign", url_path="assign", permissions=["act"], icon="person_add")
    def assign_alarm(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.ASSIGN_ALARM)

    @action(description="Comment", url_path="comment", permissions=["act"], icon="comment")
    def comment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.COMMENT)

    @action(description="Stop escalation", url_path="stop-escalation", permissions=["act"], icon="notifications_off")
    def stop_escalation(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.STOP_ESCALATION)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, buttons.OF_ALARMS)


class AlarmSteps(Lines):
    model = AlarmTransition
    verbose_name_plural = "history"
    fields = readonly_fields = ("at", "action", "actor", "reason", "comment", "told", "recorded_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlarmTransition]:
        return super().get_queryset(request).select_related("actor")

    @column("Hidden then")
    def told(self, row: AlarmTransition) -> str:
        return row.suppression.replace("_", " ").lower() or show.DASH


class StandingFilter(admin.SimpleListFilter):
    """What hides alarms now, unless what did is asked for."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ended", "No longer"), ("all", "Now and before")]

    def choices(self, changelist: Any) -> Any:
        now, *others = super().choices(changelist)
        return [now | {"display": "Hidden now"}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> QuerySet[Suppression]:
        if self.value() == "all":
            return queryset
        return queryset.filter(ended_at__isnull=self.value() != "ended")


@admin.register(Suppression)
class HiddenPage(Desk):
    acts = "alarms.act"
    list_before_template = "admin/maintenance/nothing_hidden.html"
    list_display = (
        "machine_page", "mode_words", "kind_label", "created_by", "why", "from_at", "ends", "active_alarms", "standing",
    )  # fmt: skip
    list_filter = (SiteFilter, StandingFilter, "kind", "one_shot")
    list_select_related = ("machine", "created_by", "work_order", "ended_by")
    search_fields = ("machine__tag", "machine__name", "=failure_mode", "reason", "created_by__username")
    date_hierarchy = "from_at"
    fieldsets = (
        (None, {"fields": (("machine_page", "mode_words"), ("kind_label", "standing"), "reason", "follows_from",
                          "active_alarms")}),
        ("When", {"fields": (("from_at", "created_by"), ("ends", "notice_at"))}),
        ("How it ended", {"fields": (("ended_at", "ended_by"), "end_reason")}),
    )  # fmt: skip
    readonly_fields = (
        "machine_page", "mode_words", "kind_label", "standing", "reason", "follows_from", "active_alarms", "from_at",
        "created_by",
        "ends", "notice_at", "ended_at", "ended_by", "end_reason",
    )  # fmt: skip
    actions = ("unshelve_selected",)
    actions_detail = ("end_shelving",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        mode = ExpressionWrapper(OuterRef("failure_mode"), CharField())
        mine = Alarm.objects.filter(machine=OuterRef("machine"), is_active=True).annotate(hidden_mode=mode).order_by()
        mine = mine.filter(Q(hidden_mode="") | Q(failure_mode=F("hidden_mode")))
        counted = mine.values("machine").annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(active=Coalesce(Subquery(counted), 0))

    @admin.action(description="Unshelve", permissions=["act"])
    def unshelve_selected(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.END_SHELVING, action="unshelve_selected")

    @action(description="Unshelve", url_path="unshelve", permissions=["act"], icon="visibility")
    def end_shelving(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.END_SHELVING)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, buttons.OF_SUPPRESSIONS)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Suppression) -> str:
        return show.link(row.machine)

    @column("Failure mode", ordering="failure_mode")
    def mode_words(self, row: Suppression) -> str:
        return row.failure_mode or "all of the machine"

    @column("Kind", ordering="kind")
    def kind_label(self, row: Suppression) -> str:
        words = row.get_kind_display()
        return show.badge(row.kind, f"{words}, until it returns" if row.one_shot else words)

    @column("Why", ordering="reason")
    def why(self, row: Suppression) -> str:
        return show.short(row.reason)

    @column("Follows from")
    def follows_from(self, row: Suppression) -> str:
        return show.link(row.parent_alarm)

    @column("Ends", ordering="until")
    def ends(self, row: Suppression) -> str:
        return f"{row.until:%Y-%m-%d %H:%M} UTC" if row.until else show.link(row.work_order, f"WO-{row.work_order_id}")

    @column("Active alarms behind it")
    def active_alarms(self, row: Any) -> str:
        query: dict[str, object] = {"machine__id__exact": row.machine_id, "is_active__exact": 1}
        if row.failure_mode:
            query["failure_mode__exact"] = row.failure_mode
        return show.listing("maintenance_alarm", str(row.active), **query) if row.active else show.DASH

    @column("Standing", ordering="ended_at")
    def standing(self, row: Suppression) -> str:
        return show.badge("HELD", "hidden") if row.ended_at is None else show.badge("DONE", "ended")
