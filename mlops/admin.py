"""The page of what was learned: whether a machine's memory is there and how far it has seen."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, Func, IntegerField, QuerySet
from django.http import HttpRequest

from mlops import drift_pages, model_pages, performance_pages, prediction_pages
from mlops.models import MachineState
from sensors import show
from sensors.desk import Desk, column, site_filter

__all__ = ["drift_pages", "model_pages", "performance_pages", "prediction_pages"]


class Octets(Func):
    function = "OCTET_LENGTH"
    output_field = IntegerField()


@admin.register(MachineState)
class MachineStatePage(Desk):
    site_path = "machine__site"
    list_display = ("machine_page", "site", "memory_size", "memory_run", "learned_size", "learned_run", "updated_at")
    list_filter = (site_filter("machine__site"),)
    list_select_related = ("machine__site",)
    search_fields = ("machine__tag", "machine__name")
    ordering = ("machine",)
    fields = readonly_fields = (
        "machine_page", "site", "memory_size", "memory_run", "learned_size", "learned_run", "updated_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        sized = super().get_queryset(request).defer("memory", "learned")
        return sized.annotate(memory_bytes=Octets(F("memory")), learned_bytes=Octets(F("learned")))

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: MachineState) -> str:
        return show.link(row.machine)

    @column("Site")
    def site(self, row: MachineState) -> str:
        return str(row.machine.site)

    @column("Memory of validate", ordering="memory_bytes")
    def memory_size(self, row: Any) -> str:
        return f"{show.count(row.memory_bytes)} bytes"

    @column("seen up to", ordering="memory_run_id")
    def memory_run(self, row: MachineState) -> str:
        return show.link_to("agents_run", row.memory_run_id or None, f"run {row.memory_run_id}")

    @column("Learned by detect", ordering="learned_bytes")
    def learned_size(self, row: Any) -> str:
        return f"{show.count(row.learned_bytes)} bytes"

    @column("seen up to", ordering="learned_run_id")
    def learned_run(self, row: MachineState) -> str:
        return show.link_to("agents_run", row.learned_run_id or None, f"run {row.learned_run_id}")
