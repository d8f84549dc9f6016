"""Pages of approval policies and delegations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import action

from maintenance import approval_book, approvers, buttons
from maintenance.approval_models import ApprovalPolicy, Delegation
from maintenance.approval_pages import ADMINISTRATORS
from maintenance.buttons import Button, Confirmation
from sensors import show
from sensors.desk import Desk, KeepsSite, Refusing, SiteFilter, column


class PolicyForm(KeepsSite):
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            approval_book.check(self.instance)
        except ValidationError as error:
            self.add_error(None, error)


@admin.register(ApprovalPolicy)
class PolicyPage(Refusing):
    edits = "settings.edit"
    form = PolicyForm
    list_before_template = "admin/maintenance/no_approval_policies.html"
    list_display = ("name", "answer_label", "whom", "waits", "time_up", "is_trial", "site")
    list_filter = (SiteFilter, "answer", "is_trial", "maintenance_type", "priority", "confidence")
    list_select_related = ("site", "approver", "then_approver")
    search_fields = ("maintenance_type", "approver__username", "then_approver__username")
    fieldsets = (
        ("For what", {"fields": ("site", ("maintenance_type", "priority"), ("confidence", "most_cost"), "is_trial")}),
        ("What it says", {"fields": ("answer", ("approver", "wait_minutes"))}),
        ("When time is up", {"fields": ("then", ("then_approver", "reminders"))}),
        ("Kept", {"fields": (("revision", "updated_by", "updated_at"),)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("revision", "updated_by", "updated_at", *(approval_book.SCOPE if obj else ()))

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        if change:
            said = {name: form.cleaned_data[name] for name in form.changed_data}
            approval_book.change(obj, said, actor=actor)
        else:
            approval_book.save(obj, actor=actor)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        actor: Any = request.user
        approval_book.delete(obj, actor=actor)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApprovalPolicy]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    @column("For", ordering="maintenance_type")
    def name(self, row: ApprovalPolicy) -> str:
        return str(row)

    @column("Says", ordering="answer")
    def answer_label(self, row: ApprovalPolicy) -> str:
        return show.badge("DONE" if row.answer == row.Answer.GO_AHEAD else "WAITING", row.get_answer_display())

    @column("Asks", ordering="approver__username")
    def whom(self, row: ApprovalPolicy) -> str:
        if row.answer == row.Answer.GO_AHEAD:
            return ""
        return str(row.approver) if row.approver is not None else ADMINISTRATORS

    @column("For so long", ordering="wait_minutes")
    def waits(self, row: ApprovalPolicy) -> str:
        return f"{row.wait_minutes} min" if row.wait_minutes else ""

    @column("Then", ordering="then")
    def time_up(self, row: ApprovalPolicy) -> str:
        if row.then != row.Then.REMIND:
            return row.get_then_display()
        return f"Remind {row.then_approver or ADMINISTRATORS}, {row.reminders} times"


class DelegationForm(KeepsSite):
    giver: Any = None
    """Whoever asks: nobody gives what another one has."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.instance.giver = self.giver
            approvers.check(self.instance, now=timezone.now())
        except ValidationError as error:
            self.add_error(None, error)


END = Button(
    "end", "End the delegation", "End", "Ended",
    fits=lambda row: row.ended_at is None and row.until_at > timezone.now(),
    perform=lambda row, actor, said: approvers.end(row.pk, actor=actor),
    form=lambda rows, data: Confirmation(data),
    explain="It holds no longer. What was decided by it stays.",
)  # fmt: skip


@admin.register(Delegation)
class DelegationPage(Desk):
    acts = "orders.act"
    edits = "orders.approve"
    form = DelegationForm
    list_before_template = "admin/maintenance/no_delegations.html"
    list_display = ("giver", "taker", "from_at", "until_at", "state_label", "reason", "site")
    list_filter = (SiteFilter,)
    list_select_related = ("site", "giver", "taker")
    search_fields = ("giver__username", "taker__username", "reason")
    fields = ("site", "giver", "taker", ("from_at", "until_at"), "reason", "ended_at")
    actions_detail = ("end",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("giver", "ended_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        made = super().get_form(request, obj, change, **kwargs)
        return type(made.__name__, (made,), {"giver": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        approvers.delegate(obj, actor=actor)

    @action(description="End", url_path="end", permissions=["act"], icon="block")
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, END)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, {END.name: END})

    @column("State", ordering="until_at")
    def state_label(self, row: Delegation) -> str:
        now = timezone.now()
        if row.ended_at is not None or row.until_at <= now:
            return show.badge("DONE", "over")
        return show.badge("OPEN", "holds") if row.from_at <= now else show.badge("WAITING", "to come")
