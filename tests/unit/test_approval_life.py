"""Which approval policy holds for an order, and what time does to one that waits: nothing is approved by waiting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import approval_life
from maintenance.approval_life import NO_VERDICT, Answer, Asked, Do, Facts, Policy, Step, Then, book, resolve
from maintenance.approval_models import ApprovalPolicy
from maintenance.models import Triaged

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE = 1
ORDER = Facts(SITE, "PREDICTIVE", "HIGH", "CREDIBLE", Decimal(500))
ANY = (SITE, "", "", "")


def test_the_words_of_the_table_are_those_of_the_core() -> None:
    assert [one.value for one in Answer] == ApprovalPolicy.Answer.values
    assert [one.value for one in Then] == ApprovalPolicy.Then.values
    assert {*Triaged.Verdict.values, NO_VERDICT} == set(ApprovalPolicy.Confidence.values)


def policy(scope: approval_life.Scope = ANY, *, cost: int | None = None, number: int = 1, **fields: object) -> Policy:
    base = {"answer": Answer.WAIT, "wait": HOUR, "then": Then.KEEP}
    return Policy(number, 1, scope, None if cost is None else Decimal(cost), **base | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scopes", "holds"),
    [
        ([], None),
        ([(ANY, None)], 0),
        ([((2, "", "", ""), None)], None),
        ([(ANY, 499)], None),
        ([(ANY, 500)], 0),
        ([(ANY, None), (ANY, 1000), (ANY, 500)], 2),
        ([(ANY, 500), ((SITE, "", "", "CREDIBLE"), None)], 1),
        ([((SITE, "", "", "CREDIBLE"), 500), ((SITE, "", "HIGH", ""), None)], 1),
        ([((SITE, "", "HIGH", "CREDIBLE"), 500), ((SITE, "PREDICTIVE", "", ""), None)], 1),
        ([((SITE, "INSPECTION", "", ""), None), ((SITE, "", "LOW", ""), None)], None),
    ],
)
def test_the_most_specific_policy_holds(
    scopes: list[tuple[approval_life.Scope, int | None]], holds: int | None
) -> None:
    found = resolve(book(policy(s, cost=cost, number=n) for n, (s, cost) in enumerate(scopes)), ORDER)
    assert (None if found is None else found.id) == holds


def test_a_cost_that_nobody_knows_is_below_no_limit() -> None:
    cheap, dear = policy(cost=10_000, answer=Answer.GO_AHEAD), policy(number=2)
    unknown = replace(ORDER, cost=None)
    assert resolve(book([cheap]), unknown) is None
    assert resolve(book([cheap, dear]), unknown) == dear
    assert resolve(book([cheap, dear]), ORDER) == cheap


TYPES, PRIORITIES, CONFIDENCES = ("", "PREDICTIVE", "INSPECTION"), ("", "HIGH", "LOW"), ("", "CREDIBLE", "NONE")
COSTS = (None, 0, 100, 500, 10_000)
scopes = st.tuples(st.sampled_from([1, 2]), *map(st.sampled_from, (TYPES, PRIORITIES, CONFIDENCES)))
facts = st.builds(
    Facts, st.sampled_from([1, 2]), st.sampled_from(TYPES[1:]), st.sampled_from(PRIORITIES[1:]),
    st.sampled_from(CONFIDENCES[1:]), st.none() | st.sampled_from([Decimal(n) for n in (0, 99, 100, 101, 600)]),
)  # fmt: skip


def oracle(policies: list[Policy], order: Facts) -> Policy | None:
    """Rank all that fit: type, priority, confidence, then the limit, the lowest best and none worst."""

    def fits(one: Policy) -> bool:
        wanted = (order.site_id, order.maintenance_type, order.priority, order.confidence)
        if any(said not in ("", asked) for said, asked in zip(one.scope, wanted, strict=True)):
            return False
        return one.most_cost is None or (order.cost is not None and one.most_cost >= order.cost)

    def rank(one: Policy) -> tuple[object, ...]:
        bound = float("-inf") if one.most_cost is None else -float(one.most_cost)
        return (*(bool(said) for said in one.scope), bound)

    return max((one for one in policies if fits(one)), key=rank, default=None)


@given(st.sets(st.tuples(scopes, st.sampled_from(COSTS)), max_size=30), facts)
def test_the_fast_way_finds_what_ranking_all_that_fit_finds(
    chosen: set[tuple[approval_life.Scope, int | None]], order: Facts
) -> None:
    policies = [policy(scope, cost=cost, number=n) for n, (scope, cost) in enumerate(chosen)]
    assert resolve(book(policies), order) == oracle(policies, order)


@given(st.sets(st.tuples(scopes, st.sampled_from(COSTS), st.booleans()), max_size=30), facts)
def test_a_trial_takes_the_place_of_the_policy_of_its_scope_and_of_no_other(
    chosen: set[tuple[approval_life.Scope, int | None, bool]], order: Facts
) -> None:
    policies = [policy(s, cost=cost, number=n, is_trial=trial) for n, (s, cost, trial) in enumerate(chosen)]
    replaced = [one for one in policies if one.is_trial or (one.scope, _cost(one), True) not in chosen]
    assert resolve(approval_life.with_trials(policies), order) == oracle(replaced, order)


def _cost(one: Policy) -> int | None:
    return None if one.most_cost is None else int(one.most_cost)


# What time does


def lives(one: Policy, hours: list[float]) -> list[tuple[Do, int | None]]:
    """What is done at each of the instants, in their order."""
    asked: Asked | None = None
    done, now = [], NOON
    for hour in hours:
        now += hour * HOUR
        step = approval_life.step(one, asked, now=now)
        done.append((step.do, step.whom))
        asked = after(one, asked, step)
    return done


def after(one: Policy, asked: Asked | None, step: Step) -> Asked | None:
    if step.do in (Do.ASK, Do.REMIND):
        assert step.until is not None
        times = 0 if step.do is Do.ASK or asked is None else asked.reminded + 1
        return Asked(one.id, one.revision, step.until, times)
    return replace(asked, is_left=True) if step.do is Do.LEAVE and asked is not None else asked


def test_it_is_asked_reminded_of_and_handed_on_and_then_left() -> None:
    one = policy(approver=7, then_approver=8, then=Then.REMIND, reminders=2)
    assert lives(one, [0, 0.9, 0.1, 0.5, 0.5, 1, 1]) == [
        (Do.ASK, 7), (Do.NOTHING, None), (Do.REMIND, 8), (Do.NOTHING, None), (Do.REMIND, 8), (Do.LEAVE, None),
        (Do.NOTHING, None),
    ]  # fmt: skip


@pytest.mark.parametrize(("then", "last"), [(Then.REJECT, Do.REJECT), (Then.KEEP, Do.LEAVE)])
def test_when_time_is_up_it_is_rejected_or_left(then: Then, last: Do) -> None:
    assert [do for do, _ in lives(policy(then=then), [0, 0.5, 0.5])] == [Do.ASK, Do.NOTHING, last]


def test_without_a_policy_nothing_is_done() -> None:
    assert approval_life.step(None, None, now=NOON) == Step(Do.NOTHING)
    assert approval_life.step(None, Asked(1, 1, NOON, 0), now=NOON + HOUR) == Step(Do.NOTHING)


@pytest.mark.parametrize("change", [{"id": 2}, {"revision": 2}])
def test_what_another_policy_or_an_older_revision_asked_is_void(change: dict[str, int]) -> None:
    late = Asked(1, 1, NOON - HOUR, 0)
    changed = replace(policy(then=Then.REJECT, approver=7), **change)
    assert approval_life.step(changed, late, now=NOON) == Step(Do.ASK, 7, NOON + HOUR)


@given(
    st.sampled_from(list(Then)), st.integers(0, 4), st.floats(0.1, 5),
    st.lists(st.floats(0, 10), min_size=1, max_size=30),
)  # fmt: skip
def test_however_long_it_waits_it_never_goes_ahead(then: Then, times: int, wait: float, hours: list[float]) -> None:
    reminders = times if then is Then.REMIND else 0
    one = policy(then=then, reminders=reminders, wait=wait * HOUR)
    done = [do for do, _ in lives(one, hours)]
    assert Do.GO_AHEAD not in done
    assert done[0] is Do.ASK
    assert done.count(Do.ASK) == 1
    assert done.count(Do.REMIND) <= reminders
    assert done.count(Do.LEAVE) <= 1
    assert then is Then.REJECT or Do.REJECT not in done
    if Do.LEAVE in done:
        assert set(done[done.index(Do.LEAVE) + 1 :]) <= {Do.NOTHING}


@given(st.sampled_from(list(Then)), st.floats(0, 10), st.floats(0, 10))
def test_looking_twice_at_the_same_instant_asks_and_reminds_once(then: Then, first: float, second: float) -> None:
    one = policy(then=then, reminders=3 if then is Then.REMIND else 0)
    done = [do for do, _ in lives(one, [first, 0, second, 0])]
    assert done[1] is Do.NOTHING
    assert done[3] in (Do.NOTHING, Do.REJECT)
    assert done[3] is Do.NOTHING or done[2] is Do.REJECT
