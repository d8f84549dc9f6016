"""What must hold of the whole database: at any moment, whoever stands where, and when all has come to rest.

The rules of any moment are queries that find nothing where all is well. They use none of the constraints that
normally keep them, so that they also see what a broken variant without these does. What must be there at rest is
worked out from the accepted requests alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, models

from agents.models import Run, StageAttempt
from maintenance.models import (
    Alarm,
    AlarmTransition,
    Anomaly,
    Attempt,
    Decision,
    Notification,
    WorkOrder,
    WorkOrderTransition,
)
from mlops.models import MachineState
from sensors import store
from sensors.models import Batch, BatchPart, Event, Reading, ReadingConflict
from tests.chaos import facts
from tests.chaos.invariants import STAGES, Violation

START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
READINGS = 20
HIGH = 100.0
ONSET = 14
"""Where in a request the stretch above the limit begins, behind more normal readings than end the one before."""
POISON_AT = 5

READING_TWICE = "a reading is there twice"
STAGE_TWICE = "I2 a stage of a run was done twice"
OVERTAKEN = "I2 an attempt was kept although another one had taken over"
WENT_BACK = "I2 a run stands at a stage that it has done"
LANE_TWICE = "a lane has two active runs"
BATCH_BOOKS = "the parts of a batch hold more or less than was accepted"
PART_BOOKS = "a part's readings are not those stored, there already and in conflict"
STORE_BOOKS = "there are more or fewer readings than the parts say they stored"
PART_AND_RUN = "a part is stored and its run has not come so far, or the other way round"
ANOMALY_TWICE = "an anomaly is there twice"
MESSAGE_TWICE = "a message is there twice"
EVENT_TWICE = "an event is there twice"

NOT_THERE = "I1 an accepted batch is not there"
NOT_AT_REST = "I1 something is still on its way"
NOT_WHOLE = "I2 a run is done and not all its stages are"
READINGS_LOST = "I3 readings are lost"
READINGS_FOREIGN = "I3 readings are there that nobody sent"
EXCURSIONS_LOST = "I3 excursions were not found"
EXCURSIONS_FOREIGN = "I3 excursions were found that nobody sent, or twice"
CONSEQUENCES = "I3 alarms, orders and messages contradict what was found"
UNSENT = "I4 a message has not reached the sink"
SENT_TWICE = "I4 a message was recorded as sent twice"
DEAD = "I5 set aside are others than the poison"
HELD = "I6 a lease is still held"
SITES = "I7 an effect is in another site than its cause"

PLACE = "array_position(ARRAY['INGEST', 'VALIDATE', 'DETECT', 'DECIDE', 'NOTIFY'], {}::text)"

AT_ANY_MOMENT = {
    READING_TWICE: "SELECT sensor_id, measured_at FROM sensors_reading GROUP BY 1, 2 HAVING count(*) > 1",
    STAGE_TWICE: """
        SELECT run_id, stage FROM agents_stageattempt WHERE outcome = 'DONE' GROUP BY 1, 2 HAVING count(*) > 1""",
    OVERTAKEN: """
        SELECT a.run_id, a.stage, a.lease_token, a.outcome, b.stage, b.lease_token
        FROM agents_stageattempt a JOIN agents_stageattempt b ON b.run_id = a.run_id AND b.lease_token > a.lease_token
        AND b.started_at < a.ended_at WHERE a.outcome <> 'FENCED'""",
    WENT_BACK: """
        SELECT r.id, r.status, r.stage FROM agents_run r WHERE (r.status <> 'DONE') = EXISTS
        (SELECT 1 FROM agents_stageattempt a WHERE a.run_id = r.id AND a.stage = r.stage AND a.outcome = 'DONE')""",
    LANE_TWICE: "SELECT lane FROM agents_run WHERE status = 'ACTIVE' GROUP BY 1 HAVING count(*) > 1",
    BATCH_BOOKS: """
        SELECT b.id FROM sensors_batch b WHERE b.accepted + b.held <>
        (SELECT coalesce(sum(p.readings), 0) FROM sensors_batchpart p WHERE p.batch_id = b.id)""",
    PART_BOOKS: """
        SELECT id FROM sensors_batchpart WHERE state = 'STORED' AND readings <> stored + already_stored + conflicts""",
    STORE_BOOKS: """
        SELECT said, there FROM (SELECT (SELECT coalesce(sum(stored), 0) FROM sensors_batchpart) AS said,
        (SELECT count(*) FROM sensors_reading) AS there) AS counts WHERE said <> there""",
    PART_AND_RUN: """
        SELECT p.id, p.state, r.id, r.stage FROM sensors_batchpart p JOIN agents_run r ON r.id = p.run_id
        WHERE (p.state = 'STORED') <> (r.stage IN ('DETECT', 'DECIDE', 'NOTIFY'))""",
    ANOMALY_TWICE: """
        SELECT sensor_id, started_at, retrospective, CASE nature WHEN 'MACHINE' THEN detector ELSE kind END
        FROM maintenance_anomaly GROUP BY 1, 2, 3, 4, nature HAVING count(*) > 1""",
    MESSAGE_TWICE: "SELECT key FROM maintenance_notification GROUP BY 1 HAVING count(*) > 1",
    EVENT_TWICE: "SELECT key FROM sensors_event GROUP BY 1 HAVING count(*) > 1",
}

AT_REST = {
    NOT_AT_REST: """
        SELECT 'part', id, state FROM sensors_batchpart WHERE state NOT IN ('STORED', 'SET_ASIDE')
        UNION ALL SELECT 'run', id, status FROM agents_run WHERE status NOT IN ('DONE', 'FAILED', 'DISCARDED')""",
    # What a piece that was split off has behind it, the run has done that it was a piece of.
    NOT_WHOLE: f"""
        SELECT r.id, wanted.stage FROM agents_run r CROSS JOIN unnest(%s::text[]) AS wanted(stage)
        WHERE (r.status = 'DONE' OR {PLACE.format("wanted.stage")} < {PLACE.format("r.stage")})
        AND NOT EXISTS (SELECT 1 FROM agents_stageattempt a WHERE a.run_id IN (r.id, r.split_from_id)
        AND a.stage = wanted.stage AND a.outcome = 'DONE')""",
    UNSENT: "SELECT key, status FROM maintenance_notification WHERE status <> 'SENT'",
    HELD: """
        SELECT 'run', id FROM agents_run WHERE lease_until IS NOT NULL
        UNION ALL SELECT 'message', id FROM maintenance_notification WHERE lease_until IS NOT NULL""",
}

ONE_OPEN_AND_COUNTED = (
    "machines and failure modes with two open orders", "machines and failure modes with two open alarms",
    "alarms that counted other than they were opened", "alarm transitions that the journal tells not once",
)  # fmt: skip
"""Those of the storm's contradictions that are none only if they are none at any moment."""

WRITTEN: tuple[type[models.Model], ...] = (
    Attempt, Notification, WorkOrderTransition, WorkOrder, Decision, AlarmTransition, Alarm, Anomaly, MachineState,
    Event, ReadingConflict, StageAttempt, BatchPart, Run, Batch,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was accepted: so many readings of one sensor, a minute apart; ``place`` counts them by sensor."""

    batch: str
    sensor: int
    place: int
    is_high: bool = False
    poison: float = 0.0

    @property
    def values(self) -> list[float]:
        values = [50.0 + n % 3 for n in range(READINGS)]
        if self.is_high:
            values[ONSET : ONSET + 2] = [150.0, 150.0]
        if self.poison:
            values[POISON_AT] = self.poison
        return values

    @property
    def readings(self) -> dict[tuple[int, datetime], float]:
        return {(self.sensor, self.at(n)): value for n, value in enumerate(self.values)}

    def at(self, number: int) -> datetime:
        return START + timedelta(minutes=self.place * READINGS + number)


def rules_broken(found: Iterable[Violation]) -> set[str]:
    return {violation.rule for violation in found}


def at_any_moment() -> list[Violation]:
    """Everything that never holds, not even for a moment. One query, so that all see the same moment."""
    complaints = [(CONSEQUENCES, what, facts.CONTRADICTIONS[what]) for what in ONE_OPEN_AND_COUNTED]
    complaints += [(SITES, what, query) for what, query in facts.STRAYS.items()]
    queries = [f"(SELECT {quoted(rule)}, t::text FROM ({query}) AS t LIMIT 3)" for rule, query in AT_ANY_MOMENT.items()]
    queries += [
        f"SELECT {quoted(rule)}, {quoted(what)} FROM ({query}) AS t(number) WHERE number > 0"
        for rule, what, query in complaints
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(queries))
        return [Violation(*row) for row in cursor.fetchall()]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def at_rest(accepted: Sequence[Request], *, kept: Collection[str]) -> list[Violation]:
    """Everything that does not hold when nothing is due any more. ``kept``: keys of the messages the sink has.

    While something is set aside, what would have come of it is missing, and is not missed here.
    """
    return [
        *at_any_moment(),
        *_of_rows(),
        *_of_readings(accepted),
        *_of_excursions(accepted),
        *_of_the_dead(accepted),
        *(() if still_dead() else _of_consequences()),
        *(Violation(UNSENT, f"{key} not with the sink") for key in sorted(_sent() - set(kept))),
    ]


def _of_rows() -> Iterator[Violation]:
    with connection.cursor() as cursor:
        for rule, query in AT_REST.items():
            cursor.execute(
                f"SELECT found::text FROM ({query}) AS found LIMIT 3", [list(STAGES)] if "%s" in query else []
            )
            yield from (Violation(rule, what) for (what,) in cursor.fetchall())


def _of_consequences() -> Iterator[Violation]:
    with connection.cursor() as cursor:
        for what, query in facts.CONTRADICTIONS.items():
            cursor.execute(query)
            ((number,),) = cursor.fetchall()
            if number:
                yield Violation(CONSEQUENCES, f"{number} {what}")


def _sent() -> set[str]:
    return set(Notification.objects.filter(status="SENT").values_list("key", flat=True))


def _of_readings(accepted: Sequence[Request]) -> Iterator[Violation]:
    states = {str(batch): state for batch, state in BatchPart.objects.values_list("batch_id", "state")}
    yield from (Violation(NOT_THERE, request.batch) for request in accepted if request.batch not in states)
    wanted: dict[tuple[int, datetime], float] = {}
    for request in accepted:
        if states.get(request.batch) != BatchPart.State.SET_ASIDE:
            wanted |= request.readings
    found = {(sensor, at): value for sensor, at, value in Reading.objects.values_list("sensor", "measured_at", "value")}
    if lost := wanted.keys() - found.keys():
        yield Violation(READINGS_LOST, f"{len(lost)} from {min(lost)} on")
    if foreign := [place for place, value in found.items() if wanted.get(place) != value]:
        yield Violation(READINGS_FOREIGN, f"{len(foreign)} from {min(foreign)} on")


def _of_excursions(accepted: Sequence[Request]) -> Iterator[Violation]:
    """Each stretch above the limit was found once, live or late, if its run came to its end."""
    done = {str(b) for b in BatchPart.objects.filter(run_id__in=Run.objects.filter(status="DONE").values("pk"))
            .values_list("batch_id", flat=True)}  # fmt: skip
    sent = {(r.sensor, r.at(ONSET)) for r in accepted if r.is_high}
    judged = {(r.sensor, r.at(ONSET)) for r in accepted if r.is_high and r.batch in done}
    found = Counter(Anomaly.objects.filter(detector="limits").values_list("sensor", "started_at"))
    yield from (Violation(EXCURSIONS_LOST, str(place)) for place in sorted(judged - found.keys()))
    yield from (Violation(EXCURSIONS_FOREIGN, str(place)) for place in sorted(found.keys() - sent))
    yield from (Violation(EXCURSIONS_FOREIGN, f"{place} twice") for place, count in found.items() if count > 1)


def _of_the_dead(accepted: Sequence[Request]) -> Iterator[Violation]:
    """A run that was set aside for poison holds the poison and nothing else; poison that still works is in none else.

    Runs that failed again and again for other reasons, and passed every trial, are the caller's to explain.
    """
    poison = {request.batch for request in accepted if request.poison}
    for run in Run.objects.filter(status__in=["FAILED", "DISCARDED"]).exclude(error__startswith="It failed again"):
        batches = [str(b) for b in BatchPart.objects.filter(run_id=run.pk).values_list("batch_id", flat=True)]
        if len(batches) != 1 or batches[0] not in poison:
            yield Violation(DEAD, f"run {run.pk} at {run.stage}, {run.error_class}: {batches}")


def still_dead() -> list[int]:
    return list(Run.objects.filter(status__in=["FAILED", "DISCARDED"]).order_by("id").values_list("id", flat=True))


def unexplained_deaths(disturbed: Counter[int], *, least: int) -> Iterator[Violation]:
    """Runs that were set aside although every trial passed, and were disturbed less often than that takes."""
    for run in Run.objects.filter(status__in=["FAILED", "DISCARDED"], error__startswith="It failed again"):
        if disturbed[run.pk] + disturbed[run.place] < least:
            yield Violation(DEAD, f"run {run.pk} at {run.stage}: {run.error[:200]}")


def clear() -> None:
    """Empty what the flow writes; sites, machines, sensors and channels stay."""
    with connection.cursor() as cursor:
        for table in (*store.TABLES, *(model._meta.db_table for model in WRITTEN)):
            cursor.execute(f"DELETE FROM {table}")
