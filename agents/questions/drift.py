"""Over REST: whether rows are as those that a model learned from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents.questions.api import Ask, FeatureIn, QuestionOut
from mlops import asking
from mlops.models import ModelVersion, Question
from sensors.columns import from_instant


class DriftIn(serializers.Serializer[Any]):
    model = serializers.CharField(max_length=100)
    features = serializers.DictField(
        child=FeatureIn(), help_text="Of each feature of the model its unit and its values, the oldest first."
    )
    measured_at = serializers.ListField(
        child=serializers.DateTimeField(), required=False, allow_null=True, default=None, max_length=asking.MOST_ROWS,
        help_text="When each row was measured; needed where what is usual depends on the hour.",
    )  # fmt: skip

    def validate_measured_at(self, at: list[datetime] | None) -> list[datetime] | None:
        if at and any(one >= other for one, other in pairwise(at)):
            raise serializers.ValidationError("Instants ascend.")
        return at

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        at = said["measured_at"]
        if at is not None and any(len(one["values"]) != len(at) for one in said["features"].values()):
            raise serializers.ValidationError({"measured_at": f"{len(at)} instants; it takes one for each value."})
        return said


EXAMPLE = OpenApiExample(
    "Rows",
    {"model": "milling-failure", "features": {"Torque": {"unit": "Nm", "values": [42.8, 46.3, 49.4]}}},
    request_only=True,
)


class CheckDrift(Ask):
    kind = Question.Kind.DRIFT
    body = DriftIn

    @extend_schema(
        tags=["ml"], summary="Check rows for drift", request=DriftIn, responses={200: QuestionOut, 202: QuestionOut},
        examples=[EXAMPLE], description="The last rows, as many as a window of the model's reference has, beside what "
        "the champion learned from: of each feature p, q (false discoveries among all features), the effect in spreads "
        "and the reason in words. FAILED with the reason where the version has no reference. 202 where the answer "
        "takes longer than a moment: look at `status_url`.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        return self.ask(request)

    def taken(self, version: ModelVersion) -> Mapping[str, Any]:
        """The model itself is not asked: it needs no rows to look back at."""
        return {**version.signature, "least": 1}

    def beside(self, request: Request, said: dict[str, Any]) -> dict[str, Any]:
        at = said["measured_at"]
        return {"at": None if at is None else [from_instant(one) for one in at]}
