"""Find what is due and not on its way, and ring for it again; while ringing fails, do the work here.

Any number of copies may run: what one marks as rung, the others leave alone, and claims are fenced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from agents import deliver, doorbell, lease, pipeline
from agents.doorbell import Bell
from agents.models import Run
from maintenance.models import Notification
from sensors import discovery

MOST = 300


def sweep() -> int:
    """One pass; how many bells were due."""
    bells = list(due())
    for bell in bells:
        if not doorbell.ring(bell):
            work_off([bell])
    return len(bells)


def due() -> Iterable[Bell]:
    """What has to be looked at now, runs before deliveries."""
    discovery.let_go_of_stragglers()  # parts that came in while their sensor was being adopted
    stages = dict(Run.objects.filter(pk__in=lease.overdue(Run, limit=MOST, status="ACTIVE")).values_list("id", "stage"))
    for run_id, stage in sorted(stages.items()):
        yield Bell("ingest", _lane(run_id)) if stage == Run.Stage.INGEST else Bell(stage.lower(), run_id)
    for lane in pipeline.idle_lanes_with_work():
        yield Bell("ingest", lane)
    for notification_id in lease.overdue(Notification, limit=MOST, status="PENDING"):
        yield Bell("deliver", notification_id)


def _lane(run_id: int) -> int:
    return Run.objects.values_list("lane", flat=True).get(pk=run_id)


def work_off(bells: Iterable[Bell]) -> None:
    """Answer bells in this process, and those they lead to, until nothing is left."""
    waiting = deque(bells)
    while waiting:
        waiting.extend(answer(waiting.popleft()))


def answer(bell: Bell) -> tuple[Bell, ...]:
    """Do what the worker behind a queue does; the bells to ring next."""
    if bell.queue == "ingest":
        return pipeline.begin(bell.id).bells
    if bell.queue == "deliver":
        deliver.deliver(bell.id)
        return ()
    return pipeline.perform(bell.queue.upper(), bell.id).bells
