"""The bodies that the benchmarks send, against slow and obvious ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load import bodies, sender
from tests.load.bodies import HIGH, QUIET
from tests.oracles import excursions

START = 1_767_225_600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["gateway", "hundreds", "singles", "plant", "probe"])
@pytest.mark.parametrize("first", [0, 9_900])
def test_a_body_holds_the_readings_of_its_stream_and_step(name: str, first: int) -> None:
    shape = bodies.shape(name, machines=3)
    made = bodies.prepare(shape, form=bodies.form("json", shape), start=START, steps=20_000, first=first, rounds=2)
    step = first + shape.instants
    sent = json.loads(made.body(shape.streams - 1, step).tobytes())
    sensors = [(shape.streams - 1) * shape.sensors + number for number in range(shape.sensors)]
    expected = [(sensor, at) for at in range(step, step + shape.instants) for sensor in sensors]
    assert [reading["sensor"] for reading in sent] == [bodies.name_of(sensor) for sensor, _ in expected]
    instants = [EPOCH + timedelta(seconds=START + at) for _, at in expected]
    assert [datetime.fromisoformat(reading["measured_at"]) for reading in sent] == instants
    if not shape.probe:
        above = [bool(bodies.is_above(np.array(sensor), np.array(at))) for sensor, at in expected]
        assert [reading["value"] > HIGH for reading in sent] == above


def test_a_body_is_sent_again_with_later_instants_after_a_period() -> None:
    shape = bodies.shape("gateway", machines=1)
    made = bodies.prepare(shape, form=bodies.form("json", shape), start=START, steps=30_000, first=0, rounds=200)
    now, later = (json.loads(made.body(0, step).tobytes()) for step in (300, 300 + bodies.PERIOD))
    assert [reading["value"] for reading in now] == [reading["value"] for reading in later]
    assert len({reading["measured_at"] for reading in now + later}) == 2 * shape.instants


def test_lines_say_the_same_as_json() -> None:
    shape = bodies.shape("gateway", machines=2)
    json_form, lines = (
        bodies.prepare(shape, form=bodies.form(form, shape), start=START, steps=500, first=0, rounds=3)
        for form in ("json", "lines")
    )
    sent = json.loads(json_form.body(1, 200).tobytes())
    told = [line.split() for line in lines.body(1, 200).tobytes().decode().split("\n") if line]
    assert [f"reading,sensor={reading['sensor']}" for reading in sent] == [line[0] for line in told]
    assert [reading["value"] for reading in sent] == [float(line[1].removeprefix("value=")) for line in told]
    seconds = [datetime.fromisoformat(reading["measured_at"]).timestamp() for reading in sent]
    assert [int(at * 1e9) for at in seconds] == [int(line[2]) for line in told]


def test_series_say_the_same_as_single_readings() -> None:
    shape = bodies.shape("gateway", machines=2)
    readings, series = (
        json.loads(
            bodies.prepare(shape, form=bodies.form(form, shape), start=START, steps=500, first=0, rounds=3)
            .body(1, 200)
            .tobytes()
        )
        for form in ("json", "series")
    )
    told = [
        {"sensor": one["sensor"], "measured_at": at, "value": value}
        for one in series
        for at, value in zip(one["measured_at"], one["values"], strict=True)
    ]
    assert sorted(told, key=lambda item: (item["measured_at"], item["sensor"])) == readings


def test_one_in_a_thousand_is_above_at_every_moment() -> None:
    sensors = np.arange(1_000)
    assert {int(bodies.is_above(sensors, np.array(step)).sum()) for step in (0, 7, 5_000, 99_999)} == {1}


@given(
    sensor=st.integers(0, 2_000),
    first=st.integers(0, 40_000),
    count=st.integers(0, 25_000),
    quiet=st.integers(0, QUIET),
)
def test_events_are_counted_as_they_would_be_one_by_one(sensor: int, first: int, count: int, quiet: int) -> None:
    above = bodies.is_above(np.array(sensor), np.arange(first, first + count))
    begun, after = bodies.stretches(*(np.array([number]) for number in (sensor, first, count, quiet)))
    assert (int(begun[0]), int(after[0])) == excursions(above.tolist(), quiet=quiet, most=QUIET)


def test_an_answer_is_read_when_it_is_whole() -> None:
    whole = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{"accepted":12}'
    assert all(sender.parse(bytearray(whole[:end])) is None for end in range(len(whole)))
    status, head, body = sender.parse(bytearray(whole)) or (0, b"", b"")
    assert (status, sender.header(head, b"connection"), body) == (202, b"close", b'{"accepted":12}')
    assert sender.parse(bytearray(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")) is not None
