"""The page of how good models are about live machines: over time, what is expected beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from mlops import performances
from mlops.performance_models import LivePerformance
from sensors import show
from sensors.desk import Desk, column, site_filter
from sensors.models import Equipment

HEADS = ("expected", "from", "to", "as held out", "measured")
KEYS = ("expected", "low", "high", "held_out", "measured")
ONLY_WATCHED = "only watched for changes"
NEWEST = 10
NOTHING = "Nothing is known yet: it takes 200 answers in a row about a machine."


@admin.register(LivePerformance)
class LivePerformancePage(Desk):
    site_path = "machine__site"
    list_before_template = "admin/mlops/no_performances.html"
    list_display = ("to_at", "machine_page", "model_label", "figure", "expected", "held_out", "measured", "changed")
    list_filter = ("name", site_filter("machine__site"))
    list_select_related = ("machine__site",)
    search_fields = ("name", "machine__tag", "machine__name")
    ordering = ("-id",)
    date_hierarchy = "to_at"
    fields = readonly_fields = (
        "machine_page", "model_label", "from_at", "to_at", "answers", "table", "known", "told", "changed", "changed_at",
        "measured_at", "created_at",
    )  # fmt: skip

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: LivePerformance) -> str:
        return show.link(row.machine)

    @column("Model", ordering="name")
    def model_label(self, row: LivePerformance) -> str:
        return f"{row.name} {row.version}"

    @column("Figure")
    def figure(self, row: LivePerformance) -> str:
        found = performances.leading(row)
        return ONLY_WATCHED if found is None else str(found["name"])

    @column("Expected without labels")
    def expected(self, row: LivePerformance) -> str:
        return ranged(performances.leading(row))

    @column("As held out")
    def held_out(self, row: LivePerformance) -> str:
        return told(performances.leading(row), "held_out")

    @column("Measured")
    def measured(self, row: LivePerformance) -> str:
        found = told(performances.leading(row), "measured")
        return found if found == show.DASH else f"{found} of {show.count(row.known)} answers"

    @column("Scores changed")
    def changed(self, row: LivePerformance) -> str:
        if row.changes is None:
            return show.DASH
        return ", ".join(sorted({one["by"] for one in row.changes})) or "no"

    @column("Changed at")
    def changed_at(self, row: LivePerformance) -> str | SafeString:
        lines = (
            (f"{datetime.fromisoformat(one['at']):%Y-%m-%d %H:%M:%S} UTC, {one['by']}",) for one in row.changes or ()
        )
        return format_html_join("", "<div>{}</div>", lines) or show.DASH

    @column("What was true, by")
    def told(self, row: LivePerformance) -> str | SafeString:
        return format_html_join("", "<div>{}</div>", ((text,) for text in row.said)) or show.DASH

    @column("Figures")
    def table(self, row: LivePerformance) -> str | SafeString:
        if not row.figures:
            return ONLY_WATCHED
        heads = format_html_join("", "<th class='desk-number'>{}</th>", ((head,) for head in HEADS))
        lines = format_html_join(
            "", "<tr><th scope='row'>{}</th>{}</tr>",
            (
                (one["name"], format_html_join("", "<td class='desk-number'>{}</td>", (
                    (told(one, key),) for key in KEYS
                )))
                for one in row.figures
            ),
        )  # fmt: skip
        return format_html(
            '<div class="desk-scroll"><table class="desk-table"><thead><tr><th></th>{}</tr></thead>'
            "<tbody>{}</tbody></table></div>", heads, lines,
        )  # fmt: skip


def newest(name: str, machines: QuerySet[Equipment]) -> SafeString:
    """Of a model the newest windows about machines, with a link to all."""
    rows = LivePerformance.objects.filter(name=name, machine__in=machines.order_by().values("pk"))
    found = list(rows.select_related("machine").order_by("-to_at")[:NEWEST])
    if not found:
        return format_html("<div>{}</div>", NOTHING)
    heads = ("until", "machine", "version", "figure", "expected without labels", "as held out", "measured", "changed")
    page = admin.site.get_model_admin(LivePerformance)
    assert isinstance(page, LivePerformancePage)
    lines = format_html_join(
        "", "<tr><td class='desk-when'>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (show.link(row, f"{row.to_at:%Y-%m-%d %H:%M} UTC"), page.machine_page(row), row.version, page.figure(row),
             page.expected(row), page.held_out(row), page.measured(row), page.changed(row))
            for row in found
        ),
    )  # fmt: skip
    return format_html(
        '<div class="desk-scroll"><table class="desk-table"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>{}",
        format_html_join("", "<th>{}</th>", ((head,) for head in heads)), lines,
        show.listing("mlops_liveperformance", "All of them", name=name),
    )  # fmt: skip


def told(figure: Mapping[str, Any] | None, key: str) -> str:
    return show.DASH if figure is None or figure[key] is None else f"{figure[key]:.3g}"


def ranged(figure: Mapping[str, Any] | None) -> str:
    """What is expected, with its range where it has one."""
    found = told(figure, "expected")
    if figure is None or figure["low"] is None or figure["high"] is None:
        return found
    return f"{found} ({figure['low']:.3g} to {figure['high']:.3g})"
