from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors import codec, columns
from sensors.codec import Span

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPAN = Span(columns.from_instant(NOW - timedelta(days=3650)), columns.from_instant(NOW + timedelta(minutes=5)))
GOOD = {"sensor": "flow", "measured_at": "2026-03-01T11:00:00Z", "value": 1.5}


def decode(*items: Any) -> codec.Decoded:
    return codec.decode(codec.parse(json.dumps(items).encode(), most=100), sensors={"flow": 7, 7: 7}, span=SPAN)


def only_reason(item: Any) -> str:
    decoded = decode(item)
    assert decoded.rejected == 1
    return decoded.results[0]["reason"]


def test_a_good_reading_is_accepted_without_a_word() -> None:
    decoded = decode(GOOD)
    assert decoded.results == ()
    assert decoded.accepted.sensor.tolist() == [7]
    assert decoded.accepted.at.tolist() == [columns.from_instant(NOW - timedelta(hours=1))]
    assert decoded.accepted.value.tolist() == [1.5]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": None}, "not-a-number"),
        ({"value": "1.5"}, "not-a-number"),
        ({"value": True}, "not-a-number"),
        ({"value": [1]}, "not-a-number"),
        ({"value": math.nan}, "not-finite"),
        ({"value": math.inf}, "not-finite"),
        ({"value": -math.inf}, "not-finite"),
        ({"value": 10**400}, "not-finite"),
        ({"value": 1e101}, "out-of-range"),
        ({"value": -1e308}, "out-of-range"),
        ({"measured_at": None}, "no-timestamp"),
        ({"measured_at": ""}, "no-timestamp"),
        ({"measured_at": 1_700_000_000}, "bad-timestamp"),
        ({"measured_at": "yesterday"}, "bad-timestamp"),
        ({"measured_at": "2026-02-30T00:00:00Z"}, "bad-timestamp"),
        ({"measured_at": "0001-01-01T00:00:00+14:00"}, "too-old"),
        ({"measured_at": "2026-03-01T11:00:00"}, "no-time-zone"),
        ({"measured_at": "2026-03-01T12:06:00Z"}, "in-the-future"),
        ({"measured_at": "2001-01-01T00:00:00Z"}, "too-old"),
        ({"sensor": None}, "bad-sensor"),
        ({"sensor": ""}, "bad-sensor"),
        ({"sensor": "a\u0000b"}, "bad-sensor"),
        ({"sensor": "x" * 201}, "bad-sensor"),
        ({"sensor": 1.5}, "bad-sensor"),
        ({"sensor": True}, "bad-sensor"),
        ({"sensor": 2**80}, "bad-sensor"),
        ({"sensor": 8}, "unknown-sensor"),
        ({"sensors": 1}, "unknown-field"),
    ],
)
def test_a_bad_item_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert only_reason(GOOD | change) == reason


@pytest.mark.parametrize("item", [None, 3, "x", [GOOD]])
def test_an_item_that_is_no_object_is_refused(item: Any) -> None:
    assert only_reason(item) == "not-an-object"


def test_a_refusal_points_into_the_body() -> None:
    bad = GOOD | {"value": None}
    plain = codec.parse(json.dumps([GOOD, bad]).encode(), most=9)
    wrapped = codec.parse(json.dumps({"readings": [GOOD, bad]}).encode(), most=9)
    for body, pointer in ((plain, "#/1/value"), (wrapped, "#/readings/1/value")):
        assert codec.decode(body, sensors={"flow": 7}, span=SPAN).results[0]["pointer"] == pointer


def test_the_same_instant_twice_keeps_the_first_and_says_whether_the_value_differs() -> None:
    decoded = decode(GOOD, GOOD, GOOD | {"value": 2.5}, GOOD | {"sensor": 7})
    assert decoded.accepted.value.tolist() == [1.5]
    assert [r["reason"] for r in decoded.results] == ["same-reading", "other-value", "same-reading"]
    assert decoded.duplicates == 3


def test_readings_of_an_unknown_name_are_held() -> None:
    decoded = decode(GOOD, GOOD | {"sensor": "new"}, GOOD | {"sensor": "new"})
    assert decoded.held["new"].item.tolist() == [1]
    assert [r["status"] for r in decoded.results] == ["held", "duplicate"]


def test_an_offset_is_taken_into_account() -> None:
    decoded = decode(GOOD | {"measured_at": "2026-03-01T12:00:00+01:00"})
    assert columns.to_instant(int(decoded.accepted.at[0])) == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"3", b"null", b"{}", b'{"readings": 3}', b"[]", b"\xff\xfe", b"[" * 100_000, b'["e"' + b"[" * 100_000],
)
def test_a_malformed_body_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(codec.Malformed):
        codec.parse(body, most=10)


def test_too_many_readings_are_refused_as_a_whole() -> None:
    with pytest.raises(codec.TooManyReadings):
        codec.parse(json.dumps([GOOD] * 11).encode(), most=10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "sensor": st.sampled_from(["flow", "new", 7, 8]) | JSON,
        "measured_at": st.sampled_from(["2026-03-01T11:00:00Z", "2026-03-01T11:00:01+00:00"]) | JSON,
        "value": st.floats() | JSON,
    },
)


@given(st.lists(ITEM | JSON, min_size=1, max_size=12))
def test_every_item_is_answered_exactly_once(items: list[Any]) -> None:
    decoded = decode(*items)
    assert decoded.items == len(items)
    assert len(decoded.accepted) + decoded.held_readings + decoded.duplicates + decoded.rejected == len(items)
    assert len(decoded.results) == len(items) - len(decoded.accepted)
    keys = list(zip(decoded.accepted.sensor.tolist(), decoded.accepted.at.tolist(), strict=True))
    assert len(keys) == len(set(keys))
    assert all(math.isfinite(v) for v in decoded.accepted.value.tolist())


def test_a_series_stands_for_its_readings_and_refusals_point_into_it() -> None:
    at = ["2026-03-01T11:00:00Z", "2026-03-01T11:01:00Z", "2026-03-01T11:01:00Z", "yesterday"]
    series = {"sensor": "flow", "measured_at": at, "values": [1.5, None, 2, 3]}
    decoded = decode(series, GOOD, series | {"sensor": 8})
    assert decoded.items == 9
    assert decoded.accepted.item.tolist() == [0, 2]
    assert [result["pointer"] for result in decoded.results] == [
        "#/0/values/1", "#/0/measured_at/3", "#/1", "#/2/sensor", "#/2/values/1", "#/2/sensor", "#/2/measured_at/3",
    ]  # fmt: skip


def test_a_series_alone_is_a_body() -> None:
    body = codec.parse(b'{"sensor": 8, "measured_at": ["2026-03-01T11:00:00Z"], "values": [1]}', most=9)
    decoded = codec.decode(body, sensors={}, span=SPAN)
    assert [result["pointer"] for result in decoded.results] == ["#/sensor"]


def test_a_series_counts_with_all_its_readings_and_must_be_even() -> None:
    series = {"sensor": 7, "measured_at": ["x"] * 6, "values": [1] * 6}
    with pytest.raises(codec.TooManyReadings, match="12 readings"):
        codec.parse(json.dumps([series, series]).encode(), most=11)
    with pytest.raises(codec.Malformed, match="At #/1 there are 6 instants for 5 values"):
        codec.parse(json.dumps([GOOD, series | {"values": [1] * 5}]).encode(), most=99)
    with pytest.raises(codec.Malformed, match="empty"):
        codec.parse(b'{"sensor": 7, "measured_at": [], "values": []}', most=99)
