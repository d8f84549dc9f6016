"""Bodies that are meant to hurt: each is refused at once, and the process does not grow."""

from __future__ import annotations

import gzip
import resource
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client

from sensors.models import Batch, Sensor
from tests import factories
from tests.client import JSON, client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

URL = "/api/v1/data/ingest"
AT = "2026-03-01T12:00:00Z"
PACKED = {"HTTP_CONTENT_ENCODING": "gzip"}
DEEP = b"[" * 10_000 + b"]" * 10_000
GROWTH = 40_000_000


def one(**changed: Any) -> bytes:
    return orjson.dumps([{"sensor": "x", "measured_at": AT, "value": 1.0} | changed])


HOSTILE = {
    "10,000 brackets": (DEEP, 400),
    "10,000 objects": (b'{"readings":' * 10_000, 400),
    "NaN": (one(value=0).replace(b'"value":0', b'"value":NaN'), 422),
    "Infinity": (one(value=0).replace(b'"value":0', b'"value":-Infinity'), 422),
    "a number beyond floats": (one(value=0).replace(b'"value":0', b'"value":1e400'), 422),
    "an instant of 2^63": (one(measured_at=2**63), 422),
    "an instant of 2^63 as text": (one(measured_at=str(2**63)), 422),
    "the year 292277026596": (one(measured_at="292277026596-12-04T15:30:08Z"), 422),
    "a name of a megabyte": (one(sensor="s" * 1_000_000), 422),
    "an id beyond its column": (one(sensor=2**63), 422),
    "ten thousand and one": (orjson.dumps([{"sensor": "x", "measured_at": AT, "value": 1.0}] * 10_001), 413),
    "six megabytes": (b" " * 6_000_000, 413),
}


@pytest.fixture
def http() -> Client:
    sensor: Sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    return client(factories.user(site=sensor.site))


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_and_nothing_of_it_stored(http: Client, name: str) -> None:
    body, status = HOSTILE[name]
    answer = http.post(URL, body, JSON)
    assert answer.status_code == status, answer.content[:300]
    assert len(answer.content) < 5_000
    assert not Batch.objects.exists()


def test_a_body_that_unpacks_without_end_is_refused_before_it_has(http: Client) -> None:
    bomb = _bomb()
    before = resident()
    for _ in range(5):
        assert http.post(URL, bomb, JSON, **PACKED).status_code == 413
    assert resident() - before < GROWTH


def _bomb() -> bytes:
    """A hundred megabytes of zeros, packed piece by piece."""
    packer, piece = zlib.compressobj(1, wbits=31), bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(100)) + packer.flush()


def test_what_shrinks_more_than_readings_do_is_refused_though_it_is_not_large(http: Client) -> None:
    body = b"[" + b" " * 1_000_000 + b"]"
    packed = gzip.compress(body)
    assert len(body) > 200 * len(packed)
    answer = http.post(URL, packed, JSON, **PACKED)
    assert answer.status_code == 413
    assert "200 times" in answer.json()["detail"]


def test_a_hostile_body_again_and_again_does_not_let_the_process_grow(http: Client) -> None:
    bodies = [body for body, _ in HOSTILE.values()]
    for body in bodies:
        http.post(URL, body, JSON)
    before = resident()
    for _ in range(5):
        for body in bodies:
            http.post(URL, body, JSON)
    assert resident() - before < GROWTH


@pytest.mark.parametrize("asked", ["0", "-1", "1001", "100000000", "abc"])
def test_no_page_is_larger_than_a_page_may_be(http: Client, asked: str) -> None:
    answer = http.get("/api/v1/sensors/", {"page_size": asked})
    assert answer.status_code in (200, 400)
    assert len(answer.json().get("results", [])) <= 1_000
