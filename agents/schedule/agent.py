"""The agent: makes the schedules that were asked for.

The solver is loaded when the first schedule is made: it takes memory of every process that has it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.schedule import checker, load, steps
from agents.schedule.load import Problem
from agents.schedule.problem import Limits, Solution
from maintenance import schedules
from maintenance.schedule_models import Schedule
from maintenance.schedules import Placed

log = structlog.get_logger(__name__)

LONGEST_SECONDS = settings.SCHEDULE_SECONDS + 120
"""That making one may take; after it somebody else may begin."""
ATTEMPTS = 3


class NotToBeDone(Exception):
    """The solver made a schedule that cannot be carried out: a fault of the program."""


def look_round() -> list[int]:
    """Ask for schedules where something changed; ids of those that are asked for and not begun, the oldest first."""
    ask_where_changed()
    return _waiting()


def perform_waiting(*, limits: Limits | None = None) -> list[int]:
    """Make the schedules that are asked for, the oldest first; their ids."""
    return [key for key in _waiting() if perform(key, limits=limits) is not None]


def perform(schedule_id: int, *, limits: Limits | None = None, now: datetime | None = None) -> Schedule | None:
    """Make one schedule; None where it is not asked for any more, or somebody is at it. No transaction is open while
    the solver works.

    What goes wrong is told by the schedule, and raised.
    """
    if not schedules.begin(schedule_id, lease=timedelta(seconds=LONGEST_SECONDS)):
        return None
    schedule = Schedule.objects.select_related("site").get(pk=schedule_id)
    if schedule.attempts > ATTEMPTS:
        with transaction.atomic():
            schedules.fail(schedule, reason=f"{ATTEMPTS} attempts began and did not end: their workers were killed.")
        return None
    now, began = now or timezone.now(), time.monotonic()
    seen = schedules.last_steps(load.to_do(schedule.site).values_list("pk", flat=True))
    asked = load.read(schedule.site, now=now, days=schedule.days, pins=schedules.pins(schedule.site))
    asked, lost = _without_lost_pins(asked)
    try:
        found = _solve(asked, limits or Limits(settings.SCHEDULE_SECONDS))
    except Exception as error:
        with transaction.atomic():
            schedules.fail(schedules.locked(schedule_id), reason=f"{type(error).__name__}: {error}")
        raise
    with transaction.atomic():
        schedules.alone()
        schedule = schedules.locked(schedule_id)
        if schedule.status != Schedule.Status.REQUESTED:
            return None
        schedules.propose(
            schedule, _placed(asked, found), seen=seen, begins_at=asked.origin, made_at=now, method=found.method,
            cost=found.cost, bound=found.bound, seconds=round(time.monotonic() - began, 2),
            left_out=sorted(one.id for one in asked.instance.orders if one.id not in found.visits),
            reason=_reason(asked, lost),
        )  # fmt: skip
    log.info("agents.schedule.made", schedule=schedule_id, orders=len(asked.instance.orders), gap=round(found.gap, 3))
    return schedule


def _waiting() -> list[int]:
    rows = schedules.to_begin(lease=timedelta(seconds=LONGEST_SECONDS)).order_by("id")
    return list(rows.values_list("id", flat=True))


def ask_where_changed(*, now: datetime | None = None) -> list[int]:
    """Ask for a schedule in each site where the published one does no longer (``steps.astray``) and none is asked for
    or proposed; after one that was discarded or failed, only for what went astray since it was asked for. Ids of the
    schedules."""
    now, asked = now or timezone.now(), []
    for schedule in Schedule.objects.filter(status=Schedule.Status.PUBLISHED).select_related("site"):
        newest = Schedule.objects.filter(site=schedule.site_id, pk__gte=schedule.pk).order_by("-id")[0]
        waits = newest.status in (Schedule.Status.REQUESTED, Schedule.Status.PROPOSED)
        if not waits and _fresh(schedule, newest, now=now):
            asked.append(steps.request(schedule.site, actor=None, days=schedule.days, now=now).pk)
    return asked


def _fresh(published: Schedule, newest: Schedule, *, now: datetime) -> bool:
    answered = {} if newest == published else schedules.answered(newest)
    return not steps.astray(published, now=now).items() <= answered.items()


def _without_lost_pins(asked: Problem) -> tuple[Problem, list[str]]:
    """Pins that cannot be kept any more are let go, and told."""
    wrong = checker.violations(asked.instance, asked.instance.pinned)
    lost = {one.order for one in wrong}
    kept = {key: visit for key, visit in asked.instance.pinned.items() if key not in lost}
    told = [f"WO-{one.order}: {one.detail}" for one in wrong]
    return replace(asked, instance=replace(asked.instance, pinned=kept)), told


def _solve(asked: Problem, limits: Limits) -> Solution:
    search = import_module("agents.schedule.search")  # not above: the solver takes memory, also of who solves nothing
    found: Solution = search.solve(asked.instance, limits)
    wrong = checker.violations(asked.instance, found.visits)
    if wrong:
        raise NotToBeDone("; ".join(f"WO-{one.order}: {one.detail}" for one in wrong))
    return found


def _placed(asked: Problem, found: Solution) -> list[Placed]:
    pinned = asked.instance.pinned
    return [
        Placed(one.order, one.person, asked.instant(one.start), asked.instant(one.end), one.order in pinned)
        for one in found.visits.values()
    ]


def _reason(asked: Problem, lost: list[str]) -> str:
    """What people should know of the proposal: pins that were let go, and orders nobody has a date of the parts for."""
    told = ["Pins that could not be kept: " + "; ".join(lost)] if lost else []
    if asked.no_parts:
        told.append("Nobody knows when their parts are there: " + ", ".join(f"WO-{key}" for key in asked.no_parts))
    return ". ".join(told)
