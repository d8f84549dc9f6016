from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sensors import series
from sensors.columns import Float64, Int64


def oracle(at: Int64, value: Float64, *, points: int, start: int, end: int) -> list[int]:
    """First, lowest, highest and last of each bucket, one bucket after the other."""
    if len(at) <= points:
        return list(range(len(at)))
    length = -(-(end - start) // max(1, points // 4))
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


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=80, unique=True),
    st.data(),
    st.integers(4, 40),
)
def test_the_points_kept_are_those_of_the_oracle(instants: list[int], data: st.DataObject, points: int) -> None:
    at = np.sort(np.array(instants, np.int64))
    value = data.draw(arrays.arrays(np.float64, len(at), elements=st.sampled_from([-1.0, 0.0, 0.5, 9.0, 1e300])))
    kept = series.m4(at, value, points=points, start=0, end=10_001)
    assert kept.tolist() == oracle(at, value, points=points, start=0, end=10_001)
    assert len(kept) <= max(points, 4)
    assert value[kept].min() == value.min()
    assert value[kept].max() == value.max()


@given(
    st.lists(st.integers(0, 10_000), max_size=80, unique=True),
    st.data(),
    st.integers(4, 40),
    st.lists(st.integers(1, 3_000), max_size=20),
)
def test_a_picture_thinned_as_the_rows_come_is_that_of_all_rows_at_once(
    instants: list[int], data: st.DataObject, points: int, sizes: list[int]
) -> None:
    at = np.sort(np.array(instants, np.int64))
    value = data.draw(arrays.arrays(np.float64, len(at), elements=st.sampled_from([-1.0, 0.0, 0.5, 9.0, 1e300])))
    rows = np.zeros(len(at), series.ROW)
    rows["at"], rows["value"], rows["quality"] = at - series.POSTGRES_EPOCH_US, value, np.arange(len(at)) % 3
    body = b"h" * series.HEADER_BYTES + rows.tobytes() + b"\xff\xff"
    picture = series.Thinning(start=0, end=10_001, points=points)
    for size in sizes:
        picture.write(body[:size])
        body = body[size:]
    picture.write(body)
    drawn = picture.drawn()
    kept = series.m4(at, value, points=points, start=0, end=10_001)
    assert drawn.total == len(at)
    assert drawn.at.tolist() == at[kept].tolist()
    assert drawn.value.tolist() == value[kept].tolist()
    assert drawn.quality.tolist() == (kept % 3).tolist()


def test_nothing_gives_nothing() -> None:
    empty = np.empty(0, np.int64)
    assert series.m4(empty, empty.astype(np.float64), points=4, start=0, end=1).tolist() == []
