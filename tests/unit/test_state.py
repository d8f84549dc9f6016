import numpy as np
import pytest

from mlops import state

FIELDS = {"count": (np.int64, (), 0), "level": (np.float64, (2,), -1)}


def test_packed_state_comes_back_bit_for_bit():
    before = state.cold(np.array([3, 5]), FIELDS)
    after = state.unpack(state.pack(before))
    assert after.sensor.tobytes() == before.sensor.tobytes()
    assert {n: a.tobytes() for n, a in after.arrays.items()} == {n: a.tobytes() for n, a in before.arrays.items()}


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04broken"])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(state.NotState):
        state.unpack(data)


def test_new_sensors_start_cold_and_known_ones_keep_what_they_know():
    known = state.cold(np.array([3, 5]), FIELDS)
    known.arrays["count"][:] = [30, 50]
    grown = state.align(known, np.array([4, 5]), FIELDS)
    assert grown.sensor.tolist() == [3, 4, 5]
    assert grown.arrays["count"].tolist() == [30, 0, 50]
    assert grown.arrays["level"][1].tolist() == [-1, -1]
