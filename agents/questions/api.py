"""Models asked over REST. A worker answers; who asks waits a moment for it, and is told where to look after that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents import doorbell
from agents.doorbell import Bell
from mlops import asking, ledger, limits, owners
from mlops.drift_api import FeatureDrift
from mlops.drift_models import DriftCheck
from mlops.limit_api import LimitForecastOut
from mlops.models import ModelVersion, Question
from sensors import access, idempotency, policy
from sensors.contract import Contract
from sensors.models import Equipment, Sensor
from sensors.permissions import READ
from sensors.policy import READS, by_method
from sensors.problems import Problem

LOOK_SECONDS = 0.02
ANOMALY, FORECAST = ("anomaly", "machine-anomaly", "vibration-novelty"), ("forecasting", "time-to-limit")


class Output(serializers.Serializer[Any]):
    unit = serializers.CharField()
    values = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="Of each row asked about; null = it says nothing."
    )


class Contribution(serializers.Serializer[Any]):
    feature = serializers.CharField()
    contribution = serializers.FloatField(allow_null=True, help_text="What it adds to the score.")


class Explained(serializers.Serializer[Any]):
    row = serializers.IntegerField()
    features = Contribution(many=True, help_text="The largest first.")


class Answer(serializers.Serializer[Any]):
    model = serializers.CharField()
    version = serializers.IntegerField()
    degraded = serializers.CharField(help_text="Why an older version speaks; empty where the champion does.")
    rows = serializers.ListField(child=serializers.IntegerField(), help_text="Which rows, counted from 1.")
    outputs = serializers.DictField(child=Output())
    contributions = Explained(
        many=True, required=False, help_text="Of the last rows, where it was asked for: Shapley values."
    )


class DriftAnswer(serializers.Serializer[Any]):
    model = serializers.CharField()
    version = serializers.IntegerField()
    degraded = serializers.CharField(help_text="Why an older version is asked; empty where the champion is.")
    verdict = serializers.ChoiceField(DriftCheck.Verdict.choices)
    reason = serializers.CharField()
    rows = serializers.IntegerField(help_text="How many of the last rows counted.")
    features = FeatureDrift(many=True)


class QuestionOut(serializers.ModelSerializer[Question]):
    """A question and, when it is answered, the answer."""

    status_url = serializers.SerializerMethodField()
    answer = serializers.SerializerMethodField()

    class Meta:
        model = Question
        fields = ["key", "kind", "name", "status", "reason", "answer", "status_url", "created_at", "finished_at"]

    def get_status_url(self, row: Question) -> str:
        return str(reverse("ml-question-detail", args=[row.key], request=self.context["request"]))

    @extend_schema_field(
        PolymorphicProxySerializer(
            "AnyAnswer",
            serializers=[Answer(allow_null=True), DriftAnswer(allow_null=True)],
            resource_type_field_name=None,
        )
    )
    def get_answer(self, row: Question) -> Any:
        return row.answer


class FeatureIn(serializers.Serializer[Any]):
    unit = serializers.CharField(allow_blank=True, default="", max_length=50)
    values = serializers.ListField(
        child=serializers.FloatField(allow_null=True), max_length=asking.MOST_ROWS, min_length=1
    )


class QuestionIn(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=100)
    features = serializers.DictField(
        child=FeatureIn(), help_text="Of each feature of the model its unit and its values, the oldest first."
    )
    explain = serializers.BooleanField(
        default=False, help_text="Say what each feature adds to the answer, too; also as ?explain=true."
    )
    each = serializers.BooleanField(default=False, help_text="Answer for each row, and not for the last one alone.")
    equipment = serializers.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, help_text="Id of the machine that the rows are of. A site's "
        "own model needs it: it knows each machine by itself.",
    )  # fmt: skip


class OfSensor(serializers.Serializer[Any]):
    sensor = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


EXAMPLE = OpenApiExample(
    "A row",
    {"model": "milling-failure", "features": {"Torque": {"unit": "Nm", "values": [42.8]}}},
    request_only=True,
)


class Ask(Contract):
    """``experiments``: of which a model may be asked here; empty: of any. ``body``: what is sent."""

    policy = by_method(post="models.ask")
    experiments: tuple[str, ...] = ()
    kind = Question.Kind.PREDICT
    body: type[serializers.Serializer[Any]] = QuestionIn

    def ask(self, request: Request) -> Response:
        user = access.user_of(request)
        body = self.body(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        version = self._champion(said["model"])
        try:
            rows = asking.rows(self.taken(version), said["features"])
        except asking.Wrong as error:
            raise Problem("invalid", str(error), errors=_errors(error)) from error
        asked = {"rows": rows, "version": version.version, **self.beside(request, said)}
        row = Question.objects.create(kind=self.kind, name=version.name, asked_by=user, asked=asked)
        doorbell.ring_when_stored(Bell("answer", row.pk))
        if not idempotency.key_of(request):  # with a key nothing is stored before there is an answer to keep
            row = wait_for(row)
        told = QuestionOut(row, context={"request": request}).data
        return Response(told, status=202 if row.status in Question.UNFINISHED else 200)

    def taken(self, version: ModelVersion) -> Mapping[str, Any]:
        """The signature that rows are held against."""
        return version.signature

    def beside(self, request: Request, said: dict[str, Any]) -> dict[str, Any]:
        """What is asked beside the rows."""
        explain = said["explain"] or request.query_params.get("explain", "").lower() == "true"
        return {"each": said["each"], "explain": explain, "unit": self._unit(request, said)}

    def _unit(self, request: Request, said: dict[str, Any]) -> str:
        """The tag of the machine, by which a site's model knows it; empty where nobody said which."""
        site = owners.site_of(said["model"])
        if "equipment" not in said:
            if site is not None:
                told = f"{said['model']} knows each machine by itself: give the id of the one the rows are of."
                raise serializers.ValidationError({"equipment": told})
            return ""
        machines = Equipment.objects.filter(pk=said["equipment"], level=Equipment.Level.MACHINE)
        if site is not None:
            machines = machines.filter(site=site)
        machine = access.scope(machines, access.user_of(request)).first()
        if machine is None:
            raise serializers.ValidationError({"equipment": f"There is no such machine that {said['model']} is about."})
        return machine.tag

    def _champion(self, name: str) -> ModelVersion:
        site, user = owners.site_of(name), access.user_of(self.request)
        theirs = site is None or access.sites(user).filter(pk=site).exists()
        version = ledger.champion(name) if theirs else None
        if version is None or (self.experiments and version.experiment not in self.experiments):
            kind = f" of {' or '.join(self.experiments)}" if self.experiments else ""
            raise serializers.ValidationError({"model": f"No model{kind} named {name!r} speaks."})
        if site is not None:
            policy.require(self, site)
        return version


def wait_for(row: Question) -> Question:
    """The row as it is when it is answered, or when ML_ANSWER_SECONDS are over."""
    ends = time.monotonic() + settings.ML_ANSWER_SECONDS
    while time.monotonic() < ends:
        row = Question.objects.get(pk=row.pk)
        if row.status not in Question.UNFINISHED:
            break
        time.sleep(LOOK_SECONDS)
    return row


def _errors(wrong: asking.Wrong) -> list[dict[str, str]]:
    return [
        {"detail": detail, "pointer": f"#/features/{name}".rstrip("/"), "reason": "invalid"}
        for name, detail in sorted(wrong.errors.items())
    ]


def _documented(summary: str, about: str) -> Any:
    return extend_schema(
        tags=["ml"], summary=summary, request=QuestionIn, responses={200: QuestionOut, 202: QuestionOut},
        parameters=[OpenApiParameter("explain", bool, description="As in the body; one of the two is enough.")],
        examples=[EXAMPLE], description=f"{about} 202 where the answer takes longer than a moment, and always "
        "with an idempotency key: look at `status_url`. Features that are missing, too many or in another unit than "
        "the model's are refused.",
    )  # fmt: skip


class Predict(Ask):
    @_documented("Ask a model", "What the champion of any model says of the last of some rows, or of each.")
    def post(self, request: Request) -> Response:
        return self.ask(request)


class Forecast(Ask):
    looks_up = True
    experiments = FORECAST
    policy = by_method(post="models.ask", get=READ)

    @_documented("Ask for a forecast", "What a model that forecasts says: values ahead, or the time to a limit.")
    def post(self, request: Request) -> Response:
        return self.ask(request)

    @extend_schema(
        tags=["ml"], summary="When a sensor will be at its limits", parameters=[OfSensor],
        responses=LimitForecastOut(many=True), description="What was last told of each limit that is next, from the "
        "sensor's own trend, hour by hour. Times are seconds from `asked_at`; they are null where no trend leads to "
        "the limit within the horizon, and where the interval is not proven on what came so far.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        asked = OfSensor(data=request.query_params)
        asked.is_valid(raise_exception=True)
        sensor = access.scope(Sensor.objects.all(), access.user_of(request), path="site").filter(
            pk=asked.validated_data["sensor"]
        )
        if (found := sensor.first()) is None:
            raise Problem("not-found", "There is no such sensor among yours.")
        return Response(LimitForecastOut(limits.of_sensor(found), many=True).data)


class DetectAnomaly(Ask):
    experiments = ANOMALY

    @_documented("Ask whether rows are anomalous", "How rare the last row is, or each, beside what the model learned.")
    def post(self, request: Request) -> Response:
        return self.ask(request)


class Questions(mixins.RetrieveModelMixin, Contract, viewsets.GenericViewSet[Question]):
    """Questions of whoever asks; they are forgotten after a day."""

    policy = READS
    queryset = Question.objects.all()
    serializer_class = QuestionOut
    lookup_field, lookup_url_kwarg = "key", "pk"

    def get_queryset(self) -> QuerySet[Question]:
        return super().get_queryset().filter(asked_by=access.user_of(self.request))

    @extend_schema(tags=["ml"], summary="One question", description="With its answer as soon as there is one.")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)
