"""What clients send, accepted durably: a batch, and a part for each lane it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from sensors import codec, columns
from sensors.codec import Decoded, SensorKey
from sensors.columns import Columns
from sensors.models import Batch, BatchPart, DiscoveredSensor, Equipment, Sensor, Site

DISCOVERED = DiscoveredSensor._meta.db_table
KEY_LOCK = 0x62775F6B6579  # seed of the advisory locks of idempotency keys


class NothingAccepted(Exception):
    """Every item of the body was refused; nothing was stored."""

    def __init__(self, results: Sequence[dict[str, str]]) -> None:
        super().__init__(f"All {len(results)} readings were refused.")
        self.results = results


class KeyInFlight(Exception):
    """A request with this idempotency key is being taken at this moment; ask again in a second."""


class KeyReused(Exception):
    """This idempotency key came before with another body."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored batch and the lanes that have something waiting because of it.

    ``replayed``: the same key and body came before, and this is what was stored then.
    """

    batch: Batch
    lanes: tuple[int, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Arriving:
    """What is known of a body when its sensors are, before anything of it is stored.

    ``critical``: it has readings of a machine of the highest criticality.
    """

    site_id: int
    user_id: int | None
    readings: int
    critical: bool


def accept(
    *,
    site: Site,
    user: User | None,
    body: bytes,
    received_at: datetime,
    correlation_id: str = "",
    idempotency_key: str = "",
    admit: Callable[[Arriving], None] | None = None,
) -> Accepted:
    """Store a body of readings; when this returns (and the caller's transaction, if any, commits) it is durable.

    ``admit`` may raise to have nothing stored. It is asked with no transaction open, and not about a body that is
    stored already under its idempotency key: the answer to that costs one query.

    Raises ``codec.Malformed``, ``codec.TooManyReadings``, ``NothingAccepted``, ``KeyInFlight`` or ``KeyReused``.
    """
    digest = hashlib.sha256(body).hexdigest()
    if (earlier := _earlier(site, user, idempotency_key)) is not None:
        return _again(earlier, digest)
    parsed = codec.parse(body, most=settings.INGEST_MAX_READINGS)
    lane_of, sensors, critical = _resolve(site, parsed.items)
    if admit is not None:
        admit(Arriving(site.pk, user.pk if user else None, len(parsed.items), critical))
    decoded = codec.decode(parsed, sensors=sensors, span=_span(received_at))
    if decoded.rejected == decoded.items:
        raise NothingAccepted(decoded.results)
    _within_days([decoded.accepted, *decoded.held.values()])
    batch = Batch(
        site=site,
        submitted_by=user,
        correlation_id=correlation_id,
        idempotency_key=idempotency_key,
        body_sha256=digest,
        items=decoded.items,
        accepted=len(decoded.accepted),
        held=decoded.held_readings,
        duplicates=decoded.duplicates,
        rejected=decoded.rejected,
        results=list(decoded.results),
        received_at=received_at,
    )
    try:
        return _store(batch, decoded, lane_of)
    except IntegrityError:
        if (earlier := _earlier(site, user, idempotency_key)) is None:
            raise
        return _again(earlier, digest)  # it was stored while this one was being read


@transaction.atomic
def _store(batch: Batch, decoded: Decoded, lane_of: Mapping[int, int]) -> Accepted:
    """The batch and its parts, all or nothing. Raises ``KeyInFlight``, or ``IntegrityError`` where the key is known."""
    if batch.idempotency_key:
        _hold_key(batch)
    batch.save(force_insert=True)
    parts = _parts(batch, decoded, lane_of)
    BatchPart.objects.bulk_create(parts)
    return Accepted(batch=batch, lanes=tuple(sorted({p.lane for p in parts if p.lane is not None})))


def _earlier(site: Site, user: User | None, key: str) -> Batch | None:
    """What was stored under the key."""
    return Batch.objects.filter(site=site, submitted_by=user, idempotency_key=key).first() if key else None


def _again(earlier: Batch, digest: str) -> Accepted:
    """The answer to a body that came before. Raises ``KeyReused`` where it was another one."""
    if earlier.body_sha256 != digest:
        raise KeyReused(f"The key came before with another body, at {earlier.received_at:%Y-%m-%dT%H:%M:%SZ}.")
    return Accepted(batch=earlier, lanes=(), replayed=True)


def _hold_key(batch: Batch) -> None:
    """Until the transaction ends nobody else stores under the batch's key. Raises ``KeyInFlight``."""
    with connection.cursor() as cursor:
        scope = f"{batch.site_id}/{batch.submitted_by_id or 0}/{batch.idempotency_key}"
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s))", [scope, KEY_LOCK])
        if not cursor.fetchone()[0]:
            raise KeyInFlight("A request with this key is being taken at this moment.")


def _within_days(readings: Sequence[Columns]) -> None:
    """Raises ``TooManyReadings``: each day is a partition, and a transaction can write to so many."""
    days = np.unique(np.concatenate([one.at // columns.DAY_US for one in readings])).size
    if days > settings.INGEST_MAX_DAYS:
        raise codec.TooManyReadings(
            f"The readings fall on {days} days; at most {settings.INGEST_MAX_DAYS} are taken at once. Send it in parts."
        )


def _span(now: datetime) -> codec.Span:
    return codec.Span(
        earliest=columns.from_instant(now - timedelta(days=settings.READINGS_RETENTION_DAYS)),
        latest=columns.from_instant(now + timedelta(seconds=settings.INGEST_MAX_FUTURE_SECONDS)),
    )


def _resolve(site: Site, items: Sequence[object]) -> tuple[dict[int, int], dict[SensorKey, int], bool]:
    """Lane by sensor id; sensor id by the names and ids that the items use and the site knows; whether a machine of
    them is critical."""
    names, ids = codec.keys(items)
    known = Sensor.objects.filter(Q(external_id__in=names) | Q(id__in=ids), site=site)
    lane_of: dict[int, int] = {}
    sensors: dict[SensorKey, int] = {}
    critical = False
    for sensor, name, lane, criticality in known.values_list(
        "id", "external_id", "machine__lane", "machine__criticality"
    ):
        if lane is None:
            raise ValueError(f"the machine of sensor {sensor} has no lane")
        lane_of[sensor] = lane
        sensors[name] = sensors[sensor] = sensor
        critical = critical or criticality == Equipment.Criticality.CRITICAL
    return lane_of, sensors, critical


def _parts(batch: Batch, decoded: Decoded, lane_of: Mapping[int, int]) -> list[BatchPart]:
    parts = []
    unique, inverse = np.unique(decoded.accepted.sensor, return_inverse=True)
    lanes = np.array([lane_of[int(sensor)] for sensor in unique], np.int16)[inverse]
    for lane in np.unique(lanes):
        parts.append(part(batch, decoded.accepted.take(lanes == lane), lane=int(lane)))
    discovered = _discover(batch.site, {name: len(held) for name, held in decoded.held.items()})
    parts += [part(batch, held, discovered_id=discovered[name]) for name, held in decoded.held.items()]
    return parts


def part(batch: Batch, readings: Columns, *, lane: int | None = None, discovered_id: int | None = None) -> BatchPart:
    """An unsaved part: waiting in a lane, or held back for a discovered sensor."""
    return BatchPart(
        batch=batch,
        lane=lane,
        discovered_id=discovered_id,
        state=BatchPart.State.HELD if lane is None else BatchPart.State.WAITING,
        readings=len(readings),
        columns=columns.pack(readings),
    )


def _discover(site: Site, readings: Mapping[str, int]) -> dict[str, int]:
    """Id of the discovered sensor of each name, with what is held back for it counted, in one statement.

    In the order of names, so that two requests with the same names wait for each other and do not deadlock.
    """
    if not readings:
        return {}
    names = sorted(readings)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {DISCOVERED} AS known (site_id, external_id, readings)"
            " SELECT %s, wanted.name, wanted.readings FROM unnest(%s::text[], %s::bigint[]) AS wanted(name, readings)"
            " ON CONFLICT (site_id, external_id) DO UPDATE"
            " SET readings = known.readings + excluded.readings, last_seen_at = now() RETURNING external_id, id",
            [site.pk, names, [readings[name] for name in names]],
        )
        return dict(cursor.fetchall())
