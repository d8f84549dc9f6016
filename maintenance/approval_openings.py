"""What policies make of orders that are opened, or opened again, in that transaction: they go ahead, or are requested
first. Whatever opens orders that nobody requests asks here: alarms, preventive plans, faults that come back, people who
reopen one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from maintenance import approval_book, approval_life, approval_record
from maintenance.approval_life import Answer, Facts
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait
from maintenance.models import Alarm, WorkOrder
from maintenance.order_life import Status

What = ApprovalDecision.What


@dataclass(frozen=True, slots=True)
class Opening:
    """What is made of an order that opens: the policy that holds, and the one on trial that would."""

    order: WorkOrder
    facts: Facts
    policy: ApprovalPolicy | None
    trial: ApprovalPolicy | None

    @property
    def waits(self) -> bool:
        return self.policy is not None and self.policy.answer == Answer.WAIT


def judge(orders: Sequence[WorkOrder]) -> list[Opening]:
    """What policies say of orders that are to open. One query where no site has a policy, two otherwise, and one for
    each that is opened again and has an expected cost."""
    rows = {row.pk: row for row in approval_book.rows_of(order.site_id for order in orders)}
    if not rows:
        return []
    alarms = Alarm.objects.filter(pk__in=[order.alarm_id for order in orders if order.alarm_id is not None])
    verdicts = dict(alarms.values_list("pk", "verdict"))
    found = []
    for order in orders:
        facts = approval_book.facts_of(order, verdict=verdicts.get(order.alarm_id or 0, ""))
        found.append(Opening(order, facts, *holding(rows, facts)))
    return found


def waits(order: WorkOrder) -> bool:
    """Whether it would wait if it opened as it is now."""
    return any(one.waits for one in judge([order]))


def hold(openings: Iterable[Opening]) -> None:
    """Let those that wait be requested; they are not stored yet."""
    for one in openings:
        if one.waits:
            one.order.status = Status.REQUESTED


def record(openings: Iterable[Opening], *, after: Mapping[int, int] | None = None) -> None:
    """Keep what went ahead and what a trial would have done, in the transaction that stores the orders. What waits is
    asked for by the next pass of the sweep. ``after``: by order that is opened again, its newest transition before."""
    now, kept = timezone.now(), []
    for one in openings:
        if one.policy is not None and one.policy.answer == Answer.GO_AHEAD:
            again = (after or {}).get(one.order.pk)
            key = "opened" if again is None else f"reopened/after/{again}"
            kept.append(of_opening(one.order, one.facts, one.policy, now=now, key=key))
        if one.trial is not None:
            kept.append(of_opening(one.order, one.facts, one.trial, now=now, key="trial"))
    approval_record.add(kept)


def look_anew(order_ids: Iterable[int]) -> None:
    """Of orders that were raised while they wait another policy may hold. No query where there are none."""
    approval_book.look_soon(ApprovalWait.objects.filter(order__in=list(order_ids)))


def of_opening(order: WorkOrder, facts: Facts, policy: ApprovalPolicy, *, now: datetime, key: str) -> ApprovalDecision:
    """What a policy says of an order at first sight, not stored yet."""
    step = approval_life.step(approval_book.value_of(policy), None, now=now)
    what = What.WENT_AHEAD if policy.answer == Answer.GO_AHEAD else What.WAITS
    made = approval_record.decision(
        order, what, facts=facts, now=now, policy=policy, asked_id=step.whom, until=step.until
    )
    made.key = f"order/{order.pk}/{key}"
    return made


def holding(rows: Mapping[int, ApprovalPolicy], facts: Facts) -> tuple[ApprovalPolicy | None, ApprovalPolicy | None]:
    """The policy that holds, and the one on trial that would hold if it were none."""
    values = [approval_book.value_of(row) for row in rows.values()]
    holds = approval_life.resolve(approval_life.book(one for one in values if not one.is_trial), facts)
    would = approval_life.resolve(approval_life.with_trials(values), facts)
    return (
        None if holds is None else rows[holds.id],
        rows[would.id] if would is not None and would.is_trial else None,
    )
