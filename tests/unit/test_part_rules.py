"""Who gets what arrives, and what goods are worth."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import order_life, part_rules

AMOUNTS = st.decimals(0, 1_000, places=3)


@given(AMOUNTS, st.lists(AMOUNTS, max_size=6))
def test_an_amount_is_shared_out_one_after_the_other(amount: Decimal, wants: list[Decimal]) -> None:
    got = part_rules.share_out(amount, list(enumerate(wants)))
    assert sum(got.values(), Decimal(0)) == min(amount, sum(wants, Decimal(0)))
    for key, want in enumerate(wants):
        given_to_those_before = sum((got.get(i, Decimal(0)) for i in range(key)), Decimal(0))
        assert got.get(key, Decimal(0)) == min(want, amount - given_to_those_before)
    assert all(share > 0 for share in got.values())


@given(st.decimals("0.001", 1_000, places=3), st.decimals(0, 10_000, places=2), st.lists(st.floats(0, 1), max_size=6))
def test_who_brings_all_back_has_cost_nothing(used: Decimal, cost: Decimal, parts: list[float]) -> None:
    left, charged = used, cost
    for part in parts:
        back = (left * Decimal(part)).quantize(Decimal("0.001"))
        if not 0 < back < left:
            continue
        charged -= part_rules.worth_back(back, used=left, cost=charged)
        left -= back
        assert 0 <= charged <= cost
    assert charged == part_rules.worth_back(left, used=left, cost=charged)


def test_goods_are_worth_whole_cents() -> None:
    assert part_rules.worth(Decimal("2.5"), Decimal("0.3333")) == Decimal("0.83")
    assert part_rules.worth(Decimal(-3), Decimal("0.005")) == Decimal("-0.02")


@pytest.mark.parametrize(
    ("elsewhere", "lead", "when"),
    [("5", 9, date(2026, 3, 1)), ("4.999", 9, date(2026, 3, 10)), ("0", None, None), ("5", None, date(2026, 3, 1)),
     ("0", 0, date(2026, 3, 1))],
)  # fmt: skip
def test_what_is_short_comes_from_another_store_or_after_its_lead_time(
    elsewhere: str, lead: int | None, when: date | None
) -> None:
    said = {"short": Decimal(5), "elsewhere": Decimal(elsewhere), "lead_time_days": lead}
    assert part_rules.earliest(date(2026, 3, 1), **said) == when  # type: ignore[arg-type]


def test_parts_are_taken_for_orders_that_are_to_be_done_and_come_back_until_they_are_closed() -> None:
    shut = {"REQUESTED", "COMPLETED", "CLOSED", "CANCELLED"}
    assert {str(status) for status in order_life.Status} - {str(status) for status in part_rules.TAKES} == shut
    assert {str(status) for status in part_rules.PLANS - part_rules.TAKES} == {"REQUESTED"}
    assert {str(status) for status in part_rules.GIVES_BACK - part_rules.PLANS} == {"COMPLETED", "CANCELLED"}
