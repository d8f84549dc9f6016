"""The page of rules by which an alarm hides what follows from it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets

from maintenance import failure_modes, operating_pages
from maintenance.definition_pages import ANY, MODES
from maintenance.owned_pages import Journaled, Ruled
from maintenance.parent_models import ParentRule
from sensors import show
from sensors.desk import SiteFilter, column

SCOPE = ("site", "machine", "failure_mode", "equipment")


class ParentForm(Ruled):
    failure_mode = forms.ChoiceField(required=False, choices=MODES, widget=widgets.UnfoldAdminSelectWidget)
    hides = forms.MultipleChoiceField(
        choices=operating_pages.HIDDEN, initial=[failure_modes.ALL],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip


@admin.register(ParentRule)
class ParentRulePage(Journaled):
    edits = "alarms.edit"
    form = ParentForm
    list_before_template = "admin/maintenance/no_parent_rules.html"
    list_display = ("machine_page", "mode_words", "below", "what", "most", "is_enabled", "hidden_by_it", "site")
    list_filter = (SiteFilter, "is_enabled")
    list_select_related = ("site", "machine", "equipment")
    search_fields = ("machine__tag", "machine__name", "equipment__tag", "equipment__name")
    autocomplete_fields = ("machine", "equipment")
    fieldsets = (
        ("Whose alarm", {"fields": ("site", ("machine", "failure_mode"))}),
        ("Hides what", {"fields": ("equipment", "hides", "most_hours", "is_enabled")}),
        ("Kept", {"fields": ("created_at",)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("created_at", *(SCOPE if obj else ()))

    @column("Alarm of", ordering="machine__tag")
    def machine_page(self, row: ParentRule) -> str:
        return str(row.machine)

    @column("Failure mode", ordering="failure_mode")
    def mode_words(self, row: ParentRule) -> str:
        return row.failure_mode or ANY

    @column("Hides alarms of", ordering="equipment__tag")
    def below(self, row: ParentRule) -> str:
        return show.link(row.equipment)

    @column("Failure modes")
    def what(self, row: ParentRule) -> str:
        return "all" if failure_modes.ALL in row.hides else ", ".join(row.hides)

    @column("At most", ordering="most_hours")
    def most(self, row: ParentRule) -> str:
        return f"{row.most_hours} h"

    @column("What it hid")
    def hidden_by_it(self, row: ParentRule) -> str:
        return show.listing("maintenance_suppression", "show", parent_rule__id__exact=row.pk, standing="all")
