"""Regimes: from where on people call normal what a machine or a sensor does. The only writer of Regime."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from sensors import journal
from sensors.models import Equipment, Regime, Sensor


class AlreadyRetracted(Exception):
    """The regime is in force no longer; the message says since when."""


@transaction.atomic
def declare(
    *, machine: Equipment, sensor: Sensor | None, since: datetime, reason: str, actor: User
) -> tuple[Regime, bool]:
    """The regime that begins then, and whether it is new: the same twice is one, with the reason it had first.

    ``sensor`` None: of every sensor of the machine. Raises ``ValidationError``.
    """
    place = {"machine": machine, "sensor": sensor, "since": since}
    more = {"site_id": machine.site_id, "reason": reason, "created_by": actor}
    new = Regime(**place, **more)
    new.clean_fields(exclude=Regime.GIVEN)
    new.clean()
    row, is_new = Regime.objects.get_or_create(**place, retracted_at=None, defaults=more)
    if is_new:
        journal.record([_entry(journal.REGIME_DECLARED, row, actor=actor, at=row.created_at)])
    return row, is_new


@transaction.atomic
def retract(regime_id: int, *, actor: User) -> Regime:
    """The regime is in force no longer; it stays, with who said so. Raises ``AlreadyRetracted``."""
    now = timezone.now()
    changed = Regime.objects.filter(pk=regime_id, retracted_at=None).update(retracted_by=actor, retracted_at=now)
    row = Regime.objects.select_related("machine", "sensor").get(pk=regime_id)
    if not changed:
        raise AlreadyRetracted(f"It was retracted before, at {row.retracted_at:%Y-%m-%d %H:%M} UTC.")
    journal.record([_entry(journal.REGIME_RETRACTED, row, actor=actor, at=now)])
    return row


def _entry(kind: str, row: Regime, *, actor: User, at: datetime) -> journal.Entry:
    return journal.Entry(
        type=kind,
        subject=f"regime/{row.pk}",
        key=f"{kind}/{row.pk}",
        occurred_at=at,
        site_id=row.site_id,
        actor=actor.get_username(),
        data={
            "machine": row.machine_id,
            "sensor": row.sensor_id,
            "since": row.since.isoformat(),
            "reason": row.reason,
        },
    )


def newest() -> Subquery:
    """Of each row of sensors, when the newest regime of the sensor or its machine began."""
    mine = Regime.objects.filter(Q(sensor=None) | Q(sensor=OuterRef("pk")), machine=OuterRef("machine_id"))
    return Subquery(mine.filter(retracted_at=None).order_by("-since").values("since")[:1])
