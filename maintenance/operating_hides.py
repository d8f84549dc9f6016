"""What the state of a machine hides, and until when: suppressions by design that stand for it.

In event time: what happened before it went off was seen, however late it is decided, and what happens after it runs is
told, however early. By the clock each has an end in any case (``until``), and the sweep keeps to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from maintenance import failure_modes, suppressions
from maintenance.alarm_life import Situation
from maintenance.alarm_life import Suppression as Kind
from maintenance.models import Suppression
from maintenance.operating_life import Phase, State
from maintenance.operating_models import OperatingState
from sensors.columns import from_instant, to_instant
from sensors.operating_models import OperatingRule

GRACE = timedelta(seconds=30)
"""Readings up to the end may still be on their way; where none come, what is active is told so long after it."""
RUNS, PARENT_OVER = "The machine runs.", "The alarm that it follows from is over."


def phase_of(row: OperatingState) -> Phase:
    since = 0 if row.since is None else from_instant(row.since)
    return Phase(State(row.state), since, None if row.starts_until is None else from_instant(row.starts_until))


def due_of(row: OperatingState, rule: OperatingRule) -> datetime | None:
    """When a state is over by the clock, whatever is said: of a start-up its own end, but counted from when it was
    known where that was long ago or is yet to come."""
    if row.confirmed_at is None or row.since is None:
        return None
    if row.state == State.STARTING and row.starts_until is not None:
        latest = row.confirmed_at + (row.starts_until - row.since)
        return min(max(row.starts_until, row.confirmed_at), latest)
    return row.confirmed_at + timedelta(minutes=rule.holds_minutes) if row.state == State.OFF else None


def hide(row: OperatingState, rule: OperatingRule, phase: Phase, *, now: datetime, at_once: str = "") -> None:
    """Have suppressions stand for what the phase hides. What they hide no longer is told by decide when it has seen the
    readings up to then; ``at_once``, for that reason, where no reading has to do with it."""
    begin = to_instant(phase.since)
    stands = {one.failure_mode: one for one in standing(row) if one.over_at is None or one.over_at > begin}
    for mode in _modes(rule, phase.state):
        one = stands.pop(mode, None)
        if one is not None:
            suppressions.bound(one, until=until_of(row, rule, one.created_at, now), over_at=row.starts_until)
        elif not row.suppressions.filter(failure_mode=mode, from_at=begin).exists():
            _begin(row, rule, mode, now=now)
    for one in stands.values():
        if at_once:
            suppressions.end_of_state(one, now=now, why=at_once)
        else:
            suppressions.bound(one, until=now + GRACE, over_at=begin)


def standing(row: OperatingState) -> QuerySet[Suppression]:
    return row.suppressions.filter(ended_at=None).order_by("id")


def _modes(rule: OperatingRule, state: State) -> list[str]:
    """The failure modes that are hidden, as suppressions name them."""
    said = {State.OFF: rule.off_hides, State.STARTING: rule.startup_hides}.get(state, [])
    return ["" if mode == failure_modes.ALL else mode for mode in said]


def _begin(row: OperatingState, rule: OperatingRule, mode: str, *, now: datetime) -> None:
    begin = to_instant(phase_of(row).since)
    suppressions.begin(
        Suppression(
            site_id=row.site_id, machine_id=row.machine_id, failure_mode=mode, kind=Kind.BY_DESIGN, operating=row,
            from_at=begin, until=max(until_of(row, rule, now, now), begin + suppressions.A_MOMENT),
            over_at=row.starts_until, created_by=row.told_by, created_at=now,
            reason=f"The machine is off or starts up ({row.source})",
        )
    )  # fmt: skip


def until_of(row: OperatingState, rule: OperatingRule, began: datetime, now: datetime) -> datetime:
    """When a suppression that began so, by the clock, ends if nobody ends it before."""
    due = due_of(row, rule) or now
    return due + GRACE if row.state != State.OFF else min(due + GRACE, began + timedelta(hours=rule.most_hours))


def end_passed(situations: Iterable[Situation], *, now: datetime | None = None) -> None:
    """End what is over by the readings that were decided on, in decide's transaction: what is still active is told."""
    passed = {
        stretch.suppression_id
        for situation in situations
        for stretch in situation.stretches
        if not stretch.told and stretch.end is not None and (situation.clock or 0) >= stretch.end
    }
    if passed:
        for row in Suppression.objects.filter(pk__in=passed, ended_at=None).order_by("machine_id", "id"):
            suppressions.end_of_state(row, now=now or timezone.now(), why=RUNS if row.operating_id else PARENT_OVER)
