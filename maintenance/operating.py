"""What machines are doing, and what that hides. The only writer of OperatingState.

What is said of a machine, by readings (``hear``), by people and control systems (``tell``) and by the clock (``look``),
leads it from one phase to the next (``maintenance.operating_life``), each behind the machine's lock. While it is off or
starts up, as its rule says, a suppression by design stands, which hides what happens in event time. It is over when the
machine runs: decide ends it as soon as it has seen the readings up to then, and the sweep where none come.

Nothing is hidden without an end: that a machine is off holds for so long after it was last said, and hides nothing for
longer than its rule allows, whatever is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import alarm_steps, operating_hides, operating_life, suppressions
from maintenance.operating_life import Phase, State, Word, Words
from maintenance.operating_models import OperatingState
from maintenance.refusals import Refused
from sensors import journal
from sensors import operating as rules
from sensors.columns import SECOND_US, from_instant, to_instant
from sensors.models import Equipment
from sensors.operating_models import OperatingRule

TELLABLE = (State.OFF, State.STARTING, State.RUNNING)
RENEWED = 4
"""That it is off is written down anew when a part of the time that it holds has passed: one in so many."""
AHEAD = timedelta(seconds=60)
MOST = 200
"""States looked after in one pass of the sweep."""
SILENT = "Nobody says any longer that it is off."
CHANGED, TAKEN_AWAY = "The rule was changed.", "There is no rule for the machine any more."


class NoRule(Refused):
    """No operating rule holds for this machine: lay down first what is hidden in which state."""


class FromAhead(Refused):
    """It cannot be known yet what it is then."""


class OlderThanKnown(Refused):
    """What it was since a later instant is known already."""


def rule_of(machine: Equipment) -> OperatingRule | None:
    """The rule that holds for a machine: its own, else that of its class."""
    own_class = machine.equipment_class.strip().upper()
    mine = Q(machine=machine.pk) | Q(machine=None, site=machine.site_id, equipment_class=own_class)
    return OperatingRule.objects.filter(mine).select_related("sensor").order_by(rules.FIRST).first()


def hear(words: Mapping[int, Words], *, now: datetime | None = None) -> int:
    """Take what the readings of a run say, in its transaction, by machine; for how many it was news.

    One query where nothing is, and none where nothing is said.
    """
    if not words:
        return 0
    now = now or timezone.now()
    rows = {row.machine_id: row for row in OperatingState.objects.filter(machine__in=list(words))}
    news = [machine_id for machine_id in sorted(words) if _is_news(rows.get(machine_id), words[machine_id], now)]
    for machine_id in news:
        _take(alarm_steps.lock_machine(machine_id), words[machine_id], now=now)
    return len(news)


def _is_news(row: OperatingState | None, said: Words, now: datetime) -> bool:
    if row is None or [word.state for word in said.changes] not in ([], [row.sensor_says]):
        return bool(said.changes)
    if row.state != State.OFF or row.sensor_says != State.OFF or row.due_at is None or row.confirmed_at is None:
        return False
    return row.confirmed_at + (row.due_at - row.confirmed_at) / RENEWED <= now


def _take(machine: Equipment, said: Words, *, now: datetime) -> None:
    rule = rule_of(machine)
    if rule is None:  # taken away a moment ago
        return
    row = _row(machine)
    fresh = said.changes[1:] if said.changes and said.changes[0].state == row.sensor_says else said.changes
    _go(row, rule, fresh, now=now, source=rule.how, actor=None)
    if said.changes:
        row.sensor_says = said.changes[-1].state
    if row.state == row.sensor_says == State.OFF:
        _confirm(row, rule, heard_at=to_instant(said.last_at), now=now)
    row.save()


def tell(
    machine: Equipment, state: str, *, actor: User, at: datetime | None = None, reason: str = "",
    now: datetime | None = None,
) -> OperatingState:  # fmt: skip
    """Somebody, or a control system, says what a machine is: of ``TELLABLE``, since ``at`` (None: from now on).

    Said again, it holds anew. Raises ``NoRule``, ``FromAhead``, ``OlderThanKnown``.
    """
    now = now or timezone.now()
    at = at or now
    if at > now + AHEAD:
        raise FromAhead
    with transaction.atomic():
        machine = alarm_steps.lock_machine(machine.pk)
        rule = rule_of(machine)
        if rule is None:
            raise NoRule
        row = _row(machine)
        if row.since is not None and at < row.since:
            raise OlderThanKnown(f"That it is {row.get_state_display().lower()} since {row.since:%Y-%m-%d %H:%M:%S}"
                                 " UTC is known already.")  # fmt: skip
        source = f"{actor.get_username()}: {reason}" if reason else actor.get_username()
        _go(row, rule, [Word(State(state), from_instant(at))], now=now, source=source, actor=actor)
        if row.state == state == State.OFF:
            _confirm(row, rule, heard_at=at, now=now)
        row.save()
    return row


def _row(machine: Equipment) -> OperatingState:
    """What is known of a machine that is locked."""
    row, _ = OperatingState.objects.get_or_create(machine=machine, defaults={"site_id": machine.site_id})
    return row


def _go(
    row: OperatingState, rule: OperatingRule, words: Iterable[Word], *, now: datetime, source: str, actor: User | None
) -> None:
    startup = rule.startup_seconds * SECOND_US
    for phase in operating_life.walk(operating_hides.phase_of(row), words, startup=startup):
        row.source, row.told_by = source, actor
        _enter(row, phase, now=now)
        row.due_at = operating_hides.due_of(row, rule)
        operating_hides.hide(row, rule, phase, now=now)


def _enter(row: OperatingState, phase: Phase, *, now: datetime) -> None:
    row.state, row.since = phase.state, to_instant(phase.since)
    row.starts_until = None if phase.until is None else to_instant(phase.until)
    row.heard_at, row.confirmed_at = row.since, now
    entry = journal.Entry(
        type=journal.MACHINE_STATE_CHANGED,
        subject=f"operating-state/{row.pk}",
        key=f"{journal.MACHINE_STATE_CHANGED}/{row.machine_id}/{phase.state}/{phase.since}",
        occurred_at=row.since,
        site_id=row.site_id,
        actor="" if row.told_by is None else row.told_by.get_username(),
        data={
            "machine": row.machine_id,
            "state": phase.state,
            "starts_until": None if row.starts_until is None else row.starts_until.isoformat(),
            "source": row.source,
        },
    )
    journal.record([entry])


def _confirm(row: OperatingState, rule: OperatingRule, *, heard_at: datetime, now: datetime) -> None:
    """That it is off was said again."""
    row.heard_at, row.confirmed_at = heard_at, now
    row.due_at = operating_hides.due_of(row, rule)
    for one in operating_hides.standing(row).filter(over_at=None):
        suppressions.bound(one, until=operating_hides.until_of(row, rule, one.created_at, now), over_at=None)


def look_soon(machines: QuerySet[Equipment]) -> None:
    """What is known of these machines is looked at by the next pass of the sweep: their rule has changed."""
    OperatingState.objects.filter(machine__in=machines).update(due_at=Now())


def due(*, now: datetime | None = None) -> list[int]:
    """States that want to be looked at, those that wait longest first."""
    rows = OperatingState.objects.filter(due_at__lte=now or Now())
    return list(rows.order_by("due_at", "id").values_list("id", flat=True)[:MOST])


def look(state_id: int, *, now: datetime | None = None) -> bool:
    """See to a state whose time is up, or whose rule has changed; whether it was this call that did."""
    now = now or timezone.now()
    with transaction.atomic():
        known = OperatingState.objects.values_list("machine_id", flat=True).get(pk=state_id)
        machine = alarm_steps.lock_machine(known)
        row = OperatingState.objects.select_related("told_by").get(pk=state_id)
        if row.due_at is None or row.due_at > now:
            return False
        rule = rule_of(machine)
        ends = None if rule is None else operating_hides.due_of(row, rule)
        if rule is None:
            _forget(row, since=now, why=TAKEN_AWAY, now=now)
        elif ends is None or ends > now:
            row.due_at = ends
            operating_hides.hide(row, rule, operating_hides.phase_of(row), now=now, at_once=CHANGED)
        elif row.state == State.STARTING and row.starts_until is not None:
            _enter(row, Phase(State.RUNNING, from_instant(row.starts_until)), now=now)
            row.due_at = None
        else:
            held = (row.heard_at or now) + timedelta(minutes=rule.holds_minutes)
            _forget(row, since=min(held, now), why=SILENT, now=now)
        row.save()
    return True


def _forget(row: OperatingState, *, since: datetime, why: str, now: datetime) -> None:
    """What it is, is not known any more: nothing is hidden because of it."""
    since = max(since, row.since or since)
    for one in operating_hides.standing(row):
        suppressions.end_of_state(one, now=now, why=why, ended_at=since)
    if row.state != State.UNKNOWN:
        row.source, row.told_by = why, None
        _enter(row, Phase(State.UNKNOWN, from_instant(since)), now=now)
    row.sensor_says, row.due_at = "", None
