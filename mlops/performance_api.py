"""How good models are about live machines, with labels and without, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from mlops.performance_models import LivePerformance
from sensors.api import Filters, Scoped
from sensors.policy import READS


class LiveFigure(serializers.Serializer[Any]):
    name = serializers.CharField()
    expected = serializers.FloatField(allow_null=True, help_text="Without truth, from what the answers say themselves.")
    low = serializers.FloatField(allow_null=True, help_text="It is from here to `high` in 95 of 100 cases, if so.")
    high = serializers.FloatField(allow_null=True)
    held_out = serializers.FloatField(allow_null=True, help_text="What the version had on what was held out.")
    measured = serializers.FloatField(allow_null=True, help_text="Of the answers of which it is known what was true.")


class StreamChange(serializers.Serializer[Any]):
    by = serializers.CharField(help_text="adwin or page-hinkley.")
    at = serializers.DateTimeField()


class LivePerformanceFilter(Filters):
    class Meta:
        model = LivePerformance
        fields = ["machine", "name", "version"]


@extend_schema_view(
    list=extend_schema(
        tags=["ml"], summary="How good models are about live machines", description="Of the machines of your sites, "
        "the newest first. Each is about answers of one version in a row: what is expected of them without knowing "
        "what is true, and beside it what they were measured at, where people or later readings told.",
    ),
    retrieve=extend_schema(
        tags=["ml"], summary="How good a model was", description="With what told what was true, and where its scores "
        "changed.",
    ),
)  # fmt: skip
class LivePerformances(Scoped):
    policy = READS

    class LivePerformanceOut(serializers.ModelSerializer[LivePerformance]):
        figures = LiveFigure(many=True)
        said = serializers.ListField(child=serializers.CharField(), help_text="What told what was true.")
        changes = StreamChange(many=True, allow_null=True, help_text="Of the scores; null: none were before these.")

        class Meta:
            model = LivePerformance
            fields = [
                "id", "machine", "name", "version", "from_at", "to_at", "answers", "figures", "known", "said",
                "changes", "created_at", "measured_at",
            ]  # fmt: skip

    site_path = "machine__site"
    queryset = LivePerformance.objects.all()
    serializer_class = LivePerformanceOut
    filterset_class = LivePerformanceFilter
