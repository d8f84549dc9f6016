"""Pages of the facts: what people own (sites, equipment, sensors) and what came in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import TabularInline
from unfold.decorators import action

from sensors import (
    adoption,
    audit_pages,
    default_pages,
    desk,
    fleet,
    identity_pages,
    intake_pages,
    key_pages,
    label_pages,
    people_pages,
    presence_page,
    sensor_page,
    show,
    store,
)
from sensors.backtest_button import HasBacktest
from sensors.desk import Desk, KeepsSite, Lines, Refusing, SiteFilter, column
from sensors.models import DiscoveredSensor, Equipment, Event, Membership, Sensor, Site
from sensors.sensor_form import HasSettings

__all__ = [
    "audit_pages", "default_pages", "identity_pages", "intake_pages", "key_pages", "label_pages", "people_pages",
    "presence_page",
]  # fmt: skip


class SavedByFleet(Refusing):
    """A page whose rows are saved through ``sensors.fleet``, which finds them their machine and lane."""

    edits = "equipment.edit"
    form = KeepsSite

    def save_row(self, row: Any) -> None:
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        self.save_row(obj)


class HasNewNormal(SavedByFleet, HasBacktest):
    """A page with the button by which people call normal what its row does from some instant on."""

    actions_detail: tuple[str, ...] = ("declare", "backtest")

    @action(description="New normal", url_path="new-normal", permissions=["labels_edit"], icon="restart_alt")
    def declare(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return label_pages.declare(self, request, object_id)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        return label_pages.declarable(self, request, object_id, super().get_actions_detail(request, object_id))


class MembershipLines(desk.Scoped, TabularInline):
    model = Membership
    for_programs = True
    extra = 0
    hide_title = True
    autocomplete_fields = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).filter(user__api_key=None).select_related("user", "site")

    def _may(self, request: HttpRequest, site: Any) -> bool:
        if site is None:  # Django asks so before it looks for the rows of the site at hand
            return desk.sees_all(request) or bool(desk.sites_where(request, "members.edit"))
        return desk.may_in(request, site.pk, "members.edit")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(Site)
class SitePage(HasBacktest):
    backtest_of = "site"
    site_path = "pk"
    edits = "settings.edit"
    list_display = ("name", "slug", "time_zone", "created_at")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "time_zone", "created_at")
    readonly_fields = ("created_at",)
    inlines = (MembershipLines,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return desk.sees_all(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return desk.sees_all(request)


class SensorLines(Lines):
    model = Sensor
    fk_name = "equipment"
    verbose_name_plural = "sensors"
    fields = ("page", "name", "kind", "unit")
    readonly_fields = ("page",)

    @column("External id")
    def page(self, row: Sensor) -> str:
        return show.link(row)


@admin.register(Equipment)
class EquipmentPage(HasNewNormal):
    backtest_of = "machine"
    change_form_outer_after_template = "admin/sensors/machine.html"
    list_display = ("tag", "name", "site", "level_label", "parent_page", "equipment_class", "criticality_label")
    list_filter = (SiteFilter, "level", "criticality", "equipment_class")
    list_select_related = ("site", "parent")
    search_fields = ("tag", "name", "equipment_class")
    autocomplete_fields = ("parent",)
    fields = (
        "site", "parent", "level", "tag", "name", "equipment_class", "criticality", ("machine_group", "support_class"),
        "lane", "created_at",
    )  # fmt: skip
    inlines = (SensorLines,)
    actions_detail = ("request_work", *HasNewNormal.actions_detail)

    @action(description="Request work", url_path="request-work", permissions=["orders_request"], icon="add_task")
    def request_work(self, request: HttpRequest, object_id: str) -> HttpResponse:
        # The page is of another layer: its address is known.
        return HttpResponseRedirect(reverse("admin:maintenance_workorder_request_work", query={"machine": object_id}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("lane", "created_at")
        moves = obj.level != Equipment.Level.COMPONENT  # A component stays with the machine that was judged with it.
        return ("site", "level", "lane", "created_at", *(() if moves else ("parent",)))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A machine is its own machine, and PROTECT holds it by that; it also has a history.
        is_machine = isinstance(obj, Equipment) and obj.level == Equipment.Level.MACHINE
        return not is_machine and super().has_delete_permission(request, obj)

    def save_row(self, row: Equipment) -> None:
        fleet.save_equipment(row)

    @column("Level", ordering="level")
    def level_label(self, row: Equipment) -> str:
        return row.get_level_display()

    @column("Part of", ordering="parent__tag")
    def parent_page(self, row: Equipment) -> str:
        return show.link(row.parent, row.parent.tag if row.parent else "")

    @column("Criticality", ordering="criticality")
    def criticality_label(self, row: Equipment) -> str:
        return show.badge(row.criticality)


@admin.register(Sensor)
class SensorPage(HasSettings, HasNewNormal):
    backtest_of = "sensor"
    change_form_outer_before_template = "admin/sensors/readings.html"
    list_display = ("external_id", "name", "site", "equipment_page", "kind", "unit", "limits", "calibration_due_on")
    list_filter = (SiteFilter, "kind", "calibration_due_on")
    list_select_related = ("site", "equipment")
    search_fields = ("external_id", "name", "equipment__tag", "equipment__name")
    autocomplete_fields = ("equipment", "gateway")
    fieldsets = (
        (None, {"fields": (
            ("site", "equipment"), ("external_id", "name"), ("kind", "unit"), ("measuring_point", "feature"),
        )}),
        ("How readings come", {"fields": ("gateway",)}),
        ("What it can measure", {"fields": (("physical_low", "physical_high"), ("resolution", "max_rate"))}),
        ("Alarm limits", {"fields": (
            ("low_low", "low"), ("high", "high_high"), "deadband", ("alarm_readings", "alarm_readings_of"),
            ("rise_per_minute", "fall_per_minute", "rate_span_seconds"), "without",
        )}),
        ("Timing", {"fields": (
            ("period_seconds", "silent_after_seconds", "lateness_seconds"), ("on_delay_seconds", "off_delay_seconds"),
            ("calibration_due_on", "created_at"),
        )}),
        ("What holds for its alarms", {"fields": ("where_from",)}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("created_at", "where_from")
        # What was measured was judged with its machine: a sensor with readings stays where it is.
        return ("site", "created_at", "where_from", *(("equipment",) if store.has_readings(obj.pk) else ()))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        sensor = self.get_object(request, object_id) if request.method == "GET" else None
        shown = sensor_page.context(request, sensor) if sensor is not None else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "readings": shown})

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        held = Sensor.objects.filter(pk__in=store.with_readings([row.pk for row in objs]))
        return to_delete, counts, lacking, [*protected, *(f"Readings of {sensor}" for sensor in held)]

    @column("Equipment", ordering="equipment__tag")
    def equipment_page(self, row: Sensor) -> str:
        return show.link(row.equipment, row.equipment.tag)

    @column("Alarm limits")
    def limits(self, row: Sensor) -> str:
        low, high = (row.low_low, row.low), (row.high, row.high_high)
        shown = " / ".join(show.number(value) for value in (*low, *high))
        return shown if any(value is not None for value in (*low, *high)) else show.DASH


class AdoptedFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting to be adopted"), ("adopted", "Adopted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"waiting": True, "adopted": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(sensor__isnull=wanted)


@admin.register(DiscoveredSensor)
class DiscoveredPage(Desk):
    acts = "machines.act"
    list_display = ("external_id", "site", "state_label", "held", "first_seen_at", "last_seen_at", "sensor_page")
    list_filter = (SiteFilter, AdoptedFilter)
    list_select_related = ("site", "sensor")
    search_fields = ("external_id",)
    fields = readonly_fields = (
        "external_id", "site", "state_label", "held", "first_seen_at", "last_seen_at", "sensor_page",
    )  # fmt: skip
    actions_row = actions_detail = ("adopt",)

    @action(description="Adopt", url_path="adopt", permissions=["act"], icon="add_link")
    def adopt(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return adoption.view(self, request, object_id)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        return [] if row is None or row.sensor_id else super().get_actions_detail(request, object_id)

    @column("State")
    def state_label(self, row: DiscoveredSensor) -> str:
        return show.badge("HELD", "waiting to be adopted") if row.sensor_id is None else show.badge("DONE", "adopted")

    @column("Readings held back", ordering="readings")
    def held(self, row: DiscoveredSensor) -> str:
        return show.count(row.readings)

    @column("Became")
    def sensor_page(self, row: DiscoveredSensor) -> str:
        return show.link(row.sensor)


@admin.register(Event)
class EventPage(Desk):
    list_display = ("occurred_at", "type", "subject", "site", "actor", "recorded_at")
    list_filter = (SiteFilter,)
    list_select_related = ("site",)
    search_fields = ("=subject", "^type", "=actor")
    search_help_text = "A subject such as alarm/7, the beginning of a type such as alarm., or who did it."
    ordering = ("-id",)
    fields = readonly_fields = ("type", "subject", "site", "occurred_at", "recorded_at", "actor", "key", "content")

    @column("Data")
    def content(self, row: Event) -> str:
        return show.pretty(row.data)
