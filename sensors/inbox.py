"""What clients send, accepted durably: a batch, and a part for each lane it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from sensors import codec, columns, directory, entry, tracing, wholesale
from sensors.codec import Decoded
from sensors.columns import Columns, Int64
from sensors.directory import Fleet
from sensors.entry import Entry, Outcome, Part, State
from sensors.models import Batch, DiscoveredSensor, Site

DISCOVERED = DiscoveredSensor._meta.db_table
TRIES = 3
"""So often a body is read anew because sensors have changed meanwhile; then whoever changes them has to wait."""


class NothingAccepted(Exception):
    """Every item of the body was refused; nothing was stored."""

    def __init__(self, results: Sequence[dict[str, str]]) -> None:
        super().__init__(f"All {len(results)} readings were refused.")
        self.results = results


class KeyInFlight(Exception):
    """A request with this idempotency key is being taken at this moment; ask again in a second."""


class KeyReused(Exception):
    """This idempotency key came before with another body."""


class Outdated(Exception):
    """What the client was let in by has changed since: it has to be looked at again. Nothing was stored."""


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


@dataclass(slots=True)
class Request:
    """A body, and what is known of it. ``admit``: whom to ask, once; ``asked``: where its sensors were looked up."""

    site: Site
    user: User | None
    body: bytes
    digest: str
    received_at: datetime
    correlation_id: str
    idempotency_key: str
    access: int | None
    admit: Callable[[Arriving], None] | None
    only: Int64 | None
    asked: Fleet | None = None

    def ask(self, *, readings: int, critical: bool) -> None:
        if self.admit is not None:
            self.admit(Arriving(self.site.pk, self.user.pk if self.user else None, readings, critical))
            self.admit = None


def accept(
    *,
    site: Site,
    user: User | None,
    body: bytes,
    received_at: datetime,
    correlation_id: str = "",
    idempotency_key: str = "",
    access: int | None = None,
    admit: Callable[[Arriving], None] | None = None,
    only: Int64 | None = None,
) -> Accepted:
    """Store a body of readings; when this returns (and the caller's transaction, if any, commits) it is durable.

    ``access``: the number (``sensors.directory``) under which the user was let in; None where nobody was asked.
    ``admit`` may raise to have nothing stored. It is asked with no transaction open, and not about a body that is
    stored already under its idempotency key: the answer to that costs one query. ``only``: the ids of the sensors that
    may be sent for, ascending; None: all of the site, and those that nobody knows yet.

    Raises ``codec.Malformed``, ``codec.TooManyReadings``, ``NothingAccepted``, ``KeyInFlight``, ``KeyReused`` or
    ``Outdated``.
    """
    digest = hashlib.sha256(body).hexdigest()
    request = Request(site, user, body, digest, received_at, correlation_id, idempotency_key, access, admit, only)
    if (earlier := _earlier(request)) is not None:
        return _again(earlier, digest)
    for _ in range(TRIES):
        if (accepted := _attempt(request)) is not None:
            return accepted
    with transaction.atomic():
        directory.hold()
        accepted = _attempt(request)
    assert accepted is not None, "what is held does not change"
    return accepted


def _attempt(request: Request) -> Accepted | None:
    """None where sensors have changed between reading the body and storing it."""
    fleet = directory.fleet()
    decoded, codes = _wholesale(request, fleet) or _item_by_item(request, fleet)
    if decoded.rejected == decoded.items:
        raise NothingAccepted(decoded.results)
    _within_days([decoded.accepted, *decoded.held.values()])
    batch = Batch(
        site_id=request.site.pk,
        submitted_by_id=request.user.pk if request.user else None,
        correlation_id=request.correlation_id,
        traceparent=tracing.current(),
        idempotency_key=request.idempotency_key,
        body_sha256=request.digest,
        items=decoded.items,
        accepted=len(decoded.accepted),
        held=decoded.held_readings,
        duplicates=decoded.duplicates,
        rejected=decoded.rejected,
        results=list(decoded.results),
        received_at=request.received_at,
    )
    made = Entry(batch, _parts(decoded.accepted, codes), access=request.access, fleet=fleet.number)
    outcome = _store(made, decoded.held)
    if outcome.state is State.OUTDATED:
        directory.see(outcome.now)
        if request.access not in (None, outcome.now.access):
            raise Outdated
        return None
    if outcome.state is State.STORED:
        return Accepted(batch=batch, lanes=tuple(part.lane for part in made.parts if part.lane is not None))
    if outcome.state is State.KNOWN and (earlier := _earlier(request)) is not None:
        return _again(earlier, request.digest)  # it was stored while this one was being read
    raise KeyInFlight("A request with this key is being taken at this moment.")


def _wholesale(request: Request, fleet: Fleet) -> tuple[Decoded, Int64] | None:
    """The body and the code of each accepted reading's place; None where not all of it is good."""
    sheet = wholesale.read(request.body, most=settings.INGEST_MAX_READINGS)
    if sheet is None:
        return None
    codes = wholesale.codes(sheet, fleet.known(request.site.pk))
    if codes is None:
        codes = wholesale.codes(sheet, fleet.places(request.site.pk, sheet.keys))
        request.asked = fleet
    if codes is not None and request.only is not None and not wholesale.within(codes, request.only):
        return None
    decoded = None if codes is None else wholesale.decode(sheet, codes=codes, span=_span(request.received_at))
    if codes is None or decoded is None:
        return None
    request.ask(readings=len(sheet), critical=wholesale.any_critical(codes))
    return decoded, codes


def _item_by_item(request: Request, fleet: Fleet) -> tuple[Decoded, Int64]:
    """The same for any body. Raises ``codec.Malformed`` or ``codec.TooManyReadings``."""
    body = codec.parse(request.body, most=settings.INGEST_MAX_READINGS)
    names, ids = codec.keys(body.items)
    if request.asked is not fleet:
        fleet.places(request.site.pk, [*names, *ids])
    known = fleet.known(request.site.pk)
    places = {key: wholesale.place(known[key]) for key in (*names, *ids) if key in known}
    request.ask(readings=len(body.items), critical=any(place.critical for place in places.values()))
    sensors = {key: place.sensor for key, place in places.items()}
    only = None if request.only is None else set(request.only.tolist())
    decoded = codec.decode(body, sensors=sensors, span=_span(request.received_at), only=only)
    return decoded, np.array([known[sensor] for sensor in decoded.accepted.sensor.tolist()], np.int64)


def _store(made: Entry, held: Mapping[str, Columns]) -> Outcome:
    """Store together with what comes at the same time; alone where names are new or a transaction is open already."""
    if not held and not connection.in_atomic_block:
        return entry.together(made)
    with transaction.atomic():
        discovered = _discover(made.batch.site_id, {name: len(readings) for name, readings in held.items()})
        parts = [Part(None, discovered[name], len(of), columns.pack(of)) for name, of in held.items()]
        (outcome,) = entry.store([replace(made, parts=(*made.parts, *parts))])
        if outcome.state is not State.STORED:
            transaction.set_rollback(True)
        return outcome


def _earlier(request: Request) -> Batch | None:
    """What was stored under the key."""
    if not (key := request.idempotency_key):
        return None
    return Batch.objects.filter(site=request.site, submitted_by=request.user, idempotency_key=key).first()


def _again(earlier: Batch, digest: str) -> Accepted:
    """The answer to a body that came before. Raises ``KeyReused`` where it was another one."""
    if earlier.body_sha256 != digest:
        raise KeyReused(f"The key came before with another body, at {earlier.received_at:%Y-%m-%dT%H:%M:%SZ}.")
    return Accepted(batch=earlier, lanes=(), replayed=True)


def _within_days(readings: Sequence[Columns]) -> None:
    """Raises ``TooManyReadings``: each day is a partition, and a transaction can write to so many."""
    most = settings.INGEST_MAX_DAYS
    if sum(map(len, readings)) <= most:
        return
    at = np.concatenate([one.at for one in readings])
    if at.max() - at.min() <= (most - 1) * columns.DAY_US:
        return
    days = np.unique(at // columns.DAY_US).size
    if days > most:
        raise codec.TooManyReadings(
            f"The readings fall on {days} days; at most {most} are taken at once. Send it in parts."
        )


def _span(now: datetime) -> codec.Span:
    return codec.Span(
        earliest=columns.from_instant(now - timedelta(days=settings.READINGS_RETENTION_DAYS)),
        latest=columns.from_instant(now + timedelta(seconds=settings.INGEST_MAX_FUTURE_SECONDS)),
    )


def _parts(accepted: Columns, codes: Int64) -> tuple[Part, ...]:
    """What goes down each lane, in ascending order of the lanes; in a lane in the order in which it was sent."""
    if not len(codes):
        return ()
    lanes = wholesale.lanes(codes)
    if (lanes == lanes[0]).all():
        return (Part(int(lanes[0]), None, len(codes), columns.pack(accepted)),)
    order = np.argsort(lanes, kind="stable")
    lanes = lanes[order]
    starts = [0, *(np.flatnonzero(lanes[1:] != lanes[:-1]) + 1).tolist(), len(lanes)]
    packed = columns.pack_slices(accepted.take(order), starts)
    return tuple(
        Part(int(lanes[start]), None, end - start, data)
        for (start, end), data in zip(pairwise(starts), packed, strict=True)
    )


def _discover(site_id: int, readings: Mapping[str, int]) -> dict[str, int]:
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
            [site_id, names, [readings[name] for name in names]],
        )
        return dict(cursor.fetchall())
