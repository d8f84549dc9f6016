from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import rollups
from sensors.columns import Columns
from sensors.pgcopy import Table
from sensors.rollups import HOUR_US
from tests import oracles

VALUES = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, -0.0, 5e-324, -1e-110, 1e139, 1e141, -1.7e308, 1.7e308]))
READINGS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 3 * HOUR_US), VALUES, st.integers(0, 2)),
    min_size=1,
    max_size=40,
    unique_by=lambda reading: reading[:2],
)
Reading = tuple[int, int, float, int]


def roll(readings: list[Reading]) -> Table:
    sensor, at, value, quality = zip(*sorted(readings), strict=True)
    n = len(readings)
    columns = Columns(np.array(sensor), np.array(at), np.array(value), np.arange(n, dtype=np.int32))
    return rollups.of(columns, quality=np.array(quality, np.uint8))


def compare(found: Table, readings: list[Reading], *, length: int = HOUR_US) -> None:
    """Everything exact, but for what is computed: that to nine digits of the largest value."""
    keys = sorted({(sensor, at // length * length) for sensor, at, _, _ in readings})
    assert list(zip(found["sensor_id"].tolist(), found["hour_at"].tolist(), strict=True)) == keys
    for row, (sensor, hour) in zip(found, keys, strict=True):
        mine = [r[1:] for r in readings if r[0] == sensor and r[1] // length * length == hour]
        wanted = oracles.rollup(*zip(*mine, strict=True))
        large = max([abs(v) for _, v, quality in mine if quality == 0 and abs(v) <= 1e140], default=0.0)
        for name, value in wanted.items():
            slack = {"mean": 1e-9 * large + 1e-99, "m2": 1e-9 * large * large + 1e-99}.get(name, 0.0)
            assert float(row[name]) == pytest.approx(value, rel=1e-9, abs=slack) if slack else row[name] == value, name


@given(READINGS)
def test_an_hour_comes_to_what_the_oracle_says(readings: list[Reading]) -> None:
    compare(roll(readings), readings)


@given(READINGS, st.data(), st.sampled_from([HOUR_US, 24 * HOUR_US]))
def test_rollups_of_any_pieces_of_a_sensors_readings_merge_into_those_of_all(
    readings: list[Reading], data: st.DataObject, length: int
) -> None:
    readings = [(1, at, value, quality) for at, value, quality in {r[1]: r[1:] for r in readings}.values()]
    pieces: list[list[Reading]] = [[], [], []]
    for reading in readings:
        pieces[data.draw(st.integers(0, 2))].append(reading)
    merged = rollups.merge(np.concatenate([roll(piece) for piece in pieces if piece]), length=length)
    compare(merged, readings, length=length)


def test_nothing_comes_to_nothing() -> None:
    none = Columns(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))
    assert len(rollups.of(none, quality=np.empty(0, np.uint8))) == 0
    assert len(rollups.merge(np.empty(0, rollups.HOUR), length=HOUR_US)) == 0
