"""Exports over REST: small ones at once, large ones asked for, looked at and fetched."""

from __future__ import annotations

import io
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents import doorbell
from agents.doorbell import Bell
from agents.export_models import Export
from agents.exports import files, known, requests
from agents.exports.known import Asked, Refused
from sensors import access, audit_requests, problems
from sensors.api import Filters, Scoped
from sensors.models import Equipment, Sensor
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

FILES = {(200, media): OpenApiTypes.BINARY for media in known.MEDIA_TYPES.values()}
LARGEST_ID = 2**63 - 1
EXAMPLE = OpenApiExample(
    "Readings of a machine",
    {"what": "readings", "form": "parquet", "site": 1, "machine": 3, "from_at": "2026-03-01T00:00:00Z",
     "to_at": "2026-04-01T00:00:00Z"},
    request_only=True,
)  # fmt: skip


class ExportFilter(Filters):
    class Meta:
        model = Export
        fields = ["site", "what", "form", "status"]


def _key(**more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=LARGEST_ID, **more)


class ExportIn(serializers.Serializer[Any]):
    what = serializers.ChoiceField(Export.What.choices, help_text="Journal and audit trail: for who reads the latter.")
    form = serializers.ChoiceField(Export.Form.choices)
    site = _key(help_text="Id of a site of yours.")
    machine = _key(required=False, help_text="Id of a machine: what is of it alone.")
    sensor = _key(required=False, help_text="Id of a sensor: what is of it alone.")
    from_at = serializers.DateTimeField(help_text="First instant of the period.")
    to_at = serializers.DateTimeField(help_text="The period ends before it.")

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        user: User = self.context["user"]
        site = said["site"]
        if not access.sites(user).filter(pk=site).exists():
            raise serializers.ValidationError({"site": f"There is no site {site} among yours."})
        machines = Equipment.objects.filter(level=Equipment.Level.MACHINE, site_id=site)
        for name, rows in (("machine", machines), ("sensor", Sensor.objects.filter(site_id=site))):
            if name in said and not rows.filter(pk=said[name]).exists():
                raise serializers.ValidationError({name: f"There is no {name} {said[name]} in this site."})
        return said


@documented("exports", "export", "exports you asked for")
class Exports(Scoped):
    class ExportOut(serializers.ModelSerializer[Export]):
        status_url = serializers.SerializerMethodField()
        file_url = serializers.SerializerMethodField(help_text="null unless it is DONE.")

        class Meta:
            model = Export
            fields = [
                "id", "site", "what", "form", "machine", "sensor", "from_at", "to_at", "status", "reason", "percent",
                "rows", "size", "status_url", "file_url", "created_at", "started_at", "finished_at", "expires_at",
            ]  # fmt: skip

        def get_status_url(self, row: Export) -> str:
            return str(reverse("export-detail", args=[row.pk], request=self.context["request"]))

        def get_file_url(self, row: Export) -> str | None:
            if row.status != Export.Status.DONE:
                return None
            return str(reverse("export-file", args=[row.pk], request=self.context["request"]))

    policy = READS | takes(READ, "create", "now", "file", "destroy")
    queryset = Export.objects.all()
    serializer_class = ExportOut
    filterset_class = ExportFilter

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(asked_by=access.user_of(self.request))

    @extend_schema(
        tags=["exports"], summary="Export", request=ExportIn, responses={202: ExportOut}, examples=[EXAMPLE],
        description="A worker makes the file: look at `status_url` until `status` is DONE or FAILED, then fetch it at "
        f"`file_url`. It is kept for {requests.KEPT // timedelta(hours=1)} hours. A period has at most "
        f"{known.LONGEST.days:,} days, a workbook {known.MOST_ROWS['xlsx']:,} rows, another file "
        f"{known.MOST_ROWS['csv']:,} rows and {known.MOST_BYTES // 1_000_000:,} MB.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        asked, form = self._read(request.data)
        try:
            row = requests.ask(asked, form, actor=access.user_of(request))
        except Refused as error:
            raise _refusal(error) from error
        doorbell.ring_when_stored(Bell("export", row.pk))
        return Response(self.get_serializer(row).data, status=202)

    @extend_schema(
        tags=["exports"], summary="Export at once", parameters=[ExportIn], responses=FILES, filters=False,
        description=f"A file of at most {known.MOST_AT_ONCE:,} rows, of a period of at most "
        f"{known.LONGEST_AT_ONCE.days} days: what has more is refused, and asked for by POST. The file is whole before "
        "its first byte is sent.",
    )  # fmt: skip
    @action(detail=False, methods=["get"], pagination_class=None, filterset_class=None)
    def now(self, request: Request) -> HttpResponseBase:
        asked, form = self._read(request.query_params)
        made = io.BytesIO()
        try:
            known.check(asked, longest=known.LONGEST_AT_ONCE)
            import_module("agents.exports.making").make(asked, form, made, most=known.MOST_AT_ONCE)
        except Refused as error:
            raise _refusal(error, problem="invalid") from error
        name = Export(what=asked.what, form=form, from_at=asked.start, to_at=asked.end).name
        return _as_file(HttpResponse(made.getvalue()), form, name, site_id=asked.site_id)

    @extend_schema(
        tags=["exports"], summary="Fetch a file", filters=False,
        responses={**FILES, 409: OpenApiResponse(problems.Shape, problems.ANSWERS[409])},
        description="409 while it is not made yet, and when it has expired.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        row: Export = self.get_object()
        access.require(access.user_of(request), row.site_id, to=known.TAKES[row.what])
        if row.status != Export.Status.DONE:
            raise Problem("conflict", row.reason or f"{row.get_status_display()}.")
        answer = _as_file(StreamingHttpResponse(files.read(row)), row.form, row.name, site_id=row.site_id)
        answer["Content-Length"] = str(row.size)
        return answer

    @extend_schema(
        tags=["exports"], summary="Delete an export", responses={204: None}, description="With its file.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        try:
            requests.delete(row)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return Response(status=204)

    def _read(self, data: Any) -> tuple[Asked, str]:
        """What is asked for. Raises a problem where it is not to be had, or not for whoever asks."""
        user = access.user_of(self.request)
        body = ExportIn(data=data, context={"user": user})
        body.is_valid(raise_exception=True)
        said = body.validated_data
        access.require(user, said["site"], to=known.TAKES[said["what"]])
        period = said["from_at"], said["to_at"]
        return Asked(said["what"], said["site"], *period, said.get("machine"), said.get("sensor")), said["form"]


def _refusal(error: Refused, *, problem: str = "conflict") -> Exception:
    if not error.field:
        return Problem(problem, str(error))
    return serializers.ValidationError({error.field: str(error)})


def _as_file(answer: HttpResponseBase, form: str, name: str, *, site_id: int) -> HttpResponseBase:
    """The audit trail of the site learns that it was given out (``sensors.audit_requests``)."""
    answer["Content-Type"] = known.MEDIA_TYPES[form]
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    audit_requests.of_site(answer, site_id)
    return answer
