"""What people do with the schedule of a site: ask for it, pin, override, take out, discard, publish.

Each is one transaction. Whether a change can be carried out is asked of the checker, on the tables as they are by then.
No solver here: the web serves these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from agents.schedule import checker, difference, load
from agents.schedule.difference import Change, Told
from agents.schedule.problem import Busy, Visit
from maintenance import schedules
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors import walls
from sensors.models import Site

LAST = datetime.max.replace(tzinfo=UTC)
MOST_TOLD = 5
"""Violations that a refusal names."""


class CannotBeDone(Refused):
    """The schedule could not be carried out like this."""


def request(site: Site, *, actor: User | None, days: int = 14, now: datetime | None = None) -> Schedule:
    """Ask the agent for a schedule. Raises ``Refused``, ``ValidationError``."""
    published = schedules.published(site)
    found = {} if published is None else astray(published, now=now or timezone.now())
    with transaction.atomic():
        return schedules.request(site, actor=actor, days=days, astray=found)


def pin(visit_id: int, *, actor: User, pinned: bool = True) -> ScheduleVisit:
    """Later schedules keep the visit as it is, or need not. Raises ``Refused``."""
    with transaction.atomic():
        return schedules.pin(_locked(visit_id), pinned=pinned, actor=actor)


def unpin(visit_id: int, *, actor: User) -> ScheduleVisit:
    return pin(visit_id, actor=actor, pinned=False)


def move(visit_id: int, *, actor: User, person: User, start: datetime, now: datetime | None = None) -> ScheduleVisit:
    """Somebody else does it, or at another time; that is pinned. Raises ``Refused`` where that cannot be done."""
    now = now or timezone.now()
    with transaction.atomic():
        start = start.replace(second=0, microsecond=0)
        visit = _locked(visit_id)
        before = wrong(visit.schedule, now=now)
        schedules.move(visit, person=person, start=start, actor=actor)
        _require([one for one in wrong(visit.schedule, now=now) if one not in before])
        return visit


def take_out(visit_id: int, *, actor: User) -> Schedule:
    """The order is not in the schedule; the next one may have it again. Raises ``Refused``."""
    with transaction.atomic():
        visit = _locked(visit_id)
        schedules.take_out(visit, actor=actor)
        return visit.schedule


def discard(schedule_id: int, *, actor: User) -> Schedule:
    """Nothing comes of a proposal. Raises ``Refused``."""
    with transaction.atomic():
        return schedules.discard(schedules.locked(schedule_id), actor=actor)


def publish(schedule_id: int, *, actor: User, now: datetime | None = None) -> Schedule:
    """Plan and assign the orders as the proposal says. Raises ``Refused``, and does nothing, where an order was changed
    since or the schedule can no longer be carried out."""
    now = now or timezone.now()
    with transaction.atomic():
        schedules.alone()
        schedule = schedules.locked(schedule_id)
        schedules.require_proposal(schedule)
        _require(wrong(schedule, now=now))
        return schedules.publish(schedule, actor=actor, now=now)


def wrong(schedule: Schedule, *, now: datetime) -> list[checker.Violation]:
    """What is wrong with a schedule by how things stand now. Orders that are not in it are done when people were
    told; of a published one what is under way or over is left aside."""
    days = max(1, (schedule.begins_at or now).date().toordinal() + schedule.days - now.date().toordinal() + 1)
    with walls.everywhere():  # people may have work in other sites, too
        found = load.read(schedule.site, now=now, days=days)
    orders = {one.id: one for one in found.instance.orders}
    rows = schedule.visits.all()
    if schedule.status == Schedule.Status.PUBLISHED:
        rows = rows.filter(order__in=orders)
    visits = {
        one.order_id: Visit(one.order_id, one.person_id, found.minute(one.start_at), found.minute(one.end_at))
        for one in rows
    }
    others = [
        Busy(told.start, told.end, schedule.site_id, told.person, orders[key].machine)
        for key, told in found.instance.published.items()
        if key not in visits
    ]
    return checker.violations(replace(found.instance, busy=(*found.instance.busy, *others)), visits)


def astray(published: Schedule, *, now: datetime) -> dict[int, int]:
    """Orders for which a published schedule does no longer, with their last steps: they came since, are not planned as
    it says, or cannot be carried out like that."""
    as_planned = published.visits.filter(
        order=OuterRef("pk"), start_at=OuterRef("planned_start"), person=OuterRef("assigned_to")
    )
    others = load.to_do(published.site).exclude(pk__in=published.left_out).exclude(Exists(as_planned))
    return schedules.last_steps(
        {*others.values_list("pk", flat=True), *(one.order for one in wrong(published, now=now))}
    )


def _require(found: Sequence[checker.Violation]) -> None:
    if found:
        told = "; ".join(f"WO-{one.order}: {one.detail}" for one in found[:MOST_TOLD])
        more = f" And {len(found) - MOST_TOLD} more." if len(found) > MOST_TOLD else ""
        raise CannotBeDone(told + more)


def changes(schedule: Schedule) -> list[Change]:
    """What a proposal changes beside what people were told: who is to do which order when, as the orders say it."""
    if schedule.status != Schedule.Status.PROPOSED:
        return []
    after = {one.order_id: Told(one.person_id, one.start_at, one.end_at) for one in schedule.visits.all()}
    orders = WorkOrder.objects.filter(Q(status__in=load.TO_DO) | Q(pk__in=after), site=schedule.site_id)
    before = {
        one.pk: Told(one.assigned_to_id, start, start + min(load.minutes_of(one) * load.MINUTE, LAST - start))
        for one in orders
        for start in [one.planned_start]
        if one.assigned_to_id is not None and start is not None
    }
    return difference.between(before, after)


def _locked(visit_id: int) -> ScheduleVisit:
    """The visit, its schedule locked before it."""
    schedule = schedules.locked(ScheduleVisit.objects.values_list("schedule_id", flat=True).get(pk=visit_id))
    visit = ScheduleVisit.objects.select_for_update().get(pk=visit_id)
    visit.schedule = schedule
    return visit
