"""What is read wholesale is what is read item by item, for every body."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors import codec, columns, instants, wholesale
from sensors.codec import Decoded
from sensors.wholesale import Place
from tests.unit.test_codec import GOOD, ITEM, JSON, NOW, SPAN

PLACES = {"flow": Place(7, 3, False), 7: Place(7, 3, False), "temp": Place(2**40, 63, True), 8: Place(8, 0, True)}
CODES = {key: place.code for key, place in PLACES.items()}
IDS = {key: place.sensor for key, place in PLACES.items()}
MOST = 200


def item_by_item(body: bytes) -> Decoded | str:
    try:
        return codec.decode(codec.parse(body, most=MOST), sensors=IDS, span=SPAN)
    except (codec.Malformed, codec.TooManyReadings) as error:
        return type(error).__name__


def wholly(body: bytes) -> tuple[Decoded, list[Place]] | None:
    sheet = wholesale.read(body, most=MOST)
    codes = None if sheet is None else wholesale.codes(sheet, CODES)
    if sheet is None or codes is None:
        return None
    decoded = wholesale.decode(sheet, codes=codes, span=SPAN)
    places = [wholesale.place(code) for code in codes.tolist()]
    assert wholesale.lanes(codes).tolist() == [place.lane for place in places]
    assert wholesale.any_critical(codes) == any(place.critical for place in places)
    return None if decoded is None else (decoded, places)


def bits(decoded: Decoded) -> list[bytes]:
    return [getattr(decoded.accepted, name).tobytes() for name in ("sensor", "at", "value", "item")]


def check(body: bytes) -> bool:
    """Whether it was read wholesale; if so it must be as item by item."""
    taken = wholly(body)
    if taken is None:
        return False
    expected = item_by_item(body)
    assert isinstance(expected, Decoded)
    assert bits(taken[0]) == bits(expected)
    assert (expected.results, expected.held, expected.items) == ((), {}, taken[0].items)
    assert [place.sensor for place in taken[1]] == expected.accepted.sensor.tolist()
    assert all(place in PLACES.values() for place in taken[1])
    return True


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["-0", "-0.0", "1E5", "1e-400", "1e400", "NaN", "Infinity", "-1e100", "1e100", "01", "1.", ".5"]),
)
OFFSETS = ["", "Z", "+00:00", "-03:30", "+14:00", "+23:59", "-24:00", "+01", "+0100", "z", "+01:00:30"]
CLOCKS = st.tuples(
    st.sampled_from(["2026-02-28", "2026-02-29", "2026-03-01", "20260301", "2026-3-1", "2026-W09-7", "２026-03-01"]),
    st.sampled_from(["T", " ", "t", "x", ""]),
    st.sampled_from(["00:00:00", "11:59:59", "24:00:00", "12:60:00", "12:00:60", "11:00", "110000", "11"]),
    st.sampled_from(["", ".", ".5", ",5", ".123456", ".1234567", ".12345x"]),
    st.sampled_from(OFFSETS),
).map("".join)
TEXTS = st.one_of(
    st.datetimes(datetime(2026, 2, 1), datetime(2026, 3, 2)).map(lambda d: d.isoformat() + "Z"), CLOCKS, CLOCKS,
    st.text(max_size=30),
)  # fmt: skip
KEYS = st.sampled_from(['"flow"', "7", '"temp"', '"fl\\u006fw"', '"x"', "8", "9", "true", "7.0", '"\\ud800"', "-1"])


@st.composite
def readings(draw: st.DrawFn) -> str:
    text = json.dumps(draw(TEXTS))
    fields = [f'"sensor": {draw(KEYS)}', f'"measured_at": {text}', f'"value": {draw(NUMBERS)}']
    fields += draw(st.lists(st.sampled_from(['"value": 3', '"unit": 1', '"sensor": "flow"']), max_size=1))
    return "{" + ", ".join(draw(st.permutations(fields))) + "}"


@st.composite
def series(draw: st.DrawFn) -> str:
    texts, numbers = draw(st.lists(TEXTS, max_size=4)), draw(st.lists(NUMBERS, max_size=4))
    return f'{{"sensor": {draw(KEYS)}, "measured_at": {json.dumps(texts)}, "values": [{", ".join(numbers)}]}}'


@given(st.lists(readings(), max_size=5), st.sampled_from(["[{}]", " [{}] \n", '{{"readings": [{}]}}', "[{}", "[{},]"]))
def test_a_body_of_readings_is_the_same_either_way(items: list[str], around: str) -> None:
    check(around.format(", ".join(items)).encode())


@given(st.lists(series() | readings(), max_size=4), st.sampled_from(["[{}]", "{}", '{{"readings": [{}]}}']))
def test_a_body_of_series_is_the_same_either_way(items: list[str], around: str) -> None:
    check(around.format(", ".join(items)).encode())


@given(st.lists(ITEM | JSON, max_size=6))
def test_anything_at_all_is_the_same_either_way(items: list[Any]) -> None:
    check(json.dumps(items).encode())


@given(st.binary(max_size=40).map(lambda b: b"[" + b) | st.binary(max_size=40))
def test_no_bytes_at_all_are_taken_by_mistake(body: bytes) -> None:
    check(body)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(-1000, 1000)), min_size=70, max_size=150, unique_by=lambda r: r[0]
    )
)
def test_a_long_good_body_is_read_wholesale(rows: list[tuple[int, int]]) -> None:
    body = [GOOD | {"measured_at": (NOW - timedelta(seconds=s)).isoformat(), "value": v / 8} for s, v in rows]
    assert check(json.dumps(body).encode())
    one = {"sensor": 7, "measured_at": [r["measured_at"] for r in body], "values": [r["value"] for r in body]}
    assert check(json.dumps(one).encode())
    assert check(json.dumps([one]).encode())


def test_a_repeated_reading_and_an_unknown_sensor_are_left_to_the_other_way() -> None:
    for items in ([GOOD, GOOD], [GOOD, GOOD | {"sensor": 7}], [GOOD | {"sensor": "new"}], [GOOD | {"sensor": 9}]):
        assert wholly(json.dumps(items).encode()) is None


def test_what_lies_outside_of_the_span_is_left_to_the_other_way() -> None:
    for at in (SPAN.earliest - 1, SPAN.latest + 1):
        assert wholly(json.dumps([GOOD | {"measured_at": columns.to_instant(at).isoformat()}]).encode()) is None
    for at in (SPAN.earliest, SPAN.latest):
        assert check(json.dumps([GOOD | {"measured_at": columns.to_instant(at).isoformat()}]).encode())


@given(st.integers(1, 2**55), st.integers(0, 63), st.booleans())
def test_a_place_comes_back_out_of_its_code(sensor: int, lane: int, critical: bool) -> None:
    assert wholesale.place(Place(sensor, lane, critical).code) == Place(sensor, lane, critical)


# Instants


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_instants_read_together_are_those_read_one_by_one(texts: list[str]) -> None:
    long = texts * (instants.FEW // len(texts) + 1)
    expected, got = instants.one_by_one(long), instants.read(long)
    assert (expected is None) == (got is None)
    assert expected is None or got is None or expected.tolist() == got.tolist()


@given(st.lists(st.datetimes(datetime(1895, 1, 1), datetime(2205, 1, 1)), min_size=1, max_size=80), st.integers(0, 6),
       st.sampled_from(["Z", "+00:00", "-03:30", "+14:00", "+23:59", "-19:59"]))  # fmt: skip
def test_usual_spellings_of_every_day_are_exact(days: list[datetime], decimals: int, offset: str) -> None:
    texts = [
        f"{d:%Y-%m-%dT%H:%M:%S}" + f".{d.microsecond:06}"[: decimals + 1 if decimals else 0] + offset for d in days
    ]
    expected, got = instants.one_by_one(texts), instants.alike(texts)
    assert expected is not None
    assert got is not None
    assert expected.tolist() == got.tolist()


@pytest.mark.parametrize(
    "text",
    ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z",
     "2026-01-01T24:00:00Z", "2026-01-01T23:60:00Z", "2026-01-01T23:59:60Z", "2026-01-01T00:00:00",
     "2026-01-01t00:00:0/Z", "２026-01-01T00:00:00Z", "", "2026-01-01T00:00:00+24:00"],
)  # fmt: skip
def test_what_is_no_instant_is_none_alone_and_among_good_ones(text: str) -> None:
    good = ["2026-01-01T00:00:00Z"] * (instants.FEW + 1)
    assert instants.read([text]) is None
    assert instants.read([*good, text]) is None
    assert instants.read([text] * (instants.FEW + 1)) is None


def test_leap_days_are_days() -> None:
    texts = ["2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z"] * instants.FEW
    at = instants.read(texts)
    assert at is not None
    assert columns.to_instant(int(at[0])) == datetime(2024, 2, 29, tzinfo=UTC)
    assert np.unique(at).size == 2
