"""Alarm settings that hold for many sensors, over REST: read by members of a site, laid down by its administrators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import access, policy, sensor_defaults
from sensors.api import Filters, Scoped
from sensors.bulk import in_bulk
from sensors.default_models import SensorDefault
from sensors.policy import edited_by
from sensors.schema import documented


class DefaultFilter(Filters):
    class Meta:
        model = SensorDefault
        fields = ["site", "equipment_class", "sensor_kind", "unit"]


class DefaultSays(serializers.ModelSerializer[SensorDefault]):
    class Meta:
        model = SensorDefault
        fields = [*sensor_defaults.SETTINGS]
        validators: list[Any] = []


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Example",
            {
                "site": 1, "equipment_class": "PUMP", "sensor_kind": "TEMPERATURE", "unit": "°C", "high": 80.0,
                "high_high": 95.0, "deadband": 2.0, "on_delay_seconds": 30,
            },
            request_only=True,
        )
    ]
)  # fmt: skip
class DefaultLaid(DefaultSays):
    site = serializers.IntegerField(help_text="Id of a site of yours.")

    class Meta(DefaultSays.Meta):
        fields = [*sensor_defaults.SCOPE, *sensor_defaults.SETTINGS]

    def validate_site(self, site_id: int) -> int:
        """Whether a site of others exists is not told."""
        user = access.user_of(self.context["request"])
        if not access.sites(user).filter(pk=site_id).exists():
            raise serializers.ValidationError(f"There is no site {site_id} among yours.")
        return site_id


@contextmanager
def _told() -> Iterator[None]:
    """What is refused, in the form in which REST tells it."""
    try:
        yield
    except ValidationError as error:
        by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        told = {("non_field_errors" if name == NON_FIELD_ERRORS else name): text for name, text in by_field.items()}
        raise serializers.ValidationError(told) from error


@in_bulk(
    "sensor default", "sensor defaults", tag="sensors", takes="equipment.edit", create=DefaultLaid,
    partial_update=DefaultSays, destroy=None,
    example={"action": "partial_update", "items": [{"id": 5, "high": 80.0}]},
)  # fmt: skip
@documented("sensors", "sensor default", "sensor defaults")
class SensorDefaults(Scoped):
    class DefaultOut(serializers.ModelSerializer[SensorDefault]):
        class Meta:
            model = SensorDefault
            fields = [
                "id", *sensor_defaults.SCOPE, *sensor_defaults.SETTINGS, "revision", "updated_by", "updated_at",
            ]  # fmt: skip

    policy = edited_by("equipment.edit")
    queryset = SensorDefault.objects.all()
    serializer_class = DefaultOut
    filterset_class = DefaultFilter

    @extend_schema(
        tags=["sensors"], summary="Lay down a sensor default", request=DefaultLaid, responses={201: DefaultOut},
        description="For a scope that has none yet; it holds at once for its sensors that say nothing else themselves. "
        "Refused where it does not go with what is set on one of them.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = DefaultLaid(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        row = SensorDefault(site_id=body.validated_data.pop("site"), **body.validated_data)
        user = access.user_of(request)
        policy.require(self, row.site_id)
        with _told():
            sensor_defaults.save(row, actor=user)
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(
        tags=["sensors"], summary="Change a sensor default", request=DefaultSays(partial=True),
        responses={200: DefaultOut},
        description="What it says (null: nothing); what it is for stays.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        body = DefaultSays(row, data=request.data, partial=True, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        user = access.user_of(request)
        policy.require(self, row.site_id)
        with _told():
            sensor_defaults.change(row, body.validated_data, actor=user)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        tags=["sensors"], summary="Delete a sensor default", responses={204: None},
        description="Its sensors get what else holds for them.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        with _told():
            sensor_defaults.delete(row, actor=user)
        return Response(status=204)
