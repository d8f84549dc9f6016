"""The invariants of the storm: silent where all is well, and each reports when its rule is broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.chaos import invariants, model, sinks
from tests.chaos.client import HIGH, READINGS, START, STEP, Accepted, Request
from tests.chaos.facts import Facts, Message, Part
from tests.chaos.invariants import STAGES
from tests.chaos.sinks import Delivery

FIRST, SECOND, POISON = "batch-1", "batch-2", "batch-3"


def request(
    machine: str, *, site: str = "north", number: int = 0, high: tuple[int, ...] = (), poison: str = ""
) -> Request:
    began = START + STEP * READINGS * number
    values = [HIGH + 50 if n in high else 50.0 + n / 100 for n in range(READINGS)]
    return Request(site, machine, number, tuple((began + STEP * n, value) for n, value in enumerate(values)), poison)


def accepted(wanted: Request, batch: str, **other: Any) -> Accepted:
    return Accepted(wanted, batch, due_at=0.0, seconds=0.1, repeats=0, **other)


PROMISED = [
    accepted(request("m0", high=(3, 4)), FIRST),
    accepted(request("m1", site="south"), SECOND),
    accepted(request("p0", poison="VALIDATE:raise"), POISON),
]
MODEL = model.of(PROMISED)
EXCURSION = ("north", "m0", START + 3 * STEP)
MAIL = Message("transition/1", "EMAIL", "north", "north", "north", "SENT", 2)
HOOK = Message("transition/1/hook", "WEBHOOK", "north", "north", "north", "SENT", 2)


def delivery(message: Message, doing: str = sinks.KEEP, *, site: str = "north", tells_of: str = "north") -> Delivery:
    sink, key = invariants.seen_as(message)
    return Delivery(sink, key, 0.0, doing, site, tells_of)


MAILED, HOOKED = delivery(MAIL), delivery(HOOK)
WELL = Facts(
    parts=(
        Part(FIRST, "north", "STORED", 1, READINGS, READINGS, ""),
        Part(SECOND, "south", "STORED", 2, READINGS, READINGS, ""),
        Part(POISON, "north", "SET_ASIDE", 3, READINGS, 0, "Run 3 failed"),
    ),
    runs={1: "DONE", 2: "DONE", 3: "FAILED"},
    done=[(run, stage) for run in (1, 2) for stage in STAGES] + [(3, "INGEST")],
    readings={place: value for place, value in MODEL.readings.items() if place[1] != "p0"},
    excursions=Counter([EXCURSION]),
    alarms={"two open orders": 0},
    strays={"alarms": 0},
    held={"runs leased": 0},
    messages=(MAIL, HOOK),
    deliveries=(MAILED, HOOKED),
)


def rules(facts: Facts, *, windows: int = 0) -> set[str]:
    return {violation.rule for violation in invariants.check(MODEL, facts, windows=windows)}


def test_all_is_well_where_everything_was_done_once() -> None:
    assert invariants.check(MODEL, WELL, windows=0) == []


def but(**changes: Any) -> Facts:
    return replace(WELL, **changes)


def part(place: int, facts: Facts = WELL, **changes: Any) -> Facts:
    parts = list(facts.parts)
    parts[place] = replace(parts[place], **changes)
    return replace(facts, parts=parts)


LATER = ("north", "m0", START + timedelta(days=9))
BROKEN: list[tuple[str, str, Facts]] = [
    ("a batch is gone", invariants.ACCEPTED_IS_DONE, but(parts=WELL.parts[1:])),
    ("half a batch", invariants.ACCEPTED_IS_DONE, part(0, readings=10)),
    ("a part waits", invariants.ACCEPTED_IS_DONE, part(0, state="WAITING")),
    ("a run is active", invariants.ACCEPTED_IS_DONE, but(runs={**WELL.runs, 4: "ACTIVE"})),
    ("a run is in quarantine", invariants.ACCEPTED_IS_DONE, but(runs={**WELL.runs, 4: "QUARANTINE"})),
    ("a stage twice", invariants.STAGES_ONCE, but(done=[*WELL.done, (1, "DECIDE")])),
    ("a stage twice in a failed run", invariants.STAGES_ONCE, but(done=[*WELL.done, (3, "INGEST")])),
    ("a stage left out", invariants.STAGES_ONCE, but(done=WELL.done[1:])),
    ("stored by no run", invariants.STAGES_ONCE, part(0, run=None)),
    ("a reading lost", invariants.READINGS_LOST, but(readings=dict(list(WELL.readings.items())[1:]))),
    ("a reading from nowhere", invariants.READINGS_FOREIGN, but(readings={**WELL.readings, LATER: 1.0})),
    ("another value", invariants.READINGS_FOREIGN, but(readings={**WELL.readings, EXCURSION: 1.0})),
    ("stored twice", invariants.READINGS_FOREIGN, part(0, stored=READINGS + 1)),
    ("an excursion lost", invariants.EXCURSIONS_LOST, but(excursions=Counter())),
    ("an excursion twice", invariants.EXCURSIONS_DOUBLED, but(excursions=Counter([EXCURSION] * 2))),
    ("a false one", invariants.EXCURSIONS_DOUBLED, but(excursions=Counter([EXCURSION, LATER]))),
    ("two open orders", invariants.CONSEQUENCES, but(alarms={"two open orders": 1})),
    ("a message waits", invariants.MESSAGES_LOST, but(messages=(replace(MAIL, status="PENDING"), HOOK))),
    ("a message never came", invariants.MESSAGES_LOST, but(deliveries=WELL.deliveries[1:])),
    ("it was refused", invariants.MESSAGES_LOST, but(deliveries=(delivery(MAIL, sinks.BUSY), HOOKED))),
    ("a copy for no reason", invariants.MESSAGES_UNEXPLAINED, but(deliveries=(*WELL.deliveries, MAILED))),
    ("more copies than attempts", invariants.MESSAGES_UNEXPLAINED, but(messages=(replace(MAIL, attempts=0), HOOK))),
    ("a message of nobody", invariants.MESSAGES_UNEXPLAINED, but(messages=(MAIL,))),
    ("an innocent set aside", invariants.DEAD, part(0, state="SET_ASIDE", error="why")),
    ("poison went through", invariants.DEAD, part(2, but(runs={**WELL.runs, 3: "DONE"}), state="STORED")),
    ("poison in company", invariants.DEAD, part(1, run=3)),
    ("poison without a word", invariants.DEAD, part(2, error="")),
    ("a lease is held", invariants.HELD, but(held={"runs leased": 1})),
    ("an alarm of another site", invariants.SITES, but(strays={"alarms": 1})),
    ("a batch in another site", invariants.SITES, part(0, site="south")),
    ("a message about another site", invariants.SITES, but(messages=(replace(MAIL, subject_site="south"), HOOK))),
    ("a message to another site", invariants.SITES, but(deliveries=(delivery(MAIL, site="south"), HOOKED))),
    ("a hook told of another site", invariants.SITES, but(deliveries=(MAILED, delivery(HOOK, tells_of="south")))),
]  # fmt: skip


@pytest.mark.parametrize(("what", "rule", "facts"), BROKEN, ids=[what for what, *_ in BROKEN])
def test_what_is_broken_is_reported_under_its_rule(what: str, rule: str, facts: Facts) -> None:
    assert rule in rules(facts)


def test_every_rule_is_broken_by_an_example() -> None:
    assert {rule for _, rule, _ in BROKEN} == set(invariants.RULES)


def test_second_copies_are_allowed_as_far_as_they_are_explained() -> None:
    twice = but(deliveries=(*WELL.deliveries, HOOKED))
    assert rules(twice, windows=0) == {invariants.MESSAGES_UNEXPLAINED}
    assert rules(twice, windows=1) == set()
    late = but(deliveries=(MAILED, delivery(HOOK, sinks.LATE), HOOKED))
    assert rules(late, windows=0) == set()


def test_the_same_key_must_give_the_same_batch() -> None:
    first = request("m0")
    again = [accepted(first, FIRST), accepted(first, FIRST, duplicate=True)]
    assert list(invariants.replays(again)) == []
    [broken] = invariants.replays([*again, accepted(first, "another", duplicate=True)])
    assert broken.rule == invariants.ACCEPTED_IS_DONE
    keyless = accepted(first, "another", duplicate=True, keyed=False)
    assert list(invariants.replays([*again, keyless])) == []


ALL_DONE = but(
    runs={1: "DONE", 2: "DONE", 3: "DONE"},
    readings=MODEL.readings,
    done=[(run, stage) for run in (1, 2, 3) for stage in STAGES],
)


def test_a_piece_that_was_split_off_has_its_first_stages_behind_it() -> None:
    piece = [(4, stage) for stage in STAGES[2:]]
    split = but(runs={**WELL.runs, 4: "DONE"}, split_from={4: 1}, done=[*WELL.done, *piece])
    assert rules(split) == set()
    assert rules(replace(split, split_from={})) == {invariants.STAGES_ONCE}
    assert rules(replace(split, done=WELL.done)) == {invariants.STAGES_ONCE}
    assert rules(replace(split, split_from={4: 3})) == {invariants.STAGES_ONCE}
    assert rules(replace(split, done=[*WELL.done, *piece[1:], (4, "INGEST")])) == {invariants.STAGES_ONCE}


REPLAYED = part(2, ALL_DONE, state="STORED", stored=READINGS, error="")


def test_after_the_replay_nothing_shows_that_something_failed() -> None:
    assert invariants.after_replay(MODEL, REPLAYED) == []


@pytest.mark.parametrize(
    "facts",
    [
        WELL,
        part(2, REPLAYED, error="still says so"),
        replace(REPLAYED, runs={1: "DONE", 2: "DONE", 3: "FAILED"}),
        replace(REPLAYED, readings=WELL.readings),
    ],
)
def test_what_the_replay_left_out_is_reported(facts: Facts) -> None:
    assert {violation.rule for violation in invariants.after_replay(MODEL, facts)} == {invariants.REPLAYED}


def test_the_model_knows_a_stretch_above_the_limit_by_its_onset() -> None:
    close = model.of([accepted(request("m0", high=(0, 1, 5)), FIRST)])
    assert close.excursions == {("north", "m0", START)}
    apart = model.of([accepted(request("m0", high=(0, 13)), FIRST)])
    assert apart.excursions == {("north", "m0", START), ("north", "m0", START + 13 * STEP)}
    over_a_border = [accepted(request("m0", number=n, high=(19,) if n == 0 else (3,)), str(n)) for n in (0, 1)]
    assert model.of(over_a_border).excursions == {("north", "m0", START + 19 * STEP)}


def test_the_model_takes_a_request_that_came_twice_as_one() -> None:
    again = model.of([*PROMISED, accepted(PROMISED[0].request, "batch-9", duplicate=True, keyed=False)])
    assert (again.readings, again.excursions) == (MODEL.readings, MODEL.excursions)
