"""What lies in the stores: every change of stock, as a movement of the ledger. The only writer of Stock and Movement.

Whoever changes anything of a part locks the part first (after the work order, ascending ids), so that stock, its
ledger and its reservations change together and one after the other. What comes to a store goes to the orders that
wait for it, the most urgent first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Case, F, IntegerField, QuerySet, Sum, Value, When
from django.utils import timezone

from maintenance import part_rules
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store
from maintenance.refusals import Refused
from sensors import journal

EVENTS = {
    Movement.Kind.RECEIVE: journal.STOCK_RECEIVED, Movement.Kind.ISSUE: journal.STOCK_ISSUED,
    Movement.Kind.RETURN: journal.STOCK_RETURNED, Movement.Kind.ADJUST: journal.STOCK_ADJUSTED,
    Movement.Kind.TRANSFER: journal.STOCK_TRANSFERRED,
}  # fmt: skip
ZERO = part_rules.ZERO
LEAST, MOST = Decimal("0.001"), Decimal(10) ** 9


class NotEnough(Refused):
    """There is not enough in the store."""


class NoAmount(Refused):
    """Say how much: more than nothing."""


class NoReason(Refused):
    """Say why."""


class NoChange(Refused):
    """That is what lies there already."""


class OtherSite(Refused):
    """Part and store are of different sites."""


class NotInUse(Refused):
    """It is not in use any more."""


class SameStore(Refused):
    """That is the store where it lies."""


def receive(
    part_id: int, *, store: Store, quantity: Decimal, actor: User, reason: str = "", now: datetime | None = None
) -> Stock:
    """Parts have come, from a supplier for example. Raises ``Refused``."""
    require_amount(quantity)
    with transaction.atomic():
        part = locked(part_id)
        stock = at(part, store)
        require_in_use(store)
        value = part_rules.worth(quantity, part.unit_cost)
        move(stock, Movement.Kind.RECEIVE, quantity, value=value, actor=actor, reason=reason, now=now)
        share_out(stock)
        return stock


def adjust(
    part_id: int, *, store: Store, counted: Decimal, actor: User, reason: str, now: datetime | None = None
) -> Stock:
    """Bring what is on record to what somebody counted; ``reason`` says why they differ. Raises ``Refused``.

    Where less lies there than is reserved, the least urgent orders lose theirs.
    """
    if counted:
        require_amount(counted)
    if not reason.strip():
        raise NoReason
    with transaction.atomic():
        part = locked(part_id)
        stock = at(part, store)
        change = counted - stock.on_hand
        if not change:
            raise NoChange
        take_back(stock, stock.reserved - counted)
        value = part_rules.worth(change, part.unit_cost)
        move(stock, Movement.Kind.ADJUST, change, value=value, actor=actor, reason=reason.strip(), now=now)
        share_out(stock)
        return stock


def transfer(
    part_id: int,
    *,
    store: Store,
    to_store: Store,
    quantity: Decimal,
    actor: User,
    reason: str = "",
    now: datetime | None = None,
) -> Stock:
    """Bring what nobody has reserved to another store of the site; the stock there. Raises ``Refused``."""
    require_amount(quantity)
    now = now or timezone.now()
    with transaction.atomic():
        part = locked(part_id)
        source, target = at(part, store), at(part, to_store)
        if source.pk == target.pk:
            raise SameStore
        require_in_use(to_store)
        require_available(source, quantity)
        value = part_rules.worth(quantity, part.unit_cost)
        more: dict[str, Any] = {"actor": actor, "reason": reason, "now": now}
        move(source, Movement.Kind.TRANSFER, -quantity, value=-value, other_store=to_store, **more)
        move(target, Movement.Kind.TRANSFER, quantity, value=value, other_store=store, **more)
        share_out(target)
        return target


def locked(part_id: int) -> Part:
    """The part, fresh; whoever changes its stock waits until we are done."""
    return Part.objects.select_for_update(no_key=True).get(pk=part_id)


def at(part: Part, store: Store) -> Stock:
    """The stock of a locked part in a store, which may be nothing yet. Raises ``OtherSite``."""
    if part.site_id != store.site_id:
        raise OtherSite
    stock, _ = Stock.objects.get_or_create(part=part, store=store)
    stock.part, stock.store = part, store
    return stock


def require_amount(quantity: Decimal) -> None:
    """Raises ``NoAmount``, of less than a thousandth too."""
    if not quantity.is_finite() or not LEAST <= quantity < MOST or quantity % LEAST:
        raise NoAmount


def require_in_use(row: Part | Store) -> None:
    """Raises ``NotInUse``."""
    if not row.is_active:
        raise NotInUse(f"That is {row}.")


def require_available(stock: Stock, quantity: Decimal) -> None:
    """Raises ``NotEnough`` that says how much there is."""
    if quantity > stock.available:
        free, unit = f"{stock.available.normalize():f}", stock.part.unit
        held = f", {stock.reserved.normalize():f} more are reserved" if stock.reserved else ""
        raise NotEnough(f"{free} {unit} of {stock.part} are free in {stock.store}{held}.")


def move(
    stock: Stock,
    kind: Movement.Kind,
    quantity: Decimal,
    *,
    value: Decimal,
    actor: User,
    now: datetime | None,
    reason: str = "",
    **more: Any,
) -> Movement:
    """Change the stock of a locked part, with its entry in ledger and journal."""
    now = now or timezone.now()
    before = _together(stock.part)
    stock.on_hand += quantity
    stock.save(update_fields=["on_hand", "reserved"])
    made = Movement.objects.create(
        site_id=stock.part.site_id, part=stock.part, store=stock.store, kind=kind, quantity=quantity,
        on_hand=stock.on_hand, value=value, actor=actor, reason=reason, at=now, **more,
    )  # fmt: skip
    entries = [_entry(EVENTS[kind], made, store=stock.store.name, quantity=str(quantity), order=made.order_id)]
    if kind != Movement.Kind.TRANSFER:
        entries += _crossed(made, before=before, after=before + quantity)
    journal.record(entries)
    return made


def _together(part: Part) -> Decimal:
    return Stock.objects.filter(part=part).aggregate(all=Sum("on_hand", default=ZERO))["all"]  # type: ignore[no-any-return]


def _crossed(made: Movement, *, before: Decimal, after: Decimal) -> list[journal.Entry]:
    """What the journal says where stock has fallen below the part's minimum, or has come back to it."""
    minimum = made.part.minimum
    if (before < minimum) is (after < minimum):
        return []
    kind = journal.PART_BELOW_MINIMUM if after < minimum else journal.PART_RESTOCKED
    return [_entry(kind, made, on_hand=str(after), minimum=str(minimum))]


def _entry(kind: str, made: Movement, **data: Any) -> journal.Entry:
    said = {"part": made.part.number, "reason": made.reason, **data}
    actor = made.actor.get_username() if made.actor is not None else ""
    return journal.Entry(kind, f"part/{made.part_id}", f"{kind}/{made.pk}", made.at, made.site_id, actor, said)


def waiting(stock: Stock) -> QuerySet[OrderPart]:
    """The orders' lines that want more of a stock than they have, the most urgent first; of orders that wait for
    approval none."""
    rows = OrderPart.objects.filter(part=stock.part_id, store=stock.store_id).exclude(order__status="REQUESTED")
    return by_urgency(rows.filter(wanted__gt=F("reserved") + F("issued") - F("returned")))


def by_urgency(rows: QuerySet[OrderPart]) -> QuerySet[OrderPart]:
    rank = Case(
        *(When(order__priority=name, then=Value(rank)) for rank, name in enumerate(part_rules.URGENCY)),
        output_field=IntegerField(),
    )
    return rows.order_by(rank, F("order__due_at").asc(nulls_last=True), "order_id", "id")


def share_out(stock: Stock) -> None:
    """Reserve what nobody has reserved for the orders that wait for it. The part is locked."""
    if stock.available > 0:
        rows = list(waiting(stock))
        _reserve(stock, rows, part_rules.share_out(stock.available, [(row.pk, row.short) for row in rows]), sign=1)


def take_back(stock: Stock, missing: Decimal) -> None:
    """Take so much from those who reserved it, the least urgent first. The part is locked."""
    if missing > 0:
        held = OrderPart.objects.filter(part=stock.part_id, store=stock.store_id, reserved__gt=0)
        rows = list(by_urgency(held).reverse())
        _reserve(stock, rows, part_rules.share_out(missing, [(row.pk, row.reserved) for row in rows]), sign=-1)


def _reserve(stock: Stock, rows: Sequence[OrderPart], shares: dict[int, Decimal], *, sign: int) -> None:
    for row in rows:
        if row.pk in shares:
            row.reserved += sign * shares[row.pk]
            stock.reserved += sign * shares[row.pk]
            row.save(update_fields=["reserved"])
    stock.save(update_fields=["reserved"])
