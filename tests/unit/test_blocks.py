from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import blocks, rollups
from sensors.blocks import NotABlock, Readings
from sensors.columns import DAY_US, Columns

DAY = 1_700_006_400_000_000
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**6), 10**6).map(lambda n: n / 100),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**53, 2.0**63, 0.1 + 0.2]),
)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    at = draw(st.lists(st.integers(-DAY_US, DAY_US), min_size=1, max_size=60, unique=True))
    n = len(at)
    values = draw(st.one_of(st.lists(VALUES, min_size=n, max_size=n), st.just([21.5] * n)))
    marks = draw(st.one_of(st.lists(st.integers(0, 255), min_size=n, max_size=n), st.just([0] * n), st.just([2] * n)))
    quality = np.array(marks, np.uint8)
    return Readings(np.sort(np.array(at, np.int64)) + DAY, np.array(values), quality % 3, quality)


@given(readings())
def test_what_comes_out_of_a_block_is_bit_for_bit_what_went_in(given_: Readings) -> None:
    assert blocks.decode(blocks.encode(given_)).same(given_)


@given(readings(), st.data())
def test_a_damaged_block_is_told(given_: Readings, data: st.DataObject) -> None:
    whole = blocks.encode(given_)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(damaged), whole[:place]):
        with pytest.raises(NotABlock):
            blocks.decode(wrong)


@pytest.mark.parametrize(
    ("values", "most"),
    [
        (np.round(20 + np.sin(np.arange(1440) / 90), 2), 4.0),
        (np.round(np.random.default_rng(1).normal(100, 5, 1440), 2), 4.0),
        (np.full(1440, 3.0), 1.0),
        (np.random.default_rng(1).normal(size=1440), 9.0),
    ],
)
def test_a_day_of_minutes_takes_few_bytes_a_reading_rollups_included(values: np.ndarray, most: float) -> None:
    at = DAY + np.arange(1440, dtype=np.int64) * 60_000_000
    zeros = np.zeros(1440, np.uint8)
    columns = Columns(np.ones(1440, np.int64), at, values, np.zeros(1440, np.int32))
    size = len(blocks.encode(Readings(at, values, zeros, zeros)))
    size += len(blocks.encode_hours(rollups.of(columns, quality=zeros)))
    assert size / 1440 <= most


@given(readings())
def test_rollups_come_out_bit_for_bit_as_well(given_: Readings) -> None:
    n = len(given_)
    columns = Columns(np.ones(n, np.int64), given_.at, given_.value, np.zeros(n, np.int32))
    hours = rollups.of(columns, quality=given_.quality)
    packed = blocks.encode_hours(hours)
    assert blocks.decode_hours([packed, packed]).tobytes() == hours.tobytes() * 2
    assert len(blocks.decode_hours([])) == 0
