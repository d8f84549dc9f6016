"""Pages of who can work when and where, and of what orders ask for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import ForeignKey
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest

from maintenance.owned_pages import Journaled, Ruled
from maintenance.people_models import (
    Absence,
    Holiday,
    MachineHours,
    OrderTiming,
    RequiredSkill,
    Skill,
    Team,
    Travel,
    Worker,
    WorkerSkill,
    WorkingHours,
)
from sensors import show
from sensors.desk import SiteFilter, column, sees_all, site_filter, sites_where


class Line(Ruled):
    """Of a row whose site is that of the row it belongs to."""

    def _get_validation_exclusions(self) -> set[str]:
        left_out: set[str] = ModelForm._get_validation_exclusions(self)  # type: ignore[attr-defined]
        return left_out


class Entered(Journaled):
    """Rows of a site that people enter. The site stays the same."""

    edits = "calendars.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_people.html"
    list_filter: Any = (SiteFilter,)
    parent = "site"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (self.parent,) if obj else ()

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """What a row belongs to is of a site in which whoever asks may change such rows."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if (
            field is not None
            and field.queryset is not None
            and db_field.name in ("worker", "order")
            and not sees_all(request)
        ):
            field.queryset = field.queryset.filter(site__in=sites_where(request, self.edits))
        return field


class OfWorker(Entered):
    form = Line
    parent, site_path = "worker", "worker__site"
    list_filter = (site_filter("worker__site"),)
    list_select_related = ("worker__user", "worker__site")
    search_fields: Any = ("worker__user__username",)


@admin.register(Team)
class TeamPage(Entered):
    list_display = ("name", "site", "workers_of")
    list_select_related = ("site",)
    search_fields = ("name",)

    @column("Workers")
    def workers_of(self, row: Team) -> str:
        return show.listing("maintenance_worker", "show", team__id__exact=row.pk)


@admin.register(Skill)
class SkillPage(Entered):
    list_display = ("code", "name", "site", "holders_of")
    list_select_related = ("site",)
    search_fields = ("code", "name")

    @column("Who has it")
    def holders_of(self, row: Skill) -> str:
        return show.listing("maintenance_workerskill", "show", skill__id__exact=row.pk)


@admin.register(Worker)
class WorkerPage(Entered):
    list_display = ("user", "site", "team", "is_scheduled", "hours_of", "skills_of", "absences_of")
    list_filter = (SiteFilter, "is_scheduled")
    list_select_related = ("user", "site", "team")
    search_fields = ("user__username", "team__name")
    fields = ("site", "user", "team", "is_scheduled")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "team__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("site", "user") if obj else ()

    @column("Hours")
    def hours_of(self, row: Worker) -> str:
        return show.listing("maintenance_workinghours", "show", worker__id__exact=row.pk)

    @column("Skills")
    def skills_of(self, row: Worker) -> str:
        return show.listing("maintenance_workerskill", "show", worker__id__exact=row.pk)

    @column("Away")
    def absences_of(self, row: Worker) -> str:
        return show.listing("maintenance_absence", "show", worker__id__exact=row.pk)


@admin.register(WorkerSkill)
class WorkerSkillPage(OfWorker):
    list_display = ("worker", "skill", "expires_on")
    list_select_related = ("worker__user", "skill")
    search_fields = ("worker__user__username", "skill__code", "skill__name")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in ("worker__id__exact", "skill__id__exact") or super().lookup_allowed(lookup, value, request)


@admin.register(WorkingHours)
class WorkingHoursPage(OfWorker):
    list_display = ("worker", "first_on", "days", "every_days", "starts", "ends", "last_on")


@admin.register(Absence)
class AbsencePage(OfWorker):
    list_display = ("worker", "from_at", "until_at", "reason")
    search_fields = ("worker__user__username", "reason")
    date_hierarchy = "from_at"


@admin.register(Holiday)
class HolidayPage(Entered):
    list_display = ("on", "name", "site")
    list_select_related = ("site",)
    search_fields = ("name",)


@admin.register(Travel)
class TravelPage(Entered):
    list_display = ("__str__", "minutes")
    list_select_related = ("site", "to_site")
    search_fields = ("site__name", "to_site__name")


@admin.register(RequiredSkill)
class RequiredSkillPage(Entered):
    edits = "orders.edit"
    list_display = ("skill", "order", "failure_mode", "maintenance_type", "site")
    list_select_related = ("skill", "order", "site")
    search_fields = ("skill__code", "skill__name", "=failure_mode", "order__title")
    autocomplete_fields = ("order", "skill")


@admin.register(OrderTiming)
class OrderTimingPage(Entered):
    edits = "orders.edit"
    form = Line
    parent, site_path = "order", "order__site"
    list_display = ("order", "parts_from", "fails_from", "lead_minutes")
    list_filter = (site_filter("order__site"),)
    list_select_related = ("order",)
    search_fields = ("order__title",)
    autocomplete_fields = ("order",)


@admin.register(MachineHours)
class MachineHoursPage(Entered):
    list_display = ("equipment", "first_on", "days", "every_days", "starts", "ends", "last_on", "site")
    list_select_related = ("equipment", "site")
    search_fields = ("equipment__tag", "equipment__name")
    autocomplete_fields = ("equipment",)
