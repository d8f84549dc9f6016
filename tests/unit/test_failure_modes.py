"""The catalogue of failure modes: what it says, and that a bad one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from maintenance import failure_modes
from sensors.models import Sensor

MODE_OF = failure_modes.CATALOGUE.mode_of


@pytest.mark.parametrize(
    ("sensor_kind", "anomaly_kind", "code"),
    [
        ("FLOW", "LIMIT_LOW_LOW", "LOO"),
        ("FLOW", "DEVIATION_HIGH", "HIO"),
        ("TEMPERATURE", "LIMIT_HIGH", "OHE"),
        ("TEMPERATURE", "LIMIT_LOW", "PDE"),
        ("VIBRATION", "DEVIATION_LOW", "VIB"),
        ("PRESSURE", "DEVIATION_LOW", "PDE"),
        ("OTHER", "DEVIATION_LOW", "UNK"),
    ],
)
def test_a_deviation_points_to_a_mode(sensor_kind: str, anomaly_kind: str, code: str) -> None:
    assert MODE_OF(sensor_kind=sensor_kind, anomaly_kind=anomaly_kind) == code


def test_the_class_of_the_equipment_decides_where_it_matters() -> None:
    for equipment_class in ("PUMP", "pump"):
        low = MODE_OF(sensor_kind="PRESSURE", anomaly_kind="LIMIT_LOW", equipment_class=equipment_class)
        assert low == "LOO"
    assert MODE_OF(sensor_kind="TEMPERATURE", anomaly_kind="LIMIT_HIGH", equipment_class="HEAT_EXCHANGER") == "IHT"


def test_every_kind_of_sensor_is_known_to_the_rules() -> None:
    assert set(Sensor.Kind.values) == failure_modes.KINDS


def test_what_could_not_be_checked_is_marked() -> None:
    assert failure_modes.CATALOGUE.modes["LOO"].checked
    assert not failure_modes.CATALOGUE.modes["VIB"].checked


def spoil(change: Callable[[Any], object]) -> str:
    data = json.loads(failure_modes.FILE.read_text("utf-8"))
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["rules"][0].update(mode="XXX"), "rules/0: 'XXX' is no mode"),
        (lambda d: d["rules"][1].update(kind="SMELL"), "rules/1: 'SMELL' is no kind of sensor"),
        (lambda d: d["rules"][1].update(direction="UP"), "rules/1: 'UP' is no direction"),
        (lambda d: d["rules"][2].update(equipment_class="PUMP"), "rules/2: unknown member 'equipment_class'"),
        (lambda d: d["modes"][0].update(code="el"), "modes/0: 'el' is no code"),
        (lambda d: d["modes"][0].update(checked="yes"), "modes/0: needs a name, and checked"),
        (lambda d: d["modes"].append(d["modes"][0]), "a code comes twice"),
        (lambda d: d["modes"].pop(), "UNK must be among them"),
        (lambda d: d["provenance"].update(vocabulary=" "), "say where the codes"),
        (lambda d: d.pop("rules"), "not a catalogue"),
    ],
)
def test_a_bad_catalogue_is_refused_with_what_is_wrong_and_where(change: Callable[[Any], object], message: str) -> None:
    with pytest.raises(failure_modes.BadCatalogue, match=message):
        failure_modes.read(spoil(change))


def test_a_file_that_is_no_json_is_refused() -> None:
    with pytest.raises(failure_modes.BadCatalogue, match="not a catalogue"):
        failure_modes.read("{")
