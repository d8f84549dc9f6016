"""Pages of what models said of live machines, and of how it went when each was last asked. For reading alone."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from mlops import said
from mlops.model_pages import OfModels
from mlops.models import ModelHealth, Prediction
from sensors import show
from sensors.desk import Desk, column, site_filter

NOT_ANSWERED = 20


@admin.register(Prediction)
class PredictionPage(Desk):
    site_path = "machine__site"
    list_before_template = "admin/mlops/no_predictions.html"
    list_display = ("asked_at", "machine_page", "model_label", "alias_label", "said", "is_shown", "degraded_short")
    list_filter = ("name", "alias", "is_shown", site_filter("machine__site"))
    list_select_related = ("machine__site",)
    search_fields = ("name", "machine__tag", "machine__name")
    ordering = ("-id",)
    date_hierarchy = "asked_at"
    fields = readonly_fields = (
        "machine_page", "model_label", "alias_label", "is_shown", "asked_at", "from_at", "said", "contributions_told",
        "degraded", "created_at",
    )  # fmt: skip

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Prediction) -> str:
        return show.link(row.machine)

    @column("Model", ordering="name")
    def model_label(self, row: Prediction) -> str:
        return f"{row.name} {row.version}"

    @column("As", ordering="alias")
    def alias_label(self, row: Prediction) -> str:
        return show.badge("DONE" if row.alias == "CHAMPION" else "PENDING", row.alias.lower())

    @column("It says")
    def said(self, row: Prediction) -> str | SafeString:
        """Of what is unproven no value, as everywhere."""
        return format_html_join("", "<div>{}: {}</div>", said.told(row.outputs)) or show.DASH

    @column("Degraded")
    def degraded_short(self, row: Prediction) -> str:
        return show.short(row.degraded) or show.DASH

    @column("Contributions")
    def contributions_told(self, row: Prediction) -> str:
        return show.pretty(row.contributions)


@admin.register(ModelHealth)
class ModelHealthPage(OfModels):
    list_before_template = "admin/mlops/no_model_health.html"
    list_display = ("name", "state", "answered_at", "looked_at", "silent", "trouble_short")
    search_fields = ("name", "trouble")
    ordering = ("name",)
    fields = readonly_fields = ("name_page", "state", "answered_at", "looked_at", "trouble", "machines")

    @column("Model", ordering="name")
    def name_page(self, row: ModelHealth) -> str:
        return show.link_to("mlops_modelpolicy", row.name, row.name)

    @column("State")
    def state(self, row: ModelHealth) -> str:
        if row.trouble:
            return show.badge("FAILED", "trouble")
        if row.answered_at is None:
            return show.badge("PENDING", "never answered")
        return show.badge("DONE", "answers")

    @column("Machines not answered about")
    def silent(self, row: ModelHealth) -> str:
        return show.count(len(row.not_answered))

    @column("Trouble")
    def trouble_short(self, row: ModelHealth) -> str:
        return show.short(row.trouble) or show.DASH

    @column("Where")
    def machines(self, row: ModelHealth) -> str | SafeString:
        """On the model's page, of the machines that whoever asks may see."""
        return show.link_to("mlops_modelpolicy", row.name, "Machines it fits, and why it says nothing of some")
