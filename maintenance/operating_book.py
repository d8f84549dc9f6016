"""The rules by which it is known whether machines run, as they are laid down. The only writer of OperatingRule."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import model_to_dict
from django.utils import timezone

from maintenance import failure_modes, operating
from sensors import journal
from sensors.models import Equipment, Sensor
from sensors.operating_models import OperatingRule

SCOPE = ("site", "machine", "equipment_class")
"""Fields that say which machines a rule is of: they stay as they are."""
SAYS = (
    "sensor", "sensor_kind", "off_below", "running_above", "startup_seconds", "off_hides", "startup_hides",
    "holds_minutes", "most_hours",
)  # fmt: skip
ALL = failure_modes.ALL


def save(row: OperatingRule, *, actor: User) -> OperatingRule:
    """Store a rule that is new or was changed; the next pass of the sweep looks at its machines.

    Raises ``ValidationError``.
    """
    row.equipment_class = row.equipment_class.strip().upper()
    row.full_clean()
    check(row)
    with transaction.atomic():
        before = OperatingRule.objects.select_for_update(of=("self",)).filter(pk=row.pk).first()
        row.updated_by, row.updated_at = actor, timezone.now()
        row.revision = 1 if before is None else before.revision + 1
        row.save()
        _record(journal.OPERATING_RULE_ADDED if before is None else journal.OPERATING_RULE_CHANGED, row, before, actor)
        operating.look_soon(machines_of(row))
    return row


def delete(row: OperatingRule, *, actor: User) -> None:
    """Take a rule away: what it hides is shown by the next pass of the sweep."""
    with transaction.atomic():
        _record(journal.OPERATING_RULE_DELETED, row, row, actor)
        machines = list(machines_of(row).values_list("id", flat=True))
        row.delete()
        operating.look_soon(Equipment.objects.filter(pk__in=machines))


def check(row: OperatingRule) -> None:
    """What the fields alone do not say. Raises ``ValidationError`` by field."""
    wrong: dict[str, Any] = {}
    if row.machine is not None and row.machine.site_id != row.site_id:
        wrong["machine"] = "The machine belongs to another site."
    elif row.machine is not None and row.machine.level != Equipment.Level.MACHINE:
        wrong["machine"] = "Alarms are of machines: choose one, not a line or a component."
    if row.sensor is not None and row.sensor.machine_id != row.machine_id:
        wrong["sensor"] = "The sensor is not one of this machine's."
    if row.sensor_kind and row.sensor_kind not in Sensor.Kind.values:
        wrong["sensor_kind"] = f"There is no kind of sensor {row.sensor_kind}."
    for name in ("off_hides", "startup_hides"):
        if complaint := failure_modes.not_modes(getattr(row, name)):
            wrong[name] = complaint
    if row.most_hours > settings.STATE_HIDES_MAX_HOURS:
        wrong["most_hours"] = f"At most {settings.STATE_HIDES_MAX_HOURS} hours are allowed."
    if row.holds_minutes > row.most_hours * 60:
        wrong["holds_minutes"] = "It cannot hold for longer than anything may be hidden."
    if wrong:
        raise ValidationError(wrong)


def machines_of(row: OperatingRule) -> QuerySet[Equipment]:
    """The machines that a rule is written for, whether or not they have one of their own."""
    machines = Equipment.objects.filter(site=row.site_id, level=Equipment.Level.MACHINE)
    mine = Q(pk=row.machine_id) if row.machine_id is not None else Q(equipment_class__iexact=row.equipment_class)
    return machines.filter(mine)


def _record(kind: str, row: OperatingRule, before: OperatingRule | None, actor: User) -> None:
    entry = journal.Entry(
        type=kind,
        subject=f"operating-rule/{row.pk}",
        key=f"{kind}/{row.pk}/{row.revision}",
        occurred_at=timezone.now(),
        site_id=row.site_id,
        actor=actor.get_username(),
        data={
            "scope": model_to_dict(row, SCOPE),
            "before": None if before is None else model_to_dict(before, SAYS),
            "after": None if kind == journal.OPERATING_RULE_DELETED else model_to_dict(row, SAYS),
        },
    )
    journal.record([entry])
