"""What a listener of the live stream asked for, and whether they may have it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.http import QueryDict

from maintenance import audience, webhook_filter
from maintenance.webhook_filter import About
from sensors import access
from sensors.models import Equipment, Event, Sensor
from sensors.problems import Problem

USUAL = ("alarm.*", "anomaly.*", "work_order.*")
MOST_SENSORS = 50
LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class Wish:
    """``machines``: None where the whole plant was asked for."""

    user_id: int
    sites: frozenset[int]
    types: frozenset[str]
    machines: frozenset[int] | None = None
    sensors: frozenset[int] = field(default_factory=frozenset)

    def wants(self, event: Event, about: About) -> bool:
        if event.site_id not in self.sites or not webhook_filter.is_of(self.types, event.type):
            return False
        return self.machines is None or about.machine in self.machines


def read(said: QueryDict, user: User) -> Wish:
    """Raises a problem where it names what is not known, or not of one's own sites."""
    types = _words(said, "types") or USUAL
    if unknown := sorted(set(types) - set(webhook_filter.CHOICES)):
        raise Problem("invalid", f"There is no type {unknown[0][:60]!r}: name types such as alarm.opened or alarm.*.")
    sites = frozenset(access.sites(user).values_list("pk", flat=True))
    if asked := _numbers(said, "site"):
        if not asked <= sites:
            raise Problem("not-found", "There is no such site among yours.")
        sites = asked
    return Wish(user.pk, sites, frozenset(types), _machines(said, sites), _sensors(said, sites))


def _machines(said: QueryDict, sites: Collection[int]) -> frozenset[int] | None:
    """The machines below the equipment that is named, or in it."""
    asked = _numbers(said, "equipment")
    if not asked:
        return None
    if Equipment.objects.filter(pk__in=asked, site__in=sites).count() != len(asked):
        raise Problem("not-found", "There is no such equipment among yours.")
    machines = Equipment.objects.filter(site__in=sites, level=Equipment.Level.MACHINE).values_list("pk", flat=True)
    return frozenset(machine for machine, around in audience.places(machines).items() if around & asked)


def _sensors(said: QueryDict, sites: Collection[int]) -> frozenset[int]:
    asked = _numbers(said, "sensors")
    if len(asked) > MOST_SENSORS:
        raise Problem("invalid", f"At most {MOST_SENSORS} sensors can be listened to at a time.")
    if asked and Sensor.objects.filter(pk__in=asked, site__in=sites).count() != len(asked):
        raise Problem("not-found", "There is no such sensor among yours.")
    return asked


def _words(said: QueryDict, name: str) -> list[str]:
    return [word for text in said.getlist(name) for word in text.split(",") if word]


def _numbers(said: QueryDict, name: str) -> frozenset[int]:
    words = _words(said, name)
    if not all(word.isascii() and word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words):
        raise Problem("invalid", f"{name} are ids: whole numbers, separated by commas.")
    return frozenset(map(int, words))
