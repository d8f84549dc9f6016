"""Pages of work orders: who is to do what, and how it went."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from maintenance import (
    approval_buttons,
    buttons,
    order_buttons,
    order_lists,
    order_numbers,
    order_request_page,
    part_buttons,
)
from maintenance.approval_pages import DecisionLines, HasDeferral
from maintenance.carrying_page import CarriedOut
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.order_part_pages import HasParts
from sensors import show
from sensors.desk import InSiteTime, Lines, SiteFilter, column


class OrderSteps(Lines):
    model = WorkOrderTransition
    verbose_name_plural = "history"
    fields = readonly_fields = ("at", "action", "to_status", "actor", "comment", "recorded_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkOrderTransition]:
        return super().get_queryset(request).select_related("actor")


class MineFilter(admin.SimpleListFilter):
    """The orders of whoever looks, and those that nobody has yet."""

    title = "assigned"
    parameter_name = "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "To me"), ("nobody", "To nobody yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> QuerySet[WorkOrder]:
        if self.value() == "me":
            return queryset.filter(assigned_to_id=request.user.pk)
        return queryset.filter(assigned_to__isnull=True) if self.value() == "nobody" else queryset


class StandingFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Still to do"), ("closed", "Completed, closed or cancelled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> QuerySet[WorkOrder]:
        if self.value() == "open":
            return queryset.exclude(status__in=WorkOrder.OVER)
        return queryset.filter(status__in=WorkOrder.OVER) if self.value() == "closed" else queryset


@admin.register(WorkOrder)
class OrderPage(InSiteTime, HasDeferral, HasParts, CarriedOut):
    acts = "orders.act"
    change_form_outer_after_template = "admin/maintenance/similar_panel.html"
    list_display = (
        "number", "title", "status_label", "priority_label", "machine_page", "type_words", "assigned_to",
        "due_words", "planned_words", "opened_at", "alarm_page",
    )  # fmt: skip
    list_display_links = ("number", "title")
    list_filter = (
        SiteFilter,
        StandingFilter,
        order_lists.PlanningFilter,
        MineFilter,
        "status",
        "priority",
        "maintenance_type",
    )
    list_select_related = ("machine", "assigned_to", "alarm")
    search_fields = ("title", "machine__tag", "machine__name", "=failure_mode", "findings")
    search_help_text = "A number such as WO-7, or words of a title, a machine or what was found."
    date_hierarchy = "opened_at"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("number", "title"),
                    "description",
                    ("status_label", "priority_label"),
                    ("machine_page", "failure_mode"),
                    "paper",
                )
            },
        ),
        (
            "The work",
            {
                "fields": (
                    ("type_words", "assigned_to"),
                    ("planned_start", "planned_minutes", "due_at"),
                    ("expected_cost", "expected_in_all", "parts_cost"),
                    "hold_reason",
                )
            },
        ),
        ("Carrying out", {"fields": ("carry_out", ("cost", "permits_held"))}),
        (
            "What was found",
            {
                "fields": (
                    "findings",
                    ("verdict", "found_mode"),
                    ("mechanism", "cause"),
                    ("detection_method", "activity"),
                )
            },
        ),
        (
            "Where it comes from",
            {"fields": (("alarm_page", "occurrences"), "anomalies", ("requested_by", "failed_at"))},
        ),
        ("When", {"fields": (("opened_at", "started_at"), ("completed_at", "closed_at"), "created_at")}),
    )
    readonly_fields = (
        "number", "title", "description", "status_label", "priority_label", "machine_page", "failure_mode",
        "type_words", "assigned_to", "planned_start", "planned_minutes", "due_at", "hold_reason", "findings", "verdict",
        "found_mode", "mechanism", "cause", "detection_method", "activity", "alarm_page", "occurrences", "anomalies",
        "requested_by", "opened_at", "started_at", "completed_at", "closed_at", "created_at", "expected_cost",
        "expected_in_all", "parts_cost", "carry_out", "cost", "permits_held", "failed_at", "paper",
    )  # fmt: skip
    inlines = (*HasParts.part_inlines, OrderSteps, DecisionLines)
    actions = ("approve_selected", "reject_selected", "defer_selected", "assign_selected")
    actions_list = ("request_work",)
    actions_detail = (
        "approve", "reject", {"title": "More", "icon": "more_horiz", "items": ("modify", "defer")}, "plan", "assign",
        "start", "hold", "resume", "complete", "close", "cancel", "reopen",
        {"title": "Parts", "icon": "settings", "items": HasParts.part_actions},
    )  # fmt: skip

    @action(description="Request work", url_path="request-work", permissions=["orders_request"], icon="add_task")
    def request_work(self, request: HttpRequest) -> HttpResponse:
        return order_request_page.view(self, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WorkOrder], search_term: str
    ) -> tuple[QuerySet[WorkOrder], bool]:
        number = order_numbers.read(search_term)
        if number is not None:
            return queryset.filter(pk=number), False
        return super().get_search_results(request, queryset, search_term)

    @admin.action(description="Approve requests", permissions=["act"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, approval_buttons.APPROVE, action="approve_selected")

    @admin.action(description="Reject requests", permissions=["act"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, approval_buttons.REJECT, action="reject_selected")

    @admin.action(description="Assign to somebody", permissions=["act"])
    def assign_selected(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, order_buttons.ASSIGN, action="assign_selected")

    @action(description="Approve", url_path="approve", permissions=["act"], icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, approval_buttons.APPROVE)

    @action(description="Reject", url_path="reject", permissions=["act"], icon="close")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, approval_buttons.REJECT)

    @action(description="Plan", url_path="plan", permissions=["act"], icon="event")
    def plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.PLAN)

    @action(description="Assign", url_path="assign", permissions=["act"], icon="person_add")
    def assign(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.ASSIGN)

    @action(description="Start", url_path="start", permissions=["act"], icon="play_arrow")
    def start(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.START)

    @action(description="Hold", url_path="hold", permissions=["act"], icon="pause")
    def hold(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.HOLD)

    @action(description="Resume", url_path="resume", permissions=["act"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.RESUME)

    @action(description="Complete", url_path="complete", permissions=["act"], icon="task_alt")
    def complete(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.COMPLETE)

    @action(description="Close", url_path="close", permissions=["act"], icon="inventory")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.CLOSE)

    @action(description="Cancel", url_path="cancel", permissions=["act"], icon="block")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.CANCEL)

    @action(description="Reopen", url_path="reopen", permissions=["act"], icon="undo")
    def reopen(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, order_buttons.REOPEN)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, order_buttons.KNOWN | part_buttons.OF_ORDERS)

    @column("Order", ordering="id")
    def number(self, row: WorkOrder) -> str:
        return f"WO-{row.pk}"

    @column("Status", ordering="status")
    def status_label(self, row: WorkOrder) -> str:
        return show.badge(row.status)

    @column("Priority", ordering="priority")
    def priority_label(self, row: WorkOrder) -> str:
        return show.badge(row.priority)

    @column("Type", ordering="maintenance_type")
    def type_words(self, row: WorkOrder) -> str:
        return row.get_maintenance_type_display()

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: WorkOrder) -> str:
        return show.link(row.machine)

    @column("Due", ordering="due_at")
    def due_words(self, row: WorkOrder) -> str:
        return order_lists.due_words(row)

    @column("Planned", ordering="planned_start")
    def planned_words(self, row: WorkOrder) -> str:
        return order_lists.minute(row.planned_start)

    @column("On paper")
    def paper(self, row: WorkOrder) -> str:
        return order_lists.paper(row)

    @column("Alarm")
    def alarm_page(self, row: WorkOrder) -> str:
        return show.link(row.alarm, f"alarm {row.alarm_id}")

    @column("Anomalies behind it")
    def anomalies(self, row: WorkOrder) -> str:
        return show.listing(
            "maintenance_anomaly",
            f"{row.machine.tag}, {row.failure_mode}",
            machine__id__exact=row.machine_id,
            failure_mode__exact=row.failure_mode,
        )
