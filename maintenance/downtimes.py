"""Downtime of machines, with its reason: begun, ended, withdrawn. The only writer of Downtime.

A machine is down once at a time: the machine is locked while one is entered or ended.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from maintenance import alarm_steps, carrying_notes
from maintenance.effort import CLOCKS_APART
from maintenance.effort_models import Downtime
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from sensors import access
from sensors.models import Equipment


class NotAMachine(Refused):
    """Downtime is of machines."""


class NoSpan(Refused):
    """It ends after it began, and neither is in the future; without an end it lasts."""


class DownAlready(Refused):
    """The machine was down then already:"""


class Ended(Refused):
    """It has ended already."""


class OtherMachine(Refused):
    """The order is for another machine."""


class NotYours(Refused):
    """It is withdrawn by whoever entered it, or by who may correct what others entered."""


def begin(
    machine: Equipment,
    *,
    actor: User,
    from_at: datetime,
    reason: str,
    is_planned: bool = False,
    until_at: datetime | None = None,
    order_id: int | None = None,
    note: str = "",
    now: datetime | None = None,
) -> Downtime:
    """A machine is down from an instant on; without ``until_at`` it still is. Raises ``Refused``; ``ValidationError``
    by field."""
    now = now or timezone.now()
    if machine.level != Equipment.Level.MACHINE:
        raise NotAMachine
    _require_span(from_at, until_at, now=now)
    with transaction.atomic():
        alarm_steps.lock_machine(machine.pk)
        if order_id is not None and not WorkOrder.objects.filter(pk=order_id, machine=machine).exists():
            raise OtherMachine
        _require_up(machine.pk, from_at, until_at)
        made = Downtime(
            site_id=machine.site_id, machine=machine, order_id=order_id, from_at=from_at, until_at=until_at,
            reason=reason, is_planned=is_planned, note=note.strip(), entered_by=actor,
        )  # fmt: skip
        made.clean_fields(exclude=["site", "machine", "order", "entered_by", "entered_at", "until_at"])
        made.save(force_insert=True)
        _note("downtime.began", made, actor, now, from_at=from_at.isoformat(), reason=reason)
        return made


def end(downtime_id: int, *, actor: User, until_at: datetime | None = None, now: datetime | None = None) -> Downtime:
    """The machine does again what it is there for, since ``until_at`` or now. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = _locked(downtime_id)
        if row.until_at is not None:
            raise Ended
        row.until_at = until_at or now
        _require_span(row.from_at, row.until_at, now=now)
        row.save(update_fields=["until_at"])
        _note("downtime.ended", row, actor, now, until_at=row.until_at.isoformat())
        return row


def withdraw(downtime_id: int, *, actor: User, now: datetime | None = None) -> None:
    """It was entered by mistake. Raises ``Refused``."""
    with transaction.atomic():
        row = _locked(downtime_id)
        if actor.pk != row.entered_by_id and not access.may(actor, row.site_id, to="orders.edit"):
            raise NotYours
        _note("downtime.withdrawn", row, actor, now or timezone.now(), from_at=row.from_at.isoformat())
        row.delete()


def _require_span(from_at: datetime, until_at: datetime | None, *, now: datetime) -> None:
    latest = now + CLOCKS_APART
    if from_at > latest or (until_at is not None and not from_at < until_at <= latest):
        raise NoSpan


def _require_up(machine_id: int, from_at: datetime, until_at: datetime | None) -> None:
    rows = Downtime.objects.filter(Q(until_at=None) | Q(until_at__gt=from_at), machine=machine_id)
    if until_at is not None:
        rows = rows.filter(from_at__lt=until_at)
    if clash := rows.select_related("machine").first():
        raise DownAlready(f"{clash}.")


def _locked(downtime_id: int) -> Downtime:
    alarm_steps.lock_machine(Downtime.objects.values_list("machine_id", flat=True).get(pk=downtime_id))
    return Downtime.objects.get(pk=downtime_id)


def _note(kind: str, row: Downtime, actor: User, now: datetime, **data: str) -> None:
    carrying_notes.note(
        kind, row, site_id=row.site_id, order_id=row.order_id, actor=actor, now=now, machine=row.machine_id, **data
    )
