"""Work orders of the past into the tables: closed ones, with their machines where these are missing.

A row is imported once, however often its file is: ``PastOrder`` keeps its source and key. Nobody is told of them, and
nothing is written into the journal: these are orders of long ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from maintenance import order_priority
from maintenance.history_rows import PastRow
from maintenance.models import PastOrder, WorkOrder, WorkOrderTransition
from maintenance.order_life import Action, Status
from sensors import fleet
from sensors.models import Equipment, Site

AT_ONCE = 1_000
LOCK = 0x62775F686973
"""Seed of the advisory locks of sources: one import of a source at a time."""


class NotAMachine(ValueError):
    """What the rows call a machine is a line or a component of the site."""


@dataclass(frozen=True, slots=True)
class Progress:
    """So far: rows looked at, orders made, rows that were there before, machines made."""

    rows: int = 0
    made: int = 0
    known: int = 0
    machines: int = 0


def store(site: Site, source: str, rows: Sequence[PastRow]) -> Iterator[Progress]:
    """Make an order of each row that has none yet, a thousand in a transaction; what was done so far after each.

    Raises ``NotAMachine``, ``ValidationError`` where a machine's tag cannot be one; what was done before stays.
    """
    so_far = Progress()
    for begin in range(0, len(rows), AT_ONCE):
        chunk = rows[begin : begin + AT_ONCE]
        with transaction.atomic():
            _lock(site, source)
            fresh = unknown(site, source, chunk)
            machines, new = _machines(site, fresh)
            _create(site, source, fresh, machines)
        so_far = Progress(
            so_far.rows + len(chunk), so_far.made + len(fresh), so_far.known + len(chunk) - len(fresh),
            so_far.machines + new,
        )  # fmt: skip
        yield so_far


def unknown(site: Site, source: str, rows: Sequence[PastRow]) -> list[PastRow]:
    """Those that have no order yet."""
    keys = PastOrder.objects.filter(site=site, source=source, key__in=[row.key for row in rows])
    known = set(keys.values_list("key", flat=True))
    return [row for row in rows if row.key not in known]


def missing_machines(site: Site, rows: Sequence[PastRow]) -> list[str]:
    """Tags that the site has not. Raises ``NotAMachine``."""
    wanted = dict.fromkeys(row.machine for row in rows)
    found = dict(Equipment.objects.filter(site=site, tag__in=wanted).values_list("tag", "level"))
    if wrong := [tag for tag, level in found.items() if level != Equipment.Level.MACHINE]:
        raise NotAMachine(f"{wrong[0]} is equipment of this site, and no machine.")
    return [tag for tag in wanted if tag not in found]


def _lock(site: Site, source: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [f"{site.pk}/{source}", LOCK])


def _machines(site: Site, rows: Sequence[PastRow]) -> tuple[dict[str, Equipment], int]:
    missing = missing_machines(site, rows)
    for tag in missing:
        fleet.save_equipment(Equipment(site=site, tag=tag, name=tag, level=Equipment.Level.MACHINE))
    wanted = {row.machine for row in rows}
    return {one.tag: one for one in Equipment.objects.filter(site=site, tag__in=wanted)}, len(missing)


def _create(site: Site, source: str, rows: Sequence[PastRow], machines: dict[str, Equipment]) -> None:
    orders = WorkOrder.objects.bulk_create([_order(site, row, machines[row.machine]) for row in rows])
    PastOrder.objects.bulk_create(
        PastOrder(order=order, site=site, source=source, key=row.key, part=row.part, cost=row.cost, worker=row.worker)
        for order, row in zip(orders, rows, strict=True)
    )
    WorkOrderTransition.objects.bulk_create(
        step for order, row in zip(orders, rows, strict=True) for step in _steps(order, row)
    )


def _order(site: Site, row: PastRow, machine: Equipment) -> WorkOrder:
    """Closed when it was completed, else when it was opened: that is all its source says."""
    codes = dict(row.codes)
    mode = codes.pop("failure_mode", "")
    over = row.completed or row.opened
    return WorkOrder(
        site=site, machine=machine, failure_mode=mode, found_mode=mode, maintenance_type=row.maintenance_type,
        priority=order_priority.priority(
            criticality=machine.criticality, severe=row.maintenance_type == WorkOrder.Type.CORRECTIVE_IMMEDIATE
        ), status=Status.CLOSED, title=row.title[:200], description=row.title[200:] and row.title,
        findings=row.findings or row.title, opened_at=row.opened, started_at=row.started, completed_at=over,
        closed_at=over, **codes,
    )  # fmt: skip


def _steps(order: WorkOrder, row: PastRow) -> Iterator[WorkOrderTransition]:
    """Begin and end of the work only where the source says both: else how long it took is not known."""
    over = row.completed or row.opened
    yield _step(order, Action.OPENED, "", Status.OPEN, row.opened)
    if row.started is not None and row.completed is not None:
        yield _step(order, Action.STARTED, Status.OPEN, Status.IN_PROGRESS, row.started)
        yield _step(order, Action.COMPLETED, Status.IN_PROGRESS, Status.COMPLETED, row.completed)
    yield _step(order, Action.CLOSED, Status.COMPLETED, Status.CLOSED, over)


def _step(order: WorkOrder, action: Action, before: str, after: Status, at: datetime) -> WorkOrderTransition:
    return WorkOrderTransition(
        order=order, action=action, from_status=before, to_status=after, at=at,
        key=f"order/{order.pk}/{action}/imported",
    )  # fmt: skip
