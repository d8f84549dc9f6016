import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import columns
from sensors.columns import Columns
from tests.unit import tables

WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.floats(),
    st.integers(-(10**9), 10**9).map(lambda n: n / 1000),
    st.sampled_from([0.0, -0.0, 1e9, 999_999_999.9, 0.1, 5e-324, 1e100]),
)
INSTANTS = st.integers(0, 10**9).map(lambda n: n * 1_000_000) | WHOLE
ROWS = st.tuples(WHOLE | st.integers(1, 300), INSTANTS, VALUES, st.integers(0, 2**31 - 1))


def of(rows: list[Any]) -> Columns:
    sensor, at, value, item = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(np.array(sensor, "i8"), np.array(at, "i8"), np.array(value, "f8"), np.array(item, "i4"))


def same(back: Columns, given_columns: Columns) -> None:
    for name in ("sensor", "at", "value", "item"):
        one, other = getattr(back, name), getattr(given_columns, name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@given(st.lists(ROWS, max_size=50), st.lists(st.integers(0, 50), max_size=3))
def test_packed_columns_come_back_bit_for_bit_whole_and_in_slices(rows: list[Any], cuts: list[int]) -> None:
    whole = of(rows)
    same(columns.unpack(columns.pack(whole)), whole)
    bounds = sorted([0, len(rows), *(min(cut, len(rows)) for cut in cuts)])
    parts = [columns.unpack(data) for data in columns.pack_slices(whole, bounds)]
    assert [len(part) for part in parts] == np.diff(bounds).tolist()
    same(columns.concatenate(parts), whole)


@given(st.lists(st.integers(-(10**8), 10**8), min_size=17, max_size=40), st.integers(0, 6))
def test_decimal_values_come_back_bit_for_bit_and_small(numbers: list[int], decimals: int) -> None:
    whole = tables.columns(range(len(numbers)), [n / 10**decimals for n in numbers])
    packed = columns.pack(whole)
    same(columns.unpack(packed), whole)
    assert len(packed) <= columns.HEADER.size + columns.CUTS.size + 6 * len(numbers)


def test_columns_packed_by_an_earlier_version_can_be_read() -> None:
    packed = base64.b85decode("LRUjE0ssI25g}nycmZQ(Kmv>m42*OBr+mD{%JBO?1VCjQY7b9QUF*3i1jJ_tVgRc}5Jd")
    same(columns.unpack(packed), of([(3, 1_648_105_200_000_001, -0.0, 0), (2**40, -5, 1e100, 7)]))
    with pytest.raises(columns.NotColumns):
        columns.unpack(packed[:4] + b"\x03" + packed[5:])


@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-3], lambda b: b"XXXX" + b[4:], lambda b: b"", lambda b: b[:20], lambda b: b[:4] + b"\x05" + b[5:],
     lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"BWC1" + b[4:]],
)  # fmt: skip
def test_damaged_columns_are_refused(damage: Any, n: int) -> None:
    with pytest.raises(columns.NotColumns):
        columns.unpack(damage(columns.pack(tables.columns(range(n), np.arange(n) / 3))))


def test_instants_survive_the_round_trip_to_datetime() -> None:
    assert columns.from_instant(columns.to_instant(1_648_105_200_000_001)) == 1_648_105_200_000_001


def test_a_sensor_that_is_not_in_the_table_is_named() -> None:
    with pytest.raises(KeyError, match="7"):
        tables.table([1, 2]).rows(np.array([1, 7]))
