from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors import columns, store
from sensors.columns import Columns
from sensors.models import Event, Reading

pytestmark = pytest.mark.django_db


def make(*rows: tuple[int, datetime, float]) -> Columns:
    sensor, at, value = zip(*rows, strict=True)
    return Columns(
        np.array(sensor, np.int64),
        np.array([columns.from_instant(instant) for instant in at], np.int64),
        np.array(value),
        np.arange(len(rows), dtype=np.int32),
    )


def put(readings: Columns) -> None:
    store.make_partitions(store.days_of(readings))
    zeros = np.zeros(len(readings), np.uint8)
    store.insert(readings, quality=zeros, reason=zeros + 1)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2**62),
            st.datetimes(datetime(1999, 12, 30), datetime(2000, 1, 3), timezones=st.just(UTC)),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[:2],
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_stored_comes_back_bit_for_bit(rows: list[tuple[int, datetime, float]]) -> None:
    readings = make(*rows)
    with transaction.atomic():
        put(readings)
        found = set(Reading.objects.values_list("sensor_id", "measured_at", "value"))
        assert found == set(rows)
        assert store.stored_values(readings.sensor, readings.at).tolist() == readings.value.tolist()
        assert np.isnan(store.stored_values(readings.sensor, readings.at + 1)).all()
        transaction.set_rollback(True)


def test_a_reading_that_is_there_already_is_an_error_and_not_overwritten() -> None:
    reading = make((1, datetime(2026, 3, 1, tzinfo=UTC), 1.5))
    put(reading)
    with pytest.raises(IntegrityError), transaction.atomic():
        put(reading)


def test_each_day_has_a_partition_of_its_own_and_old_days_are_dropped_with_an_entry_in_the_journal() -> None:
    old, new = datetime(2020, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2020, 5, 2, tzinfo=UTC)
    put(make((1, old, 1.0), (1, new, 2.0)))
    assert store.drop_partitions(before=date(2020, 5, 2)) == 1
    assert list(Reading.objects.values_list("value", flat=True)) == [2.0]
    assert Event.objects.filter(type="readings.expired").count() == 1


def test_a_read_of_one_sensor_and_day_touches_one_partition_by_its_key() -> None:
    put(make((1, datetime(2020, 5, 1, tzinfo=UTC), 1.0), (1, datetime(2020, 5, 2, tzinfo=UTC), 2.0)))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = Reading.objects.filter(
        sensor_id=1, measured_at__gte="2020-05-01T00:00Z", measured_at__lt="2020-05-01T12:00Z"
    ).explain()
    assert "p20200501" in plan
    assert "p20200502" not in plan
    assert "Index" in plan or "Bitmap" in plan
