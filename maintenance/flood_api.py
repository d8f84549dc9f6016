"""Floods over REST: which there were, and which alarm of each came first."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import first_out
from maintenance.alarm_life import State
from maintenance.flood_models import Flood
from maintenance.models import Alarm
from sensors.api import Filters, Scoped
from sensors.paging import ByNumberPagination
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.schema import documented


class FloodFilter(Filters):
    lasting = django_filters.BooleanFilter(field_name="ended_at", lookup_expr="isnull", label="Whether it lasts now.")
    began_after = django_filters.IsoDateTimeFilter(field_name="began_at", lookup_expr="gte")
    began_before = django_filters.IsoDateTimeFilter(field_name="began_at", lookup_expr="lt")

    class Meta:
        model = Flood
        fields = ["site"]


@documented("alarms", "flood", "floods")
class Floods(Scoped):
    class FloodOut(serializers.ModelSerializer[Flood]):
        class Meta:
            model = Flood
            fields = ["id", "site", "began_at", "ended_at", "activations"]

    class FloodAlarm(serializers.ModelSerializer[Alarm]):
        tag = serializers.CharField(source="machine.tag")
        state = serializers.ChoiceField([state.value for state in State])
        first_at = serializers.DateTimeField(help_text="When it became active first in the flood, in event time.")
        machine_first_at = serializers.DateTimeField(help_text="The same of the first alarm of its machine.")
        activations = serializers.IntegerField(help_text="How often it became active in the flood.")

        class Meta:
            model = Alarm
            fields = [
                "id", "machine", "tag", "failure_mode", "priority", "state", "first_at", "machine_first_at",
                "activations",
            ]  # fmt: skip

    policy = READS | takes(READ, "alarms")
    queryset = Flood.objects.all()
    serializer_class = FloodOut
    filterset_class = FloodFilter

    @extend_schema(
        tags=["alarms"], summary="Alarms of a flood, first out", responses=FloodAlarm(many=True), filters=False,
        description="By machine, machines in the order of their first alarm, the alarms of each in the order in which "
        "they came.",
    )  # fmt: skip
    @action(detail=True, pagination_class=ByNumberPagination, filterset_class=None)
    def alarms(self, request: Request, pk: str) -> Response:
        rows = first_out.of_flood(self.get_object()).select_related("machine")
        return self.get_paginated_response(self.FloodAlarm(self.paginate_queryset(rows), many=True).data)
