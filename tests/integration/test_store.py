from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors import columns, partitions, retention, series, store
from sensors.columns import Columns, from_instant
from sensors.models import Event, Reading
from tests import factories, oracles

pytestmark = pytest.mark.django_db

NEW_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
Row = tuple[int, datetime, float]


def make(*rows: Row) -> Columns:
    sensor, at, value = zip(*rows, strict=True)
    return Columns(
        np.array(sensor, np.int64),
        np.array([columns.from_instant(instant) for instant in at], np.int64),
        np.array(value),
        np.arange(len(rows), dtype=np.int32),
    )


def put(*rows: Row, quality: int = 0) -> Columns:
    readings = make(*rows)
    store.make_partitions(store.days_of(readings))
    marks = np.full(len(readings), quality, np.uint8)
    store.insert(readings, quality=marks, reason=marks)
    return readings


ROWS = st.lists(
    st.tuples(
        st.integers(1, 2**62),
        st.datetimes(datetime(1999, 12, 30), datetime(2000, 1, 3), timezones=st.just(UTC)),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
)
THOROUGH = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(ROWS)
@THOROUGH
def test_what_is_stored_comes_back_bit_for_bit(rows: list[Row]) -> None:
    with transaction.atomic():
        readings = put(*rows)
        found = set(Reading.objects.values_list("sensor_id", "measured_at", "value"))
        assert found == set(rows)
        assert store.stored_values(readings.sensor, readings.at).tobytes() == readings.value.tobytes()
        assert np.isnan(store.stored_values(readings.sensor, readings.at + 1)).all()
        transaction.set_rollback(True)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 150), st.sampled_from([-2.0, 0.1, 0.3, 1e139, 1e-300, -1.7e308, 1.7e308]), st.integers(0, 2)
        ),
        min_size=1, max_size=30, unique_by=lambda reading: reading[0],
    ),
    st.data(),
)  # fmt: skip
@THOROUGH
def test_rollups_and_newest_are_the_same_however_the_readings_came(
    readings: list[tuple[int, float, int]], data: st.DataObject
) -> None:
    """Minutes, values and qualities of one sensor, stored in any order and in any pieces."""
    rows = {minute: (1, NEW_YEAR + minute * MINUTE, value, quality) for minute, value, quality in readings}
    left = [*rows.values()]
    with transaction.atomic():
        store.make_partitions([NEW_YEAR.date()])
        while left:
            piece, left = left[: (cut := data.draw(st.integers(1, len(left))))], left[cut:]
            quality = np.array([row[3] for row in piece], np.uint8)
            store.insert(make(*(row[:3] for row in piece)), quality=quality, reason=quality * 0)
        found = series.hours(1, start=NEW_YEAR, end=NEW_YEAR + DAY)
        newest = series.latest([1])[1]
        transaction.set_rollback(True)
    last = rows[max(rows)]
    assert (newest.measured_at, newest.value, newest.quality) == last[1:]
    assert found["hour_at"].tolist() == [
        columns.from_instant(NEW_YEAR + n * HOUR) for n in sorted({minute // 60 for minute in rows})
    ]
    for row in found:
        start = columns.to_instant(int(row["hour_at"]))
        inside = [r for r in rows.values() if start <= r[1] < start + HOUR]
        wanted = oracles.rollup(
            [columns.from_instant(r[1]) for r in inside], *zip(*(r[2:] for r in inside), strict=True)
        )
        large = max([abs(r[2]) for r in inside if r[3] == 0 and abs(r[2]) <= 1e140], default=0.0)
        slack = {"mean": 1e-9 * large + 1e-99, "m2": 1e-9 * large * large + 1e-99}
        assert {name: pytest.approx(v, rel=1e-9, abs=slack.get(name, 0)) for name, v in wanted.items()} == {
            name: row[name] for name in wanted
        }


def test_a_reading_that_is_there_already_is_an_error_and_not_overwritten() -> None:
    put((1, NEW_YEAR, 1.5))
    with pytest.raises(IntegrityError), transaction.atomic():
        put((1, NEW_YEAR, 2.5))
    assert Reading.objects.get().value == 1.5


def test_a_reading_inside_of_a_stored_chunk_is_an_error_and_one_between_its_readings_is_not() -> None:
    put(*((1, NEW_YEAR + n * MINUTE, float(n)) for n in range(0, 50, 10)))
    put((1, NEW_YEAR + 15 * MINUTE, 1.0))
    with pytest.raises(IntegrityError, match="sensor 1 at 2000-01-01T00:20:00"), transaction.atomic():
        put((1, NEW_YEAR + 12 * MINUTE, 9.0), (1, NEW_YEAR + 20 * MINUTE, 9.0))
    assert Reading.objects.count() == 6
    assert series.hours(1, start=NEW_YEAR, end=NEW_YEAR + DAY)["readings"].tolist() == [6]


def test_a_reading_that_is_twice_among_those_to_be_stored_is_an_error() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        put((1, NEW_YEAR, 1.5), (2, NEW_YEAR, 1.5), (1, NEW_YEAR, 1.5))


def test_readings_in_order_are_stored_in_four_statements_and_late_ones_are_looked_up_in_one_more() -> None:
    put((1, NEW_YEAR, 1.0))
    readings = make((1, NEW_YEAR + MINUTE, 1.0), (2, NEW_YEAR, 1.0))
    zeros = np.zeros(2, np.uint8)
    with CaptureQueriesContext(connection) as asked:
        store.insert(readings, quality=zeros, reason=zeros)
    assert len(asked) == 4
    with CaptureQueriesContext(connection) as asked:
        store.insert(make((1, NEW_YEAR + MINUTE / 2, 1.0), (3, NEW_YEAR, 1.0)), quality=zeros, reason=zeros)
    assert len(asked) == 5


def test_the_newest_reading_is_not_the_one_that_came_last() -> None:
    put((1, NEW_YEAR, 1.0), (2, NEW_YEAR, 5.0), quality=2)
    put((1, NEW_YEAR - HOUR, 2.0))
    assert series.latest([1, 2, 3]) == {1: series.Latest(NEW_YEAR, 1.0, 2), 2: series.Latest(NEW_YEAR, 5.0, 2)}
    assert sorted(series.newest()["value"].tolist()) == [1.0, 5.0]
    assert len(series.newest([])) == 0
    assert series.oldest_at(1) == NEW_YEAR - HOUR
    assert store.with_readings([1, 2, 3]) == {1, 2}
    assert not store.has_readings(3)


def test_each_day_has_partitions_of_its_own_and_old_days_are_dropped_with_an_entry_in_the_journal() -> None:
    old, new = datetime(2020, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2020, 5, 2, tzinfo=UTC)
    put((1, old, 1.0), (1, new, 2.0), (2, old, 3.0))
    assert retention.expire(before=date(2020, 5, 2)) == 1
    assert list(Reading.objects.values_list("value", flat=True)) == [2.0]
    assert Event.objects.filter(type="readings.expired").count() == 1
    assert series.hours(1, start=old - HOUR, end=new + HOUR)["readings"].tolist() == [1]
    assert store.with_readings([1, 2]) == {1}


def test_a_read_of_one_sensor_and_day_touches_one_partition_by_its_key() -> None:
    put(*((1, datetime(2020, 5, day, tzinfo=UTC), 1.0) for day in (1, 2, 3)))
    partitions.make_month(date(2020, 5, 1))
    window = {"start": datetime(2020, 5, 2, 6, tzinfo=UTC), "end": datetime(2020, 5, 2, 12, tzinfo=UTC)}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as asked:
        series.read(1, points=10_000, **window)
    query = asked[-1]["sql"].removeprefix("COPY (").split(") TO STDOUT")[0]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "sensors_chunk_p20200502_pkey" in plan
    assert "p20200501" not in plan
    assert "p20200503" not in plan
    assert "sensors_block_p202005_pkey" in plan
    assert "Seq Scan" not in plan


def test_a_key_that_is_asked_for_twice_is_answered_twice() -> None:
    """Two copies of a request can be in one run."""
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    at = np.array([from_instant(factories.NOON) + n * 1_000_000 for n in range(3)])
    readings = Columns(np.full(3, sensor.pk), at, np.array([1.0, 2.0, 3.0]), np.arange(3, dtype=np.int32))
    store.make_partitions(store.days_of(readings))
    store.insert(readings, quality=np.zeros(3, np.uint8), reason=np.zeros(3, np.uint8))
    asked = np.array([at[1], at[0], at[1], at[2] + 1, at[1]])
    found = store.stored_values(np.full(5, sensor.pk), asked)
    assert found.tolist()[:3] == [2.0, 1.0, 2.0]
    assert np.isnan(found[3])
    assert found[4] == 2.0
