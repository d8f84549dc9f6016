"""Who approves: the administrators of the site, and to whom they delegated it. The only writer of Delegation."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from maintenance.approval_models import Delegation
from maintenance.order_roles import NotAnApprover
from maintenance.refusals import Refused
from sensors import access, journal

LONGEST = timedelta(days=366)


class IsOver(Refused):
    """The delegation is over already."""


class NotYours(Refused):
    """Who gave it or took it ends a delegation, or an administrator of the site."""


def is_administrator(user: User, *, site_id: int) -> bool:
    return access.may(user, site_id, to="orders.approve")


def authority(user: User, *, site_id: int, now: datetime | None = None) -> User | None:
    """For whom somebody approves: None = in their own right, else who delegated it to them. Raises
    ``NotAnApprover``. A delegation holds no longer than its giver may approve, and its taker may act in the site."""
    if is_administrator(user, site_id=site_id):
        return None
    given = running(site_id, now=now or timezone.now()).filter(taker=user).select_related("giver").order_by("id")
    if access.may(user, site_id, to="orders.act"):
        for delegation in given:
            if is_administrator(delegation.giver, site_id=site_id):
                return delegation.giver
    raise NotAnApprover


def running(site_id: int, *, now: datetime) -> QuerySet[Delegation]:
    """The delegations that hold at an instant."""
    return Delegation.objects.filter(site=site_id, from_at__lte=now, until_at__gt=now, ended_at=None)


def asked(person: User | None, *, site_id: int, now: datetime) -> list[int]:
    """Ids of those who are told that something waits: the person or all administrators, and their delegates."""
    if person is not None:
        givers = {person.pk}
    else:
        givers = set(access.members(site_id, to="orders.approve").values_list("pk", flat=True))
    takers = running(site_id, now=now).filter(giver__in=givers).values_list("taker", flat=True)
    return sorted(givers | set(takers))


def delegate(row: Delegation, *, actor: User, now: datetime | None = None) -> Delegation:
    """Let somebody approve in this site beside oneself. Nobody gives what another has. Raises ``ValidationError``."""
    row.giver = actor
    check(row, now=now or timezone.now())
    with transaction.atomic():
        row.save(force_insert=True)
        _journal(journal.DELEGATION_ADDED, row, actor=actor)
    return row


def check(row: Delegation, *, now: datetime) -> None:
    """Raises ``ValidationError`` by field."""
    row.clean_fields()
    if not is_administrator(row.giver, site_id=row.site_id):
        raise ValidationError({"site": "Only an administrator of the site has something to delegate there."})
    if row.taker_id == row.giver_id:
        raise ValidationError({"taker": "That is yourself."})
    if not access.may(row.taker, row.site_id, to="orders.act"):
        raise ValidationError({"taker": "They must be active, and able to act on orders of the site."})
    if row.until_at <= max(row.from_at, now):
        raise ValidationError({"until_at": "It ends before it begins, or is over already."})
    if row.until_at - row.from_at > LONGEST:
        raise ValidationError({"until_at": f"At most {LONGEST.days} days; give it anew then."})


def end(delegation_id: int, *, actor: User, now: datetime | None = None) -> Delegation:
    """It holds no longer; what was decided by it stays. Raises ``IsOver``, ``NotYours``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = Delegation.objects.select_for_update(of=("self",)).get(pk=delegation_id)
        if actor.pk not in (row.giver_id, row.taker_id) and not is_administrator(actor, site_id=row.site_id):
            raise NotYours
        if row.ended_at is not None or row.until_at <= now:
            raise IsOver
        row.ended_at = now
        row.save(update_fields=["ended_at"])
        _journal(journal.DELEGATION_ENDED, row, actor=actor)
    return row


def of_person(user: User, *, now: datetime) -> Q:
    """What waits for somebody: as administrator, and as delegate."""
    mine = access.sites(user, to="orders.approve").values("pk")
    given = Delegation.objects.filter(taker=user.pk, from_at__lte=now, until_at__gt=now, ended_at=None)
    return Q(asked=user.pk) | Q(asked=None, site__in=mine) | Q(site__in=given.values("site"))


def _journal(kind: str, row: Delegation, *, actor: User) -> None:
    data = {
        "from": row.giver.get_username(), "to": row.taker.get_username(), "reason": row.reason,
        "from_at": row.from_at.isoformat(), "until_at": row.until_at.isoformat(),
    }  # fmt: skip
    at = timezone.now()
    journal.record([
        journal.Entry(kind, f"delegation/{row.pk}", f"{kind}/{row.pk}", at, row.site_id, actor.get_username(), data)
    ])  # fmt: skip
