"""The health index of machines over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents import health
from agents.health import Health
from agents.health_index import CAPS, LEVELS, WEIGHTS
from sensors import access
from sensors.api import Filters
from sensors.contract import Contract
from sensors.models import Equipment
from sensors.permissions import READ
from sensors.policy import READS, by_method

ABOUT = "0 to 100, the weighted mean of the parts that are known, and no higher than the worst open alarm allows."


class HealthOut(serializers.Serializer[Any]):
    class HealthPart(serializers.Serializer[Any]):
        name = serializers.ChoiceField(list(WEIGHTS))
        weight = serializers.FloatField()
        value = serializers.FloatField(allow_null=True, help_text="0 to 100; null = unknown.")
        words = serializers.CharField(help_text="What it was made of.")

    id = serializers.IntegerField(help_text="Of the machine.")
    site = serializers.IntegerField()
    tag = serializers.CharField()
    index = serializers.FloatField(allow_null=True, help_text="0 to 100; null = unknown.")
    level = serializers.ChoiceField([*(name for _, name in LEVELS), "unknown"])
    limited_by = serializers.ChoiceField(
        list(CAPS), allow_blank=True, help_text="Priority of the open alarm that holds it down; empty where none does."
    )
    alarms = serializers.CharField(help_text="Open alarms by priority.")
    parts = HealthPart(many=True)
    at = serializers.DateTimeField(help_text="When that was so.")


class MachineFilter(Filters):
    class Meta:
        model = Equipment
        fields = ["site", "parent", "criticality", "tag"]


class FleetHealth(mixins.ListModelMixin, Contract, viewsets.GenericViewSet[Equipment]):
    policy = READS
    queryset = Equipment.objects.filter(level=Equipment.Level.MACHINE)
    filterset_class = MachineFilter
    serializer_class = HealthOut

    def get_queryset(self) -> Any:
        return access.scope(super().get_queryset(), access.user_of(self.request))

    @extend_schema(
        tags=["equipment"], summary="Health of machines", responses={200: HealthOut(many=True)},
        description=f"Of the machines of your sites, by pages. {ABOUT}",
    )  # fmt: skip
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        machines = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(told(list(machines or ())))


class EquipmentHealth(Contract):
    policy = by_method(get=READ)

    @extend_schema(
        tags=["equipment"], summary="Health of a machine", responses={200: HealthOut}, description=ABOUT,
        parameters=[OpenApiParameter("id", int, OpenApiParameter.PATH)],
    )  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        machines = Equipment.objects.filter(level=Equipment.Level.MACHINE)
        machine = get_object_or_404(access.scope(machines, access.user_of(request)), pk=pk)
        return Response(told([machine])[0])


def told(machines: list[Equipment]) -> list[dict[str, Any]]:
    now = timezone.now()
    found = health.of(machines, now=now)
    return [plain(machine, found[machine.pk]) | {"at": now} for machine in machines]


def plain(machine: Equipment, found: Health) -> dict[str, Any]:
    index: Mapping[str, float | None] = found.index.parts
    return {
        "id": machine.pk,
        "site": machine.site_id,
        "tag": machine.tag,
        "index": _rounded(found.index.value),
        "level": found.index.level,
        "limited_by": found.index.limited_by,
        "alarms": found.words["alarms"],
        "parts": [
            {"name": name, "weight": weight, "value": _rounded(index[name]), "words": found.words[name]}
            for name, weight in WEIGHTS.items()
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
