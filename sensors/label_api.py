"""Labels and regimes over REST: what people know of machines and their readings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import access, labels, policy, regimes
from sensors.api import Filters, Scoped
from sensors.bulk import in_bulk
from sensors.models import Equipment, Label, Regime, Sensor
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

MOST_TEXT = 5_000
TOLD = ("id", "site", "machine", "sensor", "created_by", "created_at", "retracted_by", "retracted_at")
SAME = "The same twice is one: the second answer is 200, with the row that is there."


class Place(serializers.Serializer[Any]):
    """A machine, or a sensor: its machine is known."""

    machine = serializers.IntegerField(required=False, help_text="Id of a machine; may be left out with a sensor.")
    sensor = serializers.IntegerField(
        required=False, allow_null=True, default=None, help_text="Id of a sensor; without it: all of the machine's."
    )

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        """The rows of the ids, among those whoever asks may see."""
        user = access.user_of(self.context["request"])
        sensor_id, machine_id = said.get("sensor"), said.get("machine")
        sensor = (
            None if sensor_id is None else _one(Sensor.objects.select_related("machine"), user, "sensor", sensor_id)
        )
        if sensor is None and machine_id is None:
            raise serializers.ValidationError("Name a machine or a sensor.")
        if machine_id is None:
            machine = sensor.machine if sensor is not None else None
        else:
            machine = _one(Equipment.objects.all(), user, "machine", machine_id)
        return said | {"machine": machine, "sensor": sensor}


def _one(rows: QuerySet[Any], user: Any, name: str, key: int) -> Any:
    found = access.scope(rows, user).filter(pk=key).first()
    if found is None:
        raise serializers.ValidationError({name: f"There is no {name} {key} in your sites."})
    return found


def example(**body: Any) -> Any:
    """How a body may look, for the OpenAPI description."""
    return extend_schema_serializer(examples=[OpenApiExample("Example", body, request_only=True)])


class ToldOf(Scoped):
    """Rows that people add and retract, and nobody changes."""

    def add(self, request: Request, form: type[serializers.Serializer[Any]], write: Callable[..., Any]) -> Response:
        body = form(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        user = access.user_of(request)
        policy.require(self, said["machine"].site_id)
        try:
            row, is_new = write(**said, actor=user)
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from error
        except labels.AlreadyLabelled as error:
            raise Problem("conflict", str(error)) from error
        return Response(self.get_serializer(row).data, status=201 if is_new else 200)

    def take_back(self, request: Request, write: Callable[..., Model]) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        try:
            done = write(row.pk, actor=user)
        except (labels.AlreadyRetracted, regimes.AlreadyRetracted) as error:
            raise Problem("conflict", str(error)) from error
        return Response(self.get_serializer(done).data)


class ToldFilter(Filters):
    retracted = django_filters.BooleanFilter(
        field_name="retracted_at", lookup_expr="isnull", exclude=True, label="Whether it was retracted."
    )


class LabelFilter(ToldFilter):
    ends_after = django_filters.IsoDateTimeFilter(
        field_name="to_at", lookup_expr="gte", label="With starts_before: labels whose window touches a period."
    )
    starts_before = django_filters.IsoDateTimeFilter(field_name="from_at", lookup_expr="lt")

    class Meta:
        model = Label
        fields = ["site", "machine", "sensor", "kind", "failure_mode"]


@in_bulk(
    "label", "labels", tag="labels", takes="labels.edit", create="LabelIn", retract=None,
    example={"action": "create", "items": [{"sensor": 7, "kind": "EXPECTED", "from_at": "2026-03-01T12:00:00Z",
             "to_at": "2026-03-01T15:20:00Z"}]},
)  # fmt: skip
@documented("labels", "label", "labels")
class Labels(ToldOf):
    class LabelOut(serializers.ModelSerializer[Label]):
        class Meta:
            model = Label
            fields = [*TOLD, "kind", "from_at", "to_at", "failure_mode", "note"]

    @example(
        sensor=7, from_at="2026-03-01T12:00:00Z", to_at="2026-03-01T15:20:00Z", kind="FAULT", failure_mode="VIB",
        note="Bearing worn on the drive side.",
    )  # fmt: skip
    class LabelIn(Place):
        from_at = serializers.DateTimeField(help_text="First instant of the window.")
        to_at = serializers.DateTimeField(help_text="Last instant of the window; it belongs to it.")
        kind = serializers.ChoiceField(Label.Kind.choices)
        failure_mode = serializers.CharField(
            required=False, allow_blank=True, default="", max_length=3, help_text="Of a fault, where it is known."
        )
        note = serializers.CharField(required=False, allow_blank=True, default="", max_length=MOST_TEXT)

    policy = READS | takes("labels.edit", "create", "retract")
    queryset = Label.objects.all()
    serializer_class = LabelOut
    filterset_class = LabelFilter

    @extend_schema(
        tags=["labels"], summary="Label a window", request=LabelIn, responses={200: LabelOut, 201: LabelOut},
        description="Says what was true of a window of a machine's or sensor's readings. Readings in a window that is "
        f"labelled as a fault teach the detectors nothing. A window has one label at a time. {SAME}",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.add(request, self.LabelIn, labels.add)

    @extend_schema(
        tags=["labels"], summary="Retract a label", request=None, responses={200: LabelOut},
        description="It holds no longer, and stays in the list with who retracted it.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def retract(self, request: Request, pk: str) -> Response:
        return self.take_back(request, labels.retract)


class RegimeFilter(ToldFilter):
    since_after = django_filters.IsoDateTimeFilter(field_name="since", lookup_expr="gte")
    since_before = django_filters.IsoDateTimeFilter(field_name="since", lookup_expr="lt")

    class Meta:
        model = Regime
        fields = ["site", "machine", "sensor"]


@in_bulk(
    "regime", "regimes", tag="regimes", takes="labels.edit", create="RegimeIn", retract=None,
    example={"action": "create", "items": [{"machine": 3, "since": "2026-03-02T06:00:00Z", "reason": "New impeller."}]},
)  # fmt: skip
@documented("regimes", "regime", "regimes")
class Regimes(ToldOf):
    class RegimeOut(serializers.ModelSerializer[Regime]):
        class Meta:
            model = Regime
            fields = [*TOLD, "since", "reason"]

    @example(machine=3, since="2026-03-02T06:00:00Z", reason="New impeller; runs at 1,480 rpm from now on.")
    class RegimeIn(Place):
        since = serializers.DateTimeField(help_text="First instant of the new normal.")
        reason = serializers.CharField(max_length=MOST_TEXT)

    policy = READS | takes("labels.edit", "create", "retract")
    queryset = Regime.objects.all()
    serializer_class = RegimeOut
    filterset_class = RegimeFilter

    @extend_schema(
        tags=["regimes"], summary="Declare the new normal", request=RegimeIn,
        responses={200: RegimeOut, 201: RegimeOut},
        description="From that instant on what the machine or sensor does is normal: its detectors forget what they "
        f"learned before and warm up anew, and anomalies that they had open end. {SAME}",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.add(request, self.RegimeIn, regimes.declare)

    @extend_schema(
        tags=["regimes"], summary="Retract a regime", request=None, responses={200: RegimeOut},
        description="It is in force no longer. What was forgotten for it does not come back.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def retract(self, request: Request, pk: str) -> Response:
        return self.take_back(request, regimes.retract)
