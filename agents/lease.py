"""Claim and finish, written once for everything that workers take: runs and notifications.

A row that can be taken has ``attempts``, ``lease_token``, ``lease_until``, ``lease_owner``, ``due_at``,
``ring_after`` and ``rings``. The steps are *claim* (one short transaction), *work* (no transaction open), *finish*
(one transaction that starts with ``fence``). Attempts are counted before the work, so deaths count. The clock is the
database's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection, models, transaction

BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
"""Process ids mean something only within a running kernel and a namespace of it; hosts and containers that share a name
share neither."""


def owner() -> str:
    """Who holds what this process claims: host, its running kernel, namespace of process ids, process."""
    return f"{_here()}{os.getpid()}"


@cache
def _here() -> str:
    boot = BOOT.read_text()[:8] if BOOT.exists() else ""
    return f"{socket.gethostname()}:{boot}:{NAMESPACE.stat().st_ino if NAMESPACE.exists() else 0}:"


class Fenced(Exception):
    """Another worker has taken the row over since it was claimed; nothing of this attempt may be kept."""


class Sql(str):
    """An expression of the database in place of a value; made of constants of the code alone."""


NOW = Sql("statement_timestamp()")


def later(seconds: float) -> Sql:
    """The database's instant so many seconds from now."""
    return Sql(f"statement_timestamp() + {seconds:f} * interval '1 second'")


@dataclass(frozen=True, slots=True)
class Lease:
    """What a claim gives: the row's id, the fencing token, which attempt this is, and the row as it was claimed."""

    id: int
    token: int
    attempt: int
    row: models.Model | None = field(default=None, compare=False, repr=False)


def claim(model: type[models.Model], row_id: int, *, seconds: float, **state: str | list[str]) -> Lease | None:
    """Take a row that is due, unleased and in the given state; None where somebody else did, or nothing is to do.

    ``state``: what each column must be, or what it may be. Not in a transaction of the caller's. Nothing waits until
    the claim is on disk: whoever made it loses its connection with whatever loses the claim.
    """
    table = _table(model)
    fields: list[models.Field[Any, Any]] = list(model._meta.concrete_fields)
    wanted = _wanted(state)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET lease_token = lease_token + 1, attempts = attempts + 1, lease_owner = %s,"
            " lease_until = clock_timestamp() + %s * interval '1 second'"
            " FROM (SELECT set_config('synchronous_commit', 'off', true)) AS quick"
            f" WHERE id = %s {wanted} AND due_at <= clock_timestamp()"
            " AND (lease_until IS NULL OR lease_until < clock_timestamp())"
            f" RETURNING {_columns(model)}",
            [owner(), seconds, row_id, *state.values()],
        )
        values = cursor.fetchone()
    if values is None:
        return None
    row: Any = model.from_db(
        connection.alias,
        [f.attname for f in fields],
        [
            f.from_db_value(value, None, connection) if hasattr(f, "from_db_value") else value
            for f, value in zip(fields, values, strict=True)
        ],
    )
    return Lease(row_id, row.lease_token, row.attempts, row)


def fence(model: type[models.Model], lease: Lease, **changes: Any) -> None:
    """Change the row and give the lease back, if it is still ours. Raises ``Fenced``; call it first in the finish."""
    sets, parameters = ["lease_until = NULL"], []
    for name, value in changes.items():
        changed: Any = model._meta.get_field(name)
        column = _column(changed)
        if isinstance(value, Sql):
            sets.append(f"{column} = {value}")
        else:
            sets.append(f"{column} = %s")
            parameters.append(changed.get_db_prep_save(value, connection))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_table(model)} SET {', '.join(sets)}"
            " WHERE id = %s AND lease_token = %s AND lease_owner = %s AND lease_until IS NOT NULL",
            [*parameters, lease.id, lease.token, owner()],
        )
        if cursor.rowcount != 1:
            raise Fenced(f"{model._meta.label} {lease.id}: token {lease.token} is no longer the newest")


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


@cache
def _columns(model: type[models.Model]) -> str:
    return ", ".join(_column(field) for field in model._meta.concrete_fields)


def _column(field: models.Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


def extend(model: type[models.Model], lease: Lease, *, seconds: float) -> None:
    """Hold the row for so long from now on, if it is still ours. Raises ``Fenced``."""
    table = _table(model)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET lease_until = clock_timestamp() + %s * interval '1 second'"
            " WHERE id = %s AND lease_token = %s AND lease_until IS NOT NULL",
            [seconds, lease.id, lease.token],
        )
        if cursor.rowcount != 1:
            raise Fenced(f"{model._meta.label} {lease.id}: token {lease.token} is no longer the newest")


def give_back_for_the_dead(model: type[models.Model], **state: str | list[str]) -> list[int]:
    """End the leases whose process on this machine is no more, so that nobody waits for them; ids of the rows.

    Other machines' are left alone: theirs run out. A process id that was given anew keeps its row leased as before.
    """
    table = _table(model)
    here = _here()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, lease_token, lease_owner FROM {table}"
            f" WHERE lease_until > clock_timestamp() AND starts_with(lease_owner, %s) {_wanted(state)}",
            [here, *state.values()],
        )
        dead = [(row, token) for row, token, holder in cursor.fetchall() if not _lives(int(holder.removeprefix(here)))]
        for row, token in dead:
            cursor.execute(
                f"UPDATE {table} SET lease_until = clock_timestamp(), ring_after = clock_timestamp()"
                " WHERE id = %s AND lease_token = %s AND lease_until > clock_timestamp()",
                [row, token],
            )
    return [row for row, _ in dead]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def overdue(model: type[models.Model], *, limit: int, **state: str | list[str]) -> dict[int, int]:
    """Rows that are due and unleased and were not rung for lately, as id -> how often they were rung for by now.

    The wait before the next ring doubles from 2 to 60 seconds, so that a backlog is not multiplied. Copies of the
    sweep share the work: each takes rows the others have not locked.
    """
    table = _table(model)
    wanted = _wanted(state)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET rings = rings + 1,"
            " ring_after = clock_timestamp() + least(60, 2 ^ least(rings + 1, 6)) * interval '1 second'"
            f" WHERE id IN (SELECT id FROM {table} WHERE due_at <= clock_timestamp() {wanted}"
            " AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND ring_after <= clock_timestamp()"
            " ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id, rings",
            [*state.values(), limit],
        )
        return dict(sorted(cursor.fetchall()))


def _wanted(state: Mapping[str, str | list[str]]) -> str:
    """The conditions of a query, a parameter for each."""
    return " ".join(
        f"AND {connection.ops.quote_name(name)} = {'ANY(%s)' if isinstance(value, list) else '%s'}"
        for name, value in state.items()
    )
