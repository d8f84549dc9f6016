"""What is next of a plan, from its rules and what became of it before: read only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from maintenance import plan_life
from maintenance.plan_life import Calendar, Done, Due, Metered, Season
from maintenance.plan_models import Plan, PlanOccurrence

DAY = timedelta(days=1)
FAR_DAYS = 50 * 366
"""What a meter is expected to reach later than this is not told: it hardly moves."""
Outcome = PlanOccurrence.Outcome


@dataclass(frozen=True, slots=True)
class Last:
    """What was done last, as far as the next one counts from it."""

    done: Done | None = None
    target: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Upcoming:
    """One to come. ``due_at``: None where a meter decides and nobody can say when; ``by``: which is first."""

    due_on: date | None
    due_at: datetime | None
    opens_at: datetime | None
    target: float | None
    by: str


def calendar_of(plan: Plan) -> Calendar | None:
    if plan.every is None or plan.first_on is None:
        return None
    season = Season(_day(plan.season_first), _day(plan.season_last)) if plan.season_first else None
    unit, basis = plan_life.Unit(plan.unit), plan_life.Basis(plan.basis)
    return Calendar(plan.every, unit, basis, plan.first_on, season, plan_life.Outside(plan.outside))


def _day(text: str) -> tuple[int, int]:
    month, day = text.split("-")
    return int(month), int(day)


def metered(plan: Plan) -> Metered | None:
    if plan.meter is None or plan.meter_every is None:
        return None
    first = plan.meter.total + plan.meter_every if plan.meter_first is None else plan.meter_first
    return Metered(plan.meter_every, plan_life.Basis(plan.basis), first)


def last_of(plan: Plan, row: PlanOccurrence | None) -> Last:
    """What an occurrence that is over means for the next one; a total of another meter means nothing."""
    if row is None or row.counts_from_on is None:
        return Last()
    due = None if row.due_on is None or row.nominal_on is None else Due(row.nominal_on, row.due_on)
    done = Done(due, row.counts_from_on)
    return Last(done, row.target, row.counts_from_total) if row.meter_id == plan.meter_id else Last(done)


def due_at(plan: Plan, on: date | None) -> datetime | None:
    return None if on is None else plan_life.instant(on, plan.due_time, plan.site.zone)


def opens_at(plan: Plan, on: date | None) -> datetime | None:
    """So many days before it is due, at the same time by the wall clock."""
    return None if on is None else plan_life.instant(on - plan.lead_days * DAY, plan.due_time, plan.site.zone)


def is_reached(plan: Plan, target: float | None) -> bool:
    """Whether the meter calls for the order, its lead observed."""
    return target is not None and plan.meter is not None and plan.meter.total >= target - plan.meter_lead


def expected_at(plan: Plan, target: float | None) -> datetime | None:
    """When the meter is thought to reach a total at the rate of late; None where nobody can say."""
    meter = plan.meter
    if target is None or meter is None or meter.read_at is None or not meter.per_day:
        return None
    days = (target - meter.total) / meter.per_day
    return None if days > FAR_DAYS else meter.read_at + days * DAY


def upcoming(plan: Plan, *, now: datetime, most: int = 10) -> list[Upcoming]:
    """The next ones, each thought to be done when it is due; the first is the one that is open, where one is."""
    newest = plan.occurrences.first() if plan.pk is not None else None
    is_open = newest is not None and newest.outcome == ""
    last = plan.occurrences.exclude(outcome="").first() if is_open else newest
    return list(islice(_chain(plan, last_of(plan, last), now=now, first=newest if is_open else None), most))


def _chain(plan: Plan, last: Last, *, now: datetime, first: PlanOccurrence | None) -> Iterator[Upcoming]:
    rule, meter = calendar_of(plan), metered(plan)
    while True:
        due = plan_life.following(rule, last.done) if rule else None
        target = plan_life.next_target(meter, target=last.target, done_at=last.total) if meter else None
        if first is not None:
            due = Due(first.nominal_on, first.due_on) if first.nominal_on and first.due_on else None
            target, first = first.target, None
        one = _first_of(plan, due, target)
        yield one
        if one.due_at is None:
            return
        at = max(one.due_at, now)
        total = target if one.by == "meter" else _total_then(plan, at)
        last = Last(Done(due, at.astimezone(plan.site.zone).date()), target, total)


def _first_of(plan: Plan, due: Due | None, target: float | None) -> Upcoming:
    on = None if due is None else due.on
    by_calendar, by_meter = due_at(plan, on), expected_at(plan, target)
    if by_meter is None or (by_calendar is not None and by_calendar <= by_meter):
        by = "meter" if on is None else "calendar"
        return Upcoming(on, by_calendar, opens_at(plan, on), target, by)
    lead = expected_at(plan, target - plan.meter_lead) if target is not None else None
    return Upcoming(by_meter.astimezone(plan.site.zone).date(), by_meter, lead, target, "meter")


def _total_then(plan: Plan, at: datetime) -> float | None:
    meter = plan.meter
    if meter is None or meter.read_at is None:
        return None
    return meter.total + (meter.per_day or 0.0) * max((at - meter.read_at) / DAY, 0.0)
