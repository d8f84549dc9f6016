"""Pages of reports: the list, the form by which one is asked for, the file, and the schedules by which they are
mailed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import ManyToManyField, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold import widgets
from unfold.decorators import action

from agents import doorbell
from agents.doorbell import Bell
from agents.report_models import Form, Kind, Report, ReportSchedule
from agents.reporting import periods, requests, schedules
from maintenance.models import Channel
from sensors import desk, show
from sensors.desk import Desk, SiteFilter, column
from sensors.models import Site

MAKES, CHANGES = "reports.make", "notices.edit"
USUAL = timedelta(days=30)


class Asked(forms.Form):
    """Which report, of which site, in which form, and of which days (of the site's own, both included)."""

    site = forms.ChoiceField(widget=widgets.UnfoldAdminSelectWidget)
    kind = forms.ChoiceField(choices=Kind.choices, label="Report", widget=widgets.UnfoldAdminSelectWidget)
    form = forms.ChoiceField(choices=Form.choices, initial=Form.PDF, widget=widgets.UnfoldAdminSelectWidget)
    start = forms.DateField(label="From", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    end = forms.DateField(label="To", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))


@admin.register(Report)
class ReportPage(Desk):
    acts = MAKES
    list_before_template = "admin/agents/no_reports.html"
    list_display = ("created_at", "kind", "site", "period", "form", "status_label", "file", "asked_by")
    list_filter = (SiteFilter, "kind", "form", "status")
    list_select_related = ("site", "asked_by", "schedule")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = readonly_fields = (
        "kind", "site", "period", "form", "status_label", "reason", "file", "size", "sha256", "expires_at", "asked_by",
        "schedule", "created_at", "finished_at",
    )  # fmt: skip
    actions_list = ("generate",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("content").select_related("site")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.download)
        return [path("<int:key>/file/", view, name="agents_report_file"), *super().get_urls()]

    @action(description="Generate report", url_path="generate", permissions=["act"], icon="summarize")
    def generate(self, request: HttpRequest) -> HttpResponse:
        able = Site.objects.order_by("name", "id")
        if not desk.sees_all(request):
            able = able.filter(pk__in=desk.sites_where(request, MAKES))
        sites = {str(site.pk): site for site in able}
        if not sites:
            raise PermissionDenied
        today = timezone.now().date()
        initial = {"start": today - USUAL, "end": today}
        form = Asked(request.POST if request.method == "POST" else None, initial=initial)
        field: Any = form.fields["site"]
        field.choices = [(key, site.name) for key, site in sites.items()]
        if request.method == "POST" and form.is_valid() and (row := self._asked(request, form, sites)) is not None:
            self.message_user(request, "Asked for. It is here as soon as a worker has made it.", messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:agents_report_change", args=[row.pk]))
        page = {**self.admin_site.each_context(request), "title": "Generate report", "form": form, "opts": self.opts}
        return TemplateResponse(request, "admin/agents/generate_report.html", page)

    def _asked(self, request: HttpRequest, form: Asked, sites: dict[str, Site]) -> Report | None:
        """None where it was refused, which the form tells then."""
        said, actor = form.cleaned_data, request.user
        site = sites[said["site"]]
        try:
            start, end = _instants(said["start"], said["end"], site)
            row = requests.ask(
                site, kind=said["kind"], form=said["form"], from_at=start, to_at=end, actor=actor  # type: ignore[arg-type]  # who is logged in
            )  # fmt: skip
        except requests.Refused as error:
            form.add_error({"from_at": "start", "to_at": "end"}.get(error.field), str(error))
            return None
        doorbell.ring_when_stored(Bell("report", row.pk))
        return row

    def download(self, request: HttpRequest, key: int) -> HttpResponse:
        row = self.get_object(request, str(key))
        if row is None:
            raise Http404("There is no such report.")
        try:
            return requests.handed_out(row)
        except requests.Refused as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:agents_report_change", args=[row.pk]))

    @column("Period", ordering="from_at")
    def period(self, row: Report) -> str:
        start, end = (at.astimezone(row.site.zone) for at in (row.from_at, row.to_at))
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} ({row.site.zone.key})"

    @column("Status", ordering="status")
    def status_label(self, row: Report) -> str:
        return show.badge(row.status)

    @column("File")
    def file(self, row: Report) -> str:
        if not requests.is_there(row):
            return show.DASH
        url = reverse("admin:agents_report_file", args=[row.pk])
        return format_html('<a class="desk-link" href="{}" download>Download {}</a>', url, row.form)


def _instants(first: date, last: date, site: Site) -> tuple[datetime, datetime]:
    try:
        return periods.midnight(first, site.zone), periods.midnight(last + timedelta(days=1), site.zone)
    except OverflowError as error:
        raise requests.Refused("No calendar goes that far.") from error


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes none at run time
    class Meta:
        model = ReportSchedule
        fields = ("site", "kind", "form", "every", "day", "hour", "channels", "is_enabled")

    def clean(self) -> dict[str, Any]:
        """Mail goes to channels of the site alone."""
        given = super().clean() or {}
        site = given.get("site") or (self.instance.site if self.instance.pk else None)
        if any(site is None or channel.site_id != site.pk for channel in given.get("channels", ())):
            self.add_error("channels", "Choose channels of the same site.")
        return given


@admin.register(ReportSchedule)
class ReportSchedulePage(Desk):
    edits = CHANGES
    form = ScheduleForm
    list_display = ("kind", "site", "form", "every", "is_enabled", "next_at")
    list_filter = (SiteFilter, "kind", "is_enabled")
    list_select_related = ("site",)
    fieldsets = (
        (None, {"fields": (("site", "kind", "form"), ("every", "day", "hour"), "channels", "is_enabled", "next_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("next_at",) if obj is None else ("site", "next_at")

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        mail = Channel.objects.filter(kind="EMAIL").order_by("site", "name")
        able = desk.sites_where(request, CHANGES)
        kwargs["queryset"] = mail if desk.sees_all(request) else mail.filter(site__in=able)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ReportSchedule, form: Any, change: bool) -> None:
        obj.next_at = schedules.plan(obj, after=timezone.now())
        super().save_model(request, obj, form, change)
