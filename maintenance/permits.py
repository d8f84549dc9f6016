"""Safety permits: issued, revoked, and asked for before work begins. The only writer of Permit."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from maintenance import carrying_notes
from maintenance.checklist_models import Checklist, PermitKind
from maintenance.models import WorkOrder
from maintenance.order_life import OVER
from maintenance.permit_models import Permit, PermitRule
from maintenance.refusals import Refused
from sensors import access


class NotAnIssuer(Refused):
    """Only an administrator of the site issues and revokes permits."""


class NotForOneself(Refused):
    """Whoever is to do the work does not issue the permit for it."""


class NoSpan(Refused):
    """A permit ends after it begins, and later than now."""


class IsOver(Refused):
    """The work order is over."""


class Revoked(Refused):
    """It is revoked already."""


class NoReason(Refused):
    """Say why."""


class NoPermit(Refused):
    """Work does not begin without a valid permit:"""


def issue(
    order_id: int,
    *,
    actor: User,
    kind: str,
    valid_until: datetime,
    valid_from: datetime | None = None,
    conditions: str = "",
    now: datetime | None = None,
) -> Permit:
    """Let work on an order be done until an instant, from now or from another one on.

    Raises ``Refused``; ``ValidationError`` by field.
    """
    now = now or timezone.now()
    with transaction.atomic():
        order = WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)
        _require_issuer(actor, order.site_id)
        if actor.pk == order.assigned_to_id:
            raise NotForOneself
        if order.status in OVER:
            raise IsOver
        begins = valid_from or now
        if not valid_until > max(begins, now):
            raise NoSpan
        made = Permit(
            site_id=order.site_id, order=order, kind=kind, conditions=conditions.strip(), valid_from=begins,
            valid_until=valid_until, issued_by=actor,
        )  # fmt: skip
        made.clean_fields(exclude=["site", "order", "issued_by", "issued_at", "revoked_by", "revoked_at"])
        made.save(force_insert=True)
        _note("permit.issued", made, actor, now, kind=kind, until=valid_until.isoformat())
        return made


def revoke(permit_id: int, *, actor: User, reason: str, now: datetime | None = None) -> Permit:
    """It holds no longer; ``reason`` says why. Raises ``Refused``."""
    now = now or timezone.now()
    if not reason.strip():
        raise NoReason
    with transaction.atomic():
        row = Permit.objects.select_for_update().get(pk=permit_id)
        _require_issuer(actor, row.site_id)
        if row.revoked_at is not None:
            raise Revoked
        row.revoked_at, row.revoked_by, row.revoke_reason = now, actor, reason.strip()[:1_000]
        row.save(update_fields=["revoked_at", "revoked_by", "revoke_reason"])
        _note("permit.revoked", row, actor, now, kind=row.kind, reason=row.revoke_reason)
        return row


def valid(at: datetime) -> Q:
    """Permits that hold at an instant."""
    return Q(valid_from__lte=at, valid_until__gt=at, revoked_at=None)


def of_order(order: WorkOrder, *, at: datetime) -> QuerySet[Permit]:
    return Permit.objects.filter(valid(at), order=order)


def needed(order: WorkOrder) -> frozenset[str]:
    """Kinds of permits an order asks for: by its type in the site's rules, and by its checklists."""
    rules = PermitRule.objects.filter(rules__site=order.site_id, maintenance_type__in=["", order.maintenance_type])
    by_checklist = Checklist.objects.filter(order=order).exclude(permit_kind="")
    return frozenset([*rules.values_list("kind", flat=True), *by_checklist.values_list("permit_kind", flat=True)])


def missing(order: WorkOrder, *, at: datetime) -> list[str]:
    """Kinds that are needed and of which no permit holds at an instant, in the order of ``PermitKind``. What somebody
    issued counts for nothing while the order is assigned to them."""
    held = of_order(order, at=at).exclude(issued_by__isnull=False, issued_by=order.assigned_to_id)
    lacking = needed(order) - set(held.values_list("kind", flat=True))
    return [kind for kind in PermitKind.values if kind in lacking]


def require_valid(order: WorkOrder, actor: User, now: datetime) -> None:
    """The gate before work begins or goes on. Raises ``NoPermit``."""
    if kinds := missing(order, at=now):
        raise NoPermit(", ".join(PermitKind(kind).label.lower() for kind in kinds) + ".")


def _require_issuer(actor: User, site_id: int) -> None:
    if not access.may(actor, site_id, to="permits.issue"):
        raise NotAnIssuer


def _note(event: str, row: Permit, actor: User, now: datetime, **data: str) -> None:
    carrying_notes.note(event, row, site_id=row.site_id, order_id=row.order_id, actor=actor, now=now, **data)
