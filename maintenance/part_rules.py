"""The arithmetic of stock: who gets what arrives, who gives up what is missing, what goods are worth. Pure.

Amounts are in a part's unit, to a thousandth.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from maintenance.order_life import Status

TAKES = frozenset({Status.OPEN, Status.PLANNED, Status.ASSIGNED, Status.IN_PROGRESS, Status.ON_HOLD})
"""Parts are reserved and issued for an order that is to be done or in work."""
PLANS = TAKES | {Status.REQUESTED}
"""Parts are planned for one that waits for approval, too."""
GIVES_BACK = PLANS | {Status.COMPLETED, Status.CANCELLED}
"""What is left over comes back until the order is closed; of one that is cancelled too."""
URGENCY = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
CENT = Decimal("0.01")
ZERO = Decimal(0)


def share_out(amount: Decimal, wants: Sequence[tuple[int, Decimal]]) -> dict[int, Decimal]:
    """What each gets of an amount: the first all it wants, then the next, until nothing is left.

    >>> share_out(Decimal(5), [(7, Decimal(3)), (8, Decimal(4)), (9, Decimal(1))])
    {7: Decimal('3'), 8: Decimal('2')}
    """
    found: dict[int, Decimal] = {}
    for key, want in wants:
        given = min(amount, want)
        if given > 0:
            found[key] = given
            amount -= given
    return found


def worth(quantity: Decimal, unit_cost: Decimal) -> Decimal:
    """The value of an amount, to the cent."""
    return (quantity * unit_cost).quantize(CENT, ROUND_HALF_UP)


def worth_back(quantity: Decimal, *, used: Decimal, cost: Decimal) -> Decimal:
    """What comes back is worth its share of what the order was charged, whatever the part costs by then: who brings
    all of it back has cost nothing.

    >>> worth_back(Decimal(1), used=Decimal(3), cost=Decimal("10.00"))
    Decimal('3.33')
    """
    return (cost * quantity / used).quantize(CENT, ROUND_HALF_UP)


def earliest(today: date, *, short: Decimal, elsewhere: Decimal, lead_time_days: int | None) -> date | None:
    """When all that is short can be there: today where other stores have it, else after the lead time. None: nobody
    knows."""
    if short <= elsewhere:
        return today
    return None if lead_time_days is None else today + timedelta(days=lead_time_days)
