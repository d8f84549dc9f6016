"""Pages of models: how each is looked after, its versions with what they were measured at, and the ledger of who spoke.

Shared models serve all sites: every member may read, and only an administrator of the installation changes who speaks.
A site's own model is for its members, and its administrators change who speaks.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold import widgets
from unfold.decorators import action

from mlops import ledger, owners, performance_pages, said
from mlops.models import Deployment, ModelHealth, ModelPolicy, ModelVersion
from sensors import ask, desk, show
from sensors.desk import Desk, column
from sensors.models import Equipment
from sensors.permissions import READ


class Because(forms.Form):
    """Why, which the ledger keeps."""

    reason = forms.CharField(
        max_length=1_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text="The ledger keeps it."
    )


class OfModels(Desk):
    """Rows with the name of a model. Members of any site may read those of shared models, and superusers may act; those
    of a site's model its members may read, and act on by their roles there."""

    acts = "models.promote"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = ModelAdmin.get_queryset(self, request)
        return owners.visible(rows, request.user) if self.may(request, None, READ) else rows.none()

    def may(self, request: HttpRequest, row: Any, to: str) -> bool:
        if desk.sees_all(request):
            return True
        able = desk.sites_where(request, to)
        if row is None or not row.name:
            return bool(able)
        site = owners.site_of(row.name)
        return to == READ and bool(able) if site is None else site in able


@admin.register(ModelPolicy)
class ModelPage(OfModels):
    edits = "models.promote"
    list_before_template = "admin/mlops/no_models.html"
    list_display = ("name", "whose", "speaks", "shadow", "promotion", "retrain_days", "updated_at")
    list_filter = ("promotion",)
    list_select_related = ("site",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = (
        "name", "whose", "speaks", "shadow", "health", "performance", "versions", "entries", "promotion",
        "look_back_days", "retrain_labels", "retrain_days", "cooldown_hours", "most_a_month", "challenger_share",
    )  # fmt: skip
    readonly_fields = ("name", "whose", "speaks", "shadow", "health", "performance", "versions", "entries")
    actions_detail = ("roll_back",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        now = Deployment.objects.filter(to_at__isnull=True).select_related("version")
        self.known = {(one.name, one.alias): one.version for one in now.defer("gate")}
        return super().get_queryset(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.machines = desk.scope(request, Equipment.objects.all(), path="site")
        return row

    @column("Health")
    def health(self, row: Any) -> SafeString:
        """Of the machines of the sites that whoever asks may see."""
        found = said.health(row.pk, machines=row.machines)
        return format_html(
            "{}{}<div>{}</div>{}{}",
            _when(found.row), format_html("<div>{}</div>", found.row.trouble) if found.row else "",
            f"Machines that it fits: {found.fits}",
            format_html_join(
                "", "<div>{}: {}</div>",
                ((show.link_to("sensors_equipment", one.id, one.tag), why) for one, why in found.others),
            ),
            format_html("<div>and {} more</div>", found.more) if found.more else "",
        )  # fmt: skip

    @column("Performance")
    def performance(self, row: Any) -> SafeString:
        """Of the same machines."""
        return performance_pages.newest(row.pk, row.machines)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shared = obj is not None and obj.site_id is None
        return [name for name in self.fields if not (shared and name in ("look_back_days", "retrain_labels"))]

    @column("Of", ordering="site")
    def whose(self, row: ModelPolicy) -> str:
        return "all sites" if row.site is None else f"{row.site}, {row.equipment_class}"

    @column("Speaks")
    def speaks(self, row: ModelPolicy) -> str:
        return _version(self.known.get((row.name, "CHAMPION")))

    @column("In the shadow")
    def shadow(self, row: ModelPolicy) -> str:
        return _version(self.known.get((row.name, "CHALLENGER")))

    @column("Versions")
    def versions(self, row: ModelPolicy) -> str:
        return show.listing("mlops_modelversion", "All versions", name=row.name)

    @column("Ledger")
    def entries(self, row: ModelPolicy) -> str:
        return show.listing("mlops_deployment", "Who spoke when", name=row.name)

    @action(description="Roll back", url_path="roll-back", permissions=["act"], icon="undo")
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row, who = ask.row_of(self, request, object_id), request.user.get_username()
        question = ask.Question(
            title="Roll the model back", button="Roll back", done="Rolled back", form=Because,
            perform=lambda row, said: ledger.rollback(row.pk, actor=who, reason=said["reason"]),
            refusals=(ledger.Refused,),
            explain="The version that spoke before speaks again, and answers what it answered then, to the bit.",
        )  # fmt: skip
        back = reverse("admin:mlops_modelpolicy_change", args=[row.pk])
        return ask.answer(self, request, [row], question, back=back)


@admin.register(ModelVersion)
class VersionPage(OfModels):
    list_display = ("label", "experiment", "measured", "gate", "learned_from", "held_out", "created_at")
    list_filter = ("experiment", "name")
    search_fields = ("name", "experiment", "sha256")
    ordering = ("-id",)
    date_hierarchy = "created_at"
    fields = readonly_fields = (
        "label", "experiment", "gate", "objected", "table", "compared", "takes", "settings_told", "learned_from",
        "held_out", "data_sha256", "sha256", "size", "uri", "run_id", "spoke", "card_told", "created_at",
    )  # fmt: skip
    actions_detail = ("promote",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        listed = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("_changelist")
        rows = super().get_queryset(request)
        return rows.defer("card", "signature", "settings") if listed else rows

    @action(description="Promote", url_path="promote", permissions=["act"], icon="upgrade")
    def promote(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row, who = ask.row_of(self, request, object_id), request.user.get_username()
        question = ask.Question(
            title="Promote the version", button="Promote", done="Promoted", form=Because,
            perform=lambda row, said: ledger.promote(row, actor=who, reason=said["reason"]),
            refusals=(ledger.Refused,), explain="It speaks from now on, in place of the champion.",
        )  # fmt: skip
        back = reverse("admin:mlops_modelversion_change", args=[row.pk])
        return ask.answer(self, request, [row], question, back=back)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and not row.objections and self.may(request, row, self.acts)
        return super().get_actions_detail(request, object_id) if shown else []

    @column("Version", ordering="name")
    def label(self, row: ModelVersion) -> str:
        return str(row)

    @column("Measured")
    def measured(self, row: ModelVersion) -> str:
        """The figure that decides is the first that was compared."""
        best = min(row.comparisons, key=lambda one: one["gain"][0] or 0.0, default=None)
        if best is None or best["gain"][0] is None:
            return show.DASH
        return f"better than {best['other']} by {best['gain'][0]:.4g}"

    @column("Gate")
    def gate(self, row: ModelVersion) -> str:
        return show.badge("DONE", "may speak") if not row.objections else show.badge("FAILED", "may not speak")

    @column("Why not")
    def objected(self, row: ModelVersion) -> str | SafeString:
        return format_html_join("", "<div>{}</div>", ((text,) for text in row.objections)) or show.DASH

    @column("Figures on what was held out")
    def table(self, row: ModelVersion) -> SafeString:
        heads = format_html_join("", "<th class='desk-number'>{}</th>", ((name,) for name in ("this", *row.baselines)))
        lines = format_html_join(
            "", "<tr><th scope='row'>{}</th>{}</tr>",
            (
                (name, format_html_join("", "<td class='desk-number'>{}</td>", (
                    (_told(one),) for one in (ours, *(found.get(name) for found in row.baselines.values()))
                )))
                for name, ours in row.figures.items()
            ),
        )  # fmt: skip
        return format_html(
            '<div class="desk-scroll"><table class="desk-table"><thead><tr><th></th>{}</tr></thead>'
            "<tbody>{}</tbody></table></div>", heads, lines,
        )  # fmt: skip

    @column("Beside others")
    def compared(self, row: ModelVersion) -> SafeString:
        return format_html_join(
            "", "<div>{}: better by {}</div>", ((one["other"], _told(one["gain"])) for one in row.comparisons)
        )

    @column("Takes")
    def takes(self, row: ModelVersion) -> str:
        return ", ".join(f"{one['name']} [{one['unit'] or '-'}]" for one in row.signature.get("features", ()))

    @column("Hyper-parameters")
    def settings_told(self, row: ModelVersion) -> str:
        return show.pretty(row.settings)

    @column("When it spoke")
    def spoke(self, row: ModelVersion) -> str:
        return show.listing("mlops_deployment", "In the ledger", version=row.pk)

    @column("Card")
    def card_told(self, row: ModelVersion) -> str:
        return show.trace(row.card)


@admin.register(Deployment)
class LedgerPage(OfModels):
    list_display = ("from_at", "label", "alias_label", "action_label", "to_at", "actor", "because", "ended_by")
    list_filter = ("alias", "action", "name")
    list_select_related = ("version",)
    search_fields = ("name", "actor", "reason")
    ordering = ("-id",)
    date_hierarchy = "from_at"
    fields = readonly_fields = (
        "label", "alias_label", "action_label", "from_at", "to_at", "actor", "reason", "ended_by", "told_mlflow",
        "gate_told",
    )  # fmt: skip

    @column("Version", ordering="name")
    def label(self, row: Deployment) -> str:
        return _version(row.version)

    @column("As", ordering="alias")
    def alias_label(self, row: Deployment) -> str:
        return show.badge("DONE" if row.alias == "CHAMPION" else "PENDING", row.alias.lower())

    @column("How", ordering="action")
    def action_label(self, row: Deployment) -> str:
        return row.get_action_display()

    @column("Why")
    def because(self, row: Deployment) -> str:
        return show.short(row.reason)

    @column("MLflow was told")
    def told_mlflow(self, row: Deployment) -> str:
        return "not yet" if row.mirrored_at is None else f"{row.mirrored_at:%Y-%m-%d %H:%M} UTC"

    @column("Figures of the gate")
    def gate_told(self, row: Deployment) -> str:
        return show.pretty(row.gate)


def _version(version: ModelVersion | None) -> str:
    return show.DASH if version is None else show.link(version, f"{version.name} {version.version}")


def _told(ends: list[float | None] | None) -> str:
    """A figure with its interval, as a version keeps it."""
    if ends is None or ends[0] is None:
        return show.DASH
    value, low, high = ends
    return f"{value:.4g}" if low is None or high is None else f"{value:.4g} ({low:.4g} to {high:.4g})"


def _when(row: ModelHealth | None) -> SafeString:
    if row is None:
        return format_html("<div>{}</div>", "Not asked about live machines yet.")
    last = "never" if row.answered_at is None else f"{row.answered_at:%Y-%m-%d %H:%M} UTC"
    return format_html("<div>Last answered: {}; last asked: {}</div>", last, f"{row.looked_at:%Y-%m-%d %H:%M} UTC")
