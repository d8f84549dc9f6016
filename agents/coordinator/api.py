"""The agents and their health over REST, for who looks after the installation."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents.coordinator import roll_call
from agents.coordinator.table import AGENTS
from agents.coordinator.verdict import Status
from sensors.contract import Contract
from sensors.permissions import INSTALLATION
from sensors.policy import by_method


class AgentsOut(serializers.Serializer[Any]):
    class AgentHealth(serializers.Serializer[Any]):
        name = serializers.ChoiceField([agent.name for agent in AGENTS])
        does = serializers.CharField()
        reads = serializers.ListField(child=serializers.CharField(), help_text="Events of the journal, or rows.")
        writes = serializers.ListField(child=serializers.CharField())
        run_by = serializers.CharField()
        status = serializers.ChoiceField([str(one) for one in Status])
        why = serializers.CharField()
        since = serializers.DateTimeField(
            allow_null=True, help_text="Late: when it was due. Failing: the first failure. Else: the last success."
        )
        last_success_at = serializers.DateTimeField(allow_null=True)
        rate_per_hour = serializers.FloatField(help_text="What succeeded, by the last hour.")
        done = serializers.IntegerField(help_text="Succeeded within the last hour, of the newest lines on record.")
        failed = serializers.IntegerField(help_text="Failed within the last hour, of the newest lines on record.")
        last_error = serializers.CharField(allow_blank=True)
        lag_seconds = serializers.FloatField(help_text="How long what is due first has been due.")
        waiting = serializers.IntegerField(help_text="What is due and in nobody's hands.")

    agents = AgentHealth(many=True)


class Agents(Contract):
    policy = by_method(get=INSTALLATION)

    @extend_schema(
        tags=["operation"], summary="The agents and how they are", responses={200: AgentsOut},
        description="What each agent does, which events it reads and writes, and its health from what is on record: "
        "working, idle, late (due for longer than its limit, and nobody tried) or failing (nothing succeeded since).",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(AgentsOut({"agents": [roll_call.plain(health) for health in roll_call.call()]}).data)
