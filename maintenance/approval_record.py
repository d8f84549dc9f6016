"""The record of what was decided about orders, kept for ever. The only writer of ApprovalDecision."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from maintenance import approval_book
from maintenance.approval_life import Facts
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy
from maintenance.models import WorkOrder


def record(
    order: WorkOrder,
    what: str,
    *,
    now: datetime,
    actor: User | None = None,
    for_whom: User | None = None,
    policy: ApprovalPolicy | None = None,
    asked: User | None = None,
    until: datetime | None = None,
    reason: str = "",
    to_tell: bool = False,
) -> ApprovalDecision:
    """Keep a decision about a locked order: a person's, or that of a policy that holds."""
    decided = decision(
        order, what, facts=approval_book.facts_of(order), now=now, actor=actor, for_whom=for_whom,
        policy=policy, asked=asked, until=until, reason=reason, to_tell=to_tell,
    )  # fmt: skip
    earlier = ApprovalDecision.objects.filter(order=order, is_trial=False).count()
    decided.key = f"order/{order.pk}/{what}/after/{earlier}"
    decided.save(force_insert=True)
    return decided


def decision(
    order: WorkOrder, what: str, *, facts: Facts, now: datetime, policy: ApprovalPolicy | None, **said: Any
) -> ApprovalDecision:
    """A decision that is not stored yet, without its key."""
    return ApprovalDecision(
        site_id=order.site_id, order=order, what=what, at=now, by_agent=policy is not None,
        is_trial=policy is not None and policy.is_trial, policy=policy,
        policy_revision=None if policy is None else policy.revision,
        policy_said=None if policy is None else approval_book.said_by(policy),
        facts=approval_book.as_json(facts), **said,
    )  # fmt: skip


def add(decided: list[ApprovalDecision]) -> None:
    """Keep what was decided of orders as they open; what is there already stays as it is."""
    ApprovalDecision.objects.bulk_create(decided, ignore_conflicts=True)
