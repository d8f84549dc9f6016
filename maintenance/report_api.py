"""The report on a site's alarms over REST."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import alarm_report
from maintenance.alarm_targets import Direction, Verdict
from sensors import access, problems
from sensors.contract import Contract
from sensors.permissions import READ
from sensors.policy import by_method
from sensors.problems import Problem


class Fields(serializers.Serializer[Any]):
    """A serializer that has a field named ``from``."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        return {("from" if name == "start" else name): field for name, field in fields.items()}


class AlarmReport(Contract):
    policy = by_method(get=READ)
    looks_up = True

    class Asked(Fields):
        site = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="Id of a site of yours.")
        start = serializers.DateTimeField(required=False, help_text="Included; default: 30 days before the end.")
        to = serializers.DateTimeField(required=False, help_text="Excluded; default, and at most: now.")
        operators = serializers.IntegerField(
            required=False, default=1, min_value=1, max_value=alarm_report.MOST_OPERATORS,
            help_text="How many share the site's alarms.",
        )  # fmt: skip

    class AlarmReportOut(Fields):
        class AlarmFigure(serializers.Serializer[Any]):
            name = serializers.CharField()
            title = serializers.CharField()
            value = serializers.FloatField(allow_null=True, help_text="Null where there is nothing it could be of.")
            unit = serializers.CharField(allow_blank=True)
            direction = serializers.ChoiceField(list(Direction))
            target = serializers.FloatField(allow_null=True)
            maximum = serializers.FloatField(allow_null=True, help_text="What is still manageable.")
            verdict = serializers.ChoiceField(list(Verdict))
            checked = serializers.BooleanField(help_text="False: general knowledge that no text confirmed.")
            provenance = serializers.CharField(allow_blank=True, help_text="Where the target comes from.")

        class AlarmFlood(Fields):
            start = serializers.DateTimeField()
            to = serializers.DateTimeField()
            activations = serializers.IntegerField()

        class AlarmActor(serializers.Serializer[Any]):
            machine = serializers.IntegerField()
            tag = serializers.CharField()
            failure_mode = serializers.CharField()
            activations = serializers.IntegerField()
            share = serializers.FloatField(help_text="Of all activations, 0 to 1.")
            chattering = serializers.IntegerField(help_text="Activations that are part of it.")
            fleeting = serializers.IntegerField()
            flapping = serializers.IntegerField()
            stale = serializers.IntegerField()

        start = serializers.DateTimeField()
        to = serializers.DateTimeField()
        days = serializers.FloatField()
        long_enough = serializers.BooleanField(help_text="Whether the targets are meant for so long a period.")
        operators = serializers.IntegerField()
        activations = serializers.IntegerField()
        alarms = serializers.IntegerField(help_text="Machines and failure modes that became active.")
        figures = AlarmFigure(many=True)
        floods = AlarmFlood(many=True)
        by_day = serializers.ListField(
            child=serializers.IntegerField(), help_text="Of each 24 hours from the start on."
        )
        top = AlarmActor(many=True, help_text="The ten most frequent.")
        nuisances = AlarmActor(many=True, help_text="Chattering, fleeting, flapping and stale ones, at most 50.")

    @extend_schema(
        tags=["alarms"],
        summary="How a site's alarms did over a period",
        description="In the figures of ISA-18.2, each beside its target. In event time; of at most "
        f"{alarm_report.LONGEST.days} days.",
        parameters=[Asked],
        responses={200: AlarmReportOut, 404: OpenApiResponse(problems.Shape, problems.ANSWERS[404])},
    )
    def get(self, request: Request) -> Response:
        asked = self.Asked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        given: dict[str, Any] = asked.validated_data
        if not access.sites(access.user_of(request)).filter(pk=given["site"]).exists():
            raise Problem("not-found", "There is no such site among yours.")
        now = timezone.now()
        end = min(given.get("to") or now, now)
        try:
            start = given.get("from") or end - alarm_report.USUAL
            made = alarm_report.make(given["site"], start=start, end=end, operators=given["operators"], now=now)
        except (alarm_report.BadPeriod, OverflowError) as error:
            raise Problem("invalid", str(error)) from error
        return Response(self.AlarmReportOut(alarm_report.plain(made)).data)
