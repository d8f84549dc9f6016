"""Rows that tests need, made the way the product makes them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from sensors import fleet
from sensors.models import Equipment, Membership, Sensor, Site

PASSWORD = "correct horse battery"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_number = count(1)


def site(**fields: Any) -> Site:
    n = next(_number)
    return Site.objects.create(**{"slug": f"site-{n}", "name": f"Site {n}"} | fields)


def user(*, site: Site | None = None, role: str = Membership.Role.ADMIN, **fields: Any) -> User:
    made = get_user_model().objects.create_user(**{"username": f"user-{next(_number)}", "password": PASSWORD} | fields)
    if site is not None:
        Membership.objects.create(site=site, user=made, role=role)
    return made


def machine(*, site: Site, **fields: Any) -> Equipment:
    tag = f"M-{next(_number)}"
    return fleet.save_equipment(Equipment(**{"site": site, "tag": tag, "name": tag, "level": "MACHINE"} | fields))


def sensor(*, machine: Equipment, **fields: Any) -> Sensor:
    name = f"sensor-{next(_number)}"
    return fleet.save_sensor(
        Sensor(
            **{"site": machine.site, "equipment": machine, "external_id": name, "name": name, "kind": "FLOW"} | fields
        )
    )
