"""The readings of a run between its stages: in Redis while it is there, rebuilt from the parts when it is not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import structlog
from django.db.models import QuerySet

from agents import hearsay, ingest
from agents.causes import Cause
from agents.ingest import Cargo, Packed
from agents.models import Run
from sensors import columns
from sensors.columns import Bool, Int64, UInt8
from sensors.models import BatchPart

log = structlog.get_logger(__name__)

KEEP_SECONDS = 600
COUNT = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What validate said of each reading of a cargo: arrays of length n, kept with the run."""

    keep: Bool
    quality: UInt8
    reason: UInt8
    late: Bool

    def take(self, which: Bool) -> Verdicts:
        return Verdicts(self.keep[which], self.quality[which], self.reason[which], self.late[which])

    def pack(self) -> bytes:
        rows = np.stack([self.keep.view(np.uint8), self.quality, self.reason, self.late.view(np.uint8)])
        return zlib.compress(rows.tobytes(), 1)


def unpack_verdicts(data: bytes) -> Verdicts:
    keep, quality, reason, late = np.frombuffer(zlib.decompress(bytes(data)), np.uint8).reshape(4, -1)
    return Verdicts(keep.view(np.bool_), quality, reason, late.view(np.bool_))


def put(run: Run, cargo: Cargo) -> None:
    """Leave the cargo for the next stage. Redis may be down: the next stage rebuilds it then."""
    hearsay.ask("put", lambda store: store.set(_key(run), _pack(cargo), ex=KEEP_SECONDS))


def get(run: Run, *, only: Collection[int] | None = None) -> Cargo:
    """The cargo of a run, or of some of its parts only, the same to the bit wherever it comes from."""
    whole = _whole(run)
    return whole if only is None else take(whole, of_parts(whole, only))


def of_parts(cargo: Cargo, parts: Collection[int]) -> Bool:
    """For each reading whether it belongs to one of the parts."""
    return np.isin(cargo.part, np.fromiter(parts, np.int64, len(parts)))


def received(cargo: Cargo) -> Int64:
    """For each reading when it was received, in microseconds, by the database's clock."""
    parts, of_part = np.unique(cargo.part, return_inverse=True)
    arrived = dict(BatchPart.objects.filter(pk__in=parts.tolist()).values_list("pk", "created_at"))
    instants = [columns.from_instant(arrived[part]) for part in parts.tolist()]
    return np.array(instants, np.int64)[of_part]


def take(cargo: Cargo, which: Bool) -> Cargo:
    return Cargo(cargo.columns.take(which), cargo.part[which])


def _whole(run: Run) -> Cargo:
    cached = hearsay.ask("get", lambda store: store.get(_key(run)))
    if cached is not None:
        try:
            return _unpack(cached)
        except columns.NotColumns as error:
            log.warning("agents.cargo.cache-damaged", run_id=run.pk, error=str(error))
    parts = packed(BatchPart.objects.filter(run_id=run.pk).exclude(state="SET_ASIDE"))
    return ingest.order(parts, [ingest.decode(part) for part in parts])


def drop(run: Run) -> None:
    hearsay.ask("drop", lambda store: store.delete(_key(run)))


def packed(parts: QuerySet[BatchPart]) -> list[Packed]:
    rows = parts.order_by("id").values_list("id", "readings", "columns", "batch__correlation_id", "batch__traceparent")
    return [
        Packed(id=part, readings=readings, data=bytes(data), cause=Cause(request, trace))
        for part, readings, data, request, trace in rows
    ]


def _key(run: Run) -> str:
    return f"cargo:{run.pk}.{run.edition}"


def _pack(cargo: Cargo) -> bytes:
    return COUNT.pack(len(cargo.part)) + cargo.part.astype("<i8").tobytes() + columns.pack(cargo.columns)


def _unpack(data: bytes) -> Cargo:
    """Raises ``NotColumns``."""
    try:
        (n,) = COUNT.unpack_from(data)
        part = np.frombuffer(data, "<i8", n, COUNT.size)
    except (struct.error, ValueError) as error:
        raise columns.NotColumns(f"cannot be read: {error}") from error
    readings = columns.unpack(data[COUNT.size + part.nbytes :])
    if len(readings) != n:
        raise columns.NotColumns("lengths differ")
    return Cargo(readings, part)
