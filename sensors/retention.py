"""What is older than readings are kept is dropped: day by day, each with an entry in the journal."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import connection, transaction

from sensors import journal, partitions


def expire(*, before: date) -> int:
    """Drop the days before a date; how many there were. What was dropped stays so if the caller runs out of time."""
    days = {day for day in partitions.days() if day < before} | set(_compacted(before=before))
    for first, end in partitions.months():
        if end <= before:
            _drop_month(first, days=[day for day in days if first <= day < end])
    for day in sorted(days):
        _drop(day)
    _forget(before=before)
    return len(days)


def _compacted(*, before: date) -> list[date]:
    """The days of which there are blocks: each month is asked for each of its days, which its index answers."""
    found: list[date] = []
    with connection.cursor() as cursor:
        for first, end in partitions.months():
            if first < before:
                cursor.execute(
                    "SELECT wanted::date FROM generate_series(%s::date, %s::date, interval '1 day') AS wanted"
                    f" WHERE EXISTS (SELECT FROM {partitions.month_name(first)} WHERE day = wanted::date)",
                    [first, min(end, before) - timedelta(days=1)],
                )
                found += [day for (day,) in cursor.fetchall()]
    return found


@transaction.atomic
def _drop_month(first: date, *, days: list[date]) -> None:
    partitions.lock()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.month_name(first)}")
    journal.record([journal.readings_expired(day) for day in days])


@transaction.atomic
def _drop(day: date) -> None:
    partitions.lock()
    if day in partitions.days():
        partitions.drop(day)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sensors_block WHERE day = %s", [day])
    journal.record([journal.readings_expired(day)])


def _forget(*, before: date) -> None:
    """A sensor of which nothing is left has no newest reading: it may be deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM sensors_latest WHERE sensor_id IN (SELECT sensor_id FROM sensors_latest"
            " WHERE measured_at < %s ORDER BY sensor_id FOR UPDATE)",
            [partitions.bounds(before)[0]],
        )
