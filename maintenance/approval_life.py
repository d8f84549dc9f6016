"""What a policy says of an order that may have to be approved, and what time does to one that waits. Pure.

A policy is for a site, for a type of work or all, a priority or all, a confidence or all, and costs up to a limit or
any. The most specific one that fits holds, and as a whole: a type outranks a priority, that a confidence, that a limit
of costs, a lower limit a higher one. A cost that is not known is below no limit. Nothing goes ahead because time has
passed: a policy that waits ends in a person's decision, a rejection, or goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

NO_VERDICT = "NONE"
"""The confidence of an order that no alarm is behind, or one that triage was not asked about."""

Scope = tuple[int, str, str, str]
"""Site, type of work, priority, confidence; empty: any."""


class Answer(StrEnum):
    GO_AHEAD = "GO_AHEAD"
    WAIT = "WAIT"


class Then(StrEnum):
    REMIND = "REMIND"  # remind, and hand on to the next
    REJECT = "REJECT"
    KEEP = "KEEP"  # keep waiting


class Do(StrEnum):
    NOTHING = "NOTHING"
    GO_AHEAD = "GO_AHEAD"
    ASK = "ASK"
    REMIND = "REMIND"
    REJECT = "REJECT"
    LEAVE = "LEAVE"  # overdue, and nothing more is done by itself


@dataclass(frozen=True, slots=True)
class Policy:
    """``most_cost``: None = any, also one that is not known. ``approver``, ``then_approver``: ids of persons, None =
    the administrators of the site. ``reminders``: how often it is reminded of, where time up means that."""

    id: int
    revision: int
    scope: Scope
    most_cost: Decimal | None
    answer: Answer
    approver: int | None = None
    then_approver: int | None = None
    wait: timedelta = timedelta(0)
    then: Then = Then.KEEP
    reminders: int = 0
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """An order, as far as it matters. ``cost``: what it is expected to cost, None where nobody said."""

    site_id: int
    maintenance_type: str
    priority: str
    confidence: str
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What an order waits for: which policy asked, until when, how often it was reminded of, whether it was left."""

    policy_id: int
    revision: int
    until: datetime
    reminded: int
    is_left: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """``whom``: id of the person that is asked, None = the administrators. ``until``: when it is looked at again."""

    do: Do
    whom: int | None = None
    until: datetime | None = None


Book = Mapping[Scope, tuple[Policy, ...]]
"""Policies by scope, those with the lowest limit of costs first, those without one last."""


def book(policies: Iterable[Policy]) -> Book:
    found: dict[Scope, list[Policy]] = {}
    for policy in policies:
        found.setdefault(policy.scope, []).append(policy)
    return {scope: tuple(sorted(rows, key=_limit)) for scope, rows in found.items()}


def with_trials(policies: Iterable[Policy]) -> Book:
    """As if those on trial held, each in the place of the one of the same scope and limit that does."""
    found: dict[tuple[Scope, Decimal | None], Policy] = {}
    for policy in sorted(policies, key=lambda policy: policy.is_trial):
        found[policy.scope, policy.most_cost] = policy
    return book(found.values())


def _limit(policy: Policy) -> tuple[bool, Decimal]:
    return policy.most_cost is None, policy.most_cost or Decimal(0)


def resolve(known: Book, facts: Facts) -> Policy | None:
    """The most specific policy that fits, None where none does."""
    fitting = (policy for scope in _scopes(facts) for policy in known.get(scope, ()) if _affords(policy, facts.cost))
    return next(fitting, None)


def _scopes(facts: Facts) -> Iterable[Scope]:
    return (
        (facts.site_id, maintenance_type, priority, confidence)
        for maintenance_type in (facts.maintenance_type, "")
        for priority in (facts.priority, "")
        for confidence in (facts.confidence, "")
    )


def _affords(policy: Policy, cost: Decimal | None) -> bool:
    return policy.most_cost is None or (cost is not None and cost <= policy.most_cost)


def step(policy: Policy | None, asked: Asked | None, *, now: datetime) -> Step:
    """What is done about an order that waits. ``policy``: the one that holds now; ``asked``: what it waits for so far.

    What another policy asked, or an older revision of this one, is void: it is asked anew, with its whole time.
    """
    if policy is None:
        return Step(Do.NOTHING)
    if policy.answer is Answer.GO_AHEAD:
        return Step(Do.GO_AHEAD)
    if asked is None or (asked.policy_id, asked.revision) != (policy.id, policy.revision):
        return Step(Do.ASK, policy.approver, now + policy.wait)
    if asked.is_left:
        return Step(Do.NOTHING)
    if now < asked.until:
        return Step(Do.NOTHING, until=asked.until)
    if policy.then is Then.REJECT:
        return Step(Do.REJECT)
    if policy.then is Then.REMIND and asked.reminded < policy.reminders:
        return Step(Do.REMIND, policy.then_approver, now + policy.wait)
    return Step(Do.LEAVE)
