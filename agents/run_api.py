"""The flow's own record over REST: runs, what they carry, and what becomes of those that were set aside."""

from __future__ import annotations

import itertools
from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import dead_letters, doorbell
from agents.models import Run, StageAttempt
from sensors import access, columns
from sensors.contract import Contract
from sensors.policy import installation
from sensors.problems import Problem

MOST_READINGS = 1_000


class RunFilter(django_filters.FilterSet):
    class Meta:
        model = Run
        fields = ["status", "stage", "lane", "cause"]


class Standing(serializers.Serializer[Any]):
    """Where a run stands after what was asked."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(Run.Status.choices)


class Runs(Contract, viewsets.ReadOnlyModelViewSet[Run]):
    """Runs of the flow; lanes are shared by sites, so only administrators of the installation see them."""

    class RunOut(serializers.ModelSerializer[Run]):
        class Meta:
            model = Run
            fields = [
                "id", "lane", "status", "stage", "attempts", "readings", "split_from", "error_class", "error", "cause",
                "payload_sha256", "resolution", "created_at", "finished_at",
            ]  # fmt: skip

    class RunDetail(RunOut):
        class RunAttempt(serializers.ModelSerializer[StageAttempt]):
            class Meta:
                model = StageAttempt
                fields = ["stage", "outcome", "worker", "started_at", "ended_at", "error_class", "error"]

        stage_attempts = RunAttempt(many=True)

        class Meta:
            model = Run
            fields = [
                "id", "lane", "status", "stage", "attempts", "readings", "split_from", "error_class", "error", "cause",
                "payload_sha256", "resolution", "created_at", "finished_at", "stage_attempts",
            ]  # fmt: skip

    class PartPayload(serializers.Serializer[Any]):
        class Item(serializers.Serializer[Any]):
            sensor = serializers.IntegerField()
            measured_at = serializers.DateTimeField()
            value = serializers.FloatField()

        part = serializers.IntegerField()
        batch = serializers.UUIDField()
        site = serializers.CharField()
        state = serializers.CharField()
        error = serializers.CharField()
        count = serializers.IntegerField()
        unreadable = serializers.CharField(help_text="Why the stored bytes cannot be read; empty where they can.")
        readings = Item(many=True, help_text=f"The first {MOST_READINGS}.")

    class Discarding(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=2_000, help_text="Kept with the run.")

    policy = installation("discard", "payload", "replay")
    queryset = Run.objects.defer("verdicts", "findings")
    filterset_class = RunFilter

    def get_serializer_class(self) -> Any:
        return self.RunOut if self.action == "list" else self.RunDetail

    @extend_schema(
        tags=["runs"],
        summary="List runs",
        description="Of all lanes, newest first.",
        responses={200: RunOut(many=True)},
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        tags=["runs"],
        summary="One run with its attempts",
        description="What each attempt at each stage came to.",
        responses={200: RunDetail},
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        tags=["runs"],
        summary="Replay a run that was set aside",
        description="It goes on at the stage where it failed; what it had done stays done. A discarded one comes back.",
        request=None,
        responses={202: Standing},
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        try:
            lane = dead_letters.replay(run.pk, actor=access.user_of(request).get_username())
        except dead_letters.NotReplayable as error:
            raise Problem("conflict", str(error)) from error
        doorbell.ring_lanes([lane])
        return Response({"id": run.pk, "status": Run.Status.REPLAY}, status=202)

    @extend_schema(
        tags=["runs"],
        summary="Discard a failed run",
        description="Give up on what it carries, with a reason. It stays, and a replay takes it back.",
        request=Discarding,
        responses={200: Standing},
    )
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        asked = self.Discarding(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            dead_letters.discard(
                run.pk, actor=access.user_of(request).get_username(), reason=asked.validated_data["reason"]
            )
        except dead_letters.NotDiscardable as error:
            raise Problem("conflict", str(error)) from error
        return Response({"id": run.pk, "status": Run.Status.DISCARDED})

    @extend_schema(
        tags=["runs"],
        summary="What a run carries",
        description=f"Its parts as they came, at most {dead_letters.MOST_PARTS}.",
        responses={200: PartPayload(many=True)},
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def payload(self, request: Request, pk: str) -> Response:
        run = self.get_object()
        return Response([_payload(held) for held in dead_letters.payload(run.pk)])


def _payload(held: dead_letters.Payload) -> dict[str, Any]:
    part, readings = held.part, held.readings
    items = [] if readings is None else zip(readings.sensor, readings.at, readings.value, strict=True)
    return {
        "part": part.pk,
        "batch": part.batch_id,
        "site": part.batch.site.slug,
        "state": part.state,
        "error": part.error,
        "count": part.readings,
        "unreadable": held.told,
        "readings": [
            {"sensor": int(sensor), "measured_at": columns.to_instant(int(at)), "value": float(value)}
            for sensor, at, value in itertools.islice(items, MOST_READINGS)
        ],
    }
