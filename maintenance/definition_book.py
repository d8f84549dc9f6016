"""The definitions of alarms as they are stored: what decide reads of them. See ``maintenance.definitions``."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import model_to_dict
from django.utils import timezone

from maintenance import definitions
from maintenance.definition_models import AlarmDefinition
from maintenance.definitions import Book, Definition
from sensors import journal
from sensors.models import Equipment, Sensor

SCOPE = ("site", "machine", "equipment_class", "sensor_kind", "anomaly_kind", "failure_mode")
"""Fields that say what a definition is for: they stay as they are, since alarms refer to it."""
SAYS = (
    "cause", "consequence", "response", "respond_within_minutes", "priority", "latching", "re_alarm_seconds",
    "re_alarm_count",
)  # fmt: skip


def of_machines(machines: Iterable[Equipment]) -> Book:
    """All that may hold for conditions of these machines. One query, however many machines and definitions."""
    return definitions.book(map(value_of, rows_of(machines)))


def rows_of(machines: Iterable[Equipment]) -> QuerySet[AlarmDefinition]:
    rows = list(machines)
    concerned = Q(machine__in=[row.pk for row in rows]) | Q(machine=None, site__in={row.site_id for row in rows})
    return AlarmDefinition.objects.filter(concerned).order_by()


def value_of(row: AlarmDefinition) -> Definition:
    return Definition(
        id=row.pk,
        scope=(
            row.site_id, row.machine_id, row.equipment_class, row.sensor_kind, row.anomaly_kind, row.failure_mode
        ),
        priority=row.priority,
        latching=row.latching,
        re_alarm_seconds=row.re_alarm_seconds,
        re_alarm_count=row.re_alarm_count,
    )  # fmt: skip


def save(row: AlarmDefinition, *, actor: User) -> AlarmDefinition:
    """Store a definition that is new or was changed, with an entry in the journal that says who and what.

    It holds for what is decided from then on. Raises ``ValidationError``.
    """
    row.full_clean()
    with transaction.atomic():
        before = AlarmDefinition.objects.select_for_update().filter(pk=row.pk).first()
        row.updated_by, row.updated_at = actor, timezone.now()
        row.revision = 1 if before is None else before.revision + 1
        row.save()
        kind = journal.DEFINITION_ADDED if before is None else journal.DEFINITION_CHANGED
        _record(kind, row, before=before, actor=actor)
    return row


def delete(row: AlarmDefinition, *, actor: User) -> None:
    """Take a definition away: its alarms stand as they are, and what is decided from then on goes without it."""
    with transaction.atomic():
        _record(journal.DEFINITION_DELETED, row, before=row, actor=actor)
        row.delete()


def _record(kind: str, row: AlarmDefinition, *, before: AlarmDefinition | None, actor: User) -> None:
    entry = journal.Entry(
        type=kind,
        subject=f"alarm-definition/{row.pk}",
        key=f"{kind}/{row.pk}/{row.revision}",
        occurred_at=timezone.now(),
        site_id=row.site_id,
        actor=actor.get_username(),
        data={
            "scope": model_to_dict(row, SCOPE),
            "before": None if before is None else model_to_dict(before, SAYS),
            "after": None if kind == journal.DEFINITION_DELETED else model_to_dict(row, SAYS),
        },
    )
    journal.record([entry])


def sensors_of(row: AlarmDefinition) -> list[Sensor]:
    """The sensors it is written for, with their machines and equipment, whether or not another one outranks it."""
    found = Sensor.objects.filter(site=row.site_id).select_related("machine", "equipment")
    if row.machine_id is not None:
        found = found.filter(machine=row.machine_id)
    if row.sensor_kind:
        found = found.filter(kind=row.sensor_kind)
    if row.equipment_class:
        own = Q(equipment__equipment_class__iexact=row.equipment_class)
        found = found.filter(
            own | Q(equipment__equipment_class="", machine__equipment_class__iexact=row.equipment_class)
        )
    return list(found.order_by("external_id"))
