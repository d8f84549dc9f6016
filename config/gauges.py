"""Figures of the whole service at the moment Prometheus asks: from Postgres, from Redis, and from this machine.

Every label has few values, all known beforehand: priorities, queues, stages, states, models that come with the product.
No site, sensor or person is one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error, connection
from django_redis import get_redis_connection
from prometheus_client.core import GaugeMetricFamily, Metric
from redis import Redis
from redis.exceptions import RedisError

from config import celery
from mlops.names import NAMES
from sensors import partitions, walls

log = structlog.get_logger(__name__)

PREFIX = str(celery.app.conf.broker_transport_options["global_keyprefix"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A family of gauges that one query gives: as many columns of labels as it has, then the value."""

    text: str
    labels: tuple[str, ...]
    query: str
    always: tuple[tuple[str, ...], ...] = ()
    """Labels that are 0 where the query has no row for them."""


NEWEST = 1_000
DUE = "extract(epoch FROM clock_timestamp() - min(greatest(due_at, ring_after)))"
UNLEASED = "(lease_until IS NULL OR lease_until < clock_timestamp()) AND due_at <= clock_timestamp()"
FAMILIES = {
    "pdm_alarms_active": Asked(
        "Open alarms, by priority and state (ISA-18.2).",
        ("priority", "state"),
        "SELECT lower(priority), CASE WHEN NOT is_active THEN 'returned-unacknowledged'"
        " WHEN is_acknowledged THEN 'acknowledged' ELSE 'unacknowledged' END, count(*)"
        " FROM maintenance_alarm WHERE is_active OR NOT is_acknowledged GROUP BY 1, 2",
    ),
    "pdm_work_orders_open": Asked(
        "Work orders that are not over, by type (EN 13306).",
        ("type",),
        "SELECT lower(maintenance_type), count(*) FROM maintenance_workorder"
        " WHERE status NOT IN ('COMPLETED', 'CLOSED', 'CANCELLED') GROUP BY 1",
    ),
    "pdm_stage_oldest_due_age_seconds": Asked(
        "How long the run that has waited longest for a worker has waited, by stage; 0 where none waits.",
        ("stage",),
        f"SELECT lower(stage), greatest(0, {DUE}) FROM agents_run WHERE status = 'ACTIVE' AND {UNLEASED} GROUP BY 1",
        tuple((stage,) for stage in celery.STAGE_QUEUES),
    ),
    "pdm_deliveries_oldest_due_age_seconds": Asked(
        "How long the message that was due first has waited to be sent; 0 where none waits.",
        (),
        "SELECT coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(due_at))), 0)"
        f" FROM maintenance_notification WHERE status = 'PENDING' AND {UNLEASED}",
    ),
    "pdm_model_last_training_success_timestamp_seconds": Asked(
        "When the newest version of each model that comes with the product was made; 0: never.",
        ("model",),
        "SELECT name, extract(epoch FROM max(created_at)) FROM mlops_modelversion"
        f" WHERE name IN ({', '.join(repr(name) for name in NAMES)}) GROUP BY 1",
        tuple((name,) for name in NAMES),
    ),
    "pdm_models_drifted": Asked(
        "Pairs of model and machine whose newest check within a day found that readings have drifted.",
        (),
        "SELECT count(*) FROM (SELECT DISTINCT ON (machine_id, name) verdict FROM mlops_driftcheck"
        " WHERE created_at > statement_timestamp() - interval '1 day' ORDER BY machine_id, name, to_at DESC, id DESC)"
        " AS newest WHERE verdict = 'DRIFTED'",
    ),
    "pdm_models_degraded": Asked(
        "Models that nobody speaks for, or another version than is meant to.",
        (),
        "SELECT count(*) FROM mlops_modelhealth WHERE trouble <> ''",
    ),
    "pdm_audit_oldest_unsealed_age_seconds": Asked(
        "Age of the oldest entry of the audit trail that is not sealed; 0 where all are.",
        (),
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0) FROM sensors_auditentry"
        " WHERE number IS NULL",
    ),
    "pdm_audit_breaks": Asked(
        "Places among the newest thousand sealed entries of the audit trail where one does not follow the other.",
        (),
        "SELECT count(*) FROM (SELECT number - lag(number) OVER chain AS step, previous, lag(hash) OVER chain AS before"
        f" FROM (SELECT number, previous, hash FROM sensors_auditentry WHERE number IS NOT NULL ORDER BY number DESC"
        f" LIMIT {NEWEST}) AS newest WINDOW chain AS (ORDER BY number)) AS links"
        " WHERE step <> 1 OR previous <> before",
    ),
    "pdm_database_connections": Asked(
        "Connections to the database, by state; of other roles than the web server's, that there are so many.",
        ("state",),
        "SELECT CASE WHEN state LIKE 'idle in transaction%' THEN 'in-transaction' WHEN state IN ('active', 'idle')"
        " THEN state ELSE 'other' END, count(*) FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1",
        (("active",), ("idle",), ("in-transaction",), ("other",)),
    ),
    "pdm_database_size_bytes": Asked(
        "Size of the database on disk.", (), "SELECT pg_database_size(current_database())"
    ),
    "pdm_backup_last_success_timestamp_seconds": Asked(
        "When the newest whole backup ended well, and when what is written was last shipped; 0: never.",
        ("kind",),
        "SELECT lower(kind), coalesce(extract(epoch FROM max(ended_at)), 0) FROM agents_backup"
        " WHERE status = 'DONE' GROUP BY 1",
        (("whole",), ("wal",)),
    ),
    "pdm_backup_failed": Asked(
        "1 where the newest whole backup failed.",
        (),
        "SELECT coalesce((SELECT (status = 'FAILED')::int FROM agents_backup WHERE kind = 'WHOLE'"
        " ORDER BY id DESC LIMIT 1), 0)",
    ),
    "pdm_partitions_ahead": Asked(
        "Days after today for which there is a partition of readings.",
        (),
        "SELECT count(*) FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid"
        f" WHERE inhparent = '{partitions.CHUNKS}'::regclass AND right(part.relname, 8) ~ '^[0-9]{{8}}$'"
        " AND right(part.relname, 8) > to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')",
    ),
}


class FromDatabase:
    """The families above; absent while the database does not answer, so that their absence can be alarmed."""

    def collect(self) -> Iterator[Metric]:
        for name, asked in FAMILIES.items():
            try:
                rows = _rows(asked)
            except Error as error:
                log.warning("gauges.database-silent", error=str(error).strip())
                return
            yield _family(name, asked.text, asked.labels, rows)

    def describe(self) -> list[Metric]:
        """Known beforehand, so that registering asks the database nothing."""
        return [_family(name, asked.text, asked.labels, ()) for name, asked in FAMILIES.items()]


class FromRedis:
    """What lies in Redis: messages in each queue, connections, and how much it holds. Absent while it is down."""

    def collect(self) -> Iterator[Metric]:
        try:
            yield from self._read(get_redis_connection())
        except (RedisError, OSError) as error:
            log.warning("gauges.redis-silent", error=str(error))

    def describe(self) -> list[Metric]:
        return [_family(name, text, labels, ()) for name, (text, labels) in self._texts().items()]

    def _texts(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        return {
            "pdm_queue_messages": ("Messages that wait in a queue.", ("queue",)),
            "pdm_redis_memory_bytes": ("Memory that Redis uses.", ()),
            "pdm_redis_clients": ("Connections to Redis.", ()),
        }

    def _read(self, server: Redis) -> Iterator[Metric]:
        pipe = server.pipeline(transaction=False)
        for queue in celery.QUEUES:
            pipe.llen(PREFIX + queue)
        pipe.info()
        *lengths, info = pipe.execute()
        queues = [(queue, length) for queue, length in zip(celery.QUEUES, lengths, strict=True)]
        texts = self._texts()
        yield _family("pdm_queue_messages", *texts["pdm_queue_messages"], queues)
        yield _family("pdm_redis_memory_bytes", *texts["pdm_redis_memory_bytes"], [(info["used_memory"],)])
        yield _family("pdm_redis_clients", *texts["pdm_redis_clients"], [(info["connected_clients"],)])


class OfMachine:
    """The machine on which web runs: what is left of the disks that the service writes to, and of memory."""

    def collect(self) -> Iterator[Metric]:
        yield _family("pdm_disk_free_ratio", "Share of the disk that is free, where the service keeps its files.", (),
                      [(free_share(Path(settings.HOME)),)])  # fmt: skip
        used = memory_used_share()
        if used is not None:
            yield _family("pdm_memory_used_ratio", "Share of the machine's memory that is in use.", (), [(used,)])

    def describe(self) -> list[Metric]:
        return list(self.collect())


def free_share(place: Path) -> float:
    """Of the disk on which a folder is, or its nearest parent that is there."""
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    return usage.free / usage.total


def memory_used_share(table: Path = Path("/proc/meminfo")) -> float | None:
    """None where the system does not tell (not Linux)."""
    if not table.exists():
        return None
    lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
    total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 1 - available / total


def _rows(asked: Asked) -> list[tuple[object, ...]]:
    with walls.everywhere(), connection.cursor() as cursor:
        cursor.execute(asked.query)
        found: list[tuple[object, ...]] = list(cursor.fetchall())
    there = {row[:-1] for row in found}
    return [*found, *((*labels, 0.0) for labels in asked.always if labels not in there)]


def _family(name: str, text: str, labels: Iterable[str], rows: Iterable[tuple[object, ...]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for *values, value in rows:
        family.add_metric([str(one) for one in values], float(str(value)))
    return family


COLLECTORS = (FromDatabase, FromRedis, OfMachine)
