"""Escalations, and who is on call, over REST."""

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

from maintenance import escalations, on_call
from maintenance.api import Acting, example
from maintenance.escalation_models import Call, Escalation, Rota
from sensors.api import Filters, Scoped
from sensors.schema import documented


@example(reason="The line is down for the drill; the shift leader knows.")
class Reason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2_000)


class StepOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["reader", "channel", "rota"], help_text="What ``target`` is the id of.")
    target = serializers.IntegerField()
    name = serializers.CharField()
    after_minutes = serializers.IntegerField()
    times = serializers.IntegerField(allow_null=True, help_text="Empty: until acknowledged.")
    every_minutes = serializers.IntegerField()
    medium = serializers.CharField(help_text="The kind of channel; empty: all of the person's.")


class EscalationFilter(Filters):
    running = django_filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull", label="Whether it runs now.")

    class Meta:
        model = Escalation
        fields = ["site", "alarm", "chain", "priority", "ended"]


@documented("alarms", "escalation", "escalations")
class Escalations(Acting):
    class EscalationOut(serializers.ModelSerializer[Escalation]):
        class CallOut(serializers.ModelSerializer[Call]):
            class Meta:
                model = Call
                fields = ["step", "time", "due_at", "at", "outcome", "whom"]

        calls = CallOut(many=True)
        plan = StepOut(many=True, help_text="The steps as they were when it began.")

        class Meta:
            model = Escalation
            fields = [
                "id", "site", "alarm", "chain", "chain_name", "priority", "plan", "step", "called", "due_at",
                "started_at", "ended_at", "ended", "stopped_by", "stop_reason", "calls",
            ]  # fmt: skip

    queryset = Escalation.objects.prefetch_related("calls")
    serializer_class = EscalationOut
    filterset_class = EscalationFilter

    @extend_schema(
        tags=["alarms"], summary="Stop an escalation", request=Reason, responses={200: EscalationOut},
        description="Nobody else is told, until the alarm becomes active anew or worse. Says why.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        return self.act(request, escalations.stop, form=Reason)


class PersonOut(serializers.Serializer[Any]):
    reader = serializers.IntegerField(source="pk")
    user = serializers.IntegerField(source="user_id")
    name = serializers.CharField(source="user.get_username")


class OnCall(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    persons = PersonOut(many=True, source="readers")
    until = serializers.DateTimeField(allow_null=True, help_text="When that changes; empty: not within five weeks.")


class When(serializers.Serializer[Any]):
    at = serializers.DateTimeField(required=False, help_text="An instant; now where it is not given.")


def _on_call(rota: Rota, at: datetime) -> dict[str, Any]:
    duty = on_call.duty(rota, at=at)
    return dict(OnCall({"at": at, "readers": duty.readers, "until": duty.until}).data)


@documented("alarms", "on-call rota", "on-call rotas")
class Rotas(Scoped):
    class RotaOut(serializers.ModelSerializer[Rota]):
        time_zone = serializers.SerializerMethodField(help_text="In which its shifts are written down.")
        on_call = serializers.SerializerMethodField(help_text="Who is, now.")

        class Meta:
            model = Rota
            fields = ["id", "site", "name", "time_zone", "on_call"]

        def get_time_zone(self, row: Rota) -> str:
            return on_call.zone_of(row).key

        @extend_schema_field(OnCall)
        def get_on_call(self, row: Rota) -> dict[str, Any]:
            return _on_call(row, timezone.now())

    class RotaFilter(Filters):
        class Meta:
            model = Rota
            fields = ["site", "name"]

    queryset = on_call.with_people(Rota.objects.all())
    serializer_class = RotaOut
    filterset_class = RotaFilter

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
