"""Anomalies: what was found, kept with what it has grown to. The only writer of Anomaly but for its settling.

A row only ever grows: the same sighting twice, or sightings out of order, end in the same row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from django.db import connection

from maintenance.models import Anomaly
from maintenance.sightings import INSTRUMENT, MACHINE, Place, Sighting, first_good, merge
from sensors import columns, journal
from sensors.columns import Columns, from_instant, to_instant
from sensors.models import Sensor


class UnknownSensor(LookupError):
    """A sighting names a sensor that does not exist."""


CONFLICT = {
    MACHINE: "(sensor_id, detector, started_at, retrospective) WHERE nature = 'MACHINE'",
    INSTRUMENT: "(sensor_id, kind, started_at, retrospective) WHERE nature = 'INSTRUMENT'",
}
COLUMNS = (
    "site_id", "machine_id", "sensor_id", "nature", "failure_mode", "detector", "detector_version", "kind",
    "started_at", "ended_at", "last_at", "readings", "peak_score", "peak_at", "observed", "expected_low",
    "expected_high", "window_from", "window_to", "contributors", "retrospective", "is_settled", "detail",
    "first_run_id", "last_run_id",
)  # fmt: skip
OF_THE_PEAK = ("detector_version", "kind", "peak_at", "observed", "expected_low", "expected_high", "contributors")
TABLE = Anomaly._meta.db_table
HIGHER = f"EXCLUDED.peak_score > {TABLE}.peak_score"
GROWTH = ", ".join(
    [
        *(f"{name} = CASE WHEN {HIGHER} THEN EXCLUDED.{name} ELSE {TABLE}.{name} END" for name in OF_THE_PEAK),
        f"peak_score = greatest({TABLE}.peak_score, EXCLUDED.peak_score)",
        f"detail = CASE WHEN EXCLUDED.last_at >= {TABLE}.last_at THEN EXCLUDED.detail ELSE {TABLE}.detail END",
        *(
            f"{name} = greatest({TABLE}.{name}, EXCLUDED.{name})"
            for name in ("last_at", "readings", "window_to", "last_run_id")
        ),
        *(f"{name} = least({TABLE}.{name}, EXCLUDED.{name})" for name in ("window_from", "first_run_id")),
        f"ended_at = CASE WHEN coalesce({TABLE}.ended_at, EXCLUDED.ended_at) IS NOT NULL"
        f" THEN greatest({TABLE}.ended_at, EXCLUDED.ended_at, {TABLE}.last_at, EXCLUDED.last_at) END",
    ]
)


def record(sightings: Sequence[Sighting], *, run_id: int, of_machine: Mapping[int, int] | None = None) -> list[int]:
    """Store new anomalies and let known ones grow; ids in the order of the sightings.

    ``of_machine``: by sensor, the machine that new ones are of, where that is not the sensor's own.
    One statement for each nature, in the caller's transaction; a new one gets its entry in the journal. Raises
    ``UnknownSensor``.
    """
    if not sightings:
        return []
    merged: dict[tuple[Any, ...], Sighting] = {}
    for sighting in sightings:
        key = (sighting.nature, *sighting.identity)
        merged[key] = merge(merged[key], sighting) if key in merged else sighting
    places = _places({sighting.sensor_id for sighting in merged.values()})
    for sensor_id, machine_id in (of_machine or {}).items():
        places[sensor_id] = replace(places[sensor_id], machine_id=machine_id)
    ids: dict[tuple[Any, ...], int] = {}
    entries: list[journal.Entry] = []
    for nature in CONFLICT:
        chosen = {key: sighting for key, sighting in merged.items() if key[0] == nature}
        for key, (anomaly_id, is_new) in zip(chosen, _upsert(list(chosen.values()), places, run_id), strict=True):
            ids[key] = anomaly_id
            if is_new:
                entries.append(_entry(anomaly_id, chosen[key], places[chosen[key].sensor_id]))
    journal.record(entries)
    return [ids[sighting.nature, *sighting.identity] for sighting in sightings]


def close_faults(good: Columns) -> int:
    """End the standing faults of instruments that read well again, in the caller's transaction; how many.

    ``good``: good readings, sorted by sensor and instant. A fault ends with the first of its sensor's that is not
    before its last sign; a gap with the reading that ended it.
    """
    sensors = columns.distinct(good.sensor)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, sensor_id, last_at FROM {TABLE}"
            " WHERE sensor_id = ANY(%s) AND nature = %s AND ended_at IS NULL",
            [sensors.tolist(), INSTRUMENT],
        )
        standing = cursor.fetchall()
    over = []
    for anomaly_id, sensor_id, last_at in standing:
        end = first_good(good, sensor_id, since=from_instant(last_at))
        if end is not None:
            over.append(Anomaly(pk=anomaly_id, ended_at=to_instant(end)))
    if over:
        Anomaly.objects.bulk_update(over, ["ended_at"])
    return len(over)


def _places(sensor_ids: set[int]) -> dict[int, Place]:
    rows = Sensor.objects.filter(id__in=sensor_ids).values_list(
        "id", "site_id", "machine_id", "kind", "equipment__equipment_class", "machine__equipment_class"
    )
    places = {id: Place(site, machine, kind, own or whole) for id, site, machine, kind, own, whole in rows}
    if missing := sensor_ids - set(places):
        raise UnknownSensor(f"sensor {min(missing)}")
    return places


def _upsert(sightings: list[Sighting], places: dict[int, Place], run_id: int) -> list[tuple[int, bool]]:
    """Id of each, and whether it is new. All of one nature, each identity once."""
    if not sightings:
        return []
    rows = [_row(sighting, places[sighting.sensor_id], run_id) for sighting in sightings]
    group = f"({', '.join(['%s'] * len(COLUMNS))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES {', '.join([group] * len(rows))}"
            f" ON CONFLICT {CONFLICT[sightings[0].nature]} DO UPDATE SET {GROWTH} RETURNING id, xmax = 0",
            [value for row in rows for value in row],
        )
        return [(int(anomaly_id), bool(is_new)) for anomaly_id, is_new in cursor.fetchall()]


def _row(s: Sighting, place: Place, run_id: int) -> tuple[Any, ...]:
    return (
        place.site_id, place.machine_id, s.sensor_id, s.nature, place.mode(s), s.detector, s.detector_version, s.kind,
        to_instant(s.started_at), None if s.ended_at is None else to_instant(s.ended_at), to_instant(s.last_at),
        s.readings, s.peak_score, to_instant(s.peak_at), s.observed, s.expected_low, s.expected_high,
        to_instant(s.window_from), to_instant(s.window_to), orjson.dumps(s.contributors).decode(), s.retrospective,
        False, s.detail, run_id, run_id,
    )  # fmt: skip


def _entry(anomaly_id: int, sighting: Sighting, place: Place) -> journal.Entry:
    kind = journal.INSTRUMENT_FAULT if sighting.nature == INSTRUMENT else journal.ANOMALY_DETECTED
    return journal.Entry(
        type=kind,
        subject=f"anomaly/{anomaly_id}",
        key=f"{kind}/{anomaly_id}",
        occurred_at=to_instant(sighting.started_at),
        site_id=place.site_id,
        data={
            "machine": place.machine_id,
            "sensor": sighting.sensor_id,
            "detector": sighting.detector,
            "kind": sighting.kind,
            "failure_mode": place.mode(sighting),
            "peak_score": sighting.peak_score,
            "retrospective": sighting.retrospective,
        },
    )
