"""The chain of the audit trail: each entry carries a hash over itself and over the one before it.

Entries are added without a place in the chain, so that nobody waits for anybody; a periodic job seals what has been
committed since, in the order of ids. What is sealed cannot be altered, taken out, put in or moved without ``verify``
finding it. Whoever owns the database could make a whole new chain: the hash of its end, kept elsewhere, shows that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from sensors.audit_models import AuditEntry, AuditHead
from sensors.models import Event

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 5_000
SLACK = timedelta(minutes=10)
"""An entry is sealed, and follows the ones before it, within so long: longer than any transaction lasts."""
SEALED = ("number", "previous", "hash")
HASHED = ("id", "at", "actor", "credential", "address", "request_id", "site_id", "action", "target", "detail",
          "reference", "number")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


@dataclass(slots=True)
class Verified:
    """What a walk along the chain came to. ``faults`` are sentences that name the entry."""

    entries: int = 0
    unsealed: int = 0
    head: Head = field(default_factory=lambda: Head(0, ""))
    faults: list[str] = field(default_factory=list)


def hash_of(entry: AuditEntry, *, previous: str) -> str:
    """SHA-256 of the hash before it and of the entry as JSON with sorted keys, times in UTC."""
    said = {name: getattr(entry, name) for name in HASHED}
    said["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(previous.encode() + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def seal() -> int:
    """Give what has been added since its place in the chain; how many. Where another process is at it: none."""
    sealed = 0
    while (done := _seal_some()) is not None:
        sealed += done
        if done < MOST_AT_ONCE:
            break
    return sealed


def _seal_some() -> int | None:
    with transaction.atomic():
        head = AuditHead.objects.select_for_update(skip_locked=True).first()
        if head is None:
            return None
        waiting = list(AuditEntry.objects.filter(number=None).order_by("id")[:MOST_AT_ONCE])
        if not waiting:
            return 0
        for entry in waiting:
            entry.number, entry.previous = head.number + 1, head.hash
            entry.hash = hash_of(entry, previous=head.hash)
            head.number, head.hash = entry.number, entry.hash
        _store(waiting)
        head.save(update_fields=["number", "hash"])
    log.info("audit.sealed", number=head.number, hash=head.hash)
    return len(waiting)


def _store(entries: list[AuditEntry]) -> None:
    columns: list[list[Any]] = [[getattr(entry, name) for entry in entries] for name in ("id", *SEALED)]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sensors_auditentry AS entry SET number = new.number, previous = new.previous, hash = new.hash"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]) AS new(id, number, previous, hash)"
            " WHERE entry.id = new.id",
            columns,
        )


def verify(*, anchors: tuple[Head, ...] = (), now: datetime | None = None) -> Verified:
    """Walk along the chain. ``anchors``: ends of it that were noted earlier, and kept where nobody could alter them."""
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().first()  # meanwhile nothing is sealed
        return _walk(head, {anchor.number: anchor.hash for anchor in anchors}, now or datetime.now(UTC))


def _walk(head: AuditHead | None, known: dict[int, str], now: datetime) -> Verified:
    found, latest = Verified(), None
    for entry in AuditEntry.objects.exclude(number=None).order_by("number").iterator(chunk_size=2_000):
        found.faults += _faults(entry, found.head, latest)
        if (noted := known.pop(int(entry.number or 0), entry.hash)) != entry.hash:
            found.faults.append(f"{_name(entry)} is not the one that was noted as {noted}: the chain was made anew.")
        latest = entry.at if latest is None else max(latest, entry.at)
        found.head, found.entries = Head(int(entry.number or 0), entry.hash), found.entries + 1
    found.faults += _faults_of_the_end(found.head, head, known)
    found.faults += _faults_of_the_unsealed(found, now)
    found.faults += _missing_of_the_journal()
    return found


def _faults(entry: AuditEntry, before: Head, latest: datetime | None) -> Iterator[str]:
    number, expected = int(entry.number or 0), before.number + 1
    if number != expected:
        gone = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
        yield f"Number {gone} is missing: it was deleted, or moved."
    elif entry.previous != before.hash:
        yield f"{_name(entry)} does not follow the entry before it: one of them was put in, changed or moved."
    if hash_of(entry, previous=entry.previous) != entry.hash:
        yield f"{_name(entry)} is not as it was sealed: it was changed."
    if latest is not None and entry.at < latest - SLACK:
        yield f"{_name(entry)} says {entry.at:%Y-%m-%d %H:%M:%S} UTC, and follows later ones: it was put in afterwards."


def _name(entry: AuditEntry) -> str:
    return f"Number {entry.number} (id {entry.pk}, {entry.action})"


def _faults_of_the_end(last: Head, head: AuditHead | None, anchors: dict[int, str]) -> Iterator[str]:
    if head is None:
        yield "The end of the chain is not written down any more: its row was deleted."
    elif (head.number, head.hash) != (last.number, last.hash):
        yield f"The chain ends at {last.number}, and went on to {head.number}: entries at its end were deleted."
    for number in anchors:
        yield f"Number {number} was noted once, and is not there: entries were deleted."


def _faults_of_the_unsealed(found: Verified, now: datetime) -> Iterator[str]:
    for entry in AuditEntry.objects.filter(number=None).order_by("id").iterator():
        found.unsealed += 1
        if entry.at < now - SLACK:
            yield f"The entry with id {entry.pk} ({entry.action}) was never sealed: does its periodic job run?"


def _missing_of_the_journal() -> Iterator[str]:
    """What people did is in the journal too, and got into both in one transaction."""
    first = AuditEntry.objects.order_by("id").values("at")[:1]
    told = AuditEntry.objects.filter(reference=OuterRef("key"))
    untold = Event.objects.exclude(actor="").filter(~Exists(told), recorded_at__gt=first, recorded_at__lt=Now())
    for event in untold.order_by("id").iterator():
        yield f"{event.type} of {event.subject} by {event.actor} has no entry: it was deleted before it was sealed."
