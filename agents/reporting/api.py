"""Reports over REST: asked for, looked at, taken away."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents import doorbell
from agents.doorbell import Bell
from agents.report_models import Form, Kind, Report
from agents.reporting import requests
from sensors import access, policy, problems
from sensors.api import Filters, Scoped
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

KEY: dict[str, Any] = {"min_value": 1, "max_value": 2**63 - 1}


class ReportFilter(Filters):
    class Meta:
        model = Report
        fields = ["site", "kind", "form", "status"]


@documented("reports", "report", "reports")
class Reports(Scoped):
    class ReportOut(serializers.ModelSerializer[Report]):
        status_url = serializers.SerializerMethodField()
        download_url = serializers.SerializerMethodField(help_text="Empty before it is made, and after it expired.")

        class Meta:
            model = Report
            fields = (
                "id", "site", "kind", "form", "from_at", "to_at", "status", "reason", "size", "sha256", "expires_at",
                "asked_by", "schedule", "status_url", "download_url", "created_at", "started_at", "finished_at",
            )  # fmt: skip

        def get_status_url(self, row: Report) -> str:
            return str(reverse("report-detail", args=[row.pk], request=self.context["request"]))

        def get_download_url(self, row: Report) -> str:
            there = requests.is_there(row)
            return str(reverse("report-download", args=[row.pk], request=self.context["request"])) if there else ""

    @extend_schema_serializer(
        examples=[
            OpenApiExample(
                "A month",
                {"site": 1, "kind": "ANOMALY", "form": "PDF", "from_at": "2026-03-01T00:00:00Z",
                 "to_at": "2026-04-01T00:00:00Z"},
                request_only=True,
            )
        ]
    )  # fmt: skip
    class ReportIn(serializers.Serializer[Any]):
        site = serializers.IntegerField(**KEY, help_text="Id of a site of yours.")
        kind = serializers.ChoiceField(Kind.choices)
        form = serializers.ChoiceField(Form.choices, default=Form.PDF)
        from_at = serializers.DateTimeField(help_text="First instant of the period.")
        to_at = serializers.DateTimeField(help_text="The period ends before it, and now at latest. At most 400 days.")

    looks_up = True
    policy = READS | takes("reports.make", "generate") | {"download": READS["retrieve"]}
    queryset = Report.objects.defer("content")
    serializer_class = ReportOut
    filterset_class = ReportFilter

    @extend_schema(
        tags=["reports"], summary="Have a report made", request=ReportIn, responses={202: ReportOut},
        description="Of anomalies and alarms, maintenance, the health of the system or the quality of the data of a "
        "site, over any period, as JSON, CSV or PDF, from what is stored. A worker makes it: look at `status_url` "
        "until `status` is DONE or FAILED, and take the file from `download_url`.",
    )  # fmt: skip
    @action(detail=False, methods=["post"])
    def generate(self, request: Request) -> Response:
        body = self.ReportIn(data=request.data)
        body.is_valid(raise_exception=True)
        said, user = body.validated_data, access.user_of(request)
        site = access.sites(user).filter(pk=said.pop("site")).first()
        if site is None:
            raise Problem("not-found", "There is no such site among yours.")
        policy.require(self, site.pk)
        try:
            row = requests.ask(site, **said, actor=user)
        except requests.Refused as error:
            if not error.field:
                raise Problem("conflict", str(error)) from error
            raise serializers.ValidationError({error.field: str(error)}) from error
        doorbell.ring_when_stored(Bell("report", row.pk))
        row.refresh_from_db()
        return Response(self.ReportOut(row, context=self.get_serializer_context()).data, status=202)

    @extend_schema(
        tags=["reports"], summary="Take a report's file",
        description="409 where it is not made yet or has failed, 404 where its file is kept no longer. The audit trail "
        "has who took it.",
        responses={
            (200, kind.partition(";")[0]): OpenApiResponse(OpenApiTypes.BINARY, "The file")
            for kind in requests.MEDIA_TYPES.values()
        }
        | {409: OpenApiResponse(problems.Shape, problems.ANSWERS[409])},
    )  # fmt: skip
    @action(detail=True, methods=["get"])
    def download(self, request: Request, pk: str) -> HttpResponse:
        row = self.get_object()
        try:
            return requests.handed_out(row)
        except requests.Refused as error:
            raise Problem("conflict" if row.status != Report.Status.DONE else "not-found", str(error)) from error
