"""Approval policies as they are laid down, and the facts they are about. The only writer of ApprovalPolicy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from maintenance import approvers, part_costs
from maintenance.approval_life import NO_VERDICT, Answer, Facts, Policy, Then
from maintenance.approval_models import ApprovalPolicy, ApprovalWait
from maintenance.models import WorkOrder
from sensors import journal
from sensors.models import Site

SCOPE = ("site", "maintenance_type", "priority", "confidence", "most_cost", "is_trial")
"""Fields that say what a policy is for: they stay as they are, since decisions refer to it."""
SAYS = ("answer", "approver", "then_approver", "wait_minutes", "then", "reminders")


def rows_of(site_ids: Iterable[int]) -> QuerySet[ApprovalPolicy]:
    return ApprovalPolicy.objects.filter(site__in=set(site_ids)).order_by("id")


def value_of(row: ApprovalPolicy) -> Policy:
    return Policy(
        id=row.pk, revision=row.revision, scope=(row.site_id, row.maintenance_type, row.priority, row.confidence),
        most_cost=row.most_cost, answer=Answer(row.answer), approver=row.approver_id,
        then_approver=row.then_approver_id, wait=timedelta(minutes=row.wait_minutes or 0),
        then=Then(row.then or Then.KEEP), reminders=row.reminders, is_trial=row.is_trial,
    )  # fmt: skip


def facts_of(order: WorkOrder, *, verdict: str | None = None) -> Facts:
    """``verdict``: of the alarm behind it, where that is known already."""
    if verdict is None:
        verdict = order.alarm.verdict if order.alarm is not None else ""
    cost = part_costs.expected(order)
    return Facts(order.site_id, order.maintenance_type, order.priority, verdict or NO_VERDICT, cost)


def as_json(facts: Facts) -> dict[str, Any]:
    return {
        "maintenance_type": facts.maintenance_type, "priority": facts.priority, "confidence": facts.confidence,
        "cost": plain(facts.cost),
    }  # fmt: skip


def said_by(row: ApprovalPolicy) -> dict[str, Any]:
    """A policy as a decision keeps it."""
    return {name: plain(row.serializable_value(name)) for name in (*SCOPE, *SAYS)} | {"id": row.pk, "name": str(row)}


def plain(value: Any) -> Any:
    """As JSON holds it."""
    return str(value) if isinstance(value, Decimal) else value


def save(row: ApprovalPolicy, *, actor: User) -> ApprovalPolicy:
    """Store a policy that is new or, behind ``lock``, was read and changed, with an entry in the journal that says who
    and what.

    What waits is looked at anew: it may go ahead, or wait for somebody else. Raises ``ValidationError``.
    """
    row.full_clean()
    check(row)
    with transaction.atomic():
        lock(row.site_id)
        before = ApprovalPolicy.objects.filter(pk=row.pk).first()
        row.updated_by, row.updated_at = actor, timezone.now()
        row.revision = 1 if before is None else before.revision + 1
        row.save(force_insert=row._state.adding, force_update=not row._state.adding)
        kind = journal.APPROVAL_POLICY_ADDED if before is None else journal.APPROVAL_POLICY_CHANGED
        _record(kind, row, before=before, actor=actor)
        look_soon(ApprovalWait.objects.filter(site=row.site_id))
    return row


def change(row: ApprovalPolicy, said: Mapping[str, Any], *, actor: User) -> ApprovalPolicy:
    """Change what a policy says in these fields and leave the others as they are by then; see ``save``. Raises
    ``ValidationError`` where it was deleted meanwhile too."""
    with transaction.atomic():
        lock(row.site_id)
        fresh = ApprovalPolicy.objects.filter(pk=row.pk).first()
        if fresh is None:
            raise ValidationError({NON_FIELD_ERRORS: "Somebody has deleted it meanwhile."})
        for name, value in said.items():
            setattr(fresh, name, value)
        return save(fresh, actor=actor)


def delete(row: ApprovalPolicy, *, actor: User) -> None:
    """Take a policy away: what waits because of it is looked at anew, and what was decided stays on record."""
    with transaction.atomic():
        site_id = row.site_id
        lock(site_id)
        _record(journal.APPROVAL_POLICY_DELETED, row, before=row, actor=actor)
        row.delete()
        look_soon(ApprovalWait.objects.filter(site=site_id))


def lock(site_id: int) -> None:
    """A site's policies stay as they are until the transaction ends: whoever changes them and whoever goes by them
    takes their turn, so that nothing goes on waiting by what no longer holds. After orders, before what waits."""
    Site.objects.select_for_update(no_key=True).get(pk=site_id)


def look_soon(rows: QuerySet[ApprovalWait]) -> None:
    """Let the next pass of the sweep look at orders that wait; at those that are set aside when that is over."""
    waiting = rows.filter(deferred_until=None).order_by("pk").select_for_update(of=("self",))
    ApprovalWait.objects.filter(pk__in=[row.pk for row in waiting]).update(due_at=timezone.now())


def check(row: ApprovalPolicy) -> None:
    """Raises ``ValidationError`` by field where somebody is to be asked who may not answer."""
    named = {name: getattr(row, name) for name in ("approver", "then_approver")}
    wrong = {
        name: f"{person} is no administrator of this site."
        for name, person in named.items()
        if person is not None and not approvers.is_administrator(person, site_id=row.site_id)
    }
    if wrong:
        raise ValidationError(wrong)


def _record(kind: str, row: ApprovalPolicy, *, before: ApprovalPolicy | None, actor: User) -> None:
    entry = journal.Entry(
        type=kind,
        subject=f"approval-policy/{row.pk}",
        key=f"{kind}/{row.pk}/{row.revision}",
        occurred_at=timezone.now(),
        site_id=row.site_id,
        actor=actor.get_username(),
        data={
            "before": None if before is None else said_by(before),
            "after": None if kind == journal.APPROVAL_POLICY_DELETED else said_by(row),
        },
    )
    journal.record([entry])
