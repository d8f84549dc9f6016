"""What has to be right where the service runs, looked at from a shell there: what was found, and what to do.

``bad`` keeps something from working, or unsafe; ``note`` is for a person to judge. Nothing is changed.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks as system
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from agents.housekeeping import DAYS_AHEAD
from config import celery, dependencies, guards
from config.dependencies import Status
from config.findings import BAD, NOTE, OK, Finding, Look
from sensors import partitions

SKEW_SECONDS = 1.0
"""Leases are judged by the database's clock, what is ahead of its time by this machine's: more is trouble."""
OLDEST_POSTGRES, NEWEST_POSTGRES, OLDEST_REDIS = 15, 18, (6, 2)
FLOORS = Path(__file__).resolve().parent.parent / "deploy" / "floors.toml"
WORDS = {Status.UP: OK, Status.UNUSED: OK, Status.DEGRADED: NOTE, Status.DOWN: BAD}


def examine(looks: dict[str, Look] | None = None) -> list[Finding]:
    """Each look on its own: one that fails is a finding as well."""
    found: list[Finding] = []
    for name, look in (LOOKS if looks is None else looks).items():
        try:
            found += list(look())
        except Exception as error:
            said = " ".join(str(error).split())
            found.append(
                Finding(name, BAD, f"could not be looked at: {type(error).__name__}: {said}"[:300], "See why.")
            )
    return found


def _settings() -> Iterator[Finding]:
    if not settings.PRODUCTION:
        yield Finding("settings", NOTE, "this is no production", "Set BELLWETHER_PRODUCTION=1 where people rely on it.")
    said = system.run_checks(include_deployment_checks=settings.PRODUCTION)
    worth = [one for one in said if not one.is_silenced() and one.level >= system.WARNING]
    for one in worth:
        verdict = BAD if one.level >= system.ERROR else NOTE
        yield Finding("settings", verdict, f"{one.id}: {one.msg}", one.hint or "See docs/deployment.md.")
    if not worth:
        yield Finding("settings", OK, "the system checks find nothing")
    if settings.PRODUCTION and not settings.HEARTBEAT_URL:
        todo = "Let an outside dead-man's switch be called: set HEARTBEAT_URL."
        yield Finding("settings", NOTE, "nobody outside is told that the service lives", todo)


def _connections() -> Iterator[Finding]:
    for name, one in dependencies.look().items():
        verdict = WORDS[one.status]
        if name == "backup":  # looked at by itself
            continue
        todo = TODO.get(name, "See docs/observability.md.") if verdict != OK else ""
        yield Finding(name, verdict, f"{one.reason} ({one.milliseconds:.0f} ms)", todo)


TODO = {
    "postgres": "See whether the server of DATABASE_URL runs, takes writes, and has connections left.",
    "redis-queue": "See whether the server of REDIS_URL runs; set maxmemory-policy noeviction.",
    "redis-cache": "See whether the server of CACHE_URL runs.",
    "mlflow": "Start the MLflow server, or take MLFLOW_TRACKING_URI out.",
    "artifacts": "Mend ML_ARTIFACTS: a folder that can be written, or a bucket and keys that let in.",
    "smtp": "Mend EMAIL_HOST, EMAIL_PORT and what goes with them, or disable the channels of kind e-mail.",
    "disk": "Make room, or a larger disk.",
    "beat": "Start `celery -A config beat`, and a worker of the queue housekeeping.",
    "sweep": "Start `manage.py sweep`.",
    "workers": "Start a worker for each queue that is named.",
}


def _clock() -> Iterator[Finding]:
    yield _skew("the database", _database_time)
    with celery.app.connection_for_write() as link:
        channel: Any = link.default_channel
        yield _skew("Redis", lambda: float("{}.{:06d}".format(*channel.client.time())))


def _database_time() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float")
        return float(cursor.fetchone()[0])


def _skew(whose: str, ask: Callable[[], float]) -> Finding:
    """The least of three, since an answer takes its time."""
    found = []
    for _ in range(3):
        before = time.time()
        there = ask()
        found.append(there - (before + time.time()) / 2)
    skew = min(found, key=abs)
    said = f"the clock of {whose} and this machine's differ by {1_000 * skew:+.0f} ms"
    if abs(skew) > SKEW_SECONDS:
        return Finding("clock", BAD, said, "Let both follow a time server (chrony, systemd-timesyncd).")
    return Finding("clock", OK, said)


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    wanted = [f"{one.app_label}.{one.name}" for one, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    known = {app for app, _ in executor.loader.disk_migrations}
    strange = sorted(
        f"{app}.{name}"
        for app, name in executor.loader.applied_migrations
        if app in known and (app, name) not in executor.loader.disk_migrations
        and (app, name) not in executor.loader.replacements
    )  # fmt: skip
    if wanted:
        yield Finding("migrations", BAD, f"not applied: {', '.join(wanted)}", "Run `manage.py migrate`.")
    if strange:
        todo = "A newer version has migrated this database: run that version, or restore a backup from before."
        yield Finding("migrations", NOTE, f"unknown to this version: {', '.join(strange)}", todo)
    if not wanted and not strange:
        yield Finding("migrations", OK, "all are applied")


def _partitions() -> Iterator[Finding]:
    there, today = set(partitions.days()), timezone.now().date()
    missing = [day for n in range(DAYS_AHEAD + 1) if (day := today + timedelta(days=n)) not in there]
    if not missing:
        yield Finding("partitions", OK, f"there for today and {DAYS_AHEAD} days ahead")
        return
    named = ", ".join(day.isoformat() for day in missing)
    todo = "Beat and a worker of the queue housekeeping make them each hour: see whether they run."
    yield Finding("partitions", BAD if missing[0] <= today + timedelta(days=1) else NOTE, f"missing: {named}", todo)


def _versions() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')")
        major, said = cursor.fetchone()
    span = f"{OLDEST_POSTGRES} to {NEWEST_POSTGRES}"
    if OLDEST_POSTGRES <= major <= NEWEST_POSTGRES:
        yield Finding("versions", OK, f"Postgres {said}")
    else:
        yield Finding("versions", BAD, f"Postgres {said}: tested are {span}", f"Use a Postgres of {span}.")
    with celery.app.connection_for_write() as link:
        channel: Any = link.default_channel
        redis = str(channel.client.info("server")["redis_version"])
    old = _numbers(redis) < OLDEST_REDIS
    yield Finding("versions", BAD if old else OK, f"Redis {redis}", "Use Redis 6.2 or newer." if old else "")
    yield from _packages()


def _packages() -> Iterator[Finding]:
    if not FLOORS.exists():
        yield Finding("versions", NOTE, "deploy/floors.toml is not there", "Check packages where the source is.")
        return
    floors = tomllib.loads(FLOORS.read_text(encoding="utf-8"))["packages"]
    below = []
    for name, told in floors.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if _numbers(installed) < _numbers(told["floor"]):
            below.append(f"{name} {installed} (floor {told['floor']})")
    if below:
        todo = "Install what requirements.txt says: older ones have holes that are known."
        yield Finding("versions", BAD, f"packages below their floor: {', '.join(below)}", todo)
    else:
        yield Finding("versions", OK, f"{len(floors)} packages are at or above their floors")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0])[:4])


LOOKS: dict[str, Look] = {
    "settings": _settings,
    "secrets": guards.secrets,
    "connections": _connections,
    "clock": _clock,
    "versions": _versions,
    "migrations": _migrations,
    "partitions": _partitions,
    "roles": guards.roles,
    "backup": guards.backup,
}
