"""Batches and their parts into the database, many at once and each on its own terms: in one statement.

Each is stored only if what it was read with still holds (the numbers of ``sensors.directory``) and nobody is storing or
has stored, another one under its idempotency key; the others are stored all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from weakref import WeakSet

import orjson
from django.db import connection

from sensors import problems, walls
from sensors.directory import Numbers
from sensors.models import Batch, BatchPart
from sensors.together import Together

MOST, HEAVIEST = 64, 50_000  # requests, and readings, in one transaction
KEY_LOCK = 0x62775F6B6579  # seed of the advisory locks of idempotency keys
BATCH, PART = Batch._meta.db_table, BatchPart._meta.db_table

# A lock is tried only for what holds.
STORE = f"""
PREPARE store_entries AS
WITH now AS MATERIALIZED (
    SELECT max(number) FILTER (WHERE name = 'access') AS access, max(number) FILTER (WHERE name = 'fleet') AS fleet
    FROM sensors_version_seen
),
given AS MATERIALIZED (
    SELECT given.*, given.fleet_number = now.fleet AND coalesce(given.access_number = now.access, true) AS holds
    FROM now, unnest(
        $1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::integer[], $6::text[], $7::text[], $8::text[],
        $9::text[], $10::integer[], $11::integer[], $12::integer[], $13::integer[], $14::integer[], $15::text[],
        $16::timestamptz[]
    ) WITH ORDINALITY AS given(
        access_number, fleet_number, id, site_id, submitted_by_id, correlation_id, traceparent, idempotency_key,
        body_sha256, items, accepted, held, duplicates, rejected, results, received_at, place
    )
),
free AS MATERIALIZED (
    SELECT id FROM given WHERE CASE
        WHEN NOT holds THEN false
        WHEN idempotency_key = '' THEN true
        ELSE pg_try_advisory_xact_lock(hashtextextended(
            site_id || '/' || coalesce(submitted_by_id, 0) || '/' || idempotency_key, {KEY_LOCK}
        ))
    END
),
new AS (
    INSERT INTO {BATCH} (
        id, site_id, submitted_by_id, correlation_id, traceparent, idempotency_key, body_sha256, items, accepted, held,
        duplicates, rejected, results, received_at
    )
    SELECT id, site_id, submitted_by_id, correlation_id, traceparent, idempotency_key, body_sha256, items, accepted,
        held, duplicates, rejected, results::jsonb, received_at
    FROM given JOIN free USING (id) ORDER BY place
    ON CONFLICT DO NOTHING RETURNING id
),
parts AS (
    INSERT INTO {PART} (batch_id, lane, discovered_id, state, readings, columns, outcome, error)
    SELECT batch_id, lane, discovered_id, CASE WHEN lane IS NULL THEN 'HELD' ELSE 'WAITING' END, readings, columns,
        '{{}}', ''
    FROM unnest($17::uuid[], $18::smallint[], $19::bigint[], $20::integer[], $21::bytea[])
        WITH ORDINALITY AS part(batch_id, lane, discovered_id, readings, columns, place)
    JOIN new ON new.id = part.batch_id ORDER BY place
)
SELECT holds, free.id IS NOT NULL, new.id IS NOT NULL, now.access, now.fleet
FROM now, given LEFT JOIN free USING (id) LEFT JOIN new USING (id) ORDER BY place
"""
"""Prepared, because to plan it costs as much as to execute it."""
TYPES = re.findall(r"\$\d+::([a-z]+\[\])", STORE)
EXECUTE = f"EXECUTE store_entries ({', '.join(f'%s::{kind}' for kind in TYPES)})"


@dataclass(frozen=True, slots=True)
class Part:
    """Packed readings that go down a lane, or that are held back for a discovered sensor."""

    lane: int | None
    discovered_id: int | None
    readings: int
    columns: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch that has no row yet and its parts, and the numbers under which what it rests on was read (``access``:
    None where it rests on nobody's)."""

    batch: Batch
    parts: tuple[Part, ...]
    access: int | None
    fleet: int


class State(Enum):
    """What became of an entry."""

    STORED = "stored"
    OUTDATED = "outdated"
    IN_FLIGHT = "in flight"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``now``: the numbers as they are."""

    state: State
    now: Numbers


def store(entries: Sequence[Entry]) -> list[Outcome]:
    """Store what may be stored, in one statement, which is a transaction of its own where none is open."""
    batches = [entry.batch for entry in entries]
    parts = [(entry.batch.pk.hex, part) for entry in entries for part in entry.parts]
    with walls.only(batch.site_id for batch in batches), connection.cursor() as cursor:
        if connection.connection not in _prepared:
            cursor.execute(STORE)
            _prepared.add(connection.connection)
        cursor.execute(
            EXECUTE,
            [
                [entry.access for entry in entries],
                [entry.fleet for entry in entries],
                [batch.pk.hex for batch in batches],
                *([getattr(batch, name) for batch in batches] for name in FIELDS),
                [orjson.dumps(batch.results).decode() if batch.results else "[]" for batch in batches],
                [batch.received_at for batch in batches],
                [key for key, _ in parts],
                *([getattr(part, name) for _, part in parts] for name in Part.__slots__),
            ],
        )
        return [Outcome(_state(*row[:3]), Numbers(*row[3:])) for row in cursor.fetchall()]


_prepared: WeakSet[Any] = WeakSet()
"""The connections that know the statement: it lives as long as they do, whatever is rolled back."""

FIELDS = (
    "site_id", "submitted_by_id", "correlation_id", "traceparent", "idempotency_key", "body_sha256", "items",
    "accepted", "held", "duplicates", "rejected",
)  # fmt: skip


def _state(holds: bool, free: bool, new: bool) -> State:
    if not holds:
        return State.OUTDATED
    if not free:
        return State.IN_FLIGHT
    return State.STORED if new else State.KNOWN


def _readings(entry: Entry) -> int:
    return sum(part.readings for part in entry.parts)


together = Together(store, most=MOST, heaviest=HEAVIEST, weight=_readings, shared=problems.is_database_trouble)
"""``store`` for all requests of this process that come at the same time."""
