"""Meters over REST: added, changed, read and entered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import meters
from maintenance.api import example
from maintenance.owned_api import Mine
from maintenance.plan_api import Writing
from maintenance.plan_models import Meter, MeterReading
from sensors import access
from sensors.api import Filters
from sensors.bulk import in_bulk
from sensors.models import Equipment, Sensor, Site
from sensors.paging import ByIdPagination
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.schema import documented


class MeterFilter(Filters):
    class Meta:
        model = Meter
        fields = ["site", "machine", "sensor", "unit", "source"]


class MeterChange(serializers.ModelSerializer[Meter]):
    class Meta:
        model = Meter
        fields = ["name", "threshold"]
        validators: list[Any] = []


@example(site=1, machine=3, name="Running hours", unit="HOURS", source="ABOVE", sensor=7, threshold=2.5)
class MeterIn(MeterChange):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    machine = Mine(queryset=Equipment.objects.all(), help_text="Id of a machine; it stays the same.")
    sensor = Mine(queryset=Sensor.objects.all(), required=False, allow_null=True)

    class Meta(MeterChange.Meta):
        fields = ["site", "machine", "unit", "source", "sensor", *MeterChange.Meta.fields]


@example(value=12_345.5, at="2026-03-20T08:00:00Z")
class MeterReadingIn(serializers.Serializer[Any]):
    value = serializers.FloatField(min_value=0, help_text="What it shows.")
    at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Else now.")
    replaced = serializers.BooleanField(
        required=False, default=False, help_text="The counter was replaced or set back: it counts on from this value."
    )


class MeterReadingOut(serializers.ModelSerializer[MeterReading]):
    class Meta:
        model = MeterReading
        fields = ["at", "value", "total", "replaced", "entered", "entered_by"]


class NewestShown(ByIdPagination):
    ordering = ("-at", "-id")


@in_bulk(
    "meter", "meters", tag="work-orders", takes="machines.act", enter=MeterReadingIn,
    example={"action": "enter", "items": [{"id": 4, "value": 1250.5}]},
)  # fmt: skip
@documented("work-orders", "meter", "meters: running totals of machines")
class Meters(Writing):
    class MeterOut(serializers.ModelSerializer[Meter]):
        class Meta:
            model = Meter
            fields = [
                "id", "site", "machine", "name", "unit", "source", "sensor", "threshold", "total", "value", "read_at",
                "per_day", "created_by", "created_at",
            ]  # fmt: skip

    policy = READS | takes("plans.edit", "create", "partial_update")
    policy |= takes("machines.act", "enter") | takes(READ, "readings")
    queryset = Meter.objects.all()
    serializer_class = MeterOut
    filterset_class = MeterFilter
    form, change_form = MeterIn, MeterChange

    @extend_schema(
        tags=["work-orders"], summary="Add a meter", request=MeterIn, responses={201: MeterOut},
        description="One of a sensor is counted from now on.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        said = self.said(request)
        return Response(self.write(lambda: meters.add(Meter(**said), actor=access.user_of(request))), status=201)

    @extend_schema(
        tags=["work-orders"], summary="Change a meter", request=MeterChange(partial=True), responses={200: MeterOut},
        description="What was counted stays.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.editable(request)
        said = self.said(request, row=row)
        name, threshold = said.get("name", row.name), said.get("threshold", row.threshold)
        actor = access.user_of(request)
        return Response(self.write(lambda: meters.change(row.pk, actor=actor, name=name, threshold=threshold)))

    @extend_schema(
        tags=["work-orders"], summary="Readings of a meter", responses={200: MeterReadingOut(many=True)}, filters=False,
        description="The newest first: each that was entered, and of a sensor's one a day.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], pagination_class=NewestShown, filterset_class=None)
    def readings(self, request: Request, pk: str) -> Response:
        rows = self.paginate_queryset(self.get_object().readings.all())
        return self.get_paginated_response(MeterReadingOut(rows, many=True).data)

    @extend_schema(
        tags=["work-orders"], summary="Enter a reading", request=MeterReadingIn, responses={200: MeterOut},
        description="What somebody read off it.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def enter(self, request: Request, pk: str) -> Response:
        return self.act(request, meters.enter, form=MeterReadingIn)
