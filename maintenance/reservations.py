"""What work orders want of the stores: reserved, issued, returned, released. The only writer of OrderPart beside
``stores``, which shares out what arrives.

Each is one transaction behind the order and then the part. What an order has reserved nobody else can take; it is
consumed by issuing, and released when the order is over, so that one that is reopened has none.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from maintenance import approval_book, approval_openings, approvers, order_life, part_rules, stores
from maintenance.approval_models import ApprovalWait
from maintenance.order_models import WorkOrder
from maintenance.order_roles import NotAnApprover
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store
from maintenance.refusals import Refused
from sensors import journal
from sensors.models import Event

ZERO = part_rules.ZERO


class NotNow(Refused):
    """The work order's status does not allow this."""


class NotUsed(Refused):
    """The order has not used so much of it."""


class NothingWaits(Refused):
    """The order waits for none of it and has reserved none."""


class CostsTooMuch(Refused):
    """With this the order costs more than goes ahead by itself: somebody who may approve it plans that."""


def reserve(
    order_id: int, *, part: Part, store: Store, quantity: Decimal, actor: User, now: datetime | None = None
) -> OrderPart:
    """The order wants so much of a part from a store, on top of what it wanted. What nobody has reserved is reserved
    for it at once; the rest is short, and reserved as it arrives. For an order that waits for approval nothing is
    reserved until it is approved; what it wants counts in what it is expected to cost. What would make an approved one
    wait is planned by who may approve it. Raises ``Refused``."""
    stores.require_amount(quantity)
    with transaction.atomic():
        order = locked(order_id, part_rules.PLANS)
        stock = _stock(order, part.pk, store)
        stores.require_in_use(stock.part)
        stores.require_in_use(store)
        line = _line(order, stock)
        went_ahead = order.status != order_life.Status.REQUESTED and not approval_openings.waits(order)
        line.wanted += quantity
        line.save(update_fields=["wanted"])
        if went_ahead and approval_openings.waits(order):
            _require_approver(order, actor=actor, now=now)
        stores.share_out(stock)  # those who waited before it and are more urgent are served first
        line.refresh_from_db()
        _note(line, journal.PART_RESERVED, actor=actor, now=now)
        _look_anew(order)
        return line


def _require_approver(order: WorkOrder, *, actor: User, now: datetime | None) -> None:
    try:
        approvers.authority(actor, site_id=order.site_id, now=now)
    except NotAnApprover as error:
        raise CostsTooMuch from error


def release(line_id: int, *, actor: User, now: datetime | None = None) -> OrderPart:
    """The order wants no more of it than it has used: what was reserved is free. Raises ``Refused``."""
    with transaction.atomic():
        line = _behind(line_id, part_rules.PLANS)
        if line.wanted == line.used:
            raise NothingWaits
        _release(line, actor=actor, now=now)
        _look_anew(line.order)
        return line


def claim(order: WorkOrder) -> None:
    """The locked order was approved: what it wants is reserved for it, as far as nobody has it."""
    lines = OrderPart.objects.filter(order=order, wanted__gt=F("issued") - F("returned")).select_related("store")
    for line in lines.order_by("part_id", "id"):
        stores.share_out(stores.at(stores.locked(line.part_id), line.store))


def _look_anew(order: WorkOrder) -> None:
    """It may cost more or less now than the policy is for by which it waits."""
    if order.status == order_life.Status.REQUESTED:
        approval_book.look_soon(ApprovalWait.objects.filter(order=order))


def release_all(order: WorkOrder, *, actor: User | None, now: datetime | None = None) -> None:
    """The locked order is over: nothing is reserved for it any more, and it waits for nothing."""
    lines = OrderPart.objects.filter(order=order, wanted__gt=F("issued") - F("returned"))
    for key in lines.order_by("part_id", "id").values_list("id", flat=True):
        _release(_locked(key), actor=actor, now=now)


def issue(
    order_id: int, *, part: Part, store: Store, quantity: Decimal, actor: User, now: datetime | None = None
) -> OrderPart:
    """Hand out a part for the order: what it has reserved first, then what nobody has. Raises ``Refused``."""
    stores.require_amount(quantity)
    with transaction.atomic():
        order = locked(order_id, part_rules.TAKES)
        stock = _stock(order, part.pk, store)
        line = _line(order, stock)
        own = min(quantity, line.reserved)
        stores.require_available(stock, quantity - own)
        line.reserved -= own
        line.issued += quantity
        line.wanted = max(line.wanted, line.reserved + line.used)
        stock.reserved -= own
        line.save(update_fields=["wanted", "reserved", "issued"])
        value = -part_rules.worth(quantity, stock.part.unit_cost)
        stores.move(stock, Movement.Kind.ISSUE, -quantity, value=value, order=order, actor=actor, now=now)
        return line


def issue_line(line_id: int, *, quantity: Decimal, actor: User, now: datetime | None = None) -> OrderPart:
    """``issue`` for a line that is there. Raises ``Refused``."""
    line = OrderPart.objects.select_related("part", "store").get(pk=line_id)
    return issue(line.order_id, part=line.part, store=line.store, quantity=quantity, actor=actor, now=now)


def issue_reserved(order_id: int, *, actor: User, now: datetime | None = None) -> list[OrderPart]:
    """Hand out all that is reserved for the order. Raises ``Refused``; ``NothingWaits`` where that is nothing."""
    with transaction.atomic():
        order = locked(order_id, part_rules.TAKES)
        lines = order.parts.filter(reserved__gt=0).select_related("part", "store").order_by("part_id", "id")
        done = []
        for line in lines:
            stores.locked(line.part_id)
            line.refresh_from_db(fields=["reserved"])
            if line.reserved:
                more: dict[str, Any] = {"quantity": line.reserved, "actor": actor, "now": now}
                done.append(issue(order_id, part=line.part, store=line.store, **more))
        if not done:
            raise NothingWaits
        return done


def give_back(
    line_id: int, *, quantity: Decimal, actor: User, reason: str = "", now: datetime | None = None
) -> OrderPart:
    """What the order has not used up comes back to the store, and is not wanted any more. Raises ``Refused``."""
    stores.require_amount(quantity)
    with transaction.atomic():
        line = _behind(line_id, part_rules.GIVES_BACK)
        if quantity > line.used:
            raise NotUsed(f"That is {line.used.normalize():f} {line.part.unit} of {line.part}.")
        value = part_rules.worth_back(quantity, used=line.used, cost=_charged(line))
        line.returned += quantity
        line.wanted -= quantity
        line.save(update_fields=["wanted", "returned"])
        stock = stores.at(line.part, line.store)
        stores.move(
            stock, Movement.Kind.RETURN, quantity, value=value, order=line.order, actor=actor, reason=reason, now=now
        )
        stores.share_out(stock)
        return line


def _charged(line: OrderPart) -> Decimal:
    """What the order has been charged for a line so far."""
    rows = Movement.objects.filter(order=line.order_id, part=line.part_id, store=line.store_id)
    return -rows.aggregate(all=Sum("value", default=ZERO))["all"]  # type: ignore[no-any-return]


def locked(order_id: int, allowed: frozenset[Any]) -> WorkOrder:
    """The order, fresh and locked. Raises ``NotNow``."""
    order = WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)
    if order.status not in allowed:
        raise NotNow(f"Order {order.pk} is {order.get_status_display().lower()}.")
    return order


def _stock(order: WorkOrder, part_id: int, store: Store) -> Stock:
    """The stock of a part that is locked from here on. Raises ``OtherSite``."""
    if store.site_id != order.site_id:
        raise stores.OtherSite
    return stores.at(stores.locked(part_id), store)


def _line(order: WorkOrder, stock: Stock) -> OrderPart:
    line, _ = OrderPart.objects.get_or_create(order=order, part=stock.part, store=stock.store)
    return line


def _behind(line_id: int, allowed: frozenset[Any]) -> OrderPart:
    """The line, fresh, behind its order and its part. Raises ``NotNow``."""
    order = locked(OrderPart.objects.values_list("order_id", flat=True).get(pk=line_id), allowed)
    line = _locked(line_id)
    line.order = order
    return line


def _locked(line_id: int) -> OrderPart:
    part = stores.locked(OrderPart.objects.values_list("part_id", flat=True).get(pk=line_id))
    line = OrderPart.objects.select_related("store").get(pk=line_id)
    line.part = part
    return line


def _release(line: OrderPart, *, actor: User | None, now: datetime | None) -> None:
    stock = stores.at(line.part, line.store)
    stock.reserved -= line.reserved
    line.reserved, line.wanted = ZERO, line.used
    line.save(update_fields=["reserved", "wanted"])
    stock.save(update_fields=["reserved"])
    _note(line, journal.PART_RELEASED, actor=actor, now=now)
    stores.share_out(stock)


def _note(line: OrderPart, kind: str, *, actor: User | None, now: datetime | None) -> None:
    subject = f"order_part/{line.pk}"
    last = Event.objects.filter(subject=subject).order_by("-id").values_list("id", flat=True).first() or 0
    said = {"order": line.order_id, "part": line.part.number, "wanted": str(line.wanted)}
    said |= {"reserved": str(line.reserved), "used": str(line.used), "short": str(line.short)}
    journal.record([
        journal.Entry(
            kind, subject, f"{kind}/{line.pk}/after/{last}", now or timezone.now(), line.part.site_id,
            "" if actor is None else actor.get_username(), said,
        )
    ])  # fmt: skip
