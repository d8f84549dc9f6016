"""How often each detector was right about a sensor, over REST."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from maintenance import triage
from maintenance.models import DetectorRecord
from sensors.api import Filters, Scoped
from sensors.policy import READS
from sensors.schema import documented


class DetectorRecordFilter(Filters):
    class Meta:
        model = DetectorRecord
        fields = ["site", "sensor", "detector"]


@documented("detector-records", "detector record", "detector records")
class DetectorRecords(Scoped):
    class DetectorRecordOut(serializers.ModelSerializer[DetectorRecord]):
        precision_interval = serializers.SerializerMethodField(
            help_text="95 % interval of the precision (Wilson), lower and upper end; null where nothing was judged."
        )

        class Meta:
            model = DetectorRecord
            fields = [
                "id", "site", "sensor", "detector", "anomalies", "real", "false", "expected", "unknown", "precision",
                "precision_interval", "days", "false_per_week", "last_at",
            ]  # fmt: skip

        @extend_schema_field({"type": "array", "items": {"type": "number"}, "nullable": True})
        def get_precision_interval(self, row: DetectorRecord) -> tuple[float, float] | None:
            return None if row.precision is None else triage.wilson(row.real, row.false)

    policy = READS
    queryset = DetectorRecord.objects.all()
    serializer_class = DetectorRecordOut
    filterset_class = DetectorRecordFilter
