"""What a process remembers of sensors and of who may send where: read once, and used until it has changed.

The database keeps a number for each of the two kinds, ``fleet`` (sensors and equipment) and ``access`` (accounts,
memberships, sites), and raises it in every transaction that changes one of their rows, whoever makes it. What is
remembered belongs to a number. Whoever uses it compares the numbers in the transaction in which it counts
(``sensors.inbox``) or before an answer that rests on it goes out, and begins anew where one is another; so nothing is
used after the commit that changed it. A transaction that has itself changed something sees the number -1, and what was
read under that is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q

from sensors.codec import LONGEST_NAME, SMALLEST_ID, SensorKey
from sensors.models import Equipment, Membership, Sensor, Site
from sensors.wholesale import Place

OWN = -1
"""The number in a transaction that has changed something itself."""
MOST_CALLERS = 10_000
SEEN = "SELECT number FROM sensors_version_seen ORDER BY name"  # access, fleet


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of what is committed now, or was when something was read."""

    access: int
    fleet: int


@dataclass(frozen=True, slots=True)
class Seat:
    """A site, and the role in it; None: of a superuser, who may do everything everywhere."""

    site: Site
    role: str | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """By site, the codes of the places that were asked for (``sensors.wholesale``), by name and by id."""

    number: int
    codes: dict[int, dict[SensorKey, int]] = field(default_factory=dict)

    def known(self, site_id: int) -> dict[SensorKey, int]:
        """The codes of a site that are remembered."""
        return self.codes.setdefault(site_id, {})

    def places(self, site_id: int, keys: Iterable[SensorKey]) -> dict[SensorKey, int]:
        """Likewise, among them those of the keys that the site has sensors for.

        What is not remembered is asked for in one query, every time: that a name is unknown is not remembered.
        """
        known = self.known(site_id)
        if missing := [key for key in set(keys) if key not in known]:
            known |= _places(site_id, missing)
        return known


@dataclass(frozen=True, slots=True)
class Access:
    """Who was let in with which token (the key is its digest) and until when, and the seats of each of them."""

    number: int
    callers: dict[bytes, tuple[User, float]] = field(default_factory=dict)
    seats: dict[int, tuple[Seat, ...]] = field(default_factory=dict)

    def seats_of(self, user: User) -> tuple[Seat, ...]:
        """The sites that a user sees, by id."""
        seats = self.seats.get(user.pk)
        if seats is None:
            seats = self.seats[user.pk] = _seats(user)
        return seats

    def admit(self, digest: bytes, user: User, *, until: float) -> None:
        if len(self.callers) >= MOST_CALLERS:
            self.callers.clear()
        self.callers[digest] = user, until


_access, _fleet = Access(0), Fleet(0)  # of no number yet


def access() -> Access:
    """What is remembered of who may what, as of the latest number that this process has seen."""
    return _access if _is_kept(_access.number) else see(numbers())[0]


def fleet() -> Fleet:
    """Likewise of the sensors."""
    return _fleet if _is_kept(_fleet.number) else see(numbers())[1]


def _is_kept(number: int) -> bool:
    """Not before the first look, and not inside of a transaction, which may have changed something itself."""
    return number > 0 and not connection.in_atomic_block


def numbers() -> Numbers:
    """As they are now, for this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(SEEN)
        return Numbers(*(number for (number,) in cursor.fetchall()))


def holds(access: int) -> bool:
    """Whether nothing about who may what has changed since it had that number; what has changed is forgotten."""
    now = numbers()
    see(now)
    return now.access == access


def hold() -> None:
    """Nothing that has a number can be changed by others until the transaction ends; whoever tries has to wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM sensors_version ORDER BY name FOR SHARE")


def see(now: Numbers) -> tuple[Access, Fleet]:
    """Forget what belongs to other numbers than these; what is remembered from now on."""
    global _access, _fleet
    known = _access if now.access == _access.number else Access(now.access)
    sensors = _fleet if now.fleet == _fleet.number else Fleet(now.fleet)
    if OWN not in (now.access, now.fleet):
        _access, _fleet = known, sensors
    return known, sensors


def _places(site_id: int, keys: Iterable[SensorKey]) -> dict[SensorKey, int]:
    names = [key for key in keys if isinstance(key, str) and len(key) <= LONGEST_NAME and "\0" not in key]
    ids = [key for key in keys if isinstance(key, int) and SMALLEST_ID <= key < 2**63]
    asked = Sensor.objects.filter(Q(external_id__in=names) | Q(id__in=ids), site_id=site_id)
    rows = Sensor.objects.filter(machine_id__in=asked.values("machine_id"))  # its neighbours will be asked for next
    found: dict[SensorKey, int] = {}
    for sensor, name, lane, criticality in rows.values_list(
        "id", "external_id", "machine__lane", "machine__criticality"
    ):
        if lane is None:
            raise ValueError(f"the machine of sensor {sensor} has no lane")
        place = Place(sensor, lane, criticality == Equipment.Criticality.CRITICAL)
        found[name] = found[sensor] = place.code
    return found


def _seats(user: User) -> tuple[Seat, ...]:
    if user.is_superuser:
        return tuple(Seat(site, None) for site in Site.objects.order_by("id"))
    mine = Membership.objects.filter(user_id=user.pk).select_related("site").order_by("site_id")
    return tuple(Seat(membership.site, membership.role) for membership in mine)
