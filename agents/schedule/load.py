"""The scheduling problem of a site as it stands now, read from the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Q, QuerySet

from agents.schedule import problem
from agents.schedule.problem import Busy, Instance, Order, Person, Span, Visit
from maintenance import calendars, rotas, shortages
from maintenance.effort_models import LabourRate
from maintenance.models import WorkOrder
from maintenance.order_life import Status
from maintenance.people_models import RequiredSkill, Travel, Worker, WorkerSkill
from maintenance.schedule_models import ScheduleVisit
from sensors import access, permissions
from sensors.models import Site

TO_DO = (Status.OPEN, Status.PLANNED, Status.ASSIGNED)
"""What is scheduled. What is requested waits for approval, what is on hold waits for something else."""
MINUTE = timedelta(minutes=1)
AT_LEAST = 15
"""Minutes that work which is under way goes on at least."""
NEVER = 10**9
"""A minute that does not come: of skills without an end."""


@dataclass(frozen=True, slots=True)
class Problem:
    """``origin``: the instant of minute 0. Orders by their ids, persons by their users' ids. ``no_parts``: orders that
    are short of parts of which nobody knows when they come."""

    instance: Instance
    origin: datetime
    no_parts: tuple[int, ...] = ()

    def minute(self, at: datetime) -> int:
        """The minute that has begun by an instant."""
        return (at - self.origin) // MINUTE

    def first_after(self, at: datetime) -> int:
        """The first minute that begins at an instant or after it."""
        return -((self.origin - at) // MINUTE)

    def instant(self, minute: int) -> datetime:
        return self.origin + minute * MINUTE


def read(site: Site, *, now: datetime, days: int, pins: Iterable[ScheduleVisit] = ()) -> Problem:
    """Everything that bears on the site's schedule from ``now`` on, for so many days. ``pins``: visits that stay."""
    origin = now.replace(second=0, microsecond=0) + MINUTE
    end = origin + timedelta(days=days)
    clock = Problem(Instance(0, (), ()), origin)
    orders = list(to_do(site).select_related("machine", "timing").order_by("id"))
    workers = _workers(site)
    persons = _persons(workers, site, clock, end)
    known = {one.id for one in persons}
    pinned = {
        pin.order_id: _visit(pin, clock)
        for pin in pins
        if pin.start_at >= origin and pin.end_at <= end and pin.person_id in known
    }
    minutes = {order.pk: minutes_of(order) for order in orders}
    pinned = {k: v for k, v in pinned.items() if minutes.get(k) == v.end - v.start}
    machines = calendars.of_machines({one.machine for one in orders}, site, begin=origin, end=end)
    parts = _parts(orders, site, clock, now)
    instance = Instance(
        horizon=days * problem.DAY,
        orders=tuple(_orders(site, orders, parts, clock, never=days * problem.DAY)),
        persons=persons,
        machines={key: _minutes(spans, clock) for key, spans in machines.items()},
        travel=_travel(),
        busy=tuple(_busy(site, [one.user_id for one in workers], clock)),
        pinned=pinned,
        published=_told(orders, clock),
        move_cost=settings.SCHEDULE_MOVE_COST,
    )
    return Problem(instance, origin, tuple(key for key, at in parts.items() if at is None))


def to_do(site: Site) -> QuerySet[WorkOrder]:
    return WorkOrder.objects.filter(site=site, status__in=TO_DO)


def minutes_of(order: WorkOrder) -> int:
    return order.planned_minutes or settings.SCHEDULE_MINUTES


def _workers(site: Site) -> Sequence[Worker]:
    able = access.members(site.pk, to="orders.act").values("pk")
    rows = Worker.objects.filter(Q(user__in=able) | Q(user__is_superuser=True, site=site))
    rows = rows.filter(is_scheduled=True, user__is_active=True).select_related("site", "user").order_by("id")
    return list(rows.prefetch_related("hours", "absences", "skills__skill", "user__memberships"))


def _persons(workers: Sequence[Worker], site: Site, clock: Problem, end: datetime) -> tuple[Person, ...]:
    """An hour of somebody without a labour rate in the site costs as much as the dearest that is known."""
    rates = dict(LabourRate.objects.filter(site=site).values_list("worker", "hourly_cost"))
    dearest = max(rates.values(), default=Decimal(0))
    shifts = calendars.of_workers(workers, begin=clock.origin, end=end)
    found = []
    for one in workers:
        skills = {held.skill.code: _until(held, one, clock) for held in one.skills.all()}
        sites = {row.site_id for row in one.user.memberships.all() if row.role in permissions.roles("orders.act")}
        sites |= {one.site_id} if one.user.is_superuser else set()
        mine = _minutes(shifts[one.pk], clock)
        found.append(Person(one.user_id, mine, skills, frozenset(sites), round(rates.get(one.user_id, dearest))))
    return tuple(found)


def _until(held: WorkerSkill, worker: Worker, clock: Problem) -> int:
    """The minute in which a skill expires: with the end of its last day in the home site."""
    if held.expires_on is None:
        return NEVER
    return clock.minute(rotas.instant(held.expires_on + calendars.DAY, time(), worker.site.zone))


def _parts(orders: Sequence[WorkOrder], site: Site, clock: Problem, now: datetime) -> dict[int, int | None]:
    """From which minute on the parts of an order are there; orders that have all of them are not named.

    When a person says, if that is still to come: what was ordered from a supplier is known to them alone. Else from
    the begin of the day, in the site, on which what is short can be there; None where nobody knows.
    """
    zone, found = site.zone, dict[int, int | None]()
    for one in shortages.of_orders([order.pk for order in orders], now=now):
        day, before = one.earliest_on, found.get(one.order, 0)
        at = None if day is None else clock.first_after(rotas.instant(day, time(), zone))
        found[one.order] = None if at is None or before is None else max(at, before)
    said = {one.pk: one.timing.parts_from for one in orders if getattr(one, "timing", None) is not None}
    return found | {key: clock.first_after(at) for key, at in said.items() if at is not None and at > now}


def _orders(
    site: Site, orders: Sequence[WorkOrder], parts: Mapping[int, int | None], clock: Problem, *, never: int
) -> Iterable[Order]:
    """``never``: a minute in which nothing begins, for orders whose parts do not come as far as is known."""
    asked = list(RequiredSkill.objects.filter(site=site).select_related("skill"))
    for order in orders:
        timing = getattr(order, "timing", None)
        fails = None if timing is None or timing.fails_from is None else clock.minute(timing.fails_from)
        due = None if order.due_at is None else clock.minute(order.due_at)
        there = parts.get(order.pk, 0)
        by_hand = order.assigned_to_id if order.planned_start is None else None
        yield Order(
            id=order.pk, machine=order.machine_id, site=site.pk, minutes=minutes_of(order), priority=order.priority,
            skills=frozenset(one.skill.code for one in asked if _asks(one, order)),
            earliest=never if there is None else max(0, there),
            due=problem.due_by(due, fails_from=fails, lead=0 if timing is None else timing.lead_minutes),
            arrived=clock.minute(order.opened_at), only=by_hand,
        )  # fmt: skip


def _asks(one: RequiredSkill, order: WorkOrder) -> bool:
    if one.order_id is not None:
        return one.order_id == order.pk
    mode, kind = one.failure_mode, one.maintenance_type
    return mode in ("", order.failure_mode) and kind in ("", order.maintenance_type)


def _told(orders: Iterable[WorkOrder], clock: Problem) -> dict[int, Visit]:
    """What people were told: of each order that has both, its time and its person. Not what should have begun."""
    return {
        one.pk: Visit(one.pk, one.assigned_to_id, begin, begin + minutes_of(one))
        for one in orders
        if one.assigned_to_id is not None and one.planned_start is not None
        for begin in [clock.minute(one.planned_start)]
        if begin >= 0
    }


def _busy(site: Site, users: Sequence[int], clock: Problem) -> Iterable[Busy]:
    """What is being worked on, and what people were told to do in other sites."""
    of_them = Q(assigned_to__in=users)
    for order in WorkOrder.objects.filter(Q(site=site) | of_them, status=Status.IN_PROGRESS):
        began = clock.minute(order.started_at or order.opened_at)
        end = max(began + minutes_of(order), AT_LEAST)
        yield Busy(began, end, order.site_id, order.assigned_to_id, order.machine_id)
    elsewhere = WorkOrder.objects.filter(of_them, status__in=TO_DO, planned_start__isnull=False).exclude(site=site)
    for order in elsewhere:
        for visit in _told([order], clock).values():
            yield Busy(visit.start, visit.end, order.site_id, visit.person)


def _travel() -> dict[tuple[int, int], int]:
    """Both ways; where each is entered, each its own."""
    said = {(row.site_id, row.to_site_id): row.minutes for row in Travel.objects.all()}
    return {(b, a): minutes for (a, b), minutes in said.items()} | said


def _visit(pin: ScheduleVisit, clock: Problem) -> Visit:
    return Visit(pin.order_id, pin.person_id, clock.minute(pin.start_at), clock.minute(pin.end_at))


def _minutes(spans: Iterable[calendars.Between], clock: Problem) -> tuple[Span, ...]:
    """Whole minutes that lie within."""
    found = ((clock.first_after(begin), clock.minute(end)) for begin, end in spans)
    return tuple(span for span in found if span[0] < span[1])
