"""What must hold of everything that was accepted, whatever was done to the service: I1 to I8.

Pure: a model and the facts in, violations out. Each names its rule and says what was found, so that a run that fails
tells where to look.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tests.chaos import sinks
from tests.chaos.client import READINGS, Accepted
from tests.chaos.facts import Facts, Message
from tests.chaos.model import Model, Place

STAGES = ("INGEST", "VALIDATE", "DETECT", "DECIDE", "NOTIFY")
SHOWN = 5
SINK_OF = {"EMAIL": "mail", "WEBHOOK": "hook"}

ACCEPTED_IS_DONE = "I1 accepted batches not done"
STAGES_ONCE = "I2 stages not done exactly once"
READINGS_LOST = "I3 readings lost"
READINGS_FOREIGN = "I3 readings doubled or not as sent"
EXCURSIONS_LOST = "I3 excursions lost"
EXCURSIONS_DOUBLED = "I3 excursions doubled or false"
CONSEQUENCES = "I3 alarms and orders that contradict each other"
MESSAGES_LOST = "I4 messages lost"
MESSAGES_UNEXPLAINED = "I4 messages sent more often than explained"
DEAD = "I5 set aside other than the poison"
HELD = "I6 leases, transactions and messages held"
SITES = "I7 effects in another site than their batch"
REPLAYED = "I8 readings missing after the replay"

RULES = (
    ACCEPTED_IS_DONE, STAGES_ONCE, READINGS_LOST, READINGS_FOREIGN, EXCURSIONS_LOST, EXCURSIONS_DOUBLED, CONSEQUENCES,
    MESSAGES_LOST, MESSAGES_UNEXPLAINED, DEAD, HELD, SITES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as it must be; ``count``: how many rows it speaks of."""

    rule: str
    what: str
    count: int = 1


def check(model: Model, facts: Facts, *, windows: int) -> list[Violation]:
    """Everything that is broken, but for what only a replay can show. ``windows``: see ``messages``."""
    return [
        *batches(model, facts),
        *stages(facts),
        *readings(model, facts),
        *excursions(model, facts),
        *_counted(CONSEQUENCES, facts.alarms),
        *messages(facts, windows=windows),
        *dead(model, facts),
        *_counted(HELD, facts.held),
        *sites(model, facts),
    ]


def _counted(rule: str, found: Iterable[str] | dict[str, int]) -> Iterator[Violation]:
    yield from (Violation(rule, what, count) for what, count in dict(found).items() if count)


def _some(rule: str, what: str, items: Iterable[object]) -> Iterator[Violation]:
    """One violation for all the items, with the first few of them in its words."""
    found = sorted(map(str, items))
    if found:
        yield Violation(rule, f"{what}: {', '.join(islice(found, SHOWN))}", len(found))


def batches(model: Model, facts: Facts) -> Iterator[Violation]:
    """I1: every batch that was accepted is there, whole, and all of it has come to an end."""
    sizes: Counter[str] = Counter()
    for part in facts.parts:
        sizes[part.batch] += part.readings
    yield from _some(ACCEPTED_IS_DONE, "not there", model.batches.keys() - sizes.keys())
    wrong = [batch for batch in model.batches if batch in sizes and sizes[batch] != READINGS]
    yield from _some(ACCEPTED_IS_DONE, f"not of {READINGS} readings", wrong)
    waiting = [part.batch for part in facts.parts if part.state not in ("STORED", "SET_ASIDE")]
    yield from _some(ACCEPTED_IS_DONE, "still on the way", waiting)
    active = [f"{run} {status}" for run, status in facts.runs.items() if status not in ("DONE", "FAILED")]
    yield from _some(ACCEPTED_IS_DONE, "runs not at an end", active)


def replays(accepted: Iterable[Accepted]) -> Iterator[Violation]:
    """I1: a request that comes again under its key is the same batch, and without a key it is another one."""
    first: dict[tuple[str, str], str] = {}
    wrong = []
    for one in sorted(accepted, key=lambda one: one.duplicate):
        known = first.setdefault((one.request.site, one.request.key), one.batch)
        if one.duplicate and (one.batch == known) != one.keyed:
            wrong.append(one.batch)
    yield from _some(ACCEPTED_IS_DONE, "accepted anew under the same key", wrong)


def stages(facts: Facts) -> Iterator[Violation]:
    """I2: each stage of each run that is done was committed once, and each part stored went through such a run.

    What a piece that quarantine split off had behind it, the run did that it was split from.
    """
    committed: dict[int, Counter[str]] = defaultdict(Counter)
    for run, stage in facts.done:
        committed[run][stage] += 1
    done = [run for run, status in facts.runs.items() if status == "DONE"]
    wrong = [run for run in done if not _is_whole(committed[run], committed[facts.split_from.get(run, run)])]
    yield from _some(STAGES_ONCE, "runs", wrong)
    twice = [run for run, stages in committed.items() if max(stages.values(), default=0) > 1]
    yield from _some(STAGES_ONCE, "runs with a stage done twice", twice)
    strays = [
        p.batch for p in facts.parts if p.state == "STORED" and not p.error and facts.runs.get(p.run or 0) != "DONE"
    ]
    yield from _some(STAGES_ONCE, "stored by no run that is done", strays)


def _is_whole(mine: Counter[str], before: Counter[str]) -> bool:
    """Whether each stage was done once, those before the first of its own by the run it was a piece of."""
    first = next((place for place, stage in enumerate(STAGES) if mine[stage]), 0)
    behind = {stage: before[stage] for stage in STAGES[:first]}
    return {**behind, **{stage: mine[stage] for stage in STAGES[first:]}} == dict.fromkeys(STAGES, 1)


def readings(model: Model, facts: Facts) -> Iterator[Violation]:
    """I3: what is stored is what was sent, by instant and value; and as many readings as the parts say they stored."""
    wanted = {place: value for place, value in model.readings.items() if place not in _held_back(model, facts)}
    yield from _some(READINGS_LOST, "not stored", map(_name, wanted.keys() - facts.readings.keys()))
    yield from _some(READINGS_FOREIGN, "never sent", map(_name, facts.readings.keys() - model.readings.keys()))
    changed = [place for place, value in facts.readings.items() if model.readings.get(place, value) != value]
    yield from _some(READINGS_FOREIGN, "of another value", map(_name, changed))
    claimed = sum(part.stored for part in facts.parts)
    if claimed != len(facts.readings):
        difference = abs(claimed - len(facts.readings))
        yield Violation(READINGS_FOREIGN, f"the parts say {claimed}, there are {len(facts.readings)}", difference)


def _held_back(model: Model, facts: Facts) -> frozenset[Place]:
    """Readings that must not be there yet: those of poison that was set aside before it was stored."""
    return model.never_stored if any(part.state == "SET_ASIDE" for part in facts.parts) else frozenset()


def _name(place: Place) -> str:
    site, sensor, at = place
    return f"{site}/{sensor}@{at:%Y-%m-%dT%H:%M}"


def excursions(model: Model, facts: Facts) -> Iterator[Violation]:
    """I3: each stretch above the limit was found once, live or in retrospect."""
    yield from _some(EXCURSIONS_LOST, "not found", map(_name, model.excursions - facts.excursions.keys()))
    yield from _some(EXCURSIONS_DOUBLED, "never sent", map(_name, facts.excursions.keys() - model.excursions))
    twice = [place for place, count in facts.excursions.items() if count > 1]
    yield from _some(EXCURSIONS_DOUBLED, "found twice", map(_name, twice))


def messages(facts: Facts, *, windows: int) -> Iterator[Violation]:
    """I4: each message was kept by its sink, and second copies have a cause.

    ``windows``: how many deliveries faults can have stopped between sending and recording. Answers that the sinks
    gave late, or broke off, come on top. Besides, no message comes more often than it was tried.
    """
    kept = sinks.copies(facts.deliveries)
    unsent = [f"{message.key} {message.status}" for message in facts.messages if message.status != "SENT"]
    yield from _some(MESSAGES_LOST, "not sent", unsent)
    lost = [message.key for message in facts.messages if message.status == "SENT" and not kept[seen_as(message)]]
    yield from _some(MESSAGES_LOST, "sent, and not with the sink", lost)
    known = {seen_as(message): message for message in facts.messages}
    yield from _some(MESSAGES_UNEXPLAINED, "of no message that is known", kept.keys() - known.keys())
    often = [key for key, count in kept.items() if key in known and count > known[key].attempts]
    yield from _some(MESSAGES_UNEXPLAINED, "more often than tried", often)
    again, reasons = doubled(facts), windows + unheard(facts)
    if again > reasons:
        yield Violation(MESSAGES_UNEXPLAINED, f"{again} second copies, {reasons} reasons", again - reasons)


def doubled(facts: Facts) -> int:
    """Copies after the first of each message."""
    kept = sinks.copies(facts.deliveries)
    return kept.total() - len(kept)


def unheard(facts: Facts) -> int:
    """Messages that a sink kept without saying so in time."""
    return sum(delivery.doing in (sinks.LATE, sinks.CUT) for delivery in facts.deliveries)


def seen_as(message: Message) -> tuple[str, str]:
    """Sink and key as the sink's log has them; mails bear a digest (``agents.channels.email.message_id``)."""
    sink = SINK_OF[message.channel]
    if sink == "mail":
        return sink, f"<{hashlib.sha256(message.key.encode()).hexdigest()[:32]}@localhost>"
    return sink, message.key


def dead(model: Model, facts: Facts) -> Iterator[Violation]:
    """I5: what was set aside is the poison, each alone in a run of its own, and nothing else."""
    given_up = {run for run, status in facts.runs.items() if status == "FAILED"}
    aside = Counter(part.batch for part in facts.parts if part.state == "SET_ASIDE" or part.run in given_up)
    yield from _some(DEAD, "innocent", aside.keys() - model.poison.keys())
    yield from _some(DEAD, "poison that went through", model.poison.keys() - aside.keys())
    company = Counter(part.run for part in facts.parts if part.run in given_up)
    yield from _some(DEAD, "runs that failed, not with one part", [r for r in given_up if company[r] != 1])
    silent = [part.batch for part in facts.parts if part.run in given_up and not part.error]
    yield from _some(DEAD, "without a word why", silent)


def sites(model: Model, facts: Facts) -> Iterator[Violation]:
    """I7: the site of every effect is the site of its batch, down to who got the message."""
    yield from _counted(SITES, dict(facts.strays))
    moved = [p.batch for p in facts.parts if p.batch in model.batches and model.batches[p.batch].site != p.site]
    yield from _some(SITES, "batches", moved)
    crossed = [m.key for m in facts.messages if not m.site == m.channel_site == m.subject_site]
    yield from _some(SITES, "messages", crossed)
    sent = [d.key for d in facts.deliveries if d.tells_of and d.tells_of != d.site]
    site_of = {seen_as(message): message.site for message in facts.messages}
    sent += [d.key for d in facts.deliveries if site_of.get((d.sink, d.key), d.site) != d.site]
    yield from _some(SITES, "sent to another site", sent)


def after_replay(model: Model, facts: Facts) -> list[Violation]:
    """I8: with the poison gone and what was set aside replayed, it is as if nothing had ever failed."""
    found = [
        *batches(model, facts), *stages(facts), *readings(model, facts), *excursions(model, facts),
        *_counted(REPLAYED, facts.held),
        *_some(REPLAYED, "still set aside", [p.batch for p in facts.parts if p.state == "SET_ASIDE" or p.error]),
        *_some(REPLAYED, "runs still failed", [run for run, status in facts.runs.items() if status == "FAILED"]),
    ]  # fmt: skip
    return [
        Violation(REPLAYED, f"{one.rule}: {one.what}" if one.rule != REPLAYED else one.what, one.count) for one in found
    ]
