"""What an order takes: labour by person and other costs, entered and withdrawn. The only writer of both.

A person's lines do not overlap, whatever the order: the person is locked while one is entered.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from maintenance import carrying_notes, order_roles
from maintenance.effort_models import Labour, LabourRate, OrderCost
from maintenance.models import WorkOrder
from maintenance.order_life import Status
from maintenance.refusals import Refused
from sensors import access

LONGEST = timedelta(hours=24)
CLOCKS_APART = timedelta(minutes=5)
"""So far ahead of ours a person's clock may be."""


class NotBegun(Refused):
    """Nobody has begun with the order yet."""


class IsClosed(Refused):
    """The order is closed: what it took is settled."""


class NotYours(Refused):
    """For others this is done by who may correct what they entered."""


class NoSpan(Refused):
    """Say when it began, and when it ended or how many minutes it took, within 24 hours and not in the future."""


class AtTwoPlaces(Refused):
    """The person's time is entered already:"""


def enter_labour(
    order_id: int,
    *,
    actor: User,
    from_at: datetime,
    worker: User | None = None,
    until_at: datetime | None = None,
    minutes: int | None = None,
    note: str = "",
    now: datetime | None = None,
) -> Labour:
    """Somebody (without ``worker`` the actor) worked on an order, from an instant until another or for some minutes.

    Keeps the hourly cost of the person in the site as it is now. Raises ``Refused``.
    """
    now, worker = now or timezone.now(), worker or actor
    until = _end(from_at, until_at, minutes, now=now)
    with transaction.atomic():
        order = _worked_on(order_id)
        if worker != actor:
            _require_editor(actor, order.site_id)
        order_roles.require_worker(worker, site_id=order.site_id)
        User.objects.select_for_update(no_key=True).get(pk=worker.pk)
        if clash := Labour.objects.filter(worker=worker, from_at__lt=until, until_at__gt=from_at).first():
            raise AtTwoPlaces(f"{clash} to {clash.until_at:%H:%M}.")
        rate = LabourRate.objects.filter(site=order.site_id, worker=worker).first()
        made = Labour.objects.create(
            order=order, worker=worker, from_at=from_at, until_at=until, note=note.strip(), entered_by=actor,
            hourly_cost=None if rate is None else rate.hourly_cost,
        )  # fmt: skip
        _note("labour.entered", made, order, actor, now, worker=worker.get_username(), minutes=made.minutes)
        return made


def withdraw_labour(labour_id: int, *, actor: User, now: datetime | None = None) -> None:
    """It was entered by mistake. One's own lines; of others an administrator. Raises ``Refused``."""
    with transaction.atomic():
        row = Labour.objects.select_related("worker").get(pk=labour_id)
        order = _worked_on(row.order_id)
        if actor.pk not in (row.worker_id, row.entered_by_id):
            _require_editor(actor, order.site_id)
        said = {"worker": row.worker.get_username(), "minutes": row.minutes}
        _note("labour.withdrawn", row, order, actor, now or timezone.now(), **said)
        row.delete()


def enter_cost(
    order_id: int, *, actor: User, kind: str, text: str, amount: Decimal, now: datetime | None = None
) -> OrderCost:
    """Something else was paid for. Raises ``Refused``; ``ValidationError`` by field."""
    with transaction.atomic():
        order = _worked_on(order_id)
        made = OrderCost(order=order, kind=kind, text=text.strip(), amount=amount, entered_by=actor)
        made.full_clean(exclude=["order", "entered_by"])
        made.save(force_insert=True)
        _note("order_cost.entered", made, order, actor, now or timezone.now(), amount=str(amount), text=made.text)
        return made


def withdraw_cost(cost_id: int, *, actor: User, now: datetime | None = None) -> None:
    """It was entered by mistake. What one entered oneself; else an administrator. Raises ``Refused``."""
    with transaction.atomic():
        row = OrderCost.objects.get(pk=cost_id)
        order = _worked_on(row.order_id)
        if actor.pk != row.entered_by_id:
            _require_editor(actor, order.site_id)
        _note("order_cost.withdrawn", row, order, actor, now or timezone.now(), amount=str(row.amount), text=row.text)
        row.delete()


def _end(from_at: datetime, until_at: datetime | None, minutes: int | None, *, now: datetime) -> datetime:
    if (until_at is None) == (minutes is None) or from_at > now + CLOCKS_APART:
        raise NoSpan
    until = until_at if minutes is None else from_at + timedelta(minutes=min(minutes, 10_000))
    if until is None or not timedelta() < until - from_at <= LONGEST or until > now + CLOCKS_APART:
        raise NoSpan
    return until


def _worked_on(order_id: int) -> WorkOrder:
    """The order, locked, if somebody began with it and it is not closed."""
    order = WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)
    if order.status == Status.CLOSED:
        raise IsClosed
    if order.started_at is None:
        raise NotBegun
    return order


def _require_editor(actor: User, site_id: int) -> None:
    if not access.may(actor, site_id, to="orders.edit"):
        raise NotYours


def _note(kind: str, row: Labour | OrderCost, order: WorkOrder, actor: User, now: datetime, **data: object) -> None:
    carrying_notes.note(kind, row, site_id=order.site_id, order_id=order.pk, actor=actor, now=now, **data)
