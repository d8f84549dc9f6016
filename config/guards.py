"""What keeps the service's data from others, and keeps it at all: the web server's role, secrets, backups."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg2
from django.conf import settings
from django.db import connection

from config import checks, dependencies, second_wall
from config.dependencies import Status
from config.findings import BAD, NOTE, OK, Finding

FEWEST_CHARACTERS = 12
"""Different ones in a secret: fewer were typed by a person."""


def roles() -> Iterator[Finding]:
    """The role by which the web server connects: what it may not be, and that the wall stands."""
    if not settings.DATABASE_WEB_URL:
        said = "DATABASE_WEB_URL is not set: the web server owns all tables"
        todo = f"Let it connect as {settings.DATABASE_WEB_ROLE}; see docs/deployment.md."
        yield Finding("roles", BAD if settings.PRODUCTION else NOTE, said, todo)
        return
    web = psycopg2.connect(settings.DATABASE_WEB_URL, connect_timeout=3)
    try:
        with web.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, rolsuper OR rolbypassrls, rolcreaterole OR rolcreatedb,"
                " (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid AND relkind IN ('r', 'p')"
                " AND relnamespace = 'public'::regnamespace)"
                " FROM pg_roles WHERE rolname = current_user"
            )
            name, above, makes, owned = cursor.fetchone() or ("", True, True, 0)
    finally:
        web.close()
    faults = [
        text
        for text, holds in (
            ("is held by no row security", above),
            ("may make roles or databases", makes),
            (f"owns {owned} tables", owned),
        )
        if holds
    ]
    if faults:
        todo = f"ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB; let another role own the tables."
        yield Finding("roles", BAD, f"the web server's role {name} {' and '.join(faults)}", todo)
    else:
        yield Finding("roles", OK, f"the web server connects as {name}, which is held by row security")
    if open_ := _without_wall():
        yield Finding("roles", BAD, f"without row security: {', '.join(open_)}", "Run `manage.py migrate`.")


def _without_wall() -> list[str]:
    walled = [table for table, wanted in second_wall._tables() if wanted]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace"
            " AND NOT relrowsecurity ORDER BY relname",
            [walled],
        )
        return [name for (name,) in cursor.fetchall()]


def secrets() -> Iterator[Finding]:
    """As in production, wherever this is."""
    faults = [(str(one.msg), str(one.hint)) for one in [*checks._secrets(), *checks._passwords()]]
    for name in ("DATABASE_URL", "DATABASE_WEB_URL", "REDIS_URL", "CACHE_URL"):
        faults += _weak_address(name, str(getattr(settings, name, None) or ""))
    for name, secret in (("SECRET_KEY", settings.SECRET_KEY), ("JWT_SIGNING_KEY", settings.SIMPLE_JWT["SIGNING_KEY"])):
        if len(set(str(secret))) < FEWEST_CHARACTERS:
            faults.append((f"{name} has few different characters.", checks.NEW_SECRET))
    for said, todo in faults:
        yield Finding("secrets", BAD, said, todo)
    if not faults:
        yield Finding("secrets", OK, "long enough, different, and none that looks typed")


def _weak_address(name: str, url: str) -> list[tuple[str, str]]:
    """Who reaches a server over the network has to know its password."""
    parts = urlsplit(url)
    if parts.scheme == "unix" or not parts.hostname or parts.hostname.startswith("/"):
        return []
    if not parts.password:
        return [(f"{name} has no password, and goes over the network.", "Give the server's role a password.")]
    if len(parts.password) < checks.SHORTEST_PASSWORD:
        said = f"The password in {name} is shorter than {checks.SHORTEST_PASSWORD} characters."
        return [(said, checks.NEW_SECRET)]
    return []


def backup() -> Iterator[Finding]:
    if not settings.BACKUP_TO:
        verdict = BAD if settings.PRODUCTION else NOTE
        yield Finding(
            "backup", verdict, "nothing is backed up", "Set BACKUP_TO and BACKUP_RECIPIENT; docs/recovery.md."
        )
        return
    if not settings.BACKUP_RECIPIENT:
        todo = "Make a pair with `manage.py backup --new-key`, and set BACKUP_RECIPIENT."
        yield Finding("backup", BAD, "backups are for nobody's key", todo)
    one = dependencies.CHECKS["backup"]()
    well = one.status is Status.UP
    todo = "See the log of `manage.py backup --keep` and the page Backups; then `manage.py backup`."
    yield Finding("backup", OK if well else BAD, one.reason, "" if well else todo)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - max(ended_at))::float FROM agents_backup WHERE kind = 'WAL'"
        )
        (age,) = cursor.fetchone()
    late = age is None or age > max(60, 12 * settings.BACKUP_SHIP_SECONDS)
    said = "what is written was never shipped" if age is None else f"what is written was shipped {age:.0f} s ago"
    yield Finding("backup", BAD if late else OK, said, "Start `manage.py backup --keep`." if late else "")
