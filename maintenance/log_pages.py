"""Pages of the maintenance log: the list with its search, the form of an entry, the language of each site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from maintenance import log
from maintenance.models import LogEntry, LogLanguage, LogLine
from sensors import desk, show
from sensors.desk import Desk, SiteFilter, column
from sensors.models import Equipment, Site


@admin.register(LogLine)
class LogPage(Desk):
    list_before_template = "admin/maintenance/log.html"
    list_display = ("at", "machine_page", "what", "found_words", "fixed_words", "worker", "failure_mode", "source")
    list_display_links = None
    list_filter = (SiteFilter, "kind", "failure_mode")
    list_select_related = ("machine",)
    search_fields = ("title",)
    search_help_text = (
        'Words in what was done, found and fixed; "in this order", one or another, -without. Or an order such as WO-7.'
    )
    date_hierarchy = "at"
    fields = readonly_fields = ("at", "machine_page", "title", "found", "fixed", "worker", "failure_mode", "source")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LogLine], search_term: str
    ) -> tuple[QuerySet[LogLine], bool]:
        sites = desk.scope(request, Site.objects.all(), path="pk").values_list("pk", flat=True)
        return log.search(queryset, search_term, sites=list(sites)), False

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: LogLine) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("What", ordering="title")
    def what(self, row: LogLine) -> str:
        return show.short(row.title)

    @column("Found")
    def found_words(self, row: LogLine) -> str:
        return show.short(row.found) or show.DASH

    @column("Fixed by")
    def fixed_words(self, row: LogLine) -> str:
        return show.short(row.fixed or row.activity.replace("_", " ").lower()) or show.DASH

    @column("From")
    def source(self, row: LogLine) -> str:
        if row.kind == LogLine.Kind.ORDER:
            return show.link_to("maintenance_workorder", row.source_id, f"WO-{row.source_id}")
        return show.link_to("maintenance_logentry", row.source_id, f"entry {row.source_id}")


@admin.register(LogEntry)
class LogEntryPage(Desk):
    """Technicians write entries; nobody changes one."""

    adds = "machines.act"
    list_display = ("at", "machine_page", "title", "author", "worker")
    list_filter = (SiteFilter,)
    list_select_related = ("machine", "author")
    search_fields = ("title", "machine__tag")
    fields = ("machine", "at", "title", "found", "fixed", "worker")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "machine":
            machines = Equipment.objects.filter(level=Equipment.Level.MACHINE).order_by("tag")
            if not desk.sees_all(request):
                machines = machines.filter(site__in=desk.sites_where(request, self.adds))
            kwargs["queryset"] = machines
            return super(desk.Scoped, self).formfield_for_foreignkey(db_field, request, **kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        entry: Any = obj
        if change or not self.may(request, entry.machine, self.adds):
            raise PermissionDenied
        said = {name: getattr(entry, name) for name in ("title", "found", "fixed", "worker", "at")}
        made = log.add(entry.machine, actor=request.user, **said)  # type: ignore[arg-type]
        entry.pk, entry.site_id, entry.author_id = made.pk, made.site_id, made.author_id
        entry._state.adding = False

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: LogEntry) -> str:
        return show.link(row.machine, row.machine.tag)


@admin.register(LogLanguage)
class LogLanguagePage(Desk):
    edits = "settings.edit"
    list_display = ("site", "language")
    list_select_related = ("site",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("site",) if obj is not None else ()
