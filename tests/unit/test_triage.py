"""Triage: what history makes of an anomaly, each reason by itself, and rules that hold of all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance import order_priority, triage
from maintenance.alarm_life import AlarmState, Condition
from maintenance.triage import DAY, HOUR, WEEK, Facts, Judgement, Stretch, Verdict
from tests.unit.test_decide import alarm, condition, one, said, situation

AT = 100 * DAY
FALSE = Facts(false=16)
CREDIBLE, DOUBTFUL, FALSE_POSITIVE = Verdict


def judge(facts: Facts = triage.NOTHING, **fields: Any) -> Judgement:
    base: dict[str, Any] = {"started_at": AT, "last_at": AT, "kind": "NOVEL_HIGH", "criticality": "MEDIUM"}
    return triage.judge(facts, **{**base, **fields})


def names(judgement: Judgement) -> list[str]:
    return [reason.name for reason in judgement.reasons]


def fault(kind: str = "SPIKE", *, ago: int, long: int = 1) -> Stretch:
    return Stretch(kind, AT - ago - long, AT - ago)


def test_where_nothing_is_known_it_is_credible_and_counts_from_its_onset() -> None:
    assert judge() == Judgement(CREDIBLE, (), AT)


DECIDES = [
    ("often-false", Facts(false=4), Facts(false=3), DOUBTFUL),
    ("nearly-always-false", FALSE, Facts(false=15), FALSE_POSITIVE),
    ("flapping", Facts(onsets=(AT - DAY, AT - 3, AT - 2, AT - 1)),
     Facts(onsets=(AT - DAY - 1, AT - 3, AT - 2, AT - 1)), DOUBTFUL),
    ("instrument-fault", Facts(faults=(fault(ago=HOUR - 1),)), Facts(faults=(fault(ago=HOUR),)), DOUBTFUL),
    ("bad-readings", Facts(faults=(fault("STUCK", ago=2 * HOUR, long=3 * HOUR),)),
     Facts(faults=(fault("STUCK", ago=2 * HOUR, long=2 * HOUR),)), DOUBTFUL),
    ("labelled-false", Facts(labels=(("FALSE_ALARM", AT),)), triage.NOTHING, FALSE_POSITIVE),
    ("expected", Facts(labels=(("EXPECTED", AT),)), triage.NOTHING, FALSE_POSITIVE),
]  # fmt: skip


@pytest.mark.parametrize(("name", "enough", "less", "verdict"), DECIDES, ids=[name for name, *_ in DECIDES])
def test_a_reason_against_it_flips_the_verdict_and_a_little_less_does_not(
    name: str, enough: Facts, less: Facts, verdict: Verdict
) -> None:
    assert judge(enough).verdict == verdict
    assert name in names(judge(enough))
    assert name not in names(judge(less))
    assert judge(less).verdict != verdict


WITH_ANOTHER = [
    ("unsteady", Facts(onsets=(AT - WEEK, AT - 4 * DAY, AT - 3 * DAY, AT - 2 * DAY))),
    ("gaps", Facts(faults=(fault("GAP", ago=0, long=6 * HOUR),))),
    ("calibration-overdue", Facts(faults=(Stretch("CALIBRATION", AT - 9 * WEEK, None),))),
]


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(WITH_ANOTHER, 2)))
def test_a_small_reason_flips_the_verdict_together_with_another(
    first: tuple[str, Facts], second: tuple[str, Facts]
) -> None:
    for name, facts in (first, second):
        assert (names(judge(facts)), judge(facts).verdict) == ([name], CREDIBLE)
    both = Facts(onsets=first[1].onsets + second[1].onsets, faults=first[1].faults + second[1].faults)
    assert set(names(judge(both))) == {first[0], second[0]}
    assert judge(both).verdict == DOUBTFUL


def test_what_speaks_for_it_flips_the_verdict_back() -> None:
    doubted = Facts(faults=(fault(ago=1),))
    for name, favour in (("neighbours-agree", {"neighbour_at": AT}), ("often-real", {"real": 4})):
        judgement = judge(replace(doubted, **favour))
        assert (name in names(judgement), judgement.verdict) == (True, CREDIBLE)
    assert judge(replace(doubted, real=3)).verdict == DOUBTFUL
    assert judge(replace(doubted, neighbour_at=AT + 1)).verdict == DOUBTFUL
    assert judge(replace(doubted, neighbour_at=AT + 1), last_at=AT + 1).verdict == CREDIBLE


def test_a_fault_that_somebody_found_is_credible_whatever_history_says() -> None:
    facts = replace(FALSE, labels=(("FALSE_ALARM", AT), ("FAULT", AT)), faults=(fault(ago=1),))
    assert (judge(facts).verdict, names(judge(facts)), judge(facts).since) == (CREDIBLE, ["labelled-fault"], AT)


def test_a_limit_that_people_set_and_a_critical_machine_are_never_silenced_by_history_but_by_a_persons_word() -> None:
    worst = replace(FALSE, onsets=(AT - 4, AT - 3, AT - 2, AT - 1), faults=(fault(ago=1, long=DAY),))
    for guarded in ({"kind": "LIMIT_HIGH_HIGH"}, {"criticality": "CRITICAL"}):
        assert (judge(worst, **guarded).verdict, judge(worst, **guarded).since) == (DOUBTFUL, AT)
        told = replace(worst, labels=(("FALSE_ALARM", AT),))
        assert judge(told, **guarded).verdict == FALSE_POSITIVE
    chatter = Facts(onsets=worst.onsets)
    assert judge(chatter, kind="LIMIT_LOW") == Judgement(CREDIBLE, (), AT)


def test_what_is_expected_counts_once_its_window_is_over() -> None:
    facts = Facts(labels=(("EXPECTED", AT + HOUR),))
    inside, after = judge(facts, last_at=AT + HOUR), judge(facts, last_at=AT + HOUR + 1)
    assert (inside.verdict, inside.since) == (FALSE_POSITIVE, AT + HOUR + 1)
    assert (after.verdict, after.since) == (CREDIBLE, AT + HOUR + 1)


def test_a_sensor_that_is_nearly_always_wrong_is_believed_a_little_once_another_one_agrees() -> None:
    alone, later = judge(FALSE), judge(replace(FALSE, neighbour_at=AT + 9), last_at=AT + 9)
    assert (alone.verdict, alone.since) == (FALSE_POSITIVE, None)
    assert (later.verdict, later.since) == (DOUBTFUL, AT + 9)
    assert judge(replace(FALSE, neighbour_at=AT - HOUR)).since == AT


def test_what_is_known_only_later_is_left_out() -> None:
    standing = (Stretch("STUCK", AT - DAY, None), Stretch("STUCK", AT - DAY, AT + 1))
    assert judge(Facts(faults=standing, onsets=(AT,) * 9)) == judge()
    assert judge(Facts(faults=(Stretch("CALIBRATION", AT + 1, None), Stretch("CALIBRATION", 0, AT)))) == judge()


def test_stretches_that_overlap_count_once() -> None:
    stretches = [Stretch("SPIKE", start, end) for start, end in ((0, 50), (20, 40), (30, 60), (90, 200), (-9, 1))]
    assert triage.covered(stretches, start=0, end=100) == pytest.approx(0.7)


def slow_upper(real: int, false: int) -> float:
    """The largest share p of which so many real ones are not too few: |real - n p| <= z sqrt(n p (1 - p))."""
    n, low, high = real + false, real / (real + false), 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if n * p - real <= triage.Z * (n * p * (1 - p)) ** 0.5 else (low, p)
    return low


@pytest.mark.parametrize(("real", "false"), [(0, 1), (0, 4), (1, 0), (3, 5), (17, 2), (400, 600)])
def test_the_interval_is_where_the_score_test_says_nothing_against_the_share(real: int, false: int) -> None:
    low, high = triage.wilson(real, false)
    assert high == pytest.approx(slow_upper(real, false), abs=1e-9)
    assert low == pytest.approx(1 - slow_upper(false, real), abs=1e-9)


instants = st.integers(AT - 8 * DAY, AT + DAY)
stretches = st.builds(
    lambda kind, start, long: Stretch(kind, start, None if long is None else start + long),
    st.sampled_from(["SPIKE", "STUCK", "GAP", "CALIBRATION"]), instants, st.none() | st.integers(0, DAY),
)  # fmt: skip
labels = st.lists(
    st.tuples(st.sampled_from(["FAULT", "EXPECTED", "FALSE_ALARM"]), st.integers(AT, AT + DAY)), max_size=3
)
facts = st.builds(
    Facts, onsets=st.lists(instants, max_size=6).map(tuple), real=st.integers(0, 30), false=st.integers(0, 60),
    labels=labels.map(tuple), faults=st.lists(stretches, max_size=4).map(tuple), neighbour_at=st.none() | instants,
)  # fmt: skip
anomaly = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["NOVEL_HIGH", "LIMIT_HIGH_HIGH"]),
        "criticality": st.sampled_from(list(order_priority.BY_CRITICALITY)),
        "last_at": st.integers(AT, AT + DAY),
    }
)
ORDER = list(Verdict)


@given(known=facts, about=anomaly, more=st.integers(1, 40))
def test_more_false_labels_never_make_it_more_credible_and_more_real_ones_never_less(
    known: Facts, about: dict[str, Any], more: int
) -> None:
    now = ORDER.index(judge(known, **about).verdict)
    assert ORDER.index(judge(replace(known, false=known.false + more), **about).verdict) >= now
    assert ORDER.index(judge(replace(known, real=known.real + more), **about).verdict) <= now
    told = replace(known, labels=(*known.labels, ("FALSE_ALARM", AT)))
    assert ORDER.index(judge(told, **about).verdict) >= now


@given(known=facts, about=anomaly)
def test_without_a_persons_word_neither_a_limit_nor_a_critical_machine_is_silenced(
    known: Facts, about: dict[str, Any]
) -> None:
    judgement = judge(replace(known, labels=()), **about)
    if about["kind"].startswith("LIMIT") or about["criticality"] == "CRITICAL":
        assert judgement.verdict != FALSE_POSITIVE
        assert judgement.since == AT
    assert (judgement.verdict == FALSE_POSITIVE) <= ("nearly-always-false" in names(judgement))


@given(known=facts, about=anomaly, data=st.data())
def test_the_order_of_facts_and_what_is_too_old_or_too_new_play_no_part(
    known: Facts, about: dict[str, Any], data: st.DataObject
) -> None:
    shuffled = Facts(
        onsets=tuple(data.draw(st.permutations(known.onsets))),
        real=known.real,
        false=known.false,
        labels=tuple(data.draw(st.permutations(known.labels))),
        faults=tuple(data.draw(st.permutations(known.faults))),
        neighbour_at=known.neighbour_at,
    )
    assert judge(shuffled, **about) == judge(known, **about)
    late = tuple(Stretch("SPIKE", f.started_at, AT + 1) for f in known.faults)
    strays = replace(known, onsets=(*known.onsets, AT, AT + 5, AT - WEEK - 1), faults=(*known.faults, *late))
    assert judge(strays, **about) == judge(known, **about)


@given(known=facts, about=anomaly, later=st.integers(0, DAY))
def test_an_anomaly_that_goes_on_becomes_more_credible_only(known: Facts, about: dict[str, Any], later: int) -> None:
    now, then = judge(known, **about), judge(known, **{**about, "last_at": about["last_at"] + later})
    assert now.since == then.since
    assert ORDER.index(then.verdict) <= ORDER.index(now.verdict)


# What decide makes of it


def test_a_doubtful_anomaly_raises_the_alarm_one_priority_lower_and_says_why() -> None:
    doubted = condition(peak_score=0.99, facts=Facts(false=4))
    verdict = one(situation(doubted))
    assert said(verdict) == [
        ("OPENED", "condition-stands", 100), ("NONE", "priority-needs-no-order", 100), ("DOUBTED", "often-false", 100)
    ]  # fmt: skip
    assert verdict.alarm is not None
    assert (verdict.alarm.priority, verdict.alarm.verdict) == ("MEDIUM", "DOUBTFUL")
    assert [reason.name for reason in verdict.alarm.reasons] == ["often-false"]
    assert verdict.triaged[0][1].verdict == DOUBTFUL


def test_nothing_is_lower_than_the_lowest_priority() -> None:
    verdict = one(situation(condition(facts=Facts(false=4)), criticality="LOW"))
    assert verdict.alarm is not None
    assert verdict.alarm.priority == "LOW"


def test_a_false_positive_raises_no_alarm_and_the_decision_names_the_reason_once() -> None:
    false = condition(kind="NOVEL_HIGH", facts=FALSE)
    verdict = one(situation(false))
    assert (said(verdict), verdict.alarm) == ([("NONE", "false-positive: nearly-always-false", 100)], None)
    assert verdict.settled == ()
    told = replace(false, last_at=120, ended_at=130, decided=frozenset({"NONE:false-positive: nearly-always-false"}))
    again = one(situation(told, clock=140))
    assert (said(again), again.settled) == ([], (1,))


def test_what_is_expected_alarms_when_it_outlasts_its_window() -> None:
    window = Facts(labels=(("EXPECTED", 150),))
    inside = one(situation(condition(facts=window, last_at=150), clock=150))
    assert said(inside) == [("NONE", "false-positive: expected", 150)]
    after = one(situation(condition(facts=window, last_at=160), clock=160))
    assert said(after)[0] == ("OPENED", "condition-stands", 151)


def test_a_label_that_comes_while_the_alarm_stands_changes_no_alarm_but_the_verdict() -> None:
    told = condition(facts=Facts(labels=(("FALSE_ALARM", 100),)), decided=frozenset({"OPENED:condition-stands"}))
    verdict = one(situation(told, alarm=alarm()))
    assert said(verdict) == []
    assert verdict.alarm is not None
    assert (verdict.alarm.active, verdict.alarm.priority, verdict.alarm.verdict) == (True, "LOW", "FALSE_POSITIVE")


def test_a_label_of_a_fault_raises_the_alarm_that_was_opened_in_doubt() -> None:
    real = condition(
        peak_score=0.99, facts=Facts(false=4, labels=(("FAULT", 100),)), decided=frozenset({"OPENED:condition-stands"})
    )
    verdict = one(situation(real, alarm=alarm(priority="MEDIUM", verdict="DOUBTFUL")))
    assert said(verdict)[0] == ("RAISED", "higher-priority", 100)
    assert verdict.alarm is not None
    assert (verdict.alarm.priority, verdict.alarm.verdict) == ("HIGH", "CREDIBLE")


def test_what_is_stored_already_is_no_news() -> None:
    known = condition(facts=Facts(false=4))
    ((_, judgement),) = one(situation(known)).triaged
    assert one(situation(replace(known, verdict=judgement.verdict, reasons=judgement.reasons))).triaged == ()


def test_a_reason_fits_where_it_is_kept() -> None:
    against = [name for name, points in triage.POINTS.items() if points > 0 and name != "often-false"]
    assert len(", ".join(against)) <= 100
    assert max(len(f"false-positive: {name}") for name in triage.POINTS) <= 100


Cut = tuple[list[int], list[int]]


labelled = st.sampled_from(["FAULT", "EXPECTED", "FALSE_ALARM", "", "", "", ""])


@settings(max_examples=100, deadline=None)
@given(
    known=facts, false=st.sampled_from([0, 4, 16]), label=labelled, until=st.integers(0, 12),
    neighbour=st.none() | st.integers(0, 12), cuts=st.sets(st.integers(1, 12)),
)  # fmt: skip
def test_however_a_stream_is_cut_the_alarm_opens_at_the_same_instant_and_ends_at_the_same_priority(
    known: Facts, false: int, label: str, until: int, neighbour: int | None, cuts: set[int]
) -> None:
    """An anomaly seen at each instant up to ``until`` and over after it; the other sensor's is known when it came."""
    labels = ((label, AT + until // 2),) if label else ()
    at = None if neighbour is None else AT + neighbour
    whole = replace(known, real=0, false=false, labels=labels, neighbour_at=at)
    outcomes = [walked(whole, until, [13]), walked(whole, until, [*sorted(cuts), 13])]
    assert outcomes[0] == outcomes[1]


def walked(known: Facts, until: int, cuts: list[int]) -> tuple[Any, ...]:
    state: AlarmState | None = None
    opened, decided, done = [], frozenset[str](), False
    for cut in cuts:
        now = AT + cut - 1
        seen = min(now, AT + until)
        if done:
            break
        near = known.neighbour_at if known.neighbour_at is not None and known.neighbour_at <= now else None
        this: Condition = condition(
            started_at=AT, last_at=seen, ended_at=seen + 1 if now > seen else None, peak_at=AT, kind="NOVEL_HIGH",
            facts=replace(known, neighbour_at=near), decided=decided,
        )  # fmt: skip
        verdict = one(situation(this, clock=now, alarm=state))
        opened += [(str(s.action), s.at) for s in verdict.steps if s.action in ("OPENED", "RETURNED")]
        decided |= {f"{s.action}:{s.reason}" for s in verdict.steps}
        state = replace(verdict.alarm, id=1) if verdict.alarm else None
        done = bool(verdict.settled)
    return opened, state and (state.priority, state.verdict)
