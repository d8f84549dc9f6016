"""The agent that makes training windows of what people said: labels, and work orders that are done.

Computed when asked for, from the rows as they stand: a label that is retracted, or an order that is opened again, says
nothing from then on. ``agents.training_windows`` has the rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents import training_windows
from agents.training_windows import LABEL, ORDER, Claim, Start, Window
from maintenance import failure_modes
from maintenance.models import WorkOrder
from maintenance.order_verdicts import KINDS
from sensors.models import Equipment, Label, Regime, Sensor

DONE = (WorkOrder.Status.COMPLETED, WorkOrder.Status.CLOSED)
REPAIRS = (
    WorkOrder.Type.CORRECTIVE_IMMEDIATE, WorkOrder.Type.CORRECTIVE_DEFERRED, WorkOrder.Type.CONDITION_BASED,
    WorkOrder.Type.PREDICTIVE,
)  # fmt: skip
"""That one of these was done says that something was wrong, where nobody said anything else."""


@dataclass(frozen=True, slots=True)
class Named:
    """A window with the names of its place."""

    window: Window
    site: int
    tag: str
    external_id: str


def windows(site_ids: Collection[int]) -> list[Named]:
    """Those of some sites, by machine and time. Five queries."""
    starts = Regime.objects.filter(site__in=site_ids, retracted_at=None).order_by()
    found = training_windows.windows(
        [*_labels(site_ids), *_orders(site_ids)],
        [Start(*row) for row in starts.values_list("machine_id", "sensor_id", "since")],
    )
    machines = Equipment.objects.in_bulk({one.said.machine for one in found})
    named = Sensor.objects.filter(pk__in={one.said.sensor for one in found if one.said.sensor is not None})
    sensors: dict[int | None, str] = dict(named.values_list("pk", "external_id"))
    return [
        Named(one, machines[one.said.machine].site_id, machines[one.said.machine].tag, sensors.get(one.said.sensor, ""))
        for one in found
    ]


def _labels(site_ids: Collection[int]) -> Iterator[Claim]:
    rows = Label.objects.filter(site__in=site_ids, retracted_at=None).order_by()
    for pk, machine, sensor, start, end, kind, mode in rows.values_list(
        "pk", "machine_id", "sensor_id", "from_at", "to_at", "kind", "failure_mode"
    ):
        yield Claim(LABEL, pk, machine, sensor, start, end, kind, _named(mode))


def _orders(site_ids: Collection[int]) -> Iterator[Claim]:
    """Of those that an alarm began: of others nobody knows since when it was wrong."""
    rows = WorkOrder.objects.filter(site__in=site_ids, status__in=DONE, alarm__isnull=False, completed_at__isnull=False)
    for row in rows.order_by().select_related("alarm").only(
        "machine_id", "failure_mode", "found_mode", "verdict", "maintenance_type", "opened_at", "completed_at",
        "alarm__raised_at", "alarm__sensor_id",
    ):  # fmt: skip
        kind = _kind(row)
        if kind and row.alarm is not None and row.completed_at is not None:
            is_sensors = row.verdict == WorkOrder.Verdict.SENSOR_FAULT
            mode = _named(row.found_mode or row.failure_mode) if kind == Label.Kind.FAULT else ""
            start, end = min(row.alarm.raised_at, row.opened_at), row.completed_at
            if start <= end:
                place = row.alarm.sensor_id if is_sensors else None
                yield Claim(ORDER, row.pk, row.machine_id, place, start, end, kind, mode)


def _kind(row: WorkOrder) -> str:
    """By its verdict; a repair that nobody has judged yet was of a fault. Empty: it says nothing."""
    if row.verdict:
        return KINDS[WorkOrder.Verdict(row.verdict)].value
    return Label.Kind.FAULT.value if row.maintenance_type in REPAIRS else ""


def _named(mode: str) -> str:
    return "" if mode == failure_modes.UNKNOWN else mode


def plain(one: Named) -> dict[str, Any]:
    """As REST and files have it."""
    said = one.window.said
    return {
        "site": one.site, "machine": said.machine, "tag": one.tag, "sensor": said.sensor,
        "external_id": one.external_id, "from_at": _iso(said.start), "to_at": _iso(said.end), "kind": said.kind,
        "failure_mode": said.mode, "said_by": said.source, "said_by_id": said.source_id, "used": one.window.is_used,
        "left_out": one.window.left_out,
    }  # fmt: skip


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
