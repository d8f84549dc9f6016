"""Alarm settings that hold for many sensors: by kind of sensor, class of equipment and unit. The only writer of
SensorDefault.

Each setting of a sensor is its own, or that of the most specific default that says it, or what is built in. What holds
is written into the sensor's row, so the flow reads it there as ever, and whoever remembers sensors learns of a change
as of any other (``sensors.directory``); ``settings_from`` says where each came from. Whoever writes sensors or defaults
of a site locks the site first: no sensor misses a change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import model_to_dict
from django.utils import timezone

from sensors import journal
from sensors.default_models import SensorDefault
from sensors.models import Equipment, Sensor, Site

BUILT_IN: Mapping[str, float | int | None] = {
    "low_low": None, "low": None, "high": None, "high_high": None, "deadband": 0, "alarm_readings": 1,
    "alarm_readings_of": 1, "rise_per_minute": None, "fall_per_minute": None, "rate_span_seconds": 60,
    "silent_after_seconds": None, "on_delay_seconds": 0, "off_delay_seconds": 0,
}  # fmt: skip
"""What holds where nobody says anything."""
SETTINGS = tuple(BUILT_IN)
SCOPE = ("site", "equipment_class", "sensor_kind", "unit")
"""Fields that say what a default is for: they stay as they are."""
OWN = "own"
FROM = "By setting: `own`, or the id of the sensor default that says it; what is built in is left out."
TOGETHER = {"alarm_readings": "alarm_readings_of", "alarm_readings_of": "alarm_readings"}
"""Settings that mean nothing alone: they are the sensor's own together."""


def of_site(site_id: int) -> list[SensorDefault]:
    """The most specific first: a class of equipment outranks a kind of sensor, that a unit."""
    rows = SensorDefault.objects.filter(site=site_id).order_by("id")
    return sorted(rows, key=lambda row: (row.equipment_class == "", row.sensor_kind == "", row.unit == ""))


def used(row: SensorDefault) -> int:
    """For how many sensors a default says something."""
    says = (Q(**{f"settings_from__{name}": row.pk}) for name in SETTINGS)
    return Sensor.objects.filter(reduce(or_, says), site=row.site_id).count()


def hold(site_id: int) -> None:
    """Nobody else writes sensors or defaults of the site until the caller's transaction ends."""
    Site.objects.select_for_update(no_key=True).filter(pk=site_id).values_list("pk", flat=True).first()


def settle(sensor: Sensor, *, own: Collection[str] | None = None) -> None:
    """Give a sensor that is about to be saved what holds for it, in the caller's transaction.

    ``own``: see ``fleet.save_sensor``.
    """
    hold(sensor.site_id)
    settle_by(of_site(sensor.site_id), sensor, own=own)


def sources(sensor: Sensor) -> dict[str, int | str]:
    """By setting, ``own`` or the id of the default that says it; what is built in is left out. No query."""
    kept: dict[str, int | str] = sensor.settings_from
    found = {name: kept[name] for name in SETTINGS if name in kept}
    return found | {
        name: OWN for name, value in BUILT_IN.items() if name not in kept and getattr(sensor, name) != value
    }


def said(sensor: Sensor, rows: Iterable[SensorDefault]) -> dict[str, tuple[int, float | int]]:
    """By setting, what the defaults of its site say for a sensor, and which of them says it."""
    found: dict[str, tuple[int, float | int]] = {}
    for row in rows:
        if not _is_for(row, sensor):
            continue
        for name in SETTINGS:
            if (value := getattr(row, name)) is not None and name not in found:
                found[name] = row.pk, value
    if "silent_after_seconds" in found:
        pk, seconds = found.pop("silent_after_seconds")
        if sensor.period_seconds:
            found["silent_after_seconds"] = pk, max(seconds, sensor.period_seconds)
    return found


def _is_for(row: SensorDefault, sensor: Sensor) -> bool:
    place = (sensor.equipment.equipment_class or sensor.machine.equipment_class).strip().upper()
    return (
        row.equipment_class in ("", place)
        and row.sensor_kind in ("", sensor.kind)
        and row.unit in ("", sensor.unit.strip())
    )


def settle_by(rows: Sequence[SensorDefault], sensor: Sensor, *, own: Collection[str] | None = None) -> None:
    """``settle`` by these defaults of its site, which the caller holds. No query where its equipment is known."""
    mine = set(own) if own is not None else _own(sensor, rows)
    mine |= {TOGETHER[name] for name in mine & TOGETHER.keys()}
    told = said(sensor, rows)
    for name in SETTINGS:
        if name not in mine:
            setattr(sensor, name, told[name][1] if name in told else BUILT_IN[name])
    theirs = {name: pk for name, (pk, _) in told.items() if name not in mine}
    sensor.settings_from = theirs | dict.fromkeys(sorted(mine), OWN)


def _own(sensor: Sensor, rows: Sequence[SensorDefault]) -> set[str]:
    """What was the sensor's own, and what somebody has set that neither its default said nor is built in."""
    by_id = {row.pk: row for row in rows}
    found = set()
    for name in SETTINGS:
        source, value = sensor.settings_from.get(name), getattr(sensor, name)
        expected: Any = getattr(by_id[source], name) if source in by_id else BUILT_IN[name]
        if name == "silent_after_seconds" and source in by_id:
            expected = max(expected, sensor.period_seconds or 0)
        gone = isinstance(source, int) and source not in by_id
        if source == OWN or (value != expected and not gone):
            found.add(name)
    return found


def hold_for(equipment: Equipment) -> None:
    """Give the sensors on a piece of equipment, or of a machine, what holds for its class; in the caller's
    transaction. Raises ``ValidationError``."""
    hold(equipment.site_id)
    rows = of_site(equipment.site_id)
    if rows:
        _apply(rows, Sensor.objects.filter(Q(equipment=equipment) | Q(machine=equipment)), before=rows)


def save(row: SensorDefault, *, actor: User) -> int:
    """Store a default that is new or, behind ``hold``, was read and changed, and give the sensors of its scope what
    holds for them now; how many changed. Raises ``ValidationError``, where a sensor's own settings do not go with it
    too: then nothing is changed."""
    row.full_clean()
    with transaction.atomic():
        hold(row.site_id)
        old = of_site(row.site_id)
        before = next((one for one in old if one.pk == row.pk), None)
        row.updated_by, row.updated_at = actor, timezone.now()
        row.revision = 1 if before is None else before.revision + 1
        row.save(force_insert=row._state.adding, force_update=not row._state.adding)
        changed = _apply(of_site(row.site_id), _concerned(row), before=old)
        _record("added" if before is None else "changed", row, before=before, actor=actor, sensors=changed)
    return changed


def change(row: SensorDefault, settings: Mapping[str, Any], *, actor: User) -> int:
    """Change these settings of a default and leave the others as they are by then; see ``save``. Raises
    ``ValidationError`` where it was deleted meanwhile too."""
    with transaction.atomic():
        hold(row.site_id)
        fresh = SensorDefault.objects.filter(pk=row.pk).first()
        if fresh is None:
            raise ValidationError("Somebody has deleted it meanwhile.")
        for name, value in settings.items():
            setattr(fresh, name, value)
        return save(fresh, actor=actor)


def delete(row: SensorDefault, *, actor: User) -> int:
    """Take a default away; how many sensors changed. Raises ``ValidationError`` like ``save``."""
    with transaction.atomic():
        hold(row.site_id)
        old = of_site(row.site_id)
        changed = _apply([one for one in old if one.pk != row.pk], _concerned(row), before=old)
        _record("deleted", row, before=row, actor=actor, sensors=changed)
        row.delete()
    return changed


def _concerned(row: SensorDefault) -> QuerySet[Sensor]:
    """Those it may be for; what is for them is looked at one by one."""
    found = Sensor.objects.filter(site=row.site_id)
    return found.filter(kind=row.sensor_kind) if row.sensor_kind else found


def _apply(rows: list[SensorDefault], sensors: QuerySet[Sensor], *, before: list[SensorDefault]) -> int:
    """``before``: the defaults as they were, from which it is known what a sensor set itself."""
    changed = []
    for sensor in sensors.select_related("equipment", "machine", "gateway", "site").order_by("pk"):
        known = {name: getattr(sensor, name) for name in (*SETTINGS, "settings_from")}
        settle_by(rows, sensor, own=_own(sensor, before))
        if any(getattr(sensor, name) != value for name, value in known.items()):
            _check(sensor)
            changed.append(sensor)
    Sensor.objects.bulk_update(changed, [*SETTINGS, "settings_from"], batch_size=500)
    return len(changed)


def _check(sensor: Sensor) -> None:
    try:
        sensor.clean()
    except ValidationError as error:
        raise ValidationError(f"It does not go with what is set on {sensor}: {' '.join(error.messages)}") from error


def _record(what: str, row: SensorDefault, *, before: SensorDefault | None, actor: User, sensors: int) -> None:
    data: dict[str, Any] = {
        "scope": model_to_dict(row, SCOPE),
        "before": None if before is None else model_to_dict(before, SETTINGS),
        "after": None if what == "deleted" else model_to_dict(row, SETTINGS),
        "sensors": sensors,
    }
    kind, subject = f"sensor_default.{what}", f"sensor-default/{row.pk}"
    key = f"{kind}/{row.pk}/{row.revision}"
    entry = journal.Entry(kind, subject, key, timezone.now(), row.site_id, actor.get_username(), data)
    journal.record([entry])
