"""When sensors will be at their limits, as REST has it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from mlops.limit_models import LimitForecast


class LimitForecastOut(serializers.ModelSerializer[LimitForecast]):
    p10 = serializers.SerializerMethodField(help_text="Seconds: one time in ten it is there before.")
    p50 = serializers.SerializerMethodField()
    p90 = serializers.SerializerMethodField(help_text="null also where it may not be there within the horizon.")
    observed = serializers.FloatField(
        allow_null=True, help_text="Share of what came that was between p10 and p90, of all sensors of its kind."
    )

    class Meta:
        model = LimitForecast
        fields = [
            "sensor", "machine", "limit_name", "limit", "asked_at", "state", "p10", "p50", "p90", "is_proven",
            "observed", "least", "origins", "tested_at", "computed_at",
        ]  # fmt: skip

    def get_p10(self, row: Any) -> float | None:
        return row.p10 if row.is_proven else None

    def get_p50(self, row: Any) -> float | None:
        return row.p50 if row.is_proven else None

    def get_p90(self, row: Any) -> float | None:
        return row.p90 if row.is_proven else None
