"""Trainings over REST: asked for, looked at, done again."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents import doorbell
from agents.doorbell import Bell
from agents.trainings import requests
from mlops import owners
from mlops.models import Training
from sensors import access
from sensors.api import Filters
from sensors.contract import Contract
from sensors.policy import READS, by_method, takes
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
    """A model by its name, or that of a site and a class."""

    model = serializers.CharField(max_length=100, required=False)
    site = serializers.SlugField(
        required=False, help_text="In place of a model: whose stored readings are learned from."
    )
    equipment_class = serializers.CharField(max_length=50, required=False, help_text="Of the site's machines.")
    look_back_days = serializers.IntegerField(
        required=False,
        help_text="So many days up to the newest reading are learned from, from now on (90).",
    )
    incremental = serializers.BooleanField(
        required=False, help_text="Show the champion of the site what was labelled since, instead of training anew."
    )
    seconds = serializers.FloatField(required=False, help_text="For the search of hyper-parameters; 0: none.")
    seed = serializers.IntegerField(required=False, help_text="Of everything that is drawn by lot (1).")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "model" in attrs and "site" in attrs:
            raise serializers.ValidationError({"site": "Name a model or a site, not both."})
        if "model" not in attrs and "site" not in attrs:
            raise serializers.ValidationError({"model": "Name a model, or a site and an equipment_class."})
        of_site = [name for name in ("equipment_class", "look_back_days") if name in attrs]
        if "site" not in attrs and of_site:
            raise serializers.ValidationError({of_site[0]: "It goes with a site."})
        if "site" in attrs and "equipment_class" not in attrs:
            raise serializers.ValidationError({"equipment_class": "Name the class of the site's machines."})
        return attrs


class Retrain(Contract):
    policy = by_method(post="models.train")
    looks_up = True

    @extend_schema(
        tags=["ml"], summary="Train a model", request=TrainingIn, responses={202: TrainingOut},
        description="A worker does it: look at `status_url` until `status` is DONE or FAILED. What comes of it speaks "
        "only if it is better than the baselines and the champion. The model of a site and a class of its machines is "
        "trained on what is stored there, by administrators of the site; all others by those of the installation.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        body = TrainingIn(data=request.data)
        body.is_valid(raise_exception=True)
        said, user = dict(body.validated_data), access.user_of(request)
        try:
            name = _model(said, user)
            row = requests.ask(name, cause=Training.Cause.PERSON, actor=user, options=said)
        except requests.Refused as error:
            if not error.field:
                raise Problem("conflict", str(error)) from error
            raise serializers.ValidationError({error.field.replace("name", "model"): str(error)}) from error
        return accepted(row, request)


def _model(said: dict[str, Any], user: User) -> str:
    """The name of what is to be trained; what named it is taken away. Raises a ``Problem`` where they may not."""
    if "site" in said:
        slug = said.pop("site")
        site = access.sites(user).filter(slug=slug).first()
        if site is None:
            raise Problem("not-found", f"There is no site {slug!r} among yours.")
        access.require(user, site.pk, to="models.train")
        return requests.model_of(site, said.pop("equipment_class"), look_back_days=said.pop("look_back_days", None))
    name = str(said.pop("model"))
    owners.require(user, name, to="models.train")
    return name


@extend_schema_view(
    list=extend_schema(
        tags=["ml"],
        summary="List trainings",
        description="Of the models of one's sites, or of all for who looks after the installation. The newest first.",
    ),
    retrieve=extend_schema(tags=["ml"], summary="One training", description="How far it is, and what came of it."),
)
class Trainings(mixins.ListModelMixin, mixins.RetrieveModelMixin, Contract, viewsets.GenericViewSet[Training]):
    policy = READS | takes("models.train", "again")
    queryset = Training.objects.select_related("version")
    serializer_class = TrainingOut
    filterset_class = TrainingFilter

    def get_queryset(self) -> QuerySet[Training]:
        return owners.of_their_sites(super().get_queryset(), access.user_of(self.request))

    @extend_schema(
        tags=["ml"], summary="Do a failed training again", request=None, responses={202: TrainingOut},
        description="One that has not failed is left as it is: 409.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        owners.require(access.user_of(request), row.name, to="models.train")
        try:
            requests.again(row.pk)
        except requests.Refused as error:
            raise Problem("conflict", str(error)) from error
        row.refresh_from_db()
        return accepted(row, request)


def accepted(row: Training, request: Request) -> Response:
    doorbell.ring_when_stored(Bell("train", row.pk))
    return Response(TrainingOut(row, context={"request": request}).data, status=202)
