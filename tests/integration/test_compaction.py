"""Days become blocks: nothing is lost, doubled or changed by it, wherever it stops and whatever comes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from sensors import blocks, columns, compaction, partitions, retention, series, store
from sensors.columns import Columns
from sensors.models import Event, Reading
from sensors.pgcopy import Table
from sensors.rollups import HOUR_US
from sensors.series import Series

pytestmark = pytest.mark.django_db

START = datetime(2020, 5, 1, tzinfo=UTC)
END = START + timedelta(days=3)
NASTY = (-0.0, 0.0, 5e-324, 1.7e308, -1.7e308, 0.1 + 0.2, 21.5)
TICK = 7 * 60_000_000 + 1


def readings(sensor: int, *, first: int = 0, count: int = 400) -> Columns:
    """Two days of one sensor, one reading every seven minutes."""
    number = np.arange(first, first + count, dtype=np.int64)
    at = columns.from_instant(START) + number * TICK
    value = np.where(number % 50 == 3, np.array(NASTY)[number % len(NASTY)], np.round(20 + np.sin(number / 30), 2))
    return Columns(np.full(count, sensor), at, value, np.arange(count, dtype=np.int32))


def put(taken: Columns) -> None:
    store.make_partitions(store.days_of(taken))
    quality = (taken.at // TICK % 40 == 0).astype(np.uint8) * 2
    with transaction.atomic():
        store.insert(taken, quality=quality, reason=quality + (quality > 0))


def everything(sensor: int) -> list[bytes]:
    """All that can be read of a sensor."""
    end = END + timedelta(hours=1)
    found: list[Series] = [
        series.read(sensor, start=START, end=end, points=100_000),
        series.read(sensor, start=START, end=end, points=60),
        series.read(sensor, start=START + timedelta(hours=7, minutes=3), end=end, points=60),
        series.read(sensor, start=START + timedelta(hours=23), end=START + timedelta(hours=25), points=8),
    ]
    of_hours = rounded(series.hours(sensor, start=START, end=end))
    of_days = rounded(series.hours(sensor, start=START, end=end, length=timedelta(days=1)))
    parts = [part for one in found for part in (one.at, one.value, one.quality)]
    known = readings(sensor, count=1_000)
    stored = store.stored_values(known.sensor, known.at)
    totals = np.array([one.total for one in found])
    return [part.tobytes() for part in (*parts, totals, of_hours, of_days, stored)] + [
        repr((series.latest([sensor]), series.oldest_at(sensor), store.has_readings(sensor))).encode()
    ]


def rounded(table: Table) -> Table:
    """Rollups whose computed columns may differ in the last digits, without those digits."""
    for name in ("mean", "m2"):
        table[name] = [float(f"{value:.9g}") for value in table[name]]
    return table


def left() -> tuple[int, int]:
    """How many chunks there are, and blocks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM sensors_chunk), (SELECT count(*) FROM sensors_block)")
        found: tuple[int, int] = cursor.fetchone()
    return found


@pytest.fixture
def stored() -> Iterator[dict[int, list[bytes]]]:
    """What can be read of three sensors before anything is compacted."""
    for sensor in (1, 2, 3):
        for first in range(0, 400, 23):
            put(readings(sensor, first=first, count=min(23, 400 - first)))
    yield {sensor: everything(sensor) for sensor in (1, 2, 3)}


def unchanged(stored: dict[int, list[bytes]]) -> None:
    assert {sensor: everything(sensor) for sensor in stored} == stored


def test_what_can_be_read_stays_the_same_bit_for_bit(stored: dict[int, list[bytes]]) -> None:
    done = compaction.compact(before=date(2020, 5, 2))
    assert (done.readings, done.finished) == (3 * 206, True)
    unchanged(stored)
    assert compaction.compact(before=date(2020, 5, 3)).readings == 3 * 194
    assert left() == (0, 6)
    unchanged(stored)
    assert compaction.compact(before=date(2020, 5, 3)) == compaction.Compacted(0, 0, finished=True)


def test_empty_partitions_are_dropped_a_while_later_unless_somebody_wants_them(stored: dict[int, list[bytes]]) -> None:
    both, now = [date(2020, 5, 1), date(2020, 5, 2)], timedelta(0)
    assert compaction.compact(before=date(2020, 5, 3), given_up_for=now).days == 0
    store.make_partitions(both[:1])
    assert compaction.compact(before=date(2020, 5, 3)).days == 0
    assert partitions.days() == both
    store.make_partitions(both[:1])
    assert compaction.compact(before=date(2020, 5, 3), given_up_for=now).days == 1
    assert partitions.days() == both[:1]
    assert compaction.compact(before=date(2020, 5, 3), given_up_for=now).days == 1
    assert partitions.days() == []
    unchanged(stored)


def test_it_stops_when_its_time_is_over_and_goes_on_where_it_was(stored: dict[int, list[bytes]]) -> None:
    done = compaction.compact(before=date(2020, 5, 3), seconds=-1)
    assert (done.readings, done.finished) == (0, False)
    unchanged(stored)
    for group in ([1], [2, 3]):
        compaction._compact(date(2020, 5, 1), group)
        unchanged(stored)
    assert compaction.compact(before=date(2020, 5, 3)).finished
    unchanged(stored)


def test_killed_between_its_statements_it_has_done_nothing(stored: dict[int, list[bytes]]) -> None:
    before = left()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sensors_block ADD CONSTRAINT fail CHECK (sensor_id <> 2)")
    with pytest.raises(IntegrityError):
        compaction.compact(before=date(2020, 5, 3))
    assert left() == before
    unchanged(stored)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sensors_block DROP CONSTRAINT fail")
    assert compaction.compact(before=date(2020, 5, 3)).finished
    unchanged(stored)


def test_late_readings_of_a_compacted_day_are_seen_at_once_and_join_its_block_the_next_time() -> None:
    whole = readings(1)
    put(whole)
    wanted = everything(1)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(store.TABLES)}")
    late = np.arange(len(whole)) % 9 == 4
    put(whole.take(~late))
    assert compaction.compact(before=date(2020, 5, 3)).finished
    assert everything(1) != wanted
    put(whole.take(late))
    assert left()[0] > 0
    assert everything(1) == wanted
    assert compaction.compact(before=date(2020, 5, 3)).readings == len(whole)
    assert left() == (0, 2)
    assert everything(1) == wanted


def test_a_damaged_block_is_never_overwritten(stored: dict[int, list[bytes]]) -> None:
    compaction.compact(before=date(2020, 5, 2))
    late = readings(2, count=1)
    put(Columns(late.sensor, late.at + 1, late.value, late.item))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sensors_block SET data = set_byte(data, 30, get_byte(data, 30) # 1) WHERE sensor_id = 2")
    chunks_before, _ = left()
    with pytest.raises(blocks.NotABlock):
        compaction.compact(before=date(2020, 5, 2))
    assert left()[0] == chunks_before
    assert Reading.objects.filter(sensor_id=2, measured_at__lt="2020-05-02T00:00Z").count() == 1


def test_a_reading_of_a_compacted_day_that_is_there_already_is_an_error(stored: dict[int, list[bytes]]) -> None:
    compaction.compact(before=date(2020, 5, 3))
    store.make_partitions([START.date()])
    with pytest.raises(IntegrityError, match="stored already"), transaction.atomic():
        put(readings(2, first=5, count=1))


def test_blocks_expire_like_chunks_with_one_entry_in_the_journal_for_each_day(stored: dict[int, list[bytes]]) -> None:
    compaction.compact(before=date(2020, 5, 2))
    assert retention.expire(before=date(2020, 5, 2)) == 1
    assert left()[1] == 0
    assert left()[0] > 0
    assert retention.expire(before=date(2020, 5, 3)) == 1
    assert left() == (0, 0)
    assert Event.objects.filter(type="readings.expired").count() == 2
    assert not store.has_readings(1)
    assert series.read(1, start=START, end=END, points=100).total == 0


def test_a_month_that_is_over_goes_as_a_whole(stored: dict[int, list[bytes]]) -> None:
    compaction.compact(before=date(2020, 5, 3))
    assert partitions.months() == [(date(2020, 5, 1), date(2020, 6, 1))]
    assert retention.expire(before=date(2020, 6, 1)) == 2
    assert partitions.months() == []
    assert Event.objects.filter(type="readings.expired").count() == 2
    assert retention.expire(before=date(2020, 6, 1)) == 0


@pytest.mark.django_db(transaction=True)
def test_readings_that_come_while_their_day_is_compacted_are_counted_once() -> None:
    """One thread stores a day's readings in disorder while another compacts it again and again."""
    day, over = date(2020, 5, 1), threading.Event()
    whole = [readings(sensor, count=200) for sensor in (1, 2, 3)]
    order = np.random.default_rng(5).permutation(200)
    compacted: list[int] = []

    def compact() -> None:
        try:
            while not over.is_set():
                compacted.append(compaction.compact(before=day + timedelta(days=1)).readings)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        compacting = pool.submit(compact)
        try:
            for piece in np.array_split(order, 25):
                put(columns.concatenate([taken.take(np.sort(piece)) for taken in whole]))
        finally:
            over.set()
        compacting.result()
    assert sum(n > 0 for n in compacted) > 1
    for _ in range(2):
        for taken in whole:
            sensor = int(taken.sensor[0])
            found = series.read(sensor, start=START, end=END, points=1_000)
            assert (found.at.tolist(), found.value.tobytes()) == (taken.at.tolist(), taken.value.tobytes())
            hours = series.hours(sensor, start=START, end=END)
            assert np.array_equal(hours["readings"], np.unique(taken.at // HOUR_US, return_counts=True)[1])
        compaction.compact(before=day + timedelta(days=1))
    assert store.count([1, 2, 3]) == 600
    retention.expire(before=date(2020, 6, 1))
    assert store.count([1, 2, 3]) == 0
