"""Rows to be exported, chunk by chunk as columns of Arrow, so that no more than a chunk is in memory.

What is in tables of rows is read by key, a page after the other: no cursor and no transaction stays open meanwhile.
Readings come sensor after sensor, in windows that are as long as makes a good chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from django.db import models
from django.db.models import QuerySet

from agents.exports.known import Asked, What
from maintenance.models import Alarm, Anomaly, WorkOrder
from sensors import series
from sensors.audit_models import AuditEntry
from sensors.columns import DAY_US, from_instant
from sensors.models import Event, Sensor
from sensors.rollups import HOUR_US

PAGE = 5_000
FEW, MANY = 50_000, 200_000
"""Readings of a window below which the next one is longer, above which it is shorter."""
LONGEST_WINDOW = 32 * DAY_US
INSTANT = pa.timestamp("us", tz="UTC")
JSON = {b"of": b"json"}
"""Marks a column of texts that are JSON."""
QUALITIES = pa.array(["GOOD", "UNCERTAIN", "BAD", ""])
READINGS = pa.schema(
    [
        ("sensor", pa.int64()), ("external_id", pa.string()), ("machine", pa.string()), ("measured_at", INSTANT),
        ("value", pa.float64()), ("unit", pa.string()), ("quality", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows; ``done``: the share of the whole way that they end."""

    rows: pa.RecordBatch
    done: float


@dataclass(frozen=True, slots=True)
class Table:
    schema: pa.Schema
    chunks: Callable[[Asked], Iterator[Chunk]]


# Readings


def _readings(asked: Asked) -> Iterator[Chunk]:
    sensors = _sensors(asked)
    start, end = from_instant(asked.start), from_instant(asked.end)
    for position, (key, external_id, machine, unit) in enumerate(sensors):
        length, at = DAY_US, start
        while at < end:
            until = min(end, at + length)
            found = series.stored(key, start=at, end=until)
            n, at = len(found), until
            if n:
                said = [pa.repeat(pa.scalar(text, pa.string()), n) for text in (external_id, machine, unit)]
                columns = [
                    pa.repeat(pa.scalar(key, pa.int64()), n), said[0], said[1],
                    pa.array(found.at, pa.int64()).cast(INSTANT), pa.array(found.value, pa.float64()), said[2],
                    QUALITIES.take(pa.array(np.minimum(found.quality, 3))),
                ]  # fmt: skip
                share = (at - start) / (end - start)
                yield Chunk(pa.RecordBatch.from_arrays(columns, schema=READINGS), (position + share) / len(sensors))
            length = min(2 * length, LONGEST_WINDOW) if n < FEW else max(length // 2, HOUR_US) if n > MANY else length


def _sensors(asked: Asked) -> list[tuple[int, str, str, str]]:
    rows = Sensor.objects.filter(site_id=asked.site_id)
    if asked.machine_id is not None:
        rows = rows.filter(machine_id=asked.machine_id)
    if asked.sensor_id is not None:
        rows = rows.filter(pk=asked.sensor_id)
    return list(rows.order_by("pk").values_list("pk", "external_id", "machine__tag", "unit"))


# Tables of rows

TYPES: Mapping[type[models.Field[Any, Any]], pa.DataType] = {
    models.BooleanField: pa.bool_(), models.DateTimeField: INSTANT, models.FloatField: pa.float64(),
    models.AutoField: pa.int64(), models.IntegerField: pa.int64(), models.ForeignKey: pa.int64(),
}  # fmt: skip
"""By kind of field; all else is text."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Rows of a model by the instant ``at``; ``paths`` lead from the row to what is shown."""

    model: type[models.Model]
    at: str
    paths: Sequence[str]

    def table(self) -> Table:
        fields = [_field(self.model, path) for path in self.paths]
        return Table(pa.schema(fields), self.chunks)

    def chunks(self, asked: Asked) -> Iterator[Chunk]:
        rows, schema = self._rows(asked), self.table().schema
        ends = rows.aggregate(first=models.Min("pk"), last=models.Max("pk"))
        if ends["first"] is None:
            return
        last, span = ends["first"] - 1, ends["last"] - ends["first"] + 1
        while page := list(rows.filter(pk__gt=last, pk__lte=ends["last"])[:PAGE].values_list("pk", *self.paths)):
            last = page[-1][0]
            columns = [_column(values, field) for values, field in zip(list(zip(*page))[1:], schema)]  # noqa: B905
            yield Chunk(pa.RecordBatch.from_arrays(columns, schema=schema), (last - ends["first"] + 1) / span)

    def _rows(self, asked: Asked) -> QuerySet[Any]:
        named = {"machine_id": asked.machine_id, "sensor_id": asked.sensor_id}
        only = {name: key for name, key in named.items() if key is not None}
        period = {f"{self.at}__gte": asked.start, f"{self.at}__lt": asked.end}
        return self.model._default_manager.filter(site_id=asked.site_id, **period, **only).order_by("pk")


def _field(model: type[models.Model], path: str) -> pa.Field:
    """The column of a path, named by it."""
    *way, name = path.split("__")
    for step in way:
        related: Any = model._meta.get_field(step).related_model
        model = related
    found = model._meta.get_field(name)
    known = next((type_ for kind, type_ in TYPES.items() if isinstance(found, kind)), pa.string())
    return pa.field(path.replace("__", "_"), known, metadata=JSON if isinstance(found, models.JSONField) else None)


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.metadata == JSON:
        values = [orjson.dumps(value).decode() for value in values]
    elif field.type == pa.string():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, field.type)


OF_ROWS: Mapping[str, Listed] = {
    What.ANOMALIES: Listed(Anomaly, "started_at", (
        "id", "machine", "machine__tag", "sensor", "nature", "kind", "failure_mode", "detector", "detector_version",
        "started_at", "last_at", "ended_at", "readings", "peak_score", "peak_at", "observed", "expected_low",
        "expected_high", "retrospective", "verdict", "detail",
    )),
    What.ALARMS: Listed(Alarm, "raised_at", (
        "id", "machine", "machine__tag", "sensor", "failure_mode", "priority", "is_active", "is_acknowledged",
        "raised_at", "returned_at", "occurrences", "peak_score", "verdict", "acknowledged_by__username",
        "acknowledged_at", "assigned_to__username",
    )),
    What.ORDERS: Listed(WorkOrder, "opened_at", (
        "id", "machine", "machine__tag", "failure_mode", "maintenance_type", "priority", "status", "title",
        "description", "alarm", "requested_by__username", "assigned_to__username", "due_at", "expected_cost",
        "planned_start", "planned_minutes", "hold_reason", "findings", "verdict", "found_mode", "mechanism", "cause",
        "detection_method", "activity", "opened_at", "started_at", "completed_at", "closed_at",
    )),
    What.EVENTS: Listed(Event, "recorded_at", (
        "id", "occurred_at", "recorded_at", "type", "subject", "actor", "data",
    )),
    What.AUDIT: Listed(AuditEntry, "at", (
        "id", "at", "actor", "credential", "address", "request_id", "action", "target", "detail", "reference", "number",
        "previous", "hash",
    )),
}  # fmt: skip


@cache
def of(what: str) -> Table:
    """Raises ``KeyError`` where there is none of that name."""
    return Table(READINGS, _readings) if what == What.READINGS else OF_ROWS[what].table()
