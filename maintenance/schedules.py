"""Versions of a site's schedule. The only writer of Schedule and ScheduleVisit.

Whether a schedule can be carried out is not known here: ``agents.schedule.steps`` asks the checker first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat, Now
from django.utils import timezone

from maintenance import order_life, order_steps
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.refusals import Refused
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors import journal
from sensors.models import Event, Site

Status = Schedule.Status
MOVES = (order_life.Action.PLANNED, order_life.Action.ASSIGNED)
LOCK = 0x62775F706C616E73
"""Of the advisory lock under which schedules are made and published, one at a time in all sites: people work in
several."""


class NotAProposal(Refused):
    """Only a proposal can be changed, published or discarded."""


class OneWaits(Refused):
    """A schedule of this site is asked for already."""


class ChangedMeanwhile(Refused):
    """Since the schedule was made these were changed: make a new one, or take them out."""


class TooLate(Refused):
    """It would begin after all that the schedule plans."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A visit that is to be stored."""

    order_id: int
    person_id: int
    start_at: datetime
    end_at: datetime
    is_pinned: bool = False


def alone() -> None:
    """Wait until nobody else makes or publishes a schedule; until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def request(
    site: Site, *, actor: User | None, days: int = 14, astray: Mapping[int, int] = MappingProxyType({})
) -> Schedule:
    """Ask for a schedule, in the caller's transaction; the agent makes it. Raises ``OneWaits``, ``ValidationError``.

    ``astray``: orders for which the published one does no longer, with their last steps; kept in the journal.
    """
    alone()
    if waits(site):
        raise OneWaits
    new = Schedule(site=site, requested_by=actor, days=days)
    new.clean_fields(exclude=[one.name for one in Schedule._meta.fields if one.name != "days"])
    new.save(force_insert=True)
    _journal(new, "requested", actor=actor, astray={str(key): step for key, step in astray.items()})
    return new


def waits(site: Site) -> bool:
    return Schedule.objects.filter(site=site, status=Status.REQUESTED).exists()


def to_begin(*, lease: timedelta) -> QuerySet[Schedule]:
    """Those that are asked for and that nobody began within the lease."""
    free = Q(begun_at=None) | Q(begun_at__lt=Now() - lease)
    return Schedule.objects.filter(free, status=Status.REQUESTED)


def begin(schedule_id: int, *, lease: timedelta) -> bool:
    """Whether it is the caller's to make: for the time of the lease nobody else's."""
    mine = to_begin(lease=lease).filter(pk=schedule_id)
    return mine.update(begun_at=Now(), attempts=F("attempts") + 1) == 1


def propose(schedule: Schedule, placed: Iterable[Placed], *, seen: Mapping[int, int], **said: Any) -> Schedule:
    """What the agent made of it takes the place of the proposal that stood, in the caller's transaction.

    ``seen``: ``last_steps`` of before the orders were read; what was changed while it was made cannot be published.
    """
    Schedule.objects.filter(site=schedule.site_id, status=Status.PROPOSED).update(status=Status.REPLACED)
    _set(schedule, status=Status.PROPOSED, **said)
    rows = list(placed)
    ScheduleVisit.objects.bulk_create(
        ScheduleVisit(
            schedule=schedule, order_id=one.order_id, person_id=one.person_id, start_at=one.start_at, end_at=one.end_at,
            is_pinned=one.is_pinned, seen_step=seen.get(one.order_id, 0),
        )
        for one in rows
    )  # fmt: skip
    _journal(schedule, "proposed", visits=len(rows), cost=schedule.cost, bound=schedule.bound)
    return schedule


def fail(schedule: Schedule, *, reason: str) -> None:
    _set(schedule, status=Status.FAILED, reason=reason)
    _journal(schedule, "failed", reason=reason)


def discard(schedule: Schedule, *, actor: User) -> Schedule:
    """Nothing comes of a proposal. Raises ``NotAProposal``."""
    require_proposal(schedule)
    _set(schedule, status=Status.DISCARDED)
    _journal(schedule, "discarded", actor=actor)
    return schedule


def pin(visit: ScheduleVisit, *, pinned: bool, actor: User) -> ScheduleVisit:
    """Later schedules keep the visit as it is, or need not. Raises ``NotAProposal``."""
    require_proposal(visit.schedule)
    visit.is_pinned = pinned
    visit.save(update_fields=["is_pinned"])
    _journal(visit.schedule, "pinned" if pinned else "unpinned", actor=actor, order=visit.order_id)
    return visit


def move(visit: ScheduleVisit, *, person: User, start: datetime, actor: User) -> ScheduleVisit:
    """A person says who does it when: that is pinned. Raises ``NotAProposal``, ``TooLate``."""
    require_proposal(visit.schedule)
    if start > (visit.schedule.begins_at or timezone.now()) + timedelta(days=visit.schedule.days):
        raise TooLate
    length: timedelta = visit.end_at - visit.start_at
    visit.person, visit.start_at, visit.end_at, visit.is_pinned = person, start, start + length, True
    visit.save(update_fields=["person", "start_at", "end_at", "is_pinned"])
    _journal(visit.schedule, "moved", actor=actor, order=visit.order_id, person=person.pk, start=start.isoformat())
    return visit


def take_out(visit: ScheduleVisit, *, actor: User) -> None:
    """The order is not in the schedule. Raises ``NotAProposal``."""
    require_proposal(visit.schedule)
    schedule = visit.schedule
    _set(schedule, left_out=sorted({*schedule.left_out, visit.order_id}))
    _journal(schedule, "taken_out", actor=actor, order=visit.order_id)
    visit.delete()


def publish(schedule: Schedule, *, actor: User, now: datetime) -> Schedule:
    """The orders are planned and assigned as the proposal says, all of them or none, in the caller's transaction.

    Raises ``NotAProposal``, ``ChangedMeanwhile``, ``Refused`` of the steps.
    """
    require_proposal(schedule)
    visits = list(schedule.visits.select_related("person").order_by("order_id"))
    orders = {
        one.pk: one
        for one in WorkOrder.objects.select_for_update(no_key=True)
        .filter(pk__in=[visit.order_id for visit in visits])
        .order_by("pk")
    }
    steps = last_steps(orders)
    changed = [visit.order_id for visit in visits if steps.get(visit.order_id, 0) != visit.seen_step]
    if changed:
        raise ChangedMeanwhile(", ".join(f"WO-{key}" for key in changed) + ".")
    for visit in visits:
        _carry_out(orders[visit.order_id], visit, schedule, actor=actor, now=now)
    Schedule.objects.filter(site=schedule.site_id, status=Status.PUBLISHED).update(status=Status.REPLACED)
    _set(schedule, status=Status.PUBLISHED, published_by=actor, published_at=now)
    _journal(schedule, "published", actor=actor, visits=len(visits))
    return schedule


def _carry_out(order: WorkOrder, visit: ScheduleVisit, schedule: Schedule, *, actor: User, now: datetime) -> None:
    """Plan and assign, as far as the order does not say so already."""
    minutes = int((visit.end_at - visit.start_at).total_seconds() // 60)
    if (order.planned_start, order.planned_minutes) != (visit.start_at, minutes):
        said = f"{schedule}: {visit.start_at:%Y-%m-%d %H:%M} UTC, {minutes} min"
        order_steps.plan(order.pk, actor=actor, start=visit.start_at, minutes=minutes, comment=said, now=now)
    if order.assigned_to_id != visit.person_id:
        order_steps.assign(order.pk, actor=actor, assignee=visit.person, now=now)


def require_proposal(schedule: Schedule) -> None:
    if schedule.status != Status.PROPOSED:
        raise NotAProposal


def locked(schedule_id: int) -> Schedule:
    return Schedule.objects.select_for_update(no_key=True).get(pk=schedule_id)


def last_steps(orders: Iterable[int]) -> dict[int, int]:
    """By order the id of its last transition."""
    rows: QuerySet[Any, Any] = WorkOrder.objects.filter(pk__in=list(orders)).annotate(last=Max("transitions__id"))
    return {key: last or 0 for key, last in rows.values_list("pk", "last")}


def published(site: Site) -> Schedule | None:
    return Schedule.objects.filter(site=site, status=Status.PUBLISHED).first()


def answered(schedule: Schedule) -> dict[int, int]:
    """What was astray when the schedule was asked for, whatever came of it."""
    asked = Event.objects.filter(subject=f"schedule/{schedule.pk}", type="schedule.requested").order_by("id").first()
    said: dict[str, int] = {} if asked is None else asked.data.get("astray", {})
    return {int(key): step for key, step in said.items()}


def pins(site: Site) -> Sequence[ScheduleVisit]:
    """What people pinned in what stands: in the proposal, and of orders that are not in there in what is published.
    Not where somebody planned or assigned the order otherwise since."""
    standing = ScheduleVisit.objects.filter(
        schedule__site=site, schedule__status__in=[Status.PUBLISHED, Status.PROPOSED]
    )
    in_proposal = set(standing.filter(schedule__status=Status.PROPOSED).values_list("order_id", flat=True))
    since = WorkOrderTransition.objects.filter(order=OuterRef("order"), id__gt=OuterRef("seen_step"), action__in=MOVES)
    as_told = Q(order__planned_start=F("start_at"), order__assigned_to=F("person"))
    rows = standing.filter(as_told | Q(~Exists(since), schedule__status=Status.PROPOSED), is_pinned=True)
    rows = rows.exclude(order__status__in=sorted(order_life.OVER)).select_related("schedule").order_by("schedule_id")
    return [one for one in rows if one.schedule.status == Status.PROPOSED or one.order_id not in in_proposal]


def with_changes(rows: QuerySet[Schedule]) -> QuerySet[Schedule]:
    """With ``changed``: how often people moved a visit or took one out. Points, bound and gap are those of before."""
    subject = Concat(Value("schedule/"), Cast(OuterRef("pk"), CharField()))
    made = Event.objects.filter(subject=subject, type__in=["schedule.moved", "schedule.taken_out"]).order_by()
    counted = made.values("subject").annotate(count=Count("pk")).values("count")
    return rows.annotate(changed=Coalesce(Subquery(counted), 0))


def _set(schedule: Schedule, **said: Any) -> None:
    for name, value in said.items():
        setattr(schedule, name, value)
    schedule.save(update_fields=list(said))


def _journal(schedule: Schedule, what: str, *, actor: User | None = None, **data: Any) -> None:
    """Keyed by the schedule's last entry: each step has its own."""
    subject, kind = f"schedule/{schedule.pk}", f"schedule.{what}"
    last = Event.objects.filter(subject=subject).order_by("-id").values_list("id", flat=True).first() or 0
    name = "" if actor is None else actor.get_username()
    journal.record([
        journal.Entry(kind, subject, f"{kind}/{schedule.pk}/after/{last}", timezone.now(), schedule.site_id, name, data)
    ])  # fmt: skip
