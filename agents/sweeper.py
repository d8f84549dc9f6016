"""Find what is due and not on its way, and ring for it again; while ringing fails or nobody answers, do the work here.

Any number of copies may run: what one marks as rung, the others leave alone, and claims are fenced.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import structlog
from django.conf import settings

from agents import apart, approve, deliver, doorbell, errand, escalate, lease, pipeline, shelves, strangers
from agents import webhooks as turns
from agents.backtests import jobs as backtests
from agents.doorbell import Bell
from agents.export_models import Export
from agents.exports import jobs as exports
from agents.models import Backtest, Run
from agents.questions import jobs as questions
from agents.report_models import Report
from agents.reporting import jobs as reporting
from agents.trainings import jobs as trainings
from maintenance import digests, webhooks
from maintenance.models import Notification
from maintenance.webhook_models import Webhook
from mlops.models import Errand, Question, Training
from sensors import discovery

log = structlog.get_logger(__name__)

CHILDREN = max(1, min(4, os.cpu_count() or 1))
STAGES = frozenset(stage.lower() for stage in Run.Stage.values)
KNOWN = list(Run.Stage.values)
ERRANDS = list(errand.UNFINISHED)
QUEUES: dict[type[Errand], str] = {
    Backtest: "backtest", Export: "export", Training: "train", Question: "answer", Report: "report",
}  # fmt: skip
ERRANDS_BY_QUEUE: dict[str, Callable[[int], str]] = {
    "backtest": backtests.perform,
    "export": exports.perform,
    "train": trainings.perform,
    "answer": questions.perform,
    "report": reporting.perform,
}
LEFT = frozenset({"quarantine", "webhook", *ERRANDS_BY_QUEUE})
"""What a pass does not wait for: it may take longer than everything else can. Errands and webhooks wait for their
worker."""
SEARCH_SECONDS = 600.0
MOST = 300
PATIENT_RINGS = 3
PATIENT_SECONDS = 10
PASS_SECONDS = 10.0


def sweep() -> int:
    """One pass; how many bells were due."""
    found = list(_due())
    silent = [bell for bell, unanswered in found if unanswered or not doorbell.ring(bell)]
    work_off_apart([bell for bell in silent if bell.queue not in LEFT], seconds=PASS_SECONDS)
    searcher.search([bell.id for bell in silent if bell.queue == "quarantine"])
    strangers.teller.tell()
    shelves.look()
    approve.look()
    escalate.look()
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
    """Stages first; one that fails ends nothing but itself."""
    ends = time.monotonic() + seconds
    for bell in sorted(bells, key=lambda bell: bell.queue not in STAGES):
        if (left := ends - time.monotonic()) <= 0:
            break
        try:
            work_off([bell], seconds=left, leave=LEFT)
        except Exception:
            log.exception("agents.sweeper.failed", queue=bell.queue, id=bell.id)
    return b""


class Searcher:
    """Searches runs in quarantine while nobody else can be rung for: one at a time, beside the passes of the sweep."""

    def __init__(self) -> None:
        self._child: apart.Child | None = None

    def search(self, run_ids: Sequence[int]) -> None:
        """Begin with the first, unless one is being searched."""
        if self._child is not None:
            if not apart.has_ended(self._child):
                return
            apart.listen(self._child, until=time.monotonic() + 1)
            self._child = None
        if run_ids:
            self._child = apart.start(partial(_search, run_ids[0]), seconds=SEARCH_SECONDS)


def _search(run_id: int) -> bytes:
    pipeline.search(run_id)
    return b""


searcher = Searcher()


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
    digests.release(limit=MOST)
    for notification_id in lease.overdue(Notification, limit=MOST, status="PENDING"):
        yield Bell("deliver", notification_id), False
    webhooks.wake_for_news()
    for webhook_id in lease.overdue(Webhook, limit=MOST, status=webhooks.SPEAKING):
        yield Bell("webhook", webhook_id), False
    for kind, queue in QUEUES.items():
        for errand_id in lease.overdue(kind, limit=MOST, status=ERRANDS):
            yield Bell(queue, errand_id), False
    discovery.let_go_of_stragglers()  # parts of sensors adopted meanwhile; the next pass rings


def _give_back() -> None:
    """What a worker of this machine held that was killed, or had to end before its work did, need not wait."""
    runs = lease.give_back_for_the_dead(Run, status=["ACTIVE", "QUARANTINE"])
    if messages := lease.give_back_for_the_dead(Notification, status="PENDING"):
        log.warning("agents.sweeper.gave-back", notifications=messages)
    if runs:
        log.warning("agents.sweeper.gave-back", runs=runs)
    if silent := lease.give_back_for_the_dead(Webhook, status=webhooks.SPEAKING):
        log.warning("agents.sweeper.gave-back", webhooks=silent)
    for kind in QUEUES:
        if errands := lease.give_back_for_the_dead(kind, status=ERRANDS):
            log.warning("agents.sweeper.gave-back", of=kind.__name__, errands=errands)


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
        return deliver.look(bell.id)
    if bell.queue == "webhook":
        return turns.take(bell.id)
    if bell.queue == "quarantine":
        return pipeline.search(bell.id).bells
    if (errand_of := ERRANDS_BY_QUEUE.get(bell.queue)) is not None:
        errand_of(bell.id)
        return ()
    return pipeline.perform(bell.queue.upper(), bell.id).bells
