from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sensors import m4, rollups
from sensors.columns import Columns, Float64, Int64
from sensors.m4 import HOUR_US, Points, Thinning

VALUES = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 9.0, 1e300])


def oracle(at: Int64, value: Float64, *, points: int, start: int, end: int) -> list[int]:
    """First, lowest, highest and last of each bucket, one bucket after the other."""
    if len(at) <= points:
        return list(range(len(at)))
    length = -(-(end - start) // max(1, points // 4))
    if length >= HOUR_US:
        start = start // HOUR_US * HOUR_US
        length = -(-(end - start) // (max(1, points // 4) * HOUR_US)) * HOUR_US
    kept: set[int] = set()
    for bucket in range(max(1, points // 4)):
        inside = [i for i in range(len(at)) if (int(at[i]) - start) // length == bucket]
        if inside:
            kept |= {
                inside[0],
                inside[-1],
                min(inside, key=lambda i: (value[i], i)),
                max(inside, key=lambda i: (value[i], -i)),
            }
    return sorted(kept)


def thin(at: Int64, value: Float64, *, points: int, start: int, end: int, cut: int = 1) -> list[int]:
    """Positions that are kept where the readings are added in ``cut`` pieces, the last one first."""
    drawn = Thinning(m4.grid(start=start, end=end, points=points), points=points)
    for piece in np.array_split(np.arange(len(at)), cut)[::-1]:
        drawn.add(Points(at[piece], value[piece], (piece % 3).astype(np.uint8)))
    assert drawn.total == len(at)
    found = drawn.drawn()
    kept = np.searchsorted(at, found.at)
    assert found.at.tolist() == at[kept].tolist()
    assert found.value.tobytes() == value[kept].tobytes()
    assert found.quality.tolist() == (kept % 3).tolist()
    return kept.tolist()


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=80, unique=True),
    st.data(),
    st.integers(4, 40),
    st.integers(1, 5),
)
def test_the_points_kept_are_those_of_the_oracle(
    instants: list[int], data: st.DataObject, points: int, cut: int
) -> None:
    at = np.sort(np.array(instants, np.int64))
    value = data.draw(arrays.arrays(np.float64, len(at), elements=VALUES))
    kept = thin(at, value, points=points, start=0, end=10_001, cut=cut)
    assert kept == oracle(at, value, points=points, start=0, end=10_001)
    assert len(kept) <= max(points, 4)
    assert value[kept].min() == value.min()
    assert value[kept].max() == value.max()


@given(
    st.lists(st.integers(0, 5_000), min_size=30, max_size=120, unique=True),
    st.data(),
    st.integers(4, 16),
    st.integers(0, 59),
)
def test_rollups_of_whole_hours_draw_what_the_readings_draw(
    minutes: list[int], data: st.DataObject, points: int, first: int
) -> None:
    at = np.sort(np.array(minutes, np.int64)) * 60_000_000 + 7
    value = data.draw(arrays.arrays(np.float64, len(at), elements=VALUES))
    quality = (np.arange(len(at)) % 3).astype(np.uint8)
    start, end = first * 60_000_000, 5_000 * 60_000_000
    inside = at >= start
    at, value, quality = at[inside], value[inside], quality[inside]
    grid = m4.grid(start=start, end=end, points=points)
    assert grid.of_hours
    whole = at >= -(-start // HOUR_US) * HOUR_US
    drawn = Thinning(grid, points=points)
    drawn.add(Points(at[~whole], value[~whole], quality[~whole]))
    n = int(whole.sum())
    columns = Columns(np.ones(n, np.int64), at[whole], value[whole], np.zeros(n, np.int32))
    drawn.add(Points(*rollups.points(rollups.of(columns, quality=quality[whole]))), readings=n)
    assert drawn.total == len(at)
    if drawn.total > points:
        kept = oracle(at, value, points=points, start=start, end=end)
        found = drawn.drawn()
        assert found.at.tolist() == at[kept].tolist()
        assert found.value.tobytes() == value[kept].tobytes()
        assert found.quality.tolist() == quality[kept].tolist()


def test_nothing_gives_nothing() -> None:
    assert thin(np.empty(0, np.int64), np.empty(0), points=4, start=0, end=1) == []
