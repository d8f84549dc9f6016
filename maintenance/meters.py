"""Meters: running totals of machines, entered by people or counted from readings. The only writer of their tables.

A sensor's meter is counted by the sweep, every ``AGAIN``, from what is stored by then: nothing is asked for while
readings come in. What is older than ``LATE`` is settled; the rest is counted anew each time, so that readings that
come late count as if they had come in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import meter_life
from maintenance.plan_models import Meter, MeterReading, Plan
from maintenance.refusals import Refused
from sensors import journal, series
from sensors.columns import Float64, Int64, from_instant, to_instant
from sensors.models import Equipment

MOST = 200
"""Meters counted in one pass of the sweep."""
AGAIN = timedelta(minutes=15)
LATE = timedelta(hours=12)
MOST_AT_ONCE = timedelta(days=31)
"""Of history, in one look."""
FINE = timedelta(days=2)
FINE_POINTS = 20_000
"""A look over at most ``FINE`` is made from so many points; a longer one from the first, lowest, highest and last of
each hour."""
BAD = 2
RATE_DAYS = 90
DAY = timedelta(days=1)


class NotEntered(Refused):
    """This meter is counted from a sensor: nothing is entered."""


class OutOfOrder(Refused):
    """Readings are entered in order of time, and not from the future."""


class GoesBack(Refused):
    """It shows less than before: say that the counter was replaced or set back, or correct the number."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How a sensor's meter stands at an instant: total, and the last value with its instant."""

    total: float
    value: float | None
    value_at: datetime | None


def add(new: Meter, *, actor: User, now: datetime | None = None) -> Meter:
    """Store a meter; one of a sensor is counted from now on. Raises ``ValidationError``."""
    now = now or timezone.now()
    check(new)
    new.created_by = actor
    if new.sensor_id is not None:
        new.settled_at = new.look_at = now
    with transaction.atomic():
        new.save(force_insert=True)
        _journal(journal.METER_ADDED, new, at=now, actor=actor)
    return new


def change(meter_id: int, *, actor: User, name: str, threshold: float | None, now: datetime | None = None) -> Meter:
    """What was counted stays. Raises ``ValidationError``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(meter_id)
        row.name, row.threshold = name, threshold
        check(row)
        row.save(update_fields=["name", "threshold"])
        _journal(journal.METER_CHANGED, row, at=now, actor=actor)
    return row


def check(row: Meter) -> None:
    """Raises ``ValidationError`` by field where a meter makes no sense."""
    row.clean_fields()
    if row.machine.site_id != row.site_id:
        raise ValidationError({"machine": "It belongs to another site."})
    if row.machine.level != Equipment.Level.MACHINE:
        raise ValidationError({"machine": "Meters are of machines: choose one, not a line or a component."})
    if row.sensor is not None and row.sensor.machine_id != row.machine_id:
        raise ValidationError({"sensor": "It is a sensor of another machine."})
    if row.threshold is not None and not math.isfinite(row.threshold):
        raise ValidationError({"threshold": "Write a number."})
    row.validate_constraints()


def enter(
    meter_id: int, *, actor: User, value: float, at: datetime | None = None, replaced: bool = False,
    now: datetime | None = None,
) -> MeterReading:  # fmt: skip
    """What somebody read off it. ``replaced``: the counter was replaced or set back, so that nothing is added and it
    counts from here. The first reading is the total. Raises ``Refused``."""
    now = now or timezone.now()
    at = at or now
    with transaction.atomic():
        row = locked(meter_id)
        if row.source != Meter.Source.ENTERED:
            raise NotEntered
        if not (math.isfinite(value) and value >= 0):
            raise GoesBack("Write a number from 0 on.")
        if at > now or (row.read_at is not None and at <= row.read_at):
            raise OutOfOrder("" if row.read_at is None else f"The last is of {row.read_at:%Y-%m-%d %H:%M} UTC.")
        if row.value is not None and value < row.value and not replaced:
            raise GoesBack(f"That was {row.value:g}.")
        row.total += value if row.value is None else 0.0 if replaced else value - row.value
        row.value, row.read_at = value, at
        made = MeterReading.objects.create(
            meter=row, at=at, value=value, total=row.total, replaced=replaced, entered_by=actor
        )
        _keep(row, now=now)
        data = {"value": value, "total": row.total, "replaced": replaced}
        subject, key = f"meter/{row.pk}", f"{journal.METER_READ}/{made.pk}"
        journal.record([journal.Entry(journal.METER_READ, subject, key, at, row.site_id, actor.get_username(), data)])
    return made


def due(*, now: datetime | None = None) -> list[int]:
    """Meters of sensors that are to be counted, those that wait longest first."""
    rows = Meter.objects.filter(look_at__lte=now or Now()).order_by("look_at", "id")
    return list(rows.values_list("id", flat=True)[:MOST])


def look(meter_id: int, *, now: datetime | None = None) -> bool:
    """Count what a sensor's meter went on; whether it was due. Done again it changes nothing."""
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(meter_id)
        if row.look_at is None or row.look_at > now or row.settled_at is None:
            return False
        until = min(now, row.settled_at + MOST_AT_ONCE)
        settle = max(row.settled_at, min(until, now - LATE))
        known = Counted(row.settled_total, row.settled_value, row.settled_value_at)
        settled = _count(row, known, since=row.settled_at, until=settle)
        counted = _count(row, settled, since=settle, until=until)
        row.settled_total, row.settled_value, row.settled_value_at = settled.total, settled.value, settled.value_at
        row.settled_at, row.look_at = settle, now + AGAIN if until == now else now
        row.total, row.value, row.read_at = counted.total, counted.value, counted.value_at
        if row.read_at is not None and row.value is not None:
            midnight = row.read_at.replace(hour=0, minute=0, second=0, microsecond=0)
            row.readings.filter(entered=False, at__gte=midnight).delete()
            row.readings.create(at=row.read_at, value=row.value, total=row.total, entered=False)
        _keep(row, now=now)
    return True


def _count(row: Meter, known: Counted, *, since: datetime, until: datetime) -> Counted:
    """How it stands at ``until``, from how it stood at ``since``."""
    if row.sensor_id is None or since >= until:
        return known
    points = FINE_POINTS if until - since <= FINE else 4 * (math.ceil((until - since) / timedelta(hours=1)) + 1)
    read = series.read(row.sensor_id, start=since, end=until, points=points)
    kept = read.quality != BAD
    at, value = read.at[kept], read.value[kept]
    total = known.total + _gained(row, known, at, value, since=from_instant(since), until=from_instant(until))
    if not len(at):
        return Counted(total, known.value, known.value_at)
    if row.source == Meter.Source.COUNTER and known.value is None:
        total += float(value[0])
    return Counted(total, float(value[-1]), to_instant(int(at[-1])))


def _gained(row: Meter, known: Counted, at: Int64, value: Float64, *, since: int, until: int) -> float:
    if row.source == Meter.Source.COUNTER:
        return meter_life.increase(value, before=known.value)
    threshold = row.threshold if row.threshold is not None else math.inf
    if row.unit != Meter.Unit.HOURS:
        return float(meter_life.rises(value, threshold=threshold, before=known.value))
    if known.value is None or known.value_at is None:
        return meter_life.hours_above(at, value, threshold=threshold, until=until)
    before_at, before = np.array([from_instant(known.value_at)], np.int64), np.array([known.value], np.float64)
    whole = meter_life.hours_above(
        np.concatenate([before_at, at]), np.concatenate([before, value]), threshold=threshold, until=until
    )
    return whole - meter_life.hours_above(before_at, before, threshold=threshold, until=since)


def _keep(row: Meter, *, now: datetime) -> None:
    """Save the total with its rate, and wake the plans that it makes due."""
    row.per_day = _per_day(row)
    row.save(update_fields=[
        "total", "value", "read_at", "per_day", "settled_total", "settled_value", "settled_value_at", "settled_at",
        "look_at",
    ])  # fmt: skip
    reached = Plan.objects.filter(meter=row, paused_at=None, target__lte=row.total + F("meter_lead"))
    waiting = reached.filter(Q(look_at=None) | Q(look_at__gt=now)).exclude(occurrences__outcome="")
    waiting.update(look_at=now)


def _per_day(row: Meter) -> float | None:
    """By its readings of the last ``RATE_DAYS`` days; None where they are of less than a day."""
    if row.read_at is None:
        return None
    first = row.readings.filter(at__gte=row.read_at - RATE_DAYS * DAY).order_by("at").first()
    if first is None or row.read_at - first.at < DAY:
        return None
    return max(row.total - first.total, 0.0) / ((row.read_at - first.at) / DAY)


def total_at(meter_id: int, at: datetime) -> float:
    """By the last reading until an instant; as it stands now where there is none."""
    found = MeterReading.objects.filter(meter_id=meter_id, at__lte=at).values_list("total", flat=True).first()
    return Meter.objects.values_list("total", flat=True).get(pk=meter_id) if found is None else found


def locked(meter_id: int) -> Meter:
    rows = Meter.objects.select_for_update(no_key=True, of=("self",)).select_related("site", "machine", "sensor")
    return rows.get(pk=meter_id)


def _journal(kind: str, row: Meter, *, at: datetime, actor: User) -> None:
    data = {
        "machine": row.machine_id, "name": row.name, "unit": row.unit, "source": row.source, "sensor": row.sensor_id,
        "threshold": row.threshold,
    }  # fmt: skip
    key = f"{kind}/{row.pk}/{at.isoformat()}" if kind == journal.METER_CHANGED else f"{kind}/{row.pk}"
    journal.record([journal.Entry(kind, f"meter/{row.pk}", key, at, row.site_id, actor.get_username(), data)])
