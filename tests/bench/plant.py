"""A plant of many machines with ten sensors each, over all lanes, made set-wise; and a client that may send for it.

python -m tests.bench.plant 100        prints the client's password
"""

from __future__ import annotations

import sys

from django.core.management import call_command
from django.db import transaction
from django.db.models import F

from sensors import onboarding
from sensors.models import LANES, Equipment, Sensor, Site
from tests.load import bodies

SITE = CLIENT = "plant"


def make(machines: int) -> str:
    """The tables, and in them the plant; the client's password."""
    call_command("migrate", verbosity=0)
    site, _ = onboarding.site(slug=SITE, name="Plant")
    with transaction.atomic():
        fill(site, machines)
    return onboarding.new_password(onboarding.member(CLIENT, site=site, role="INGEST").user).password or ""


def fill(site: Site, machines: int) -> None:
    made = Equipment.objects.bulk_create(
        Equipment(site=site, tag=f"m{number:03d}", name=f"Machine {number}", lane=number % LANES)
        for number in range(machines)
    )
    Equipment.objects.filter(site=site).update(machine=F("id"))
    names = [bodies.name_of(number) for number in range(machines * bodies.PER_MACHINE)]
    Sensor.objects.bulk_create(
        Sensor(
            site=site, equipment=made[number // bodies.PER_MACHINE], machine=made[number // bodies.PER_MACHINE],
            external_id=name, name=name, high=bodies.HIGH,
        )
        for number, name in enumerate(names)
    )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(make(int(sys.argv[1])) + "\n")
