"""Daily partitions of what is stored of the newest days, made ahead; monthly ones of the days that are compacted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

CHUNKS = "sensors_chunk"
TABLES = {CHUNKS: "", "sensors_hour": " WITH (fillfactor = 50)"}
"""The partitioned tables, and how their partitions are stored: rollups of open hours change in place."""
BLOCKS = "sensors_block"
DAYS_AT_ONCE = 20
LOCK = 0x62775F7061727473  # advisory lock: one process makes or drops partitions at a time


def make(days: Iterable[date]) -> None:
    """Make the partitions that are missing. Not inside a transaction of the flow: it locks the tables for a moment."""
    missing = _missing(set(days))
    for first in range(0, len(missing), DAYS_AT_ONCE):
        _make(missing[first : first + DAYS_AT_ONCE])


def _make(some: Iterable[date]) -> None:
    """A few in a transaction of their own: what is made stays made if the caller runs out of time."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock()
        wanted, there = _missing(set(some)), set(days())
        for day in wanted:
            if day in there:
                cursor.execute(f"COMMENT ON TABLE {name_of(CHUNKS, day)} IS NULL")
                continue
            for table, storage in TABLES.items():
                _attach(name_of(table, day), table, *bounds(day), storage=storage)


def _attach(name: str, table: str, start: date, end: date, *, storage: str = "") -> None:
    """Made apart and then attached, so that who reads and writes elsewhere in the table is not stopped."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES"
            f" INCLUDING STORAGE){storage}"
        )
        cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [start, end])


def make_month(day: date) -> None:
    """Make the partition of a day's blocks if it is missing. In a transaction of its own."""
    if month_of(day) not in months():
        with transaction.atomic():
            lock()
            first, end = month_of(day)
            if (first, end) not in months():
                _attach(month_name(first), BLOCKS, first, end)


def months() -> list[tuple[date, date]]:
    """The first days of the months that have partitions of blocks, and of the months after them, ascending."""
    return [month_of(datetime.strptime(f"{name[-6:]}01", "%Y%m%d").replace(tzinfo=UTC)) for name in _names(BLOCKS)]


def month_of(day: date) -> tuple[date, date]:
    """The first day of its month, and of the next one."""
    first = date(day.year, day.month, 1)
    return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)


def month_name(day: date) -> str:
    return f"{BLOCKS}_p{day:%Y%m}"


def lock() -> None:
    """Wait for whoever makes or drops partitions, and keep others waiting until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def drop(day: date) -> None:
    """In the caller's transaction, which holds ``lock``."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DROP TABLE {name_of(table, day)}")


def days() -> list[date]:
    """The days that have partitions, ascending."""
    return [datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() for name in _names(CHUNKS)]


def _names(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid WHERE inhparent = %s::regclass"
            " ORDER BY relname",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


def are_empty(day: date) -> bool:
    """Whether nothing is in the partitions of a day."""
    parts = " OR ".join(f"EXISTS (SELECT FROM {name_of(table, day)})" for table in TABLES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT NOT ({parts})")
        return bool(cursor.fetchone()[0])


def given_up_for(day: date) -> timedelta | None:
    """How long ago a day was given up, if it was and nobody has wanted its partitions since."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT clock_timestamp() - obj_description(%s::regclass, 'pg_class')::timestamptz", [name_of(CHUNKS, day)]
        )
        found: timedelta | None = cursor.fetchone()[0]
    return found


def give_up(day: date) -> None:
    """Note on a day's partitions that nothing is in them: whoever wants them from now on takes the note away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()::text")
        cursor.execute(f"COMMENT ON TABLE {name_of(CHUNKS, day)} IS %s", cursor.fetchone())


def bounds(day: date) -> tuple[datetime, datetime]:
    """The instants at which a day (UTC) begins and is over."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def name_of(table: str, day: date) -> str:
    return f"{table}_p{day:%Y%m%d}"


def _missing(wanted: set[date]) -> list[date]:
    """Those that are not there, or were given up."""
    names = {name_of(CHUNKS, day): day for day in wanted}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relispartition"
            " AND obj_description(oid, 'pg_class') IS NULL",
            [list(names)],
        )
        there = {name for (name,) in cursor.fetchall()}
    return sorted(day for name, day in names.items() if name not in there)
