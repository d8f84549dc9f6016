"""The delays of a sensor's alarms, changed and changed back by one action each; the journal keeps what was before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from sensors import fleet, journal
from sensors.models import Event, Sensor

KINDS = (journal.SENSOR_RETIMED, journal.SENSOR_TIMING_UNDONE)
FIELDS = ("on_delay_seconds", "off_delay_seconds")
MOST_SECONDS = 86_400


class NothingToUndo(Exception):
    """The message says why the newest change of a sensor's delays cannot be undone."""


@transaction.atomic
def change(sensor_id: int, *, on_delay_seconds: int, off_delay_seconds: int, reason: str, actor: User) -> Sensor:
    """Give a sensor these delays. Raises ``ValidationError``, and ``Sensor.DoesNotExist``."""
    sensor = _locked(sensor_id)
    after = {"on_delay_seconds": on_delay_seconds, "off_delay_seconds": off_delay_seconds}
    _write(sensor, journal.SENSOR_RETIMED, after, reason=reason, actor=actor)
    return sensor


@transaction.atomic
def undo(sensor_id: int, *, actor: User) -> Sensor:
    """Give a sensor back the delays it had before the newest change.

    Raises ``NothingToUndo`` where there was none, it is undone, or somebody set other delays since.
    """
    sensor = _locked(sensor_id)
    newest = Event.objects.filter(subject=f"sensor/{sensor_id}", type__in=KINDS).order_by("-id").first()
    if newest is None or newest.type == journal.SENSOR_TIMING_UNDONE:
        raise NothingToUndo("No change of its delays is there to undo.")
    if newest.data["after"] != _timing(sensor):
        raise NothingToUndo("Its delays were set anew since: set them by hand.")
    _write(sensor, journal.SENSOR_TIMING_UNDONE, newest.data["before"], reason="", actor=actor, of=newest.pk)
    return sensor


def undoable(sensors: Iterable[Sensor]) -> set[int]:
    """Ids of those sensors whose newest change of delays can be undone. One query."""
    by_subject = {f"sensor/{sensor.pk}": sensor for sensor in sensors}
    newest = Event.objects.filter(subject__in=by_subject, type__in=KINDS).order_by("subject", "-id").distinct("subject")
    return {
        by_subject[event.subject].pk
        for event in newest
        if event.type == journal.SENSOR_RETIMED and event.data["after"] == _timing(by_subject[event.subject])
    }


def _locked(sensor_id: int) -> Sensor:
    return Sensor.objects.select_for_update(of=("self",)).select_related("site", "equipment__machine").get(pk=sensor_id)


def _timing(sensor: Sensor) -> dict[str, int]:
    return {name: int(getattr(sensor, name)) for name in FIELDS}


def _write(sensor: Sensor, kind: str, after: dict[str, int], *, reason: str, actor: User, of: int = 0) -> None:
    """``of``: the event that is undone. A change is named by the newest event of the sensor before it."""
    before, subject = _timing(sensor), f"sensor/{sensor.pk}"
    for name in FIELDS:
        setattr(sensor, name, after[name])
    fleet.save_sensor(sensor)
    cause = of or Event.objects.filter(subject=subject).order_by("-id").values_list("pk", flat=True).first() or 0
    data: dict[str, Any] = {"before": before, "after": after, "reason": reason}
    journal.record(
        [
            journal.Entry(
                kind,
                subject,
                f"{kind}/{subject}/after/{cause}",
                timezone.now(),
                sensor.site_id,
                actor.get_username(),
                data,
            )
        ]
    )
