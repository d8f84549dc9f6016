"""What a storm measured: how long things took with and without faults, and how soon the service recovered."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.results import row
from tests.chaos.client import POISONED, Accepted
from tests.chaos.faults import Strike
from tests.chaos.service import Service

COUNT_RINGS = """
CREATE TABLE storm_ring (at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION storm_count() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO storm_ring DEFAULT VALUES; RETURN NULL; END';
CREATE TRIGGER storm_run AFTER UPDATE ON agents_run FOR EACH ROW
    WHEN (NEW.rings > OLD.rings) EXECUTE FUNCTION storm_count();
CREATE TRIGGER storm_message AFTER UPDATE ON maintenance_notification FOR EACH ROW
    WHEN (NEW.rings > OLD.rings) EXECUTE FUNCTION storm_count();
"""
"""The sweep forgets how often it rang once somebody came; this remembers."""

PARTS = """
SELECT extract(epoch FROM b.received_at)::float, extract(epoch FROM r.finished_at)::float
FROM sensors_batchpart p JOIN sensors_batch b ON b.id = p.batch_id JOIN agents_run r ON r.id = p.run_id
WHERE r.finished_at IS NOT NULL AND p.lane IN (SELECT lane FROM sensors_equipment WHERE tag <> %s)
"""
DONE = "SELECT extract(epoch FROM ended_at)::float FROM agents_stageattempt WHERE outcome = 'DONE' ORDER BY ended_at"
OUTCOMES = "SELECT outcome, count(*) FROM agents_stageattempt GROUP BY outcome"


COUNTED = frozenset({"faults", "requests", "batches", "runs", "messages", "copies", "found", "attempts", "storms"})
"""Units of rows that several storms add up."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since 1970 of what was received and done, poison's machines left out."""

    parts: Sequence[tuple[float, float]]
    """When each part was received, and when its run was finished."""
    done: Sequence[float]
    """When each stage was committed."""


def load(service: Service) -> Times:
    return Times(
        [(received, finished) for received, finished in service.sql(PARTS, POISONED)],
        [at for (at,) in service.sql(DONE)],
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """After one fault: until a stage was done again, and until all that had been received by then was done."""

    progress: float
    backlog: float


def recovery(strike: Strike, times: Times) -> Recovery:
    over = strike.ended_at.timestamp()
    progress = next((at - over for at in times.done if at > over), float("nan"))
    behind = [finished - over for received, finished in times.parts if received <= over < finished]
    return Recovery(progress, max(behind, default=0.0))


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds since 1970 at which the quiet phase and the faults began."""

    peace: float
    storm: float

    def are_quiet_at(self, at: float) -> bool:
        return self.peace <= at < self.storm


def latencies(name: str, seconds: Sequence[float], *, quiet: Sequence[float]) -> list[dict[str, Any]]:
    """p50, p95 and p99 under faults, beside those of the quiet phase."""
    if len(seconds) < 2 or len(quiet) < 2:
        return []
    shown = []
    stormy, calm = (statistics.quantiles(found, n=100, method="inclusive") for found in (seconds, quiet))
    for percent in (50, 95, 99):
        at, before = stormy[percent - 1] * 1000, calm[percent - 1] * 1000
        shown.append(row(f"{name} p{percent}", at, "ms", baseline=before, detail=f"{len(seconds)} under faults"))
    return shown


def rows(
    service: Service, accepted: Sequence[Accepted], strikes: Sequence[Strike], phases: Phases
) -> list[dict[str, Any]]:
    """A row for each figure that has no goal."""
    times = load(service)
    asked = [one for one in accepted if not one.duplicate]
    outcomes = {outcome: count for outcome, count in service.sql(OUTCOMES)}
    rings = service.number("SELECT count(*) FROM storm_ring")
    return [
        *latencies(
            "due to accepted", [one.seconds for one in asked if one.due_at >= phases.storm],
            quiet=[one.seconds for one in asked if phases.are_quiet_at(one.due_at)],
        ),
        *latencies(
            "received to done", [end - begin for begin, end in times.parts if begin >= phases.storm],
            quiet=[end - begin for begin, end in times.parts if phases.are_quiet_at(begin)],
        ),
        row("re-dispatches", 1000 * rings / max(1, len(asked)), "per 1,000 requests", detail=f"{rings} by the sweep"),
        row("attempts fenced", outcomes.get("FENCED", 0), "attempts", detail=f"{outcomes.get('DONE', 0)} done"),
        row("attempts that failed", outcomes.get("RETRY", 0) + outcomes.get("FAILED", 0), "attempts"),
        *recoveries(strikes, times),
    ]  # fmt: skip


def recoveries(strikes: Sequence[Strike], times: Times) -> list[dict[str, Any]]:
    by_kind: dict[str, list[Recovery]] = defaultdict(list)
    for strike in strikes:
        by_kind[strike.fault.name].append(recovery(strike, times))
    return [
        row(
            f"recovery: {kind}", max(one.progress for one in found), "s to the next stage",
            detail=f"backlog done after {max(one.backlog for one in found):.1f} s; longest of {len(found)}",
        )
        for kind, found in sorted(by_kind.items())
    ]  # fmt: skip


def together(rows: Sequence[dict[str, Any]], *, storms: int) -> list[dict[str, Any]]:
    """What several storms came to: counts added up, of each recovery the longest; latencies are not for adding up."""
    found = [row("storms", storms, "storms")]
    for name in dict.fromkeys(one["name"] for one in rows):
        mine = [one for one in rows if one["name"] == name]
        values = [one["value"] for one in mine]
        ok = None if mine[0]["goal"] is None else all(one["ok"] for one in mine)
        if mine[0]["unit"] in COUNTED:
            found.append(row(name, sum(values), mine[0]["unit"], goal=mine[0]["goal"], ok=ok))
        elif name.startswith("recovery"):
            detail = f"longest of {len(values)} storms, median {statistics.median(values):.2f} s"
            found.append(row(name, max(values), mine[0]["unit"], detail=detail))
    return found
