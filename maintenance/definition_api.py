"""Alarm definitions over REST: read by members of the site, laid down by its administrators."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import definition_book
from maintenance.definition_models import AlarmDefinition
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Equipment
from sensors.policy import edited_by
from sensors.schema import documented


class DefinitionFilter(Filters):
    class Meta:
        model = AlarmDefinition
        fields = [
            "site", "machine", "equipment_class", "sensor_kind", "anomaly_kind", "failure_mode", "priority", "latching",
        ]  # fmt: skip


class Guidance(serializers.ModelSerializer[AlarmDefinition]):
    """What people laid down for an alarm."""

    class Meta:
        model = AlarmDefinition
        fields = ["id", "revision", "cause", "consequence", "response", "respond_within_minutes", "latching"]


class Said(serializers.ModelSerializer[AlarmDefinition]):
    class Meta:
        model = AlarmDefinition
        fields = [*definition_book.SAYS]
        validators: list[Any] = []


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Example",
            {
                "site": 1, "equipment_class": "PUMP", "sensor_kind": "VIBRATION", "priority": "HIGH",
                "cause": "Worn bearing, misalignment.", "consequence": "The shaft seizes within days.",
                "response": "Measure at each bearing; plan the change.", "respond_within_minutes": 480,
                "re_alarm_seconds": 14400, "re_alarm_count": 3,
            },
            request_only=True,
        )
    ]
)  # fmt: skip
class Laid(Said):
    site = serializers.IntegerField(help_text="Id of a site of yours.")
    machine = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text="Id of a machine: for it alone; without: for all."
    )

    class Meta(Said.Meta):
        fields = [*definition_book.SCOPE, *definition_book.SAYS]

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        """The ids, if whoever asks may see the rows: whether a row of another site exists is not told."""
        user = access.user_of(self.context["request"])
        site_id, machine_id = said.pop("site"), said.pop("machine")
        if not access.sites(user).filter(pk=site_id).exists():
            raise serializers.ValidationError({"site": f"There is no site {site_id} among yours."})
        machines = Equipment.objects.filter(site=site_id, level=Equipment.Level.MACHINE)
        if machine_id is not None and not machines.filter(pk=machine_id).exists():
            raise serializers.ValidationError({"machine": f"There is no machine {machine_id} in this site."})
        return said | {"site_id": site_id, "machine_id": machine_id}


@documented("alarms", "alarm definition", "alarm definitions")
class AlarmDefinitions(Scoped):
    class DefinitionOut(serializers.ModelSerializer[AlarmDefinition]):
        class Meta:
            model = AlarmDefinition
            fields = [
                "id", *definition_book.SCOPE, *definition_book.SAYS, "revision", "updated_by", "updated_at",
                "created_at",
            ]  # fmt: skip

    policy = edited_by("alarms.edit")
    queryset = AlarmDefinition.objects.all()
    serializer_class = DefinitionOut
    filterset_class = DefinitionFilter

    @extend_schema(
        tags=["alarms"], summary="Lay down an alarm definition", request=Laid, responses={201: DefinitionOut},
        description="For a scope that has none yet. It holds for what is decided from then on.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = Laid(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return Response(self._save(request, AlarmDefinition(**body.validated_data)), status=201)

    @extend_schema(
        tags=["alarms"], summary="Change an alarm definition", request=Said(partial=True),
        responses={200: DefinitionOut},
        description="What it says; what it is for stays as it is.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        body = Said(row, data=request.data, partial=True, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        for name, value in body.validated_data.items():
            setattr(row, name, value)
        return Response(self._save(request, row))

    @extend_schema(
        tags=["alarms"], summary="Delete an alarm definition", responses={204: None},
        description="Alarms that stand keep their priority.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        definition_book.delete(row, actor=user)
        return Response(status=204)

    def _save(self, request: Request, row: AlarmDefinition) -> Any:
        user = access.user_of(request)
        policy.require(self, row.site_id)
        try:
            saved = definition_book.save(row, actor=user)
        except ValidationError as error:
            told = {("non_field_errors" if k == NON_FIELD_ERRORS else k): v for k, v in error.message_dict.items()}
            raise serializers.ValidationError(told) from error
        return self.get_serializer(saved).data
