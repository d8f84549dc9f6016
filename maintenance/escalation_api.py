"""Escalations that run and ran, and the chains they follow, over REST."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import escalations
from maintenance.api import Acting, example
from maintenance.escalation_models import Chain, ChainStep, Escalation, Rota
from maintenance.escalation_view import CallOut
from maintenance.models import Channel, Reader
from maintenance.owned_api import Mine, Owned, written
from sensors.api import Filters
from sensors.models import Site
from sensors.policy import READS, edited_by, takes
from sensors.schema import documented

MOST_STEPS = 50


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
        calls = CallOut(many=True)
        plan = StepOut(many=True, help_text="The steps as they were when it began.")

        class Meta:
            model = Escalation
            fields = [
                "id", "site", "alarm", "chain", "chain_name", "priority", "plan", "step", "called", "due_at",
                "started_at", "ended_at", "ended", "stopped_by", "stop_reason", "calls",
            ]  # fmt: skip

    policy = READS | takes("alarms.act", "stop")
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


class ChainFilter(Filters):
    class Meta:
        model = Chain
        fields = ["site", "name", "lowest_priority", "is_enabled"]


class ChainStepIn(serializers.ModelSerializer[ChainStep]):
    """Whom a chain calls: a person, a channel or whoever is on call in a rota, one of the three."""

    reader = Mine(queryset=Reader.objects.all(), required=False, allow_null=True, help_text="Id of a person.")
    channel = Mine(queryset=Channel.objects.all(), required=False, allow_null=True)
    rota = Mine(queryset=Rota.objects.all(), required=False, allow_null=True)

    class Meta:
        model = ChainStep
        fields = ["reader", "channel", "rota", "medium", "after_minutes", "times", "every_minutes"]
        validators: list[Any] = []


@example(
    site=1, name="Night", lowest_priority="HIGH",
    steps=[
        {"rota": 1, "after_minutes": 10, "times": 2, "every_minutes": 5},
        {"reader": 4, "after_minutes": 15, "medium": "SERVICE"},
        {"channel": 2, "after_minutes": 30, "times": None, "every_minutes": 60},
    ],
)  # fmt: skip
class ChainIn(serializers.ModelSerializer[Chain]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    steps = ChainStepIn(  # type: ignore[call-arg]  # the list takes it
        many=True, allow_empty=False, max_length=MOST_STEPS, help_text="The first is called first."
    )

    class Meta:
        model = Chain
        fields = ["site", "name", "lowest_priority", "is_enabled", "steps"]
        validators: list[Any] = []


class ChainOut(serializers.ModelSerializer[Chain]):
    class ChainStepOut(serializers.ModelSerializer[ChainStep]):
        class Meta:
            model = ChainStep
            fields = ["reader", "channel", "rota", "medium", "after_minutes", "times", "every_minutes"]

    steps = ChainStepOut(many=True)

    class Meta:
        model = Chain
        fields = ["id", "site", "name", "lowest_priority", "is_enabled", "steps", "changed_at", "created_at"]


@written(
    "alarms", "an escalation chain", form=ChainIn, shown=ChainOut, add="With its steps, in their order.",
    change="Steps that are given take the place of all there are. What runs goes on as it began.",
    delete="What runs goes on as it began.",
)  # fmt: skip
@documented("alarms", "escalation chain", "escalation chains")
class Chains(Owned):
    policy = edited_by("notices.edit")
    queryset = Chain.objects.prefetch_related("steps")
    serializer_class = ChainOut
    filterset_class = ChainFilter
    form = ChainIn
