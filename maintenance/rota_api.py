"""Who is on call, over REST: rotas with their shifts, and overrides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import on_call
from maintenance.api import example
from maintenance.escalation_models import Override, Rota, Shift
from maintenance.models import Reader
from maintenance.owned_api import Mine, Owned, written
from sensors.api import Filters
from sensors.models import Site
from sensors.permissions import READ
from sensors.policy import edited_by, takes
from sensors.schema import documented

MOST_SHIFTS = 100
SHIFT = ["reader", "first_on", "days", "every_days", "starts", "ends", "last_on"]


class OnDuty(serializers.Serializer[Any]):
    reader = serializers.IntegerField(source="pk")
    user = serializers.IntegerField(source="user_id")
    name = serializers.CharField(source="user.get_username")


class OnCall(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    persons = OnDuty(many=True, source="readers")
    until = serializers.DateTimeField(allow_null=True, help_text="When that changes; empty: not within five weeks.")


class When(serializers.Serializer[Any]):
    at = serializers.DateTimeField(required=False, help_text="An instant; now where it is not given.")


def _on_call(rota: Rota, at: datetime) -> dict[str, Any]:
    duty = on_call.duty(rota, at=at)
    return dict(OnCall({"at": at, "readers": duty.readers, "until": duty.until}).data)


class ShiftIn(serializers.ModelSerializer[Shift]):
    reader = Mine(queryset=Reader.objects.all(), help_text="Id of a person.")

    class Meta:
        model = Shift
        fields = SHIFT
        validators: list[Any] = []


@example(
    site=1, name="Nights", time_zone="Europe/Lisbon",
    shifts=[
        {"reader": 4, "first_on": "2026-01-05", "days": 7, "every_days": 14, "starts": "08:00", "ends": "08:00"},
        {"reader": 5, "first_on": "2026-01-12", "days": 7, "every_days": 14, "starts": "08:00", "ends": "08:00"},
    ],
)  # fmt: skip
class RotaIn(serializers.ModelSerializer[Rota]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    shifts = ShiftIn(many=True, required=False, max_length=MOST_SHIFTS)  # type: ignore[call-arg]  # the list takes it

    class Meta:
        model = Rota
        fields = ["site", "name", "time_zone", "shifts"]
        validators: list[Any] = []


class RotaOut(serializers.ModelSerializer[Rota]):
    class ShiftOut(serializers.ModelSerializer[Shift]):
        class Meta:
            model = Shift
            fields = SHIFT

    time_zone = serializers.SerializerMethodField(help_text="Of its shifts: its own or the site's.")
    shifts = ShiftOut(many=True)
    on_call = serializers.SerializerMethodField(help_text="Who is, now.")

    class Meta:
        model = Rota
        fields = ["id", "site", "name", "time_zone", "shifts", "on_call", "created_at"]

    def get_time_zone(self, row: Rota) -> str:
        return on_call.zone_of(row).key

    @extend_schema_field(OnCall)
    def get_on_call(self, row: Rota) -> dict[str, Any]:
        return _on_call(row, timezone.now())


@written(
    "alarms", "an on-call rota", form=RotaIn, shown=RotaOut, add="With its shifts.",
    change="Shifts that are given take the place of all there are. Overrides stay.",
    delete="With its shifts and overrides; not while a step of a chain names it.",
)  # fmt: skip
@documented("alarms", "on-call rota", "on-call rotas")
class Rotas(Owned):
    class RotaFilter(Filters):
        class Meta:
            model = Rota
            fields = ["site", "name"]

    policy = edited_by("calendars.edit") | takes(READ, "on_call")
    queryset = on_call.with_people(Rota.objects.all())
    serializer_class = RotaOut
    filterset_class = RotaFilter
    form = RotaIn

    @extend_schema(
        tags=["alarms"], summary="Who is on call", responses={200: OnCall},
        parameters=[OpenApiParameter("at", datetime, description="An instant; now where it is not given.")],
        description="The persons who are on call in a rota at an instant, and until when.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], url_path="on-call", filterset_class=None)
    def on_call(self, request: Request, pk: str) -> Response:
        asked = When(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return Response(_on_call(self.get_object(), asked.validated_data.get("at") or timezone.now()))


@example(rota=1, reader=5, from_at="2026-03-02T18:00:00Z", until_at="2026-03-03T06:00:00Z", reason="Anna is ill")
class OverrideIn(serializers.ModelSerializer[Override]):
    rota = Mine(queryset=Rota.objects.select_related("site"), help_text="Id of a rota; it stays the same.")
    reader = Mine(queryset=Reader.objects.all(), help_text="Id of the person who takes over.")

    class Meta:
        model = Override
        fields = ["rota", "reader", "from_at", "until_at", "reason"]
        validators: list[Any] = []


class OverrideOut(serializers.ModelSerializer[Override]):
    class Meta:
        model = Override
        fields = ["id", "rota", "reader", "from_at", "until_at", "reason"]


@written(
    "alarms", "an override", form=OverrideIn, shown=OverrideOut,
    add="Somebody takes over in a rota from an instant until another; of several the newest holds.",
)  # fmt: skip
@documented("alarms", "override of an on-call rota", "overrides of on-call rotas")
class Overrides(Owned):
    class OverrideFilter(Filters):
        ends_after = django_filters.IsoDateTimeFilter(field_name="until_at", lookup_expr="gt")
        starts_before = django_filters.IsoDateTimeFilter(field_name="from_at", lookup_expr="lt")

        class Meta:
            model = Override
            fields = ["rota", "reader"]

    policy = edited_by("calendars.edit")
    site_path = "rota__site"
    queryset = Override.objects.select_related("rota")
    serializer_class = OverrideOut
    filterset_class = OverrideFilter
    form = OverrideIn
    fixed = ("rota",)

    def site_of(self, row: Override) -> int:
        return row.rota.site_id
