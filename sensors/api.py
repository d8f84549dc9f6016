"""Sites, equipment, sensors, readings and batches over REST."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import django_filters
from django.db.models import ForeignKey, Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import access, sensor_defaults, series, zones
from sensors.columns import to_instant
from sensors.contract import Contract
from sensors.models import Batch, BatchPart, Equipment, Sensor, Site
from sensors.paging import ByIdPagination
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

MOST_POINTS, MOST_READINGS, MOST_ROLLUPS = 5_000, 5_000_000, 10_000
DAY, EARLIEST = timedelta(days=1), datetime(1, 1, 1, tzinfo=UTC)
LENGTHS = {"hour": timedelta(hours=1), "day": DAY}
QUALITIES = ("GOOD", "UNCERTAIN", "BAD")


class Scoped(mixins.ListModelMixin, mixins.RetrieveModelMixin, Contract, viewsets.GenericViewSet[Any]):
    """Rows of the sites of whoever asks, and nothing else: another site's row is not found."""

    policy, site_path, of_many = READS, "site", False  # of_many: an item of ``sensors.bulk``, of which its id is told

    def get_queryset(self) -> QuerySet[Any]:
        rows = access.scope(super().get_queryset(), access.user_of(self.request), path=self.site_path)
        return rows.prefetch_related(None) if self.of_many else rows

    def as_it_stands(self, key: Any, *, status: int = 200) -> Response:
        """The answer to a change of a row."""
        said = {"id": key} if self.of_many else self.get_serializer(self.get_queryset().get(pk=key)).data
        return Response(said, status=status)


@documented("sites", "site", "sites")
class Sites(Scoped):
    class SiteOut(serializers.ModelSerializer[Site]):
        class Meta:
            model = Site
            fields = ["id", "slug", "name", "time_zone"]

    site_path = "id"
    queryset = Site.objects.all()
    serializer_class = SiteOut


class Filters(django_filters.FilterSet):
    """Filters by the ids of other rows as plain numbers: whether a row of another site exists is not told."""

    FILTER_DEFAULTS = django_filters.FilterSet.FILTER_DEFAULTS | {
        ForeignKey: {"filter_class": django_filters.NumberFilter}
    }


class EquipmentFilter(Filters):
    class Meta:
        model = Equipment
        fields = ["site", "parent", "level", "criticality", "tag"]


@documented("equipment", "piece of equipment", "equipment")
class EquipmentTree(Scoped):
    class EquipmentOut(serializers.ModelSerializer[Equipment]):
        class Meta:
            model = Equipment
            fields = [
                "id", "site", "parent", "machine", "level", "tag", "name", "equipment_class", "criticality",
                "machine_group", "support_class",
            ]  # fmt: skip

    queryset = Equipment.objects.all()
    serializer_class = EquipmentOut
    filterset_class = EquipmentFilter


class SensorFilter(Filters):
    class Meta:
        model = Sensor
        fields = ["site", "equipment", "machine", "kind", "external_id"]


class Point(serializers.Serializer[Any]):
    measured_at = serializers.DateTimeField()
    value = serializers.FloatField()
    quality = serializers.ChoiceField(QUALITIES)


class Rollup(serializers.Serializer[Any]):
    start_at = serializers.DateTimeField()
    readings = serializers.IntegerField()
    counted = serializers.IntegerField(help_text="Those of good quality: mean and deviation are of them.")
    mean = serializers.FloatField(allow_null=True)
    deviation = serializers.FloatField(allow_null=True, help_text="Standard deviation, of all that were counted.")
    low = serializers.FloatField()
    low_at = serializers.DateTimeField()
    high = serializers.FloatField()
    high_at = serializers.DateTimeField()
    first = serializers.FloatField()
    last = serializers.FloatField()


class ZonesOut(serializers.Serializer[Any]):
    a_b = serializers.FloatField(help_text="From here on it is in zone B.")
    b_c = serializers.FloatField()
    c_d = serializers.FloatField()


@documented("sensors", "sensor", "sensors")
class Sensors(Scoped):
    class SensorOut(serializers.ModelSerializer[Sensor]):
        vibration_zones = serializers.SerializerMethodField(
            help_text="Where the zones of ISO 20816-3 begin, in the sensor's unit; null where it is not graded."
        )
        settings_from = serializers.SerializerMethodField(help_text=sensor_defaults.FROM)
        zones_refused = serializers.SerializerMethodField(help_text="Why a sensor of vibration is not graded.")

        class Meta:
            model = Sensor
            fields = [
                "id", "site", "equipment", "machine", "gateway", "external_id", "name", "kind", "unit",
                "measuring_point", "feature", "physical_low", "physical_high", "low_low", "low", "high", "high_high",
                "deadband", "alarm_readings", "alarm_readings_of", "rise_per_minute", "fall_per_minute",
                "rate_span_seconds", "resolution", "max_rate", "period_seconds", "silent_after_seconds",
                "lateness_seconds", "on_delay_seconds", "off_delay_seconds", "calibration_due_on", "vibration_zones",
                "zones_refused", "settings_from",
            ]  # fmt: skip

        def get_settings_from(self, sensor: Sensor) -> dict[str, int | str]:
            return sensor_defaults.sources(sensor)

        @extend_schema_field(ZonesOut(allow_null=True))
        def get_vibration_zones(self, sensor: Sensor) -> dict[str, float] | None:
            graded = sensor.vibration_zones
            return asdict(graded) if isinstance(graded, zones.Zones) else None

        def get_zones_refused(self, sensor: Sensor) -> str:
            graded = sensor.vibration_zones
            return graded.reason if isinstance(graded, zones.Refusal) and graded.of_vibration else ""

    class Readings(serializers.Serializer[Any]):
        sensor = serializers.IntegerField()
        unit = serializers.CharField()
        total = serializers.IntegerField(help_text="Readings in the window, before downsampling.")
        readings = Point(many=True)

    class Span(serializers.Serializer[Any]):
        to = serializers.DateTimeField(required=False, help_text="Excluded; default: just after the newest reading.")

        def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
            start = serializers.DateTimeField(required=False, help_text="Included; default: a day before the end.")
            return {"from": start, **super().get_fields()}

    class Window(Span):
        points = serializers.IntegerField(required=False, default=1000, min_value=4, max_value=MOST_POINTS)

    class Rollups(serializers.Serializer[Any]):
        sensor = serializers.IntegerField()
        unit = serializers.CharField()
        rollups = Rollup(many=True)

    class Lengths(Span):
        every = serializers.ChoiceField(list(LENGTHS), required=False, default="hour")

    policy = READS | takes("read", "readings", "rollups")
    queryset = Sensor.objects.select_related("equipment", "machine")
    serializer_class = SensorOut
    filterset_class = SensorFilter

    @extend_schema(
        tags=["sensors"], summary="Readings of a sensor over a window", parameters=[Window], responses={200: Readings},
        filters=False,
        description="At most `points`; a window with more is downsampled so that its peaks survive (M4). Readings of "
        f"bad quality are there, and marked. A window of more than {MOST_READINGS:,} readings is refused, unless each "
        "point stands for a quarter of an hour and more.",
    )  # fmt: skip
    @action(detail=True, pagination_class=None, filterset_class=None)
    def readings(self, request: Request, pk: str) -> Response:
        sensor = self.get_object()
        start, end, asked = _window(sensor, self.Window(data=request.query_params))
        try:
            found = series.read(sensor.pk, start=start, end=end, points=asked["points"], most=MOST_READINGS)
        except series.WindowTooLarge as error:
            raise Problem("invalid", str(error)) from error
        rows = zip(found.at.tolist(), found.value.tolist(), found.quality.tolist(), strict=True)
        readings = [{"measured_at": to_instant(at), "value": v, "quality": QUALITIES[q]} for at, v, q in rows]
        return Response({"sensor": sensor.pk, "unit": sensor.unit, "total": found.total, "readings": readings})

    @extend_schema(
        tags=["sensors"], summary="Rollups of a sensor's hours or days", parameters=[Lengths], filters=False,
        responses={200: Rollups},
        description="Of the hours (UTC) that begin in the window and have readings, or of the days they make up. At "
        f"most {MOST_ROLLUPS:,} hours or days.",
    )  # fmt: skip
    @action(detail=True, pagination_class=None, filterset_class=None)
    def rollups(self, request: Request, pk: str) -> Response:
        sensor = self.get_object()
        start, end, asked = _window(sensor, self.Lengths(data=request.query_params))
        length = LENGTHS[asked["every"]]
        if end - start > MOST_ROLLUPS * length:
            raise Problem("invalid", f"The window is longer than {MOST_ROLLUPS:,} times what is asked for.")
        found = series.hours(sensor.pk, start=start, end=end, length=length)
        rows = [dict(zip(found.dtype.names or (), row, strict=True)) for row in found.tolist()]
        return Response({"sensor": sensor.pk, "unit": sensor.unit, "rollups": [_rollup(row) for row in rows]})


def _window(sensor: Sensor, window: serializers.Serializer[Any]) -> tuple[datetime, datetime, dict[str, Any]]:
    """Start, end, and what else was asked for. Raises ``Problem``, ``ValidationError``."""
    window.is_valid(raise_exception=True)
    asked: dict[str, Any] = window.validated_data
    end = asked.get("to") or _after_newest(sensor)
    start = asked.get("from") or (end - DAY if end > EARLIEST + DAY else EARLIEST)
    if start >= end:
        raise Problem("invalid", "`from` must be before `to`.")
    return start, end, asked


def _rollup(row: dict[str, Any]) -> dict[str, Any]:
    counted = row["counted"]
    return {name: row[name] for name in ("readings", "counted", "low", "high", "first", "last")} | {
        "start_at": to_instant(row["hour_at"]),
        "low_at": to_instant(row["low_at"]),
        "high_at": to_instant(row["high_at"]),
        "mean": row["mean"] if counted else None,
        "deviation": (row["m2"] / counted) ** 0.5 if counted else None,
    }


def _after_newest(sensor: Sensor) -> datetime:
    newest = series.latest([sensor.pk]).get(sensor.pk)
    return datetime.now(UTC) if newest is None else newest.measured_at + timedelta(microseconds=1)


class BatchFilter(Filters):
    class Meta:
        model = Batch
        fields = ["site"]


class NewestReceived(ByIdPagination):
    ordering = ("-received_at", "-id")


@documented("data", "batch", "batches")
class Batches(Scoped):
    """What became of what was sent."""

    orderings = ("received_at",)

    class BatchOut(serializers.ModelSerializer[Batch]):
        class Meta:
            model = Batch
            fields = ["id", "site", "received_at", "items", "accepted", "held", "duplicates", "rejected"]

    class BatchDetail(serializers.ModelSerializer[Batch]):
        class BatchPartOut(serializers.ModelSerializer[BatchPart]):
            class Meta:
                model = BatchPart
                fields = ["id", "state", "readings", "stored", "already_stored", "conflicts", "outcome", "error"]

        state = serializers.SerializerMethodField(help_text="WAITING, IN_PROGRESS, DONE or SET_ASIDE.")
        parts = BatchPartOut(many=True)

        class Meta:
            model = Batch
            fields = [
                "id", "site", "received_at", "state", "items", "accepted", "held", "duplicates", "rejected", "results",
                "parts",
            ]  # fmt: skip

        def get_state(self, batch: Batch) -> str:
            states = {BatchPart.State.SET_ASIDE if part.error else part.state for part in batch.parts.all()}
            for state, answer in (("SET_ASIDE", "SET_ASIDE"), ("TAKEN", "IN_PROGRESS"), ("WAITING", "WAITING")):
                if state in states:
                    return answer
            return "DONE"

    queryset = Batch.objects.all()
    filterset_class = BatchFilter
    pagination_class = NewestReceived

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if self.action == "list":
            return rows.defer("results")
        return rows.prefetch_related(Prefetch("parts", BatchPart.objects.defer("columns")))

    def get_serializer_class(self) -> Any:
        return self.BatchOut if self.action == "list" else self.BatchDetail
