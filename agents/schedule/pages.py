"""Pages of the schedule: schedules with what they change, and their visits, which a person pins and overrides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from unfold import widgets
from unfold.decorators import action

from agents.schedule import steps
from agents.schedule.difference import Kind, Told
from maintenance import buttons, schedules
from maintenance.buttons import Button, Confirmation, by_name
from maintenance.people_models import Worker
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors import access, show
from sensors.desk import InSiteTime, KeepsSite, SiteFilter, column, site_filter

WORDS = {
    Kind.NEW: "new", Kind.GIVEN: "somebody else", Kind.MOVED: "another time", Kind.DROPPED: "no longer planned",
    Kind.SAME: "as before",
}  # fmt: skip
MOST_CHANGES = 200
"""Changes that a schedule's page lists."""


def is_proposal(row: Schedule) -> bool:
    return row.status == Schedule.Status.PROPOSED


class Move(forms.Form):
    person = forms.ModelChoiceField(User.objects.none(), label="Who", widget=widgets.UnfoldAdminSelectWidget)
    start = forms.SplitDateTimeField(widget=widgets.UnfoldAdminSplitDateTimeWidget, help_text="When it begins.")


def move_form(rows: Sequence[ScheduleVisit], data: Any) -> forms.Form:
    form = Move(data, initial={"person": rows[0].person_id, "start": rows[0].start_at})
    choice = form.fields["person"]
    if isinstance(choice, forms.ModelChoiceField):
        able = access.members(rows[0].schedule.site_id, to="orders.act")
        choice.queryset = able.filter(worker__in=Worker.objects.filter(is_scheduled=True))
    return form


class ScheduleForm(KeepsSite):
    def clean(self) -> dict[str, Any] | None:
        said: dict[str, Any] | None = super().clean()
        site = self.cleaned_data.get("site")
        if site is not None and schedules.waits(site):
            self.add_error("site", str(schedules.OneWaits()))
        return said


PUBLISH = Button(
    "publish", "Publish the schedule", "Publish", "Published", fits=is_proposal,
    perform=lambda row, actor, said: steps.publish(row.pk, actor=actor), form=lambda rows, data: Confirmation(data),
    explain="Its orders are planned and assigned as it says, all of them or none. Where one was changed since, or the "
    "schedule can no longer be carried out, nothing is done and you are told why.",
)  # fmt: skip
DISCARD = Button(
    "discard", "Discard the schedule", "Discard", "Discarded", fits=is_proposal,
    perform=lambda row, actor, said: steps.discard(row.pk, actor=actor), form=lambda rows, data: Confirmation(data),
    explain="Nothing comes of it.",
)  # fmt: skip
PIN = Button(
    "pin", "Pin the visit", "Pin", "Pinned", fits=lambda row: is_proposal(row.schedule) and not row.is_pinned,
    perform=lambda row, actor, said: steps.pin(row.pk, actor=actor), form=lambda rows, data: Confirmation(data),
    explain="Later schedules keep it as it is.",
)  # fmt: skip
UNPIN = Button(
    "unpin", "Unpin the visit", "Unpin", "No longer pinned",
    fits=lambda row: is_proposal(row.schedule) and row.is_pinned,
    perform=lambda row, actor, said: steps.unpin(row.pk, actor=actor),
    form=lambda rows, data: Confirmation(data), explain="Later schedules may do it otherwise.",
)  # fmt: skip
MOVE = Button(
    "move", "Give it to somebody else, or another time", "Move", "Moved", fits=lambda row: is_proposal(row.schedule),
    perform=lambda row, actor, said: steps.move(row.pk, actor=actor, person=said["person"], start=said["start"]),
    form=move_form, explain="It is pinned then. What cannot be done is refused, with the reason.",
)  # fmt: skip
TAKE_OUT = Button(
    "take_out", "Take the order out of the schedule", "Take out", "Taken out",
    fits=lambda row: is_proposal(row.schedule),
    perform=lambda row, actor, said: steps.take_out(row.pk, actor=actor), form=lambda rows, data: Confirmation(data),
    explain="The order stays as it is; the next schedule may have it again.",
)  # fmt: skip
OF_SCHEDULES, OF_VISITS = by_name(PUBLISH, DISCARD), by_name(PIN, UNPIN, MOVE, TAKE_OUT)


class Edited(InSiteTime):
    """Rows that are changed by their buttons alone."""

    acts = "schedule.edit"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Schedule)
class SchedulePage(Edited):
    edits = "schedule.edit"
    form = ScheduleForm
    list_before_template = "admin/agents/no_schedules.html"
    list_display = ("name", "site", "status_label", "orders", "left", "points", "above", "made_at", "published_at")
    list_filter = (SiteFilter, "status")
    list_select_related = ("site",)
    search_fields = ("=id", "site__name")
    actions_detail = ("publish", "discard")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        return schedules.with_changes(super().get_queryset(request).annotate(found=Count("visits")))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("site", "days")
        return (
            "site", ("status_label", "days"), "reason", "changes", ("orders", "left"), ("points", "above", "method"),
            ("begins_at", "made_at", "seconds"), ("requested_by", "requested_at"), ("published_by", "published_at"),
        )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return (
            "site", "status_label", "days", "reason", "changes", "orders", "left", "points", "above", "method",
            "begins_at", "made_at", "seconds", "requested_by", "requested_at", "published_by", "published_at",
        )  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor: Any = request.user
        obj.pk = steps.request(obj.site, actor=actor, days=obj.days).pk

    @action(description="Publish", url_path="publish", permissions=["act"], icon="publish")
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, PUBLISH)

    @action(description="Discard", url_path="discard", permissions=["act"], icon="delete")
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, DISCARD)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, OF_SCHEDULES)

    @column("Schedule", ordering="id")
    def name(self, row: Schedule) -> str:
        return f"Schedule {row.pk}"

    @column("Status", ordering="status")
    def status_label(self, row: Schedule) -> str:
        return show.badge(row.status)

    @column("Orders in it")
    def orders(self, row: Any) -> str:
        return show.listing("maintenance_schedulevisit", str(row.found), schedule__id__exact=row.pk)

    @column("Left out")
    def left(self, row: Schedule) -> str:
        return show.short(", ".join(f"WO-{key}" for key in row.left_out)) or show.DASH

    @column("Points")
    def points(self, row: Schedule) -> str:
        return show.count(row.cost) + _before_changes(row)

    @column("Above the bound")
    def above(self, row: Schedule) -> str:
        return show.DASH if row.gap is None else f"{row.gap:.1%} at most{_before_changes(row)}"

    @column("Beside what people were told")
    def changes(self, row: Schedule) -> str:
        found = steps.changes(row)
        names = dict(User.objects.filter(pk__in={t.person for c in found for t in (c.before, c.after) if t})
                     .values_list("pk", "username"))  # fmt: skip
        counts = Counter(WORDS[one.kind] for one in found)
        lines = [", ".join(f"{count} {words}" for words, count in counts.items()) or "Nothing"]
        lines += [
            f"WO-{one.order}: {WORDS[one.kind]}, {_said(one.before, names)} → {_said(one.after, names)}"
            for one in found[:MOST_CHANGES]
            if one.kind != Kind.SAME
        ]
        return format_html_join("", "<div>{}</div>", ((line,) for line in lines))


def _before_changes(row: Any) -> str:
    """The solver's figures do not know of what people changed afterwards."""
    return f", before {row.changed} change{'s' * (row.changed > 1)} by people" if row.changed else ""


def _said(told: Told | None, names: dict[int, str]) -> str:
    if told is None:
        return show.DASH
    return f"{names.get(told.person, '?')} {timezone.localtime(told.start):%a %Y-%m-%d %H:%M}"


class ComesFilter(admin.SimpleListFilter):
    """What is to be done by the published schedules, unless other schedules are asked for."""

    title = "schedules"
    parameter_name = "schedules"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("published", "Published, still to come"), ("proposed", "Proposed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ScheduleVisit]) -> QuerySet[ScheduleVisit]:
        if self.value() == "published":
            return queryset.filter(schedule__status=Schedule.Status.PUBLISHED, end_at__gt=timezone.now())
        if self.value() == "proposed":
            return queryset.filter(schedule__status=Schedule.Status.PROPOSED)
        return queryset


@admin.register(ScheduleVisit)
class VisitPage(Edited):
    site_path = "schedule__site"
    list_before_template = "admin/agents/no_schedules.html"
    list_display = ("order_name", "person", "start_at", "end_at", "pinned", "schedule")
    list_filter = (site_filter("schedule__site"), ComesFilter, "is_pinned")
    list_select_related = ("order", "person", "schedule__site")
    search_fields = ("person__username", "order__title", "order__machine__tag")
    date_hierarchy = "start_at"
    ordering = ("-schedule", "person", "start_at")
    fields = readonly_fields = ("schedule_page", "order_page", "person", "start_at", "end_at", "pinned")
    actions_detail = ("pin", "unpin", "move", "take_out")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "schedule__id__exact" or super().lookup_allowed(lookup, value, request)

    @action(description="Pin", url_path="pin", permissions=["act"], icon="keep")
    def pin(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, PIN)

    @action(description="Unpin", url_path="unpin", permissions=["act"], icon="keep_off")
    def unpin(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, UNPIN)

    @action(description="Move", url_path="move", permissions=["act"], icon="swap_horiz")
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, MOVE)

    @action(description="Take out", url_path="take-out", permissions=["act"], icon="remove")
    def take_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, TAKE_OUT)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, OF_VISITS)

    @column("Order", ordering="order")
    def order_name(self, row: ScheduleVisit) -> str:
        return str(row.order)

    @column("Order")
    def order_page(self, row: ScheduleVisit) -> str:
        return show.link(row.order)

    @column("Schedule")
    def schedule_page(self, row: ScheduleVisit) -> str:
        return show.link(row.schedule)

    @column("Pinned", ordering="is_pinned")
    def pinned(self, row: ScheduleVisit) -> str:
        return show.badge("HELD", "pinned") if row.is_pinned else show.DASH
