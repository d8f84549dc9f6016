"""What was found when readings of machines were held against what models learned from, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from mlops.drift_models import DriftCheck
from sensors.api import Filters, Scoped
from sensors.policy import READS


class FeatureDrift(serializers.Serializer[Any]):
    feature = serializers.CharField()
    p = serializers.FloatField(allow_null=True, help_text="null = not judged.")
    q = serializers.FloatField(allow_null=True, help_text="Share of false discoveries among all features.")
    effect = serializers.FloatField(allow_null=True, help_text="Distance, in spreads of what was learned from.")
    shift = serializers.FloatField(allow_null=True, help_text="Of the mean, likewise.")
    drifted = serializers.BooleanField()
    words = serializers.CharField()


class DriftCheckFilter(Filters):
    class Meta:
        model = DriftCheck
        fields = ["machine", "name", "version", "verdict"]


@extend_schema_view(
    list=extend_schema(
        tags=["ml"], summary="Checks for drift", description="Of the machines of your sites, the newest first. Those "
        "that found nothing are forgotten after a while.",
    ),
    retrieve=extend_schema(tags=["ml"], summary="One check for drift", description="With what was found of each "
                           "feature, the anomaly, and the training that was asked for or why none was."),
)  # fmt: skip
class DriftChecks(Scoped):
    class DriftCheckOut(serializers.ModelSerializer[DriftCheck]):
        features = FeatureDrift(many=True)

        class Meta:
            model = DriftCheck
            fields = [
                "id", "machine", "name", "version", "from_at", "to_at", "verdict", "reason", "features", "anomaly_id",
                "retraining", "created_at",
            ]  # fmt: skip

    policy = READS
    site_path = "machine__site"
    queryset = DriftCheck.objects.all()
    serializer_class = DriftCheckOut
    filterset_class = DriftCheckFilter
