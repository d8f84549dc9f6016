import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import columns
from tests.unit import tables


@given(st.lists(st.tuples(st.integers(0, 2**62), st.floats(allow_nan=False, allow_infinity=False)), max_size=50))
def test_packed_columns_come_back_bit_for_bit(rows):
    given_columns = tables.columns([a for a, _ in rows], [v for _, v in rows])
    back = columns.unpack(columns.pack(given_columns))
    for name in ("sensor", "at", "value", "item"):
        assert getattr(back, name).tobytes() == getattr(given_columns, name).tobytes()


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b"XXXX" + b[4:], lambda b: b"", lambda b: b[:20]])
def test_damaged_columns_are_refused(damage):
    with pytest.raises(columns.NotColumns):
        columns.unpack(damage(columns.pack(tables.columns([1, 2], [3.0, 4.0]))))


def test_instants_survive_the_round_trip_to_datetime():
    assert columns.from_instant(columns.to_instant(1_648_105_200_000_001)) == 1_648_105_200_000_001


def test_a_sensor_that_is_not_in_the_table_is_named():
    with pytest.raises(KeyError, match="7"):
        tables.table([1, 2]).rows(np.array([1, 7]))
