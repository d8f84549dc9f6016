"""The pages that take tables in, after a trial run that shows every fault by row, and give them out."""

from __future__ import annotations

import base64
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold import widgets

from maintenance.models import WorkOrder
from maintenance.order_exchange import OrderRows
from maintenance.part_exchange import PartRows
from maintenance.part_models import Part
from maintenance.plan_exchange import PlanRows
from maintenance.plan_models import Plan
from sensors import access, desk, sheets
from sensors.exchange import MOST_EXPORTED, Outcome, Rows
from sensors.exchange_rows import EquipmentRows, SensorRows
from sensors.models import Equipment, Sensor, Site

NAME, EXPORT = "import-export", "import-export-file"
SALT, HOLDS_SECONDS = "maintenance.exchange", 3_600
"""A trial run is confirmed within so long: the file waits in the page, signed, and nowhere on the server."""
MOST_SHOWN = 200
"""Rows without a fault; all that are wrong are shown."""
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A table: what it is called, how it is read, what its import takes, and its rows of a site for an export."""

    name: str
    rows: type[Rows]
    takes: str
    stored: Callable[[Site], QuerySet[Any]]


KINDS = {
    "equipment": Kind(
        "Equipment", EquipmentRows, "equipment.edit",
        lambda site: Equipment.objects.filter(site=site).select_related("parent").order_by("machine_id", "tag"),
    ),
    "sensors": Kind(
        "Sensors and their settings", SensorRows, "equipment.edit",
        lambda site: Sensor.objects.filter(site=site).select_related("equipment", "gateway").order_by("external_id"),
    ),
    "parts": Kind("Parts", PartRows, "parts.edit", lambda site: Part.objects.filter(site=site).order_by("number")),
    "plans": Kind(
        "Preventive plans", PlanRows, "plans.edit",
        lambda site: Plan.objects.filter(site=site).select_related("machine", "sensor", "meter").order_by("id"),
    ),
    "work-orders": Kind(
        "Work orders (an import asks for work)", OrderRows, "orders.request",
        lambda site: WorkOrder.objects.filter(site=site).select_related("machine", "requested_by", "assigned_to"),
    ),
}  # fmt: skip
MARKS = [("point", "1.5 (point)"), ("comma", "1,5 (comma)")]


class Table(forms.Form):
    """Which table of which site."""

    kind = forms.ChoiceField(
        label="Table", choices=[(key, kind.name) for key, kind in KINDS.items()], widget=widgets.UnfoldAdminSelectWidget
    )
    site = forms.ModelChoiceField(Site.objects.none(), empty_label=None, widget=widgets.UnfoldAdminSelectWidget)

    def __init__(self, data: Any, *args: Any, sites: QuerySet[Site]) -> None:
        super().__init__(data, *args)
        cast(Any, self.fields["site"]).queryset = sites


class Upload(Table):
    mark = forms.ChoiceField(label="Numbers in CSV", choices=MARKS, widget=widgets.UnfoldAdminSelectWidget)
    file = forms.FileField(
        widget=widgets.UnfoldAdminFileFieldWidget,
        help_text=f"CSV or XLSX, at most {sheets.MOST_ROWS} rows and {sheets.MOST_BYTES // 1_000_000} MB.",
    )


class Download(Table):
    format = forms.ChoiceField(choices=[("csv", "CSV"), ("xlsx", "XLSX")], widget=widgets.UnfoldAdminSelectWidget)
    since = forms.DateField(
        required=False, label="Orders opened since", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )


def _user(request: HttpRequest) -> Any:
    return request.user


def may_import(request: HttpRequest) -> QuerySet[Site]:
    """The sites into which whoever asks may import anything."""
    able = (Q(pk__in=access.sites(_user(request), to=to)) for to in {kind.takes for kind in KINDS.values()})
    return Site.objects.filter(functools.reduce(operator.or_, able)).order_by("name", "id")


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site."""
    if not (desk.sees_all(request) or desk.roles(request)):
        raise PermissionDenied
    if "held" in request.POST:
        return _confirmed(request)
    sites = may_import(request)
    form = Upload(request.POST or None, request.FILES or None, sites=sites)
    page: dict[str, Any] = {"upload": form if sites else None}
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        _require(request, said["site"], said["kind"])
        content = said["file"].read(sheets.MOST_BYTES + 1)
        held = {
            "user": _user(request).pk, "site": said["site"].pk, "kind": said["kind"], "comma": said["mark"] == "comma",
            "name": said["file"].name[:200], "content": base64.b64encode(content).decode(),
        }  # fmt: skip
        page |= _run(request, held, trial=True, form=form)
    return _page(request, page)


def _page(request: HttpRequest, page: dict[str, Any]) -> HttpResponse:
    download = Download(None, sites=desk.scope(request, Site.objects.order_by("name", "id"), path="pk"))
    context = {
        **admin.site.each_context(request), "title": "Import and export", "download": download,
        "columns": [(kind.name, kind.rows.columns, kind.rows.required) for kind in KINDS.values()], **page,
    }  # fmt: skip
    return TemplateResponse(request, "admin/maintenance/exchange.html", context)


def _require(request: HttpRequest, site: Site, kind: str) -> None:
    if not access.sites(_user(request), to=KINDS[kind].takes).filter(pk=site.pk).exists():
        raise PermissionDenied


def _run(request: HttpRequest, held: dict[str, Any], *, trial: bool, form: forms.Form | None = None) -> dict[str, Any]:
    """Import or try to; what the page says of it."""
    site = Site.objects.get(pk=held["site"])
    rows = KINDS[held["kind"]].rows(site, _user(request), comma=held["comma"])
    try:
        outcomes = rows.run(sheets.read(held["name"], base64.b64decode(held["content"])), trial=trial)
    except sheets.BadSheet as error:
        if form is not None:
            form.add_error("file", str(error))
        return {"refused": str(error)}
    wrong = [one for one in outcomes if one.what == "WRONG"]
    fine = [one for one in outcomes if one.what != "WRONG"]
    return {
        "site": site, "kind": KINDS[held["kind"]].name, "file": held["name"], "wrong": wrong, "fine": fine[:MOST_SHOWN],
        "counts": {what: count(outcomes, what) for what in ("NEW", "CHANGED", "SAME", "WRONG")},
        "hidden": max(0, len(fine) - MOST_SHOWN),
        "held": "" if wrong else signing.dumps(held, salt=SALT, compress=True),
    }  # fmt: skip


def count(outcomes: list[Outcome], what: str) -> int:
    return sum(one.what == what for one in outcomes)


def _confirmed(request: HttpRequest) -> HttpResponse:
    """Import what a trial run held. Raises ``PermissionDenied`` where it is not of whoever asks."""
    try:
        held = signing.loads(request.POST["held"], salt=SALT, max_age=HOLDS_SECONDS)
    except signing.BadSignature:
        messages.error(request, "The trial run is too old, or not from here: choose the file again.")
        return HttpResponseRedirect(reverse(NAME))
    if held["user"] != _user(request).pk:
        raise PermissionDenied
    _require(request, Site.objects.get(pk=held["site"]), held["kind"])
    done = _run(request, held, trial=False)
    if "refused" in done or done["wrong"]:
        messages.error(request, "Nothing was imported: what is stored has changed since the trial run.")
        return _page(request, {"upload": Upload(None, sites=may_import(request)), **done})
    new, changed, same = (done["counts"][what] for what in ("NEW", "CHANGED", "SAME"))
    messages.success(
        request,
        f"Imported into {done['site']}: {new} new, {changed} changed, {same} as they were.",
    )
    return HttpResponseRedirect(reverse(NAME))


def export(request: HttpRequest) -> HttpResponse:
    """A table as a file. Raises ``PermissionDenied`` for who is a member of no site."""
    sites = desk.scope(request, Site.objects.order_by("name", "id"), path="pk")
    if not sites:
        raise PermissionDenied
    form = Download(request.GET, sites=sites)
    if not form.is_valid():
        return _page(request, {"upload": Upload(None, sites=may_import(request)), "download": form})
    said = form.cleaned_data
    kind, rows = KINDS[said["kind"]], KINDS[said["kind"]].stored(said["site"])
    if said["since"] and said["kind"] == "work-orders":
        rows = rows.filter(opened_at__date__gte=said["since"])
    found = list(rows[: MOST_EXPORTED + 1])
    if len(found) > MOST_EXPORTED:
        form.add_error("since", f"More than {MOST_EXPORTED} rows: say from when on, or ask for the rest over REST.")
        return _page(request, {"upload": Upload(None, sites=may_import(request)), "download": form})
    data = kind.rows(said["site"], _user(request)).table(found).export(said["format"])
    body = b"\xef\xbb\xbf" + data.encode() if isinstance(data, str) else data
    name = f"{said['site'].slug}-{said['kind']}-{timezone.now():%Y-%m-%d}.{said['format']}"
    return HttpResponse(
        body,
        content_type=TYPES[said["format"]],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )
