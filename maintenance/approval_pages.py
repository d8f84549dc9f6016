"""Pages of approval: what waits, and what was decided."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import action

from maintenance import approval_buttons, approvers, buttons, part_costs
from maintenance.approval_models import ApprovalDecision, ApprovalWait
from maintenance.models import WorkOrder
from sensors import show
from sensors.desk import Desk, InSiteTime, Lines, SiteFilter, column

ADMINISTRATORS = "administrators"


def money(cost: Decimal | None) -> str:
    """What is expected in all; a dash where nobody knows."""
    return show.DASH if cost is None else f"{cost:.2f}"


class DueFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "For me"), ("overdue", "Overdue"), ("deferred", "Set aside"), ("no_policy", "By no policy")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApprovalWait]) -> QuerySet[ApprovalWait]:
        now, wanted = timezone.now(), self.value()
        if wanted == "mine":
            user: Any = request.user
            return queryset.filter(approvers.of_person(user, now=now), deferred_until=None)
        if wanted == "overdue":
            late = Q(is_left=True) | Q(reminded__gt=0) | Q(until__lte=now)
            return queryset.filter(late, deferred_until=None)
        if wanted == "deferred":
            return queryset.filter(deferred_until__isnull=False)
        return queryset.filter(policy=None, deferred_until=None) if wanted == "no_policy" else queryset


@admin.register(ApprovalWait)
class WaitPage(InSiteTime):
    acts = "orders.act"
    list_before_template = "admin/maintenance/no_waits.html"
    list_display = (
        "order_page", "state_label", "since", "priority_label", "machine_page", "type_words", "cost", "confidence",
        "whom", "until", "then",
    )  # fmt: skip
    list_display_links = ("since",)
    list_filter = (SiteFilter, DueFilter, "order__priority", "order__maintenance_type")
    list_select_related = ("order__machine", "order__alarm", "policy", "asked")
    search_fields = ("order__title", "order__machine__tag", "order__machine__name", "defer_reason")
    ordering = ("since", "id")
    fields = (
        "order_page", "state_label", ("since", "until"), ("priority_label", "type_words"), "machine_page",
        ("cost", "confidence"), ("whom", "then"), ("policy_page", "reminded"),
        ("deferred_until", "deferred_by", "defer_reason"),
    )  # fmt: skip
    readonly_fields = (
        "order_page", "state_label", "since", "until", "priority_label", "type_words", "machine_page", "cost",
        "confidence", "whom", "then", "policy_page", "reminded", "deferred_until", "deferred_by", "defer_reason",
    )  # fmt: skip
    actions = ("approve_selected", "reject_selected", "defer_selected")
    actions_detail = ("approve", "reject", "modify", "defer")

    @admin.action(description="Approve", permissions=["act"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[ApprovalWait]) -> HttpResponse:
        return self._on_selected(request, queryset, "approve")

    @admin.action(description="Reject", permissions=["act"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[ApprovalWait]) -> HttpResponse:
        return self._on_selected(request, queryset, "reject")

    @admin.action(description="Set aside", permissions=["act"])
    def defer_selected(self, request: HttpRequest, queryset: QuerySet[ApprovalWait]) -> HttpResponse:
        return self._on_selected(request, queryset, "defer")

    def _on_selected(self, request: HttpRequest, rows: QuerySet[ApprovalWait], name: str) -> HttpResponse:
        chosen = rows.select_related("order")
        return buttons.on_selected(self, request, chosen, approval_buttons.WAITING[name], action=f"{name}_selected")

    @action(description="Approve", url_path="approve", permissions=["act"], icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_one(request, object_id, "approve")

    @action(description="Reject", url_path="reject", permissions=["act"], icon="close")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_one(request, object_id, "reject")

    @action(description="Change", url_path="modify", permissions=["act"], icon="edit")
    def modify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_one(request, object_id, "modify")

    @action(description="Set aside", url_path="defer", permissions=["act"], icon="snooze")
    def defer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_one(request, object_id, "defer")

    def _on_one(self, request: HttpRequest, key: str, name: str) -> HttpResponse:
        return buttons.on_one(self, request, key, approval_buttons.WAITING[name], to_list=True)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, approval_buttons.WAITING)

    @column("Order", ordering="order")
    def order_page(self, row: ApprovalWait) -> str:
        return show.link(row.order)

    @column("State", ordering="until")
    def state_label(self, row: ApprovalWait) -> str:
        if row.deferred_until is not None:
            return show.badge("HELD", f"set aside until {row.deferred_until:%Y-%m-%d %H:%M} UTC")
        return show.badge("FAILED", "overdue") if row.is_overdue(timezone.now()) else show.badge("WAITING", "waits")

    @column("Priority", ordering="order__priority")
    def priority_label(self, row: ApprovalWait) -> str:
        return show.badge(row.order.priority)

    @column("Machine", ordering="order__machine__tag")
    def machine_page(self, row: ApprovalWait) -> str:
        return show.link(row.order.machine)

    @column("Type", ordering="order__maintenance_type")
    def type_words(self, row: ApprovalWait) -> str:
        return row.order.get_maintenance_type_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalWait]:
        return super().get_queryset(request).annotate(in_all=part_costs.in_all("order"))

    @column("Costs", ordering="in_all")
    def cost(self, row: ApprovalWait) -> str:
        return money(getattr(row, "in_all"))  # noqa: B009 - the query adds it, the class does not know it

    @column("Confidence", ordering="order__alarm__verdict")
    def confidence(self, row: ApprovalWait) -> str:
        return row.order.alarm.get_verdict_display() if row.order.alarm is not None else ""

    @column("For", ordering="asked__username")
    def whom(self, row: ApprovalWait) -> str:
        return str(row.asked) if row.asked is not None else ADMINISTRATORS

    @column("Then", ordering="policy__then")
    def then(self, row: ApprovalWait) -> str:
        return row.policy.get_then_display() if row.policy is not None else ""

    @column("Policy")
    def policy_page(self, row: ApprovalWait) -> str:
        return show.link(row.policy)


class Decided(Desk):
    """Columns of a decision."""

    @column("Decision", ordering="what")
    def what_words(self, row: ApprovalDecision) -> str:
        return f"{row.get_what_display()} (trial: nothing was done)" if row.is_trial else row.get_what_display()

    @column("By", ordering="actor__username")
    def by(self, row: ApprovalDecision) -> str:
        if row.by_agent:
            said = row.policy_said or {}
            return f"policy {said.get('id')}, revision {row.policy_revision}: {said.get('name')}"
        actor = str(row.actor) if row.actor is not None else "somebody whose account is gone"
        return f"{actor}, delegate of {row.for_whom}" if row.for_whom is not None else actor

    @column("Order", ordering="order")
    def order_page(self, row: ApprovalDecision) -> str:
        return show.link(row.order)

    @column("Asked")
    def whom(self, row: ApprovalDecision) -> str:
        return str(row.asked) if row.asked is not None else (ADMINISTRATORS if row.until and row.by_agent else "")

    @column("The order then")
    def order_then(self, row: ApprovalDecision) -> str:
        known = ((name.replace("_", " "), value) for name, value in row.facts.items() if value)
        return ", ".join(f"{name}: {value}" for name, value in known)


@admin.register(ApprovalDecision)
class DecisionPage(Decided):
    list_before_template = "admin/maintenance/no_approval_decisions.html"
    list_display = ("at", "order_page", "what_words", "by", "whom", "until", "reason")
    list_filter = (SiteFilter, "what", "by_agent", "is_trial")
    list_select_related = ("order", "actor", "for_whom", "asked")
    search_fields = ("order__title", "actor__username", "reason")
    date_hierarchy = "at"
    fields = readonly_fields = (
        "order_page", "what_words", "at", "by", "whom", "until", "reason", "order_then", "policy_page"
    )  # fmt: skip

    @column("Policy")
    def policy_page(self, row: ApprovalDecision) -> str:
        return show.link(row.policy)


class DecisionLines(Lines):
    """On an order's page."""

    model = ApprovalDecision
    verbose_name_plural = "approval"
    fields = readonly_fields = ("at", "what_words", "by", "until", "reason")
    what_words, by = Decided.what_words, Decided.by

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApprovalDecision]:
        return super().get_queryset(request).select_related("actor", "for_whom").order_by("id")


class HasDeferral(Desk):
    """What an order's page has for those who approve."""

    @column("Expected in all, with parts")
    def expected_in_all(self, row: WorkOrder) -> str:
        return money(part_costs.expected(row))

    @admin.action(description="Set requests aside", permissions=["act"])
    def defer_selected(self, request: HttpRequest, queryset: QuerySet[WorkOrder]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, approval_buttons.DEFER, action="defer_selected")

    @action(description="Change", url_path="modify", permissions=["act"], icon="edit")
    def modify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, approval_buttons.MODIFY)

    @action(description="Set aside", url_path="defer", permissions=["act"], icon="snooze")
    def defer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, approval_buttons.DEFER)
