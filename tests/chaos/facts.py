"""What is there after the storm: every row and every message that an invariant speaks of, loaded once."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.chaos.model import Place
from tests.chaos.service import Service
from tests.chaos.sinks import Delivery

SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    batch: str
    site: str
    state: str
    run: int | None
    readings: int
    stored: int
    error: str


@dataclass(frozen=True, slots=True)
class Message:
    """A notification; ``key`` as its sink sees it is found by ``seen_as``."""

    key: str
    channel: str
    site: str
    channel_site: str
    subject_site: str
    status: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it, in values that a test can write down."""

    parts: Sequence[Part] = ()
    runs: Mapping[int, str] = field(default_factory=dict)
    """Status of each."""
    split_from: Mapping[int, int] = field(default_factory=dict)
    """Of each run that quarantine made of a piece of another one, that one."""
    done: Sequence[tuple[int, str]] = ()
    """Run and stage of each attempt that was committed."""
    readings: Mapping[Place, float] = field(default_factory=dict)
    excursions: Counter[Place] = field(default_factory=Counter)
    alarms: Mapping[str, int] = field(default_factory=dict)
    """Complaints of rows that contradict each other, by what is wrong, with how many there are."""
    strays: Mapping[str, int] = field(default_factory=dict)
    """Effects of one site that point into another, by table."""
    held: Mapping[str, int] = field(default_factory=dict)
    """What should have been given back: leases, transactions, messages."""
    messages: Sequence[Message] = ()
    deliveries: Sequence[Delivery] = ()


PARTS = """
SELECT p.batch_id::text, s.slug, p.state, p.run_id, p.readings, coalesce(p.stored, 0), p.error
FROM sensors_batchpart p JOIN sensors_batch b ON b.id = p.batch_id JOIN sensors_site s ON s.id = b.site_id
"""
READINGS = """
SELECT s.slug, n.external_id, r.measured_at, r.value FROM sensors_reading r
JOIN sensors_sensor n ON n.id = r.sensor_id JOIN sensors_site s ON s.id = n.site_id
"""
EXCURSIONS = """
SELECT s.slug, n.external_id, a.started_at FROM maintenance_anomaly a
JOIN sensors_sensor n ON n.id = a.sensor_id JOIN sensors_site s ON s.id = a.site_id WHERE a.detector = 'limits'
"""
MESSAGES = """
SELECT m.key, c.kind, s.slug, cs.slug, lower(m.payload->'site'->>'name'), m.status, m.attempts
FROM maintenance_notification m JOIN maintenance_channel c ON c.id = m.channel_id
JOIN sensors_site s ON s.id = m.site_id JOIN sensors_site cs ON cs.id = c.site_id
"""
OPEN_ORDERS = """
SELECT count(*) FROM (SELECT 1 FROM maintenance_workorder WHERE status NOT IN ('COMPLETED', 'CANCELLED')
GROUP BY machine_id, failure_mode HAVING count(*) > 1) AS twice
"""
CONTRADICTIONS = {
    "machines and failure modes with two open orders": OPEN_ORDERS,
    "machines and failure modes with two open alarms": """
        SELECT count(*) FROM (SELECT 1 FROM maintenance_alarm WHERE is_open
        GROUP BY machine_id, failure_mode HAVING count(*) > 1) AS twice""",
    "alarms that counted other than they were opened": """
        SELECT count(*) FROM maintenance_alarm a WHERE a.occurrences <> (SELECT count(*)
        FROM maintenance_alarmtransition t WHERE t.alarm_id = a.id AND t.action IN ('OPENED', 'REOPENED'))""",
    "live excursions that nothing was decided of": """
        SELECT count(*) FROM maintenance_anomaly a WHERE a.detector = 'limits' AND NOT a.retrospective
        AND NOT EXISTS (SELECT 1 FROM maintenance_decision d WHERE d.anomaly_id = a.id)""",
    "machines with a live excursion and no alarm": """
        SELECT count(DISTINCT a.machine_id) FROM maintenance_anomaly a WHERE a.detector = 'limits'
        AND NOT a.retrospective AND NOT EXISTS (SELECT 1 FROM maintenance_alarm x WHERE x.machine_id = a.machine_id)""",
    "machines with a live excursion and no order": """
        SELECT count(DISTINCT a.machine_id) FROM maintenance_anomaly a WHERE a.detector = 'limits' AND NOT
        a.retrospective AND NOT EXISTS (SELECT 1 FROM maintenance_workorder x WHERE x.machine_id = a.machine_id)""",
    "alarms opened or returned that nobody was told of": """
        SELECT count(*) FROM maintenance_alarmtransition t JOIN maintenance_alarm a ON a.id = t.alarm_id
        WHERE t.action IN ('OPENED', 'RAISED', 'REOPENED', 'RETURNED')
        AND (SELECT count(*) FROM maintenance_notification m WHERE m.key LIKE 'alarm-transition/' || t.id || '/%')
        <> (SELECT count(*) FROM maintenance_channel c WHERE c.site_id = a.site_id)""",
    "alarm transitions that the journal tells not once": """
        SELECT count(*) FROM maintenance_alarmtransition t WHERE (SELECT count(*) FROM sensors_event e
        WHERE e.key LIKE 'alarm.%/' || t.key) <> 1""",
}  # fmt: skip
STRAYS = {
    "parts in the lane of another site": """
        SELECT count(*) FROM sensors_batchpart p JOIN sensors_batch b ON b.id = p.batch_id WHERE NOT EXISTS
        (SELECT 1 FROM sensors_equipment e WHERE e.lane = p.lane AND e.site_id = b.site_id)""",
    "anomalies": """
        SELECT count(*) FROM maintenance_anomaly a JOIN sensors_sensor n ON n.id = a.sensor_id
        JOIN sensors_equipment e ON e.id = a.machine_id WHERE a.site_id <> n.site_id OR a.site_id <> e.site_id""",
    "alarms": """
        SELECT count(*) FROM maintenance_alarm a JOIN sensors_equipment e ON e.id = a.machine_id
        WHERE a.site_id <> e.site_id""",
    "work orders": """
        SELECT count(*) FROM maintenance_workorder w JOIN sensors_equipment e ON e.id = w.machine_id
        WHERE w.site_id <> e.site_id""",
    "journal": """
        SELECT count(*) FROM sensors_event v JOIN maintenance_alarm a ON v.subject = 'alarm/' || a.id
        WHERE v.site_id <> a.site_id""",
}
HELD = {
    "runs leased": "SELECT count(*) FROM agents_run WHERE lease_until IS NOT NULL",
    "messages leased": "SELECT count(*) FROM maintenance_notification WHERE lease_until IS NOT NULL",
    "transactions idle for more than 5 s": """
        SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = 'bellwether'
        AND state_change < clock_timestamp() - interval '5 seconds'""",
}


def load(service: Service, deliveries: Sequence[Delivery]) -> Facts:
    """The whole database, the queues and what the sinks wrote down; the queues once they had time to be looked at."""
    settle(service)
    return Facts(
        parts=[Part(*row) for row in service.sql(PARTS)],
        runs={run: status for run, status in service.sql("SELECT id, status FROM agents_run")},
        split_from={run: whole for run, whole in service.sql(
            "SELECT id, split_from_id FROM agents_run WHERE split_from_id IS NOT NULL")},
        done=[(run, stage) for run, stage in service.sql(
            "SELECT run_id, stage FROM agents_stageattempt WHERE outcome = 'DONE'")],
        readings={(site, sensor, at): value for site, sensor, at, value in service.sql(READINGS)},
        excursions=Counter((site, sensor, at) for site, sensor, at in service.sql(EXCURSIONS)),
        alarms={what: service.number(query) for what, query in CONTRADICTIONS.items()},
        strays={what: service.number(query) for what, query in STRAYS.items()},
        held={what: service.number(query) for what, query in HELD.items()}
        | {f"messages in {queue} older than their expiry": count for queue, count in expired(service).items()},
        messages=[Message(*row) for row in service.sql(MESSAGES)],
        deliveries=list(deliveries),
    )  # fmt: skip


def settle(service: Service) -> None:
    """Give the workers time for what still lies in their queues; what nobody takes is found by the invariants."""
    ends = time.monotonic() + SETTLE_SECONDS
    while expired(service).total() and time.monotonic() < ends:
        time.sleep(0.2)


def expired(service: Service) -> Counter[str]:
    """Messages that lie in a queue although their time is over: nobody looks at that queue."""
    store, now = service.redis(), datetime.now(UTC)
    found: Counter[str] = Counter()
    for name in store.keys("bw:*"):
        if store.type(name) == b"list":
            waiting = store.lrange(name, 0, -1)
            found[name.decode()] += sum(is_over(json.loads(message), now=now) for message in waiting)
    return found


def is_over(message: Mapping[str, Any], *, now: datetime) -> bool:
    expires = message.get("headers", {}).get("expires")
    return expires is not None and datetime.fromisoformat(expires) < now
