"""Trainings over REST: asked for, looked at, done again."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from agents import doorbell
from agents.doorbell import Bell
from agents.trainings import requests
from mlops.models import Training
from sensors import access
from sensors.api import Filters
from sensors.problems import Problem


class TrainingFilter(Filters):
    class Meta:
        model = Training
        fields = ["name", "status", "cause"]


class TrainingOut(serializers.ModelSerializer[Training]):
    status_url = serializers.SerializerMethodField()
    version = serializers.SerializerMethodField(help_text="Of the model that it made.")

    class Meta:
        model = Training
        fields = [
            "id", "name", "cause", "options", "status", "step", "done_share", "reason", "version", "status_url",
            "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_status_url(self, row: Training) -> str:
        return str(reverse("ml-training-detail", args=[row.pk], request=self.context["request"]))

    def get_version(self, row: Training) -> int | None:
        return row.version.version if hasattr(row, "version") else None


class TrainingIn(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=100)
    seconds = serializers.FloatField(required=False, help_text="For the search of hyper-parameters; 0: none.")
    seed = serializers.IntegerField(required=False, help_text="Of everything that is drawn by lot (1).")


class Retrain(APIView):
    permission_classes = [access.IsSuperuser]

    @extend_schema(
        tags=["ml"], summary="Train a model", request=TrainingIn, responses={202: TrainingOut},
        description="A worker does it: look at `status_url` until `status` is DONE or FAILED. What comes of it speaks "
        "only if it is better than the baselines and the champion.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        body = TrainingIn(data=request.data)
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        name = said.pop("model")
        try:
            row = requests.ask(name, cause=Training.Cause.PERSON, actor=access.user_of(request), options=said)
        except requests.Refused as error:
            if not error.field:
                raise Problem("conflict", str(error)) from error
            raise serializers.ValidationError({error.field.replace("name", "model"): str(error)}) from error
        return accepted(row, request)


@extend_schema_view(
    list=extend_schema(tags=["ml"], summary="List trainings", description="Of all models, the newest first."),
    retrieve=extend_schema(tags=["ml"], summary="One training", description="How far it is, and what came of it."),
)
class Trainings(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Training]):
    permission_classes = [access.IsSuperuser]
    queryset = Training.objects.select_related("version")
    serializer_class = TrainingOut
    filterset_class = TrainingFilter

    @extend_schema(
        tags=["ml"], summary="Do a failed training again", request=None, responses={202: TrainingOut},
        description="One that has not failed is left as it is: 409.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        try:
            requests.again(row.pk)
        except requests.Refused as error:
            raise Problem("conflict", str(error)) from error
        row.refresh_from_db()
        return accepted(row, request)


def accepted(row: Training, request: Request) -> Response:
    doorbell.ring(Bell("train", row.pk))
    return Response(TrainingOut(row, context={"request": request}).data, status=202)
