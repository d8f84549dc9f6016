"""Find what is due and not on its way, and ring for it again; while ringing fails or nobody answers, do the work here.

Any number of copies may run: what one marks as rung, the others leave alone, and claims are fenced.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from functools import partial

import structlog
from django.conf import settings

from agents import apart, deliver, doorbell, lease, pipeline, strangers
from agents.doorbell import Bell
from agents.models import Run
from maintenance.models import Notification
from sensors import discovery

log = structlog.get_logger(__name__)

CHILDREN = max(1, min(4, os.cpu_count() or 1))
STAGES = frozenset(stage.lower() for stage in Run.Stage.values)
KNOWN = list(Run.Stage.values)
LEFT = frozenset({"quarantine"})
"""What a pass leaves to its own worker: a search may take longer than everything else can wait."""
MOST = 300
PATIENT_RINGS = 3
PATIENT_SECONDS = 10
PASS_SECONDS = 10.0


def sweep() -> int:
    """One pass; how many bells were due."""
    found = list(_due())
    silent = [bell for bell, unanswered in found if unanswered or not doorbell.ring(bell)]
    work_off_apart([bell for bell in silent if bell.queue not in LEFT], seconds=PASS_SECONDS)
    strangers.teller.tell()
    return len(found)


def work_off_apart(bells: Sequence[Bell], *, seconds: float) -> None:
    """Answer bells in child processes, one for each core: a reading that kills who works on it must not end the sweep.

    The death is counted, as a worker's is (``agents.lease``): after two of them the run goes to quarantine.
    """
    shares = [share for n in range(CHILDREN) if (share := bells[n::CHILDREN])]
    most = seconds + settings.CELERY_TASK_TIME_LIMIT
    until = time.monotonic() + most
    for child in [apart.start(partial(_work_off, share, seconds), seconds=most) for share in shares]:
        said = apart.listen(child, until=until)
        if isinstance(said, str):
            log.error("agents.sweeper.child-died", how=said)


def _work_off(bells: Sequence[Bell], seconds: float) -> bytes:
    work_off(bells, seconds=seconds, leave=LEFT)
    return b""


def due() -> Iterable[Bell]:
    """What has to be looked at now, runs before deliveries."""
    return (bell for bell, _ in _due())


def _due() -> Iterable[tuple[Bell, bool]]:
    """Each bell that is due, and whether it was rung for and nobody came: its workers are deaf, or too few.

    Deliveries are never sent from here only because nobody came: one slow target would hold up the sweep.
    """
    _give_back()
    rings = lease.overdue(Run, limit=MOST, status="ACTIVE", stage=KNOWN)
    for run in Run.objects.filter(pk__in=rings).order_by("pk").only("pk", "lane", "stage"):
        bell = Bell("ingest", run.lane) if run.stage == Run.Stage.INGEST else Bell(run.stage.lower(), run.pk)
        yield bell, rings[run.pk] > PATIENT_RINGS
    for run_id in lease.overdue(Run, limit=MOST, status="QUARANTINE", stage=KNOWN):
        yield Bell("quarantine", run_id), False
    waiting_long = set(pipeline.idle_lanes_with_work(for_seconds=PATIENT_SECONDS))
    for lane in pipeline.idle_lanes_with_work():
        yield Bell("ingest", lane), lane in waiting_long
    for notification_id in lease.overdue(Notification, limit=MOST, status="PENDING"):
        yield Bell("deliver", notification_id), False
    discovery.let_go_of_stragglers()  # parts that came in while their sensor was being adopted; the next pass rings


def _give_back() -> None:
    """What a worker of this machine held that was killed, or had to end before its work did, need not wait."""
    runs = lease.give_back_for_the_dead(Run, status=["ACTIVE", "QUARANTINE"])
    if messages := lease.give_back_for_the_dead(Notification, status="PENDING"):
        log.warning("agents.sweeper.gave-back", notifications=messages)
    if runs:
        log.warning("agents.sweeper.gave-back", runs=runs)


def work_off(bells: Iterable[Bell], *, seconds: float = math.inf, leave: Collection[str] = frozenset()) -> None:
    """Answer bells in this process, and those they lead to, until nothing is left or time is up.

    Stages go before everything else, so that a target that hangs holds up no run; and a run that has begun goes through
    to its end before another begins, so that readings wait for one round of the lanes and not for two. Lanes take
    turns. What is left, and what is for a queue in ``leave``, is due at the next pass.
    """
    ends = time.monotonic() + seconds
    stages, others = deque[Bell](), deque[Bell]()

    def sort(found: Iterable[Bell]) -> None:
        for bell in found:
            if bell.queue in leave:
                continue
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
