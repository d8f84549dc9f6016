"""Versions opened and kept: fetched when they are first asked for, checked against the ledger, remembered for a while.

Where the champion's bytes cannot be had, the newest version that spoke before it and can be had speaks, and says so;
where none can, nobody does, and what watches without models goes on. Neither MLflow nor what stores artifacts needs to
answer once a version was opened on this machine.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from django.conf import settings

from mlops import artifact_store, ledger
from mlops.drift.reference import Reference
from mlops.learning import artifact
from mlops.learning.contract import Learned, Signature
from mlops.models import Deployment, ModelVersion

log = structlog.get_logger(__name__)


class Silent(Exception):
    """No version of the model can speak; the message says why."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A version that can be asked. ``reference``: what was usual where it learned, None where too little was known.
    ``degraded``: why it is not the champion itself, empty where it is."""

    name: str
    version: int
    sha256: str
    learned: Learned
    signature: Signature
    reference: Reference | None
    degraded: str = ""


@dataclass(slots=True)
class Kept:
    speaker: Speaker
    size: int
    used_at: float


class Shelf:
    """Opened versions by sha256: those used last, within a size and a time; each is fetched by one caller at a time."""

    def __init__(self, *, most_bytes: int, seconds: float) -> None:
        self._most_bytes, self._seconds = most_bytes, seconds
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}

    def get(self, version: ModelVersion) -> Speaker:
        """Raises ``artifact.Refused`` and what ``artifact_store.get`` raises."""
        if (found := self._look(version.sha256)) is not None:
            return found
        with self._lock:
            alone = self._fetching.setdefault(version.sha256, threading.Lock())
        with alone:
            if (found := self._look(version.sha256)) is None:
                found = _open(version)
                self._keep(found, version.size)
        return found

    def _look(self, sha256: str) -> Speaker | None:
        with self._lock:
            self._forget()
            kept = self._kept.get(sha256)
            if kept is None:
                return None
            kept.used_at = time.monotonic()
            self._kept.move_to_end(sha256)
            return kept.speaker

    def _keep(self, speaker: Speaker, size: int) -> None:
        with self._lock:
            self._kept[speaker.sha256] = Kept(speaker, size, time.monotonic())
            self._fetching.pop(speaker.sha256, None)
            self._forget()

    def _forget(self) -> None:
        """The newest stays, whatever it takes."""
        limit = time.monotonic() - self._seconds
        while len(self._kept) > 1:
            oldest = next(iter(self._kept.values()))
            if oldest.used_at > limit and sum(one.size for one in self._kept.values()) <= self._most_bytes:
                return
            self._kept.popitem(last=False)


shelf = Shelf(most_bytes=settings.ML_CACHE_BYTES, seconds=settings.ML_CACHE_SECONDS)
CANNOT_BE_HAD = (artifact.Refused, artifact_store.ArtifactError)


def opened(version: ModelVersion) -> Speaker:
    """That version and no other. Raises ``Silent``."""
    try:
        return shelf.get(version)
    except CANNOT_BE_HAD as error:
        raise Silent(f"{version}: {error}") from error


def champion(name: str) -> Speaker:
    """Whoever speaks for the model now. Raises ``Silent``."""
    wrong = []
    for version in _chain(name):
        try:
            found = shelf.get(version)
        except CANNOT_BE_HAD as error:
            log.warning("mlops.loader.cannot-be-had", model=name, version=version.version, error=str(error))
            wrong.append(f"version {version.version}: {error}")
            continue
        if not wrong:
            return found
        told = f"Version {version.version} speaks instead of the champion ({'; '.join(wrong)})."
        return replace(found, degraded=told)
    raise Silent(f"No version of {name} speaks" + (f": {'; '.join(wrong)}." if wrong else "; none was promoted."))


def _chain(name: str) -> Iterator[ModelVersion]:
    """The champion, then those that were champion before it, the newest first, each once."""
    if (now := ledger.champion(name)) is None:
        return
    yield now
    seen = {now.pk}
    before = Deployment.objects.filter(name=name, alias=Deployment.Alias.CHAMPION).select_related("version")
    for entry in before.order_by("-id"):
        if entry.version_id not in seen:
            seen.add(entry.version_id)
            yield entry.version


def _open(version: ModelVersion) -> Speaker:
    path = Path(settings.ML_CACHE_DIR) / f"{version.sha256}.skops"
    with suppress(FileNotFoundError):
        data = path.read_bytes()
        if artifact.digest(data) == version.sha256:
            return _speaker(version, data)
        log.warning("mlops.loader.spoilt", model=version.name, version=version.version)
    data = artifact_store.get(version.uri, most=version.size)
    speaker = _speaker(version, data)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{threading.get_ident()}")
    fresh.write_bytes(data)
    fresh.replace(path)
    return speaker


def _speaker(version: ModelVersion, data: bytes) -> Speaker:
    learned, signature, reference = artifact.open_(data, sha256=version.sha256)
    return Speaker(version.name, version.version, version.sha256, learned, signature, reference)
