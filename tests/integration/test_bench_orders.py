"""The benchmark of the pages of work orders in small: that it runs. No time is asserted."""

from __future__ import annotations

import pytest

from tests.bench import orders

pytestmark = pytest.mark.django_db


def test_it_fills_and_asks_for_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "TIMES", 1)
    monkeypatch.setattr(orders, "MACHINES", 3)
    rows = {row["name"]: row for row in orders.bench(240, sensors=5)}
    assert rows["orders"]["value"] == 240
    assert rows["board"]["detail"].split(", ")[1].startswith("8 queries (")
    assert rows["import"]["detail"] == "5 rows"
