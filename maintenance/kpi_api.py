"""The figures of maintenance over REST, as JSON or as a table."""

from __future__ import annotations

import csv
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import kpi_book, kpi_report
from maintenance.kpi_report import Report
from maintenance.report_api import Fields
from sensors import access, problems
from sensors.contract import Contract
from sensors.permissions import READ
from sensors.policy import by_method
from sensors.problems import Problem

KEY: dict[str, Any] = {"min_value": 1, "max_value": 2**63 - 1}


class KpisAsked(Fields):
    site = serializers.IntegerField(**KEY, help_text="Id of a site of yours.")
    equipment = serializers.IntegerField(
        **KEY, required=False, help_text="Id of a line or machine: of the machines at and below it. Default: all."
    )
    start = serializers.DateTimeField(required=False, help_text="Included; default: a year before the end.")
    to = serializers.DateTimeField(required=False, help_text="Excluded; default, and at most: now.")


class KpisOut(Fields):
    class KpiFigure(serializers.Serializer[Any]):
        name = serializers.ChoiceField(list(kpi_book.NAMES))
        title = serializers.CharField()
        value = serializers.FloatField(allow_null=True, help_text="Null where there is nothing it could be of.")
        unit = serializers.CharField()
        low = serializers.FloatField(allow_null=True, help_text="Lower end of the 95 % interval.")
        high = serializers.FloatField(allow_null=True, help_text="Upper end; null: open, or no interval.")
        events = serializers.IntegerField(help_text="What it counts, such as failures.")
        running = serializers.IntegerField(help_text="Times that were not over (right-censored).")
        formula = serializers.CharField()
        interval = serializers.CharField(help_text="How the interval is made.")
        provenance = serializers.CharField()
        checked = serializers.BooleanField(help_text="False: general knowledge that no text confirmed.")

    class KpiLoss(serializers.Serializer[Any]):
        machine = serializers.IntegerField()
        tag = serializers.CharField()
        failure_mode = serializers.CharField(allow_blank=True)
        failures = serializers.IntegerField()
        downtime = serializers.FloatField(help_text="Hours.")
        cost = serializers.FloatField(help_text="As far as it is on record.")
        share = serializers.FloatField(help_text="Of the downtime of all (of the failures, where there is none).")
        so_far = serializers.FloatField(help_text="With those before it.")

    class KpiPart(serializers.Serializer[Any]):
        part = serializers.CharField()
        failures = serializers.IntegerField()
        mtbf = serializers.FloatField(allow_null=True, help_text="Hours.")
        low = serializers.FloatField()
        high = serializers.FloatField(allow_null=True)
        median = serializers.FloatField(allow_null=True, help_text="Hours between failures, by Kaplan and Meier.")
        mean = serializers.FloatField(allow_null=True, help_text="Up to the longest time that was seen.")
        running = serializers.IntegerField()

    class KpiFailures(serializers.Serializer[Any]):
        seconds = serializers.IntegerField(help_text="Length of a piece of the period.")
        counts = serializers.ListField(child=serializers.IntegerField())

    class KpiCurve(serializers.Serializer[Any]):
        hours = serializers.ListField(child=serializers.FloatField())
        share = serializers.ListField(child=serializers.FloatField(), help_text="That lasts longer.")
        low = serializers.ListField(child=serializers.FloatField())
        high = serializers.ListField(child=serializers.FloatField())
        ended = serializers.IntegerField()
        running = serializers.IntegerField()

    start = serializers.DateTimeField()
    to = serializers.DateTimeField()
    machines = serializers.IntegerField()
    figures = KpiFigure(many=True)
    losses = KpiLoss(many=True, help_text="By machine and failure mode, the heaviest first, at most 50.")
    parts = KpiPart(many=True, help_text="By part of the machines, at most 50.")
    failures = KpiFailures()
    between_failures = KpiCurve()


class Kpis(Contract):
    policy = by_method(get=READ)

    @extend_schema(
        tags=["kpis"],
        summary="The figures of maintenance over a period",
        description="Each with its formula, source and 95 % interval; what is not over at the end counts as running. "
        "Of a site, or of the machines at and below a piece of its equipment.",
        parameters=[KpisAsked],
        responses={200: KpisOut, 404: OpenApiResponse(problems.Shape, problems.ANSWERS[404])},
    )
    def get(self, request: Request) -> Response:
        return Response(KpisOut(kpi_report.plain(_made(request))).data)


class KpiTable(Contract):
    policy = by_method(get=READ)

    @extend_schema(
        tags=["kpis"],
        summary="The figures of maintenance as CSV",
        description="Three tables below each other: figures, losses, parts.",
        parameters=[KpisAsked],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            404: OpenApiResponse(problems.Shape, problems.ANSWERS[404]),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        return as_csv(_made(request))


def as_csv(made: Report) -> HttpResponse:
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="kpis.csv"'
    csv.writer(answer).writerows(kpi_report.table(made))
    return answer


def _made(request: Request) -> Report:
    asked = KpisAsked(data=request.query_params)
    asked.is_valid(raise_exception=True)
    given: dict[str, Any] = asked.validated_data
    if not access.sites(access.user_of(request)).filter(pk=given["site"]).exists():
        raise Problem("not-found", "There is no such site among yours.")
    now = timezone.now()
    end = min(given.get("to") or now, now)
    try:
        start = given.get("from") or end - kpi_report.USUAL
        return kpi_report.make(given["site"], start=start, end=end, now=now, equipment_id=given.get("equipment"))
    except (kpi_report.BadPeriod, OverflowError) as error:
        raise Problem("invalid", str(error)) from error
    except kpi_report.NoEquipment as error:
        raise Problem("not-found", str(error)) from error
