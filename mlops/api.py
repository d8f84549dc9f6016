"""Models over REST: which there are, their versions, who speaks and who spoke; promoted and rolled back."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mlops import ledger, owners, predictions
from mlops.models import Deployment, ModelPolicy, ModelVersion, Prediction
from sensors import access
from sensors.api import Filters, Scoped
from sensors.contract import Contract
from sensors.paging import ByIdPagination, ByNumberPagination
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.problems import Problem

VERSION = [
    "name", "version", "experiment", "kind", "signature", "settings", "figures", "baselines", "comparisons",
    "objections", "learned_from", "held_out", "data_sha256", "sha256", "size", "card", "created_at",
]  # fmt: skip


class VersionOut(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = VERSION


class DeploymentOut(serializers.ModelSerializer[Deployment]):
    version = serializers.IntegerField(source="version.version")

    class Meta:
        model = Deployment
        fields = [
            "id", "name", "version", "alias", "action", "from_at", "to_at", "actor", "reason", "ended_by", "gate",
        ]  # fmt: skip


class ModelOut(serializers.ModelSerializer[ModelPolicy]):
    champion = serializers.SerializerMethodField(help_text="The version that speaks, null where none does.")
    challenger = serializers.SerializerMethodField(help_text="The version that answers in the shadow.")

    class Meta:
        model = ModelPolicy
        fields = [
            "name", "site", "equipment_class", "look_back_days", "champion", "challenger", "promotion", "retrain_days",
            "retrain_labels", "cooldown_hours", "most_a_month", "challenger_share",
        ]  # fmt: skip

    def get_champion(self, row: ModelPolicy) -> int | None:
        return self._with(row, Deployment.Alias.CHAMPION)

    def get_challenger(self, row: ModelPolicy) -> int | None:
        return self._with(row, Deployment.Alias.CHALLENGER)

    def _with(self, row: Any, alias: str) -> int | None:
        return next(
            (one.version.version for one in self.context["open"] if (one.name, one.alias) == (row.name, alias)), None
        )


class Promotion(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    reason = serializers.CharField(max_length=1_000)


class Rollback(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, required=False, help_text="Left out: the champion before this one.")
    reason = serializers.CharField(max_length=1_000)


@extend_schema_view(
    list=extend_schema(tags=["ml"], summary="List models", description="With who speaks, by name."),
    retrieve=extend_schema(tags=["ml"], summary="One model", description="Who speaks, and how it is looked after."),
)
class Models(mixins.ListModelMixin, mixins.RetrieveModelMixin, Contract, viewsets.GenericViewSet[ModelPolicy]):
    policy = READS | takes("models.promote", "promote", "rollback") | takes(READ, "versions")
    queryset = ModelPolicy.objects.all()
    serializer_class = ModelOut
    pagination_class = ByNumberPagination

    def get_queryset(self) -> QuerySet[ModelPolicy]:
        return owners.visible(super().get_queryset(), access.user_of(self.request))

    def get_serializer_context(self) -> dict[str, Any]:
        opened = Deployment.objects.filter(to_at__isnull=True).select_related("version").defer("gate")
        return {**super().get_serializer_context(), "open": opened}

    @extend_schema(tags=["ml"], summary="Versions of a model", responses=VersionOut(many=True), filters=False,
                   description="The newest first, with what each was measured at.")  # fmt: skip
    @action(detail=True, pagination_class=ByIdPagination)
    def versions(self, request: Request, pk: str) -> Response:
        versions: QuerySet[Any] = ModelVersion.objects.filter(name=self.get_object().pk)
        return self.get_paginated_response(VersionOut(self.paginate_queryset(versions) or [], many=True).data)

    @extend_schema(
        tags=["ml"], summary="Promote a version", request=Promotion, responses=DeploymentOut,
        description="It speaks from now on. Refused where the gate does not let it: 409.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        name = self._theirs(request)
        said = _read(Promotion, request)
        version = _version(name, said["version"])
        return _told(lambda who: ledger.promote(version, actor=who, reason=said["reason"]), request)

    @extend_schema(
        tags=["ml"], summary="Roll a model back", request=Rollback, responses=DeploymentOut,
        description="The champion before this one speaks again, or one that spoke once; its answers are what they "
        "were, to the bit.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        name = self._theirs(request)
        said = _read(Rollback, request)
        to = _version(name, said["version"]) if "version" in said else None
        return _told(lambda who: ledger.rollback(name, actor=who, reason=said["reason"], to=to), request)

    def _theirs(self, request: Request) -> str:
        name = str(self.get_object().pk)
        owners.require(access.user_of(request), name, to="models.promote")
        return name


def _read(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    body = kind(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _version(name: str, number: int) -> ModelVersion:
    found = ModelVersion.objects.filter(name=name, version=number).first()
    if found is None:
        raise serializers.ValidationError({"version": f"{name} has no version {number}."})
    return found


def _told(change: Any, request: Request) -> Response:
    try:
        entry = change(access.user_of(request).get_username())
    except ledger.Refused as error:
        raise Problem("conflict", str(error)) from error
    return Response(DeploymentOut(entry).data)


class DeploymentFilter(django_filters.FilterSet):
    at = django_filters.IsoDateTimeFilter(method="live_at", help_text="Those that held at this instant.")

    class Meta:
        model = Deployment
        fields = ["name", "alias", "action"]

    def live_at(self, rows: QuerySet[Deployment], name: str, instant: Any) -> QuerySet[Deployment]:
        return rows.filter(Q(to_at__isnull=True) | Q(to_at__gt=instant), from_at__lte=instant)


@extend_schema_view(
    list=extend_schema(tags=["ml"], summary="The ledger", description="Who spoke from when to when, by whom and why."),
    retrieve=extend_schema(tags=["ml"], summary="One entry of the ledger", description="With the figures of its gate."),
)
class Deployments(Contract, viewsets.ReadOnlyModelViewSet[Deployment]):
    policy = READS
    queryset = Deployment.objects.select_related("version")
    serializer_class = DeploymentOut
    filterset_class = DeploymentFilter

    def get_queryset(self) -> QuerySet[Deployment]:
        return owners.visible(super().get_queryset(), access.user_of(self.request))


class PredictionFilter(Filters):
    class Meta:
        model = Prediction
        fields = ["machine", "name", "is_shown"]


class Said(serializers.Serializer[Any]):
    unit = serializers.CharField()
    value = serializers.FloatField(allow_null=True, help_text="null: it says nothing, or `unproven`.")
    unproven = serializers.BooleanField(
        required=False, help_text="The value is not shown: the model does not say that its coverage is proven."
    )


@extend_schema_view(
    list=extend_schema(tags=["ml"], summary="What models said", description="Of live machines, the newest first."),
    retrieve=extend_schema(tags=["ml"], summary="One thing a model said", description="Of a live machine."),
)
class Predictions(Scoped):
    class PredictionOut(serializers.ModelSerializer[Prediction]):
        outputs = serializers.SerializerMethodField()

        class Meta:
            model = Prediction
            fields = [
                "id", "machine", "name", "version", "alias", "is_shown", "asked_at", "from_at", "outputs",
                "contributions", "degraded", "created_at",
            ]  # fmt: skip

        @extend_schema_field(serializers.DictField(child=Said()))
        def get_outputs(self, row: Prediction) -> dict[str, dict[str, Any]]:
            return predictions.shown(row.outputs)

    policy = READS
    site_path = "machine__site"
    queryset = Prediction.objects.all()
    serializer_class = PredictionOut
    filterset_class = PredictionFilter
