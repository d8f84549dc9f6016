"""Zones of vibration: the boundaries, when a sensor is not graded, and the detector."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops import state as states
from mlops.detectors import contract
from mlops.detectors.zones import DEADBAND, Zones
from sensors import zones
from sensors.models import Equipment
from tests import oracles
from tests.unit import tables

SECOND = 1_000_000


def of(kind="VIBRATION", unit="mm/s", group=2, support="RIGID"):
    return zones.of(kind=kind, unit=unit, group=group, support=support)


@pytest.mark.parametrize(
    ("group", "support", "expected"),
    [
        (1, "RIGID", (2.3, 4.5, 7.1)),
        (1, "FLEXIBLE", (3.5, 7.1, 11.0)),
        (2, "RIGID", (1.4, 2.8, 4.5)),
        (2, "FLEXIBLE", (2.3, 4.5, 7.1)),
        (3, "RIGID", (2.3, 4.5, 7.1)),
        (3, "FLEXIBLE", (3.5, 7.1, 11.0)),
        (4, "RIGID", (1.4, 2.8, 4.5)),
        (4, "FLEXIBLE", (2.3, 4.5, 7.1)),
    ],
)
def test_the_boundaries_are_those_of_the_standard(group, support, expected):
    found = of(group=group, support=support)
    assert (found.a_b, found.b_c, found.c_d) == expected


def test_every_group_and_support_that_can_be_chosen_has_its_zones():
    chosen = set(itertools.product(Equipment.MachineGroup.values, Equipment.Support.values))
    assert set(zones.TABLE) == chosen


@pytest.mark.parametrize(
    ("value", "zone"),
    [(0.0, "A"), (1.39, "A"), (1.4, "B"), (2.79, "B"), (2.8, "C"), (4.49, "C"), (4.5, "D"), (99, "D")],
)
def test_a_boundary_belongs_to_the_zone_above_it(value, zone):
    assert of().of(value) == zone


@pytest.mark.parametrize("unit", ["mm/s", "mm/s RMS", "MM/S (rms)", "in/s", "ips", "m/s"])
def test_velocities_are_graded_in_their_own_unit(unit):
    factor = {"i": 1 / 25.4, "m": 1.0}[unit[0].lower()] if unit != "m/s" else 0.001
    assert of(unit=unit).c_d == pytest.approx(4.5 * factor)


@pytest.mark.parametrize("unit", ["", "g", "m/s2", "m/s²", "um", "µm", "mm", "mm/s pk", "in/s peak", "mm/s 0-p", "dB"])
def test_what_is_no_velocity_by_its_root_mean_square_is_not_graded(unit):
    refused = of(unit=unit)
    assert isinstance(refused, zones.Refusal)
    assert "cannot be converted" in refused.reason
    assert refused.of_vibration


@pytest.mark.parametrize(
    ("group", "support", "missing"),
    [
        (None, "RIGID", "no machine group."),
        (2, "", "no support class."),
        (None, "", "no machine group and support class."),
    ],
)
def test_without_machine_group_and_support_class_there_is_no_grade(group, support, missing):
    assert missing in of(group=group, support=support).reason


def test_another_quantity_is_not_graded_and_nobody_is_told_why():
    assert not of(kind="TEMPERATURE").of_vibration


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"provenance": {"standard": ""}, "unit": "mm/s", "zones": []}',
        '{"provenance": {"standard": "x"}, "unit": "in/s", "zones": []}',
        '{"provenance": {"standard": "x"}, "unit": "mm/s", "zones": [{"group": 1}]}',
        '{"provenance": {"standard": "x"}, "unit": "mm/s",'
        ' "zones": [{"group": 1, "support": "RIGID", "a_b": 3, "b_c": 2, "c_d": 4}]}',
    ],
)
def test_a_table_that_cannot_be_used_is_refused(text):
    with pytest.raises(zones.BadZones):
        zones.read(text)


def judge(value, *, state=None, at=0, deadband=0.0, zone_c=2.8, zone_d=4.5):
    detector = Zones()
    state = states.cold(np.array([1]), detector.fields) if state is None else state
    readings = tables.columns((at + np.arange(len(value))) * SECOND, value)
    table = tables.table([1], deadband=deadband, zone_c=zone_c, zone_d=zone_d)
    return detector.judge(contract.block(readings, state), table, state, np.zeros(1, np.bool_))


def kinds(scores):
    return ["" if verdict == 0 else Zones.kinds[verdict - 1] for verdict in scores.verdict]


def test_zone_c_and_d_are_abnormal_from_their_boundary_on():
    scores, _ = judge([1.0, 2.79, 2.8, 4.49, 4.5, 9.0])
    assert kinds(scores) == ["", "", "ZONE_C", "ZONE_C", "ZONE_D", "ZONE_D"]
    assert scores.score.tolist() == [0, 0, 0.75, 0.75, 1, 1]


def test_a_zone_is_left_below_the_deadband_only():
    assert kinds(judge([2.8, 2.7, 2.65, 2.7])[0]) == ["ZONE_C", "ZONE_C", "", ""]
    assert kinds(judge([2.8, 2.65, 2.3, 2.29], deadband=0.5)[0]) == ["ZONE_C", "ZONE_C", "ZONE_C", ""]
    assert kinds(judge([4.5, 4.3, 4.0, 2.5])[0]) == ["ZONE_D", "ZONE_D", "ZONE_C", ""]


def test_a_sensor_that_is_not_graded_is_normal():
    assert not judge([1.0, 99.0], zone_c=math.nan, zone_d=math.nan)[0].verdict.any()


VALUES = st.lists(st.sampled_from([0.0, 2.5, 2.66, 2.7, 2.8, 4.2, 4.3, 4.5, 6.0]), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.lists(st.integers(1, 39), max_size=4))
def test_the_zones_are_those_of_the_oracle_however_the_stream_is_cut(values, cuts):
    c, d = (oracles.hysteresis(values, limit, DEADBAND * limit) for limit in (2.8, 4.5))
    expected = ["ZONE_D" if severe else "ZONE_C" if odd else "" for odd, severe in zip(c, d, strict=True)]
    state, found = None, []
    for a, b in itertools.pairwise([0, *sorted({cut for cut in cuts if cut < len(values)}), len(values)]):
        scores, state = judge(values[a:b], state=state, at=a)
        found += kinds(scores)
    assert found == expected
