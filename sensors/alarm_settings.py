"""What tunes a sensor's alarms (delays, deadband), changed and changed back by one action each; the journal keeps what
was before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from sensors import fleet, journal, sensor_defaults
from sensors.models import Event, Sensor

KINDS = (journal.SENSOR_TUNED, journal.SENSOR_TUNING_UNDONE)
FIELDS = ("on_delay_seconds", "off_delay_seconds", "deadband")
MOST_SECONDS = 86_400


class NothingToUndo(Exception):
    """The message says why the newest change of how a sensor's alarms are tuned cannot be undone."""


@transaction.atomic
def change(sensor_id: int, settings: Mapping[str, float], *, reason: str, actor: User) -> Sensor:
    """Give a sensor these settings, some of ``FIELDS``. Raises ``ValidationError``, and ``Sensor.DoesNotExist``."""
    sensor = _locked(sensor_id)
    _write(sensor, journal.SENSOR_TUNED, settings, reason=reason, actor=actor)
    return sensor


@transaction.atomic
def undo(sensor_id: int, *, actor: User) -> Sensor:
    """Give a sensor back what it had before the newest change.

    Raises ``NothingToUndo`` where there was none, it is undone, or somebody has set something else since.
    """
    sensor = _locked(sensor_id)
    newest = Event.objects.filter(subject=f"sensor/{sensor_id}", type__in=KINDS).order_by("-id").first()
    if newest is None or newest.type == journal.SENSOR_TUNING_UNDONE:
        raise NothingToUndo("No change of its delays or deadband is there to undo.")
    if not _stands(sensor, newest.data["after"]):
        raise NothingToUndo("They were set anew since: set them by hand.")
    before, defaults = newest.data["before"], newest.data.get("by_default", ())
    _write(
        sensor, journal.SENSOR_TUNING_UNDONE, before, reason="", actor=actor, of=newest.pk, by_default=defaults
    )  # fmt: skip
    return sensor


def undoable(sensors: Iterable[Sensor]) -> set[int]:
    """Ids of those sensors whose newest change can be undone. One query."""
    by_subject = {f"sensor/{sensor.pk}": sensor for sensor in sensors}
    newest = Event.objects.filter(subject__in=by_subject, type__in=KINDS).order_by("subject", "-id").distinct("subject")
    return {
        by_subject[event.subject].pk
        for event in newest
        if event.type == journal.SENSOR_TUNED and _stands(by_subject[event.subject], event.data["after"])
    }


def _stands(sensor: Sensor, after: Mapping[str, float]) -> bool:
    return after == _settings(sensor, after)


def _locked(sensor_id: int) -> Sensor:
    """Its site first, as whoever writes sensors does."""
    sensor_defaults.hold(Sensor.objects.values_list("site_id", flat=True).get(pk=sensor_id))
    return Sensor.objects.select_for_update(of=("self",)).select_related("site", "equipment__machine").get(pk=sensor_id)


def _settings(sensor: Sensor, names: Iterable[str]) -> dict[str, float]:
    return {name: getattr(sensor, name) for name in FIELDS if name in names}


def _write(
    sensor: Sensor, kind: str, after: Mapping[str, float], *, reason: str, actor: User, of: int = 0,
    by_default: Iterable[str] = (),
) -> None:  # fmt: skip
    """``of``: the event that is undone; ``by_default``: settings that become those of the site's defaults again. A
    change is named by the newest event of the sensor before it."""
    before, subject = _settings(sensor, after), f"sensor/{sensor.pk}"
    own = {name for name, source in sensor_defaults.sources(sensor).items() if source == sensor_defaults.OWN}
    for name in before:
        setattr(sensor, name, after[name])
    fleet.save_sensor(sensor, own=own.union(before).difference(by_default))
    cause = of or Event.objects.filter(subject=subject).order_by("-id").values_list("pk", flat=True).first() or 0
    data: dict[str, Any] = {"before": before, "after": _settings(sensor, after), "reason": reason}
    data["by_default"] = sorted(before.keys() - own)
    key = f"{kind}/{subject}/after/{cause}"
    entry = journal.Entry(kind, subject, key, timezone.now(), sensor.site_id, actor.get_username(), data)
    journal.record([entry])
