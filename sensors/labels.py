"""Labels: what people found to be true of windows of readings. The only writer of Label."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from sensors import journal
from sensors.columns import Bool, Columns, Int64, from_instant, to_instant
from sensors.models import Equipment, Label, Sensor


class AlreadyLabelled(Exception):
    """The same window of the same machine or sensor has another label that holds; the message names it."""


class AlreadyRetracted(Exception):
    """The label holds no longer; the message says since when."""


@transaction.atomic
def add(
    *,
    machine: Equipment,
    sensor: Sensor | None,
    from_at: datetime,
    to_at: datetime,
    kind: str,
    actor: User,
    failure_mode: str = "",
    note: str = "",
) -> tuple[Label, bool]:
    """The label of the window, and whether it is new: the same twice is one.

    ``sensor`` None: of every sensor of the machine. Raises ``ValidationError``, and ``AlreadyLabelled`` where the
    window is labelled as something else.
    """
    place = {"machine": machine, "sensor": sensor, "from_at": from_at, "to_at": to_at}
    said = {"kind": kind, "failure_mode": failure_mode}
    more = {"site_id": machine.site_id, "note": note, "created_by": actor}
    new = Label(**place, **said, **more)
    new.clean_fields(exclude=Label.GIVEN)
    new.clean()
    row, is_new = Label.objects.get_or_create(**place, retracted_at=None, defaults=said | more)
    if is_new:
        journal.record([_entry(journal.LABEL_ADDED, row, actor=actor, at=row.created_at)])
    elif {name: getattr(row, name) for name in said} != said:
        raise AlreadyLabelled(f"The window has a label that says something else: {row}. Retract that first.")
    return row, is_new


@transaction.atomic
def retract(label_id: int, *, actor: User) -> Label:
    """The label holds no longer; it stays, with who said so. Raises ``AlreadyRetracted``."""
    now = timezone.now()
    changed = Label.objects.filter(pk=label_id, retracted_at=None).update(retracted_by=actor, retracted_at=now)
    row = Label.objects.select_related("machine", "sensor").get(pk=label_id)
    if not changed:
        raise AlreadyRetracted(f"It was retracted before, at {row.retracted_at:%Y-%m-%d %H:%M} UTC.")
    journal.record([_entry(journal.LABEL_RETRACTED, row, actor=actor, at=now)])
    return row


def _entry(kind: str, row: Label, *, actor: User, at: datetime) -> journal.Entry:
    data: dict[str, Any] = {
        "machine": row.machine_id,
        "sensor": row.sensor_id,
        "kind": row.kind,
        "failure_mode": row.failure_mode,
        "from": row.from_at.isoformat(),
        "to": row.to_at.isoformat(),
        "note": row.note,
    }
    return journal.Entry(
        type=kind,
        subject=f"label/{row.pk}",
        key=f"{kind}/{row.pk}",
        occurred_at=at,
        site_id=row.site_id,
        actor=actor.get_username(),
        data=data,
    )


FAULTS = Q(kind=Label.Kind.FAULT, retracted_at=None)


def fault_until() -> Subquery:
    """Of each row of sensors, the end of the latest window that is labelled as a fault."""
    mine = Label.objects.filter(Q(sensor=None) | Q(sensor=OuterRef("pk")), FAULTS, machine=OuterRef("machine_id"))
    return Subquery(mine.order_by("-to_at").values("to_at")[:1])


def in_fault(columns: Columns, *, machine: Int64, until: Int64, as_known_then: bool = False) -> Bool:
    """Of each of n readings, whether it lies in a window that is labelled as a fault of its sensor or machine.

    ``machine`` and ``until`` (``SensorTable.fault_until``) of each reading. ``as_known_then``: a label counts from when
    it was made on, so that what was said afterwards does not count. One query, and none where all readings are past all
    such windows.
    """
    found = np.zeros(len(columns), np.bool_)
    doubtful = columns.at <= until
    if not doubtful.any():
        return found
    first, last = (to_instant(int(at)) for at in (columns.at[doubtful].min(), columns.at[doubtful].max()))
    machines = np.unique(machine[doubtful]).tolist()
    rows = Label.objects.filter(FAULTS, machine_id__in=machines, to_at__gte=first, from_at__lte=last).order_by()
    named = rows.values_list("machine_id", "sensor_id", "from_at", "to_at", "created_at")
    for machine_id, sensor_id, from_at, to_at, made_at in named:
        mine = machine == machine_id if sensor_id is None else columns.sensor == sensor_id
        begins = max(from_at, made_at) if as_known_then else from_at
        found |= mine & (columns.at >= from_instant(begins)) & (columns.at <= from_instant(to_at))
    return found


def windows(machine_id: int, sensors: Collection[int], *, start: datetime, end: datetime) -> list[tuple[str, int, int]]:
    """Kind, first and last microsecond of every label that holds and touches [start, end], of the machine as a whole or
    of one of the sensors."""
    mine = Label.objects.filter(Q(sensor=None) | Q(sensor__in=sensors), machine=machine_id, retracted_at=None)
    rows = (
        mine.filter(from_at__lte=end, to_at__gte=start)
        .order_by("from_at", "pk")
        .values_list("kind", "from_at", "to_at")
    )
    return [(kind, from_instant(first), from_instant(last)) for kind, first, last in rows]
