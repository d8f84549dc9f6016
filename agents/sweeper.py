"""Find what is due and not on its way, and ring for it again; while ringing fails or nobody answers, do the work here.

Any number of copies may run: what one marks as rung, the others leave alone, and claims are fenced.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from agents import deliver, doorbell, lease, pipeline
from agents.doorbell import Bell
from agents.models import Run
from maintenance.models import Notification
from sensors import discovery

STAGES = frozenset(stage.lower() for stage in Run.Stage.values)
MOST = 300
PATIENT_RINGS = 3
PATIENT_SECONDS = 10
PASS_SECONDS = 10.0


def sweep() -> int:
    """One pass; how many bells were due."""
    found = list(_due())
    silent = [bell for bell, unanswered in found if unanswered or not doorbell.ring(bell)]
    work_off(
        [bell for bell in silent if bell.queue != "quarantine"], seconds=PASS_SECONDS
    )  # what kills is not for here
    return len(found)


def due() -> Iterable[Bell]:
    """What has to be looked at now, runs before deliveries."""
    return (bell for bell, _ in _due())


def _due() -> Iterable[tuple[Bell, bool]]:
    """Each bell that is due, and whether it was rung for and nobody came: its workers are deaf, or too few.

    Deliveries are never sent from here only because nobody came: one slow target would hold up the sweep.
    """
    rings = lease.overdue(Run, limit=MOST, status="ACTIVE")
    for run in Run.objects.filter(pk__in=rings).order_by("pk").only("pk", "lane", "stage"):
        bell = Bell("ingest", run.lane) if run.stage == Run.Stage.INGEST else Bell(run.stage.lower(), run.pk)
        yield bell, rings[run.pk] > PATIENT_RINGS
    for run_id in lease.overdue(Run, limit=MOST, status="QUARANTINE"):
        yield Bell("quarantine", run_id), False
    waiting_long = set(pipeline.idle_lanes_with_work(for_seconds=PATIENT_SECONDS))
    for lane in pipeline.idle_lanes_with_work():
        yield Bell("ingest", lane), lane in waiting_long
    for notification_id in lease.overdue(Notification, limit=MOST, status="PENDING"):
        yield Bell("deliver", notification_id), False
    discovery.let_go_of_stragglers()  # parts that came in while their sensor was being adopted; the next pass rings


def work_off(bells: Iterable[Bell], *, seconds: float = math.inf) -> None:
    """Answer bells in this process, and those they lead to, until nothing is left or time is up.

    Stages go before everything else, so that a target that hangs holds up no run; and a run that has begun goes through
    to its end before another begins, so that readings wait for one round of the lanes and not for two. Lanes take
    turns. What is left is due at the next pass.
    """
    ends = time.monotonic() + seconds
    stages, others = deque[Bell](), deque[Bell]()

    def sort(found: Iterable[Bell]) -> None:
        for bell in found:
            if bell.queue not in STAGES:
                others.append(bell)
            elif bell.queue == "ingest":
                stages.append(bell)
            else:
                stages.appendleft(bell)

    sort(bells)
    while (stages or others) and time.monotonic() < ends:
        sort(answer((stages or others).popleft()))


def answer(bell: Bell) -> tuple[Bell, ...]:
    """Do what the worker behind a queue does; the bells to ring next."""
    if bell.queue == "ingest":
        return pipeline.begin(bell.id).bells
    if bell.queue == "deliver":
        deliver.deliver(bell.id)
        return ()
    if bell.queue == "quarantine":
        return pipeline.search(bell.id).bells
    return pipeline.perform(bell.queue.upper(), bell.id).bells
