"""A site with its first people: an administrator for the admin pages, a client that may send readings."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from sensors.models import Membership, Site


@dataclass(frozen=True, slots=True)
class Person:
    """An account; ``password`` is None where it existed before and keeps the one it has."""

    user: User
    password: str | None


@transaction.atomic
def site(*, slug: str, name: str, time_zone: str = "UTC") -> tuple[Site, bool]:
    """The site of that slug, made if it is not there. Raises ``ValidationError``."""
    found = Site.objects.filter(slug=slug).first()
    if found is not None:
        return found, False
    made = Site(slug=slug, name=name, time_zone=time_zone)
    made.full_clean()
    made.save()
    return made, True


def administrator(username: str, *, email: str = "") -> Person:
    """The superuser of that name."""
    return _person(username, email=email, is_staff=True, is_superuser=True)


def member(username: str, *, site: Site, role: str) -> Person:
    """The account of that name, as a member of a site in a role."""
    person = _person(username, email="", is_staff=False, is_superuser=False)
    Membership.objects.update_or_create(site=site, user=person.user, defaults={"role": role})
    return person


@transaction.atomic
def _person(username: str, *, email: str, is_staff: bool, is_superuser: bool) -> Person:
    users = get_user_model().objects
    found = users.filter(username=username).first()
    if found is not None:
        return Person(found, None)
    password = secrets.token_urlsafe(18)
    made = users.create_user(username, email, password, is_staff=is_staff, is_superuser=is_superuser)
    return Person(made, password)


def new_password(user: User) -> Person:
    password = secrets.token_urlsafe(18)
    user.set_password(password)
    user.save(update_fields=["password"])
    return Person(user, password)
