"""The benchmark of the store in small: that it runs, and that what it stored is there. No time is asserted."""

from __future__ import annotations

import pytest

from tests.bench import store

pytestmark = pytest.mark.django_db


def test_it_fills_asks_and_compacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RUNS", 2)
    monkeypatch.setattr(store, "A_RUN", 2_000)
    monkeypatch.setattr(store, "AT_ONCE", 100)
    rows = store.bench(store.Size(sensors=5, year=1, days=3, asked=2, growth=(10, 200)))
    small = {row["name"]: row["value"] for row in rows}
    assert small["readings"] == 5 * 2.5 * 1_440 + 363 * 1_440
    assert small["bytes of a compacted reading"] > 1
