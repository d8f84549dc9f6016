"""The page of checks for drift: of each window of a machine what was found, and what came of it."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from mlops.drift_models import DriftCheck
from sensors import show
from sensors.desk import Desk, column, site_filter

BADGES = {"DRIFTED": "FAILED", "AS_BEFORE": "DONE", "NOT_JUDGED": "PENDING"}
HEADS = ("q", "effect", "shift")


@admin.register(DriftCheck)
class DriftCheckPage(Desk):
    site_path = "machine__site"
    list_before_template = "admin/mlops/no_drift_checks.html"
    list_display = ("to_at", "machine_page", "model_label", "verdict_label", "reason", "anomaly", "retraining")
    list_filter = ("verdict", "name", site_filter("machine__site"))
    list_select_related = ("machine__site",)
    search_fields = ("name", "machine__tag", "machine__name", "reason")
    ordering = ("-id",)
    date_hierarchy = "to_at"
    fields = readonly_fields = (
        "machine_page", "model_label", "from_at", "to_at", "verdict_label", "reason", "table", "anomaly", "retraining",
        "created_at",
    )  # fmt: skip

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: DriftCheck) -> str:
        return show.link(row.machine)

    @column("Model", ordering="name")
    def model_label(self, row: DriftCheck) -> str:
        return f"{row.name} {row.version}"

    @column("Verdict", ordering="verdict")
    def verdict_label(self, row: DriftCheck) -> str:
        return show.badge(BADGES[row.verdict], row.get_verdict_display().lower())

    @column("Anomaly")
    def anomaly(self, row: DriftCheck) -> str:
        return show.link_to("maintenance_anomaly", row.anomaly_id, f"anomaly {row.anomaly_id}")

    @column("Features")
    def table(self, row: DriftCheck) -> SafeString:
        lines = format_html_join(
            "", "<tr><th scope='row'>{}</th>{}<td>{}</td></tr>",
            (
                (one["feature"], format_html_join("", "<td class='desk-number'>{}</td>", (
                    (show.DASH if one[head] is None else f"{one[head]:.3g}",) for head in HEADS
                )), one["words"])
                for one in row.features
            ),
        )  # fmt: skip
        heads = format_html_join("", "<th class='desk-number'>{}</th>", ((head,) for head in HEADS))
        return format_html(
            '<div class="desk-scroll"><table class="desk-table"><thead><tr><th></th>{}<th></th></tr></thead>'
            "<tbody>{}</tbody></table></div>", heads, lines,
        )  # fmt: skip
