"""What the service stands on, asked now: each on a thread of its own, side by side, within a few seconds in all.

Postgres alone makes the service down. Without any of the others it takes readings all the same: it is degraded.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import structlog
from django.conf import settings
from django.db import connection, connections
from django_redis import get_redis_connection

from agents import doorbell, pulse, timetable
from config import celery
from maintenance.models import Channel
from mlops import artifact_store
from sensors import walls

log = structlog.get_logger(__name__)

LIMIT_SECONDS = 4.0
ANSWER_SECONDS = 2.0
"""So long each waits for what it asks; a little less than all may take."""
WORKERS_SECONDS = 1.0
"""Workers are asked all at once, and it is not known how many there are: whoever answers in this time is there."""
LEAST_FREE = 0.2
"""Share of a disk: as the alert has it (``deploy/prometheus/rules.yml``)."""
BUSY_CONNECTIONS = 0.9
BEAT_SECONDS, SWEEP_SECONDS = 120, 60
"""How old the newest sign of life of beat and of the sweep may be: some of their periods."""


class Status(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Found:
    """``reason``: in words what was found."""

    status: Status
    reason: str
    milliseconds: float = 0.0


Check = Callable[[], Found]


def look(checks: Mapping[str, Check] | None = None, *, seconds: float = LIMIT_SECONDS) -> dict[str, Found]:
    """Ask them all. Whatever has not answered in this time is down; it is not asked again before it has."""
    found: dict[str, Found] = {}
    asked = CHECKS if checks is None else checks
    ends = time.monotonic() + seconds
    for name, check in asked.items():
        before = _asking.get(name)
        if before is None or not before.is_alive():
            _asking[name] = threading.Thread(target=_ask, args=(name, check, found), name=f"ask-{name}", daemon=True)
            _asking[name].start()
    for name in asked:
        _asking[name].join(max(0.0, ends - time.monotonic()))
    silent = Found(Status.DOWN, f"no answer within {seconds:g} s", 1_000 * seconds)
    return {name: found.get(name, silent) for name in asked}


_asking: dict[str, threading.Thread] = {}


def whole(found: Mapping[str, Found]) -> str:
    """What it comes to: ready, degraded or down."""
    if found["postgres"].status is Status.DOWN:
        return "down"
    well = all(one.status in (Status.UP, Status.UNUSED) for one in found.values())
    return "ready" if well else "degraded"


def _ask(name: str, check: Check, found: dict[str, Found]) -> None:
    began = time.monotonic()
    try:
        with walls.everywhere():
            answer = check()
    except Exception as error:
        said = " ".join(str(error).split())
        log.info("dependencies.away", dependency=name, error=said)
        answer = Found(Status.DOWN, f"{type(error).__name__}: {said}"[:300])
    finally:
        connections.close_all()
    found[name] = replace(answer, milliseconds=round(1_000 * (time.monotonic() - began), 1))


def _postgres() -> Found:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',"
            " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
            " current_setting('max_connections')::int, current_setting('server_version')"
        )
        read_only, used, most, version = cursor.fetchone()
    said = f"version {version}, {used} of {most} connections in use"
    if read_only:
        return Found(Status.DOWN, f"it takes no writes; {said}")
    return Found(Status.DEGRADED if used > BUSY_CONNECTIONS * most else Status.UP, said)


def _queue() -> Found:
    with celery.app.connection_for_write(transport_options=doorbell.IN_HASTE) as link:
        channel: Any = link.default_channel
        return _redis(channel.client.info())


def _cache() -> Found:
    if settings.CACHES["default"]["LOCATION"] == settings.REDIS_URL:
        return Found(Status.UNUSED, "the cache is in the queue's Redis")
    return _redis(get_redis_connection().info(), evicts=True)


def _redis(told: Mapping[str, object], *, evicts: bool = False) -> Found:
    said = f"version {told['redis_version']}, {int(str(told['used_memory'])) // 1_000_000} MB in use"
    if not evicts and told.get("maxmemory_policy") != "noeviction":
        return Found(Status.DEGRADED, f"maxmemory-policy is {told.get('maxmemory_policy')}, not noeviction; {said}")
    return Found(Status.UP, said)


def _mlflow() -> Found:
    if not settings.MLFLOW_TRACKING_URI:
        return Found(Status.UNUSED, "MLFLOW_TRACKING_URI is not set")
    address = f"{settings.MLFLOW_TRACKING_URI}/health"
    if urlsplit(address).scheme not in ("http", "https"):
        return Found(Status.UNUSED, "MLFLOW_TRACKING_URI names no server")
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=ANSWER_SECONDS) as answer:
            return Found(Status.UP, f"answered {answer.status}")
    except URLError as error:
        return Found(Status.DOWN, f"{error.reason}; trainings wait, the rest goes on")


def _artifacts() -> Found:
    """A file that is not there is asked for: whoever says so can be reached, and lets us in."""
    try:
        artifact_store.get(artifact_store.below(settings.ML_ARTIFACTS, "health"), most=1)
    except artifact_store.Missing:
        if settings.ML_ARTIFACTS.startswith("file:"):
            return _folder(Path(urlsplit(settings.ML_ARTIFACTS).path))
    return Found(Status.UP, f"{settings.ML_ARTIFACTS} can be read")


def _folder(place: Path) -> Found:
    there = _nearest(place)
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Found(Status.DOWN, f"{place} cannot be written")
    return Found(Status.UP, f"{place} can be written")


def _smtp() -> Found:
    if not Channel.objects.filter(kind=Channel.Kind.EMAIL, is_enabled=True).exists():
        return Found(Status.UNUSED, "nobody is told by mail")
    kind = smtplib.SMTP_SSL if settings.EMAIL_USE_SSL else smtplib.SMTP
    with kind(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=ANSWER_SECONDS) as client:
        code, _ = client.noop()
    return Found(Status.UP if code == 250 else Status.DEGRADED, f"answered {code}")


def _disk() -> Found:
    places = [Path(settings.HOME), Path(settings.MEDIA_ROOT), Path(settings.BACKUP_SPOOL)]
    if settings.ML_ARTIFACTS.startswith("file:"):
        places.append(Path(urlsplit(settings.ML_ARTIFACTS).path))
    if settings.BACKUP_TO and not settings.BACKUP_TO.startswith("s3://"):
        places.append(Path(settings.BACKUP_TO))
    usage = {place: shutil.disk_usage(_nearest(place)) for place in places}
    place, least = min(usage.items(), key=lambda one: one[1].free / one[1].total)
    share = least.free / least.total
    said = f"{share:.0%} free, {least.free / 1e9:.1f} GB, where {place} is"
    return Found(Status.DEGRADED if share < LEAST_FREE else Status.UP, said)


def _nearest(place: Path) -> Path:
    """The folder, or its nearest parent that is there."""
    while not place.exists():
        place = place.parent
    return place


def _beat() -> Found:
    """Beat and the workers of housekeeping together: a job has begun lately."""
    return _sign("AND job = ANY(%s)", [list(timetable.PERIODS)], "a periodic job", most=BEAT_SECONDS)


def _sweep() -> Found:
    return _sign("AND job = %s", [pulse.JOB], "the sweep", most=SWEEP_SECONDS)


def _sign(where: str, parameters: list[Any], who: str, *, most: float) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - max(started_at))::float FROM agents_jobrun"
            f" WHERE started_at > clock_timestamp() - interval '8 days' {where}",
            parameters,
        )
        (age,) = cursor.fetchone()
    if age is None:
        return Found(Status.DOWN, f"{who} has not run yet")
    return Found(Status.DOWN if age > most else Status.UP, f"{who} ran {age:.0f} s ago")


def _workers() -> Found:
    """Which queues somebody works at. A worker that is its own pool answers nobody while it works."""
    told = celery.app.control.inspect(timeout=WORKERS_SECONDS).active_queues() or {}
    worked = {queue["name"] for queues in told.values() for queue in queues}
    missing = [queue for queue in celery.QUEUES if queue not in worked]
    if not told:
        return Found(Status.DOWN, "no worker answered")
    said = f"{len(told)} answered"
    if missing:
        return Found(Status.DEGRADED, f"{said}, and none that works at: {', '.join(missing)}")
    return Found(Status.UP, f"{said}, and every queue is worked at")


def _backup() -> Found:
    if not settings.BACKUP_TO:
        return Found(Status.UNUSED, "BACKUP_TO is not set: nothing is backed up")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - max(ended_at) FILTER (WHERE status = 'DONE'))::float,"
            " (array_agg(status ORDER BY id DESC))[1] FROM agents_backup WHERE kind = 'WHOLE'"
        )
        age, newest = cursor.fetchone()
    if age is None:
        return Found(Status.DEGRADED, "no whole backup has ended well yet")
    said = f"the newest whole one that ended well is {age / 3_600:.1f} h old"
    if newest == "FAILED":
        return Found(Status.DEGRADED, f"the newest one failed; {said}")
    return Found(Status.DEGRADED if age > 2 * 3_600 * settings.BACKUP_HOURS else Status.UP, said)


CHECKS: dict[str, Check] = {
    "postgres": _postgres,
    "redis-queue": _queue,
    "redis-cache": _cache,
    "mlflow": _mlflow,
    "artifacts": _artifacts,
    "smtp": _smtp,
    "disk": _disk,
    "beat": _beat,
    "sweep": _sweep,
    "workers": _workers,
    "backup": _backup,
}
