"""Whose a model is: of all sites, or of one, whose members alone see it and some of them change it, by their roles."""

from __future__ import annotations

import re
from itertools import count
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model, QuerySet

from mlops.models import ModelPolicy
from mlops.names import NAMES
from sensors import access, permissions
from sensors.models import Site
from sensors.problems import Problem

Row = TypeVar("Row", bound=Model)
NAME_LETTERS = 100


def visible(rows: QuerySet[Row], user: User | AnonymousUser) -> QuerySet[Row]:
    """Of rows with the name of a model those of shared models, and of the models of the sites of whoever asks."""
    if access.is_operator(user):
        return rows
    others = ModelPolicy.objects.filter(site__isnull=False).exclude(site__in=access.sites(user))
    return rows.exclude(name__in=others.order_by().values("name"))


def of_their_sites(rows: QuerySet[Row], user: User | AnonymousUser) -> QuerySet[Row]:
    """Of rows with the name of a model those of the sites of whoever asks; all for a superuser."""
    if access.is_operator(user):
        return rows
    return rows.filter(name__in=ModelPolicy.objects.filter(site__in=access.sites(user)).order_by().values("name"))


def site_of(name: str) -> int | None:
    """The id of the site whose model it is; None: of all."""
    return ModelPolicy.objects.filter(name=name).values_list("site_id", flat=True).first()


def may_change(user: User | AnonymousUser, name: str, *, to: str) -> bool:
    """Whether somebody may train a model or change who speaks: of a shared one who looks after the installation."""
    if access.is_operator(user):
        return True
    site = site_of(name)
    return site is not None and access.may(user, site, to=to)


def require(user: User | AnonymousUser, name: str, *, to: str) -> None:
    """Raises a ``forbidden`` problem where somebody may not change the model."""
    if not may_change(user, name, to=to):
        raise Problem(
            "forbidden",
            f"For a model of all sites this takes an administrator of the whole installation; for one of a site it "
            f"takes {permissions.said(to)} of that site.",
        )


def of_site(site: Site, equipment_class: str) -> ModelPolicy:
    """How the site's model of machines of a class is looked after; made where it is new."""
    kind = equipment_class.upper()
    free = _free_name(site, kind)
    return ModelPolicy.objects.get_or_create(site=site, equipment_class=kind, defaults={"name": free})[0]


def _free_name(site: Site, kind: str) -> str:
    """Of letters, digits and hyphens, as addresses take it; with a number where another model is called so."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{site.slug}-{kind}".lower()).strip("-")
    for number in count(1):
        end = "-anomaly" if number == 1 else f"-anomaly-{number}"
        name = words[: NAME_LETTERS - len(end)].strip("-") + end
        if name not in NAMES and not ModelPolicy.objects.filter(name=name).exists():
            return name
    raise AssertionError("count ends nowhere")


def options(policy: ModelPolicy) -> dict[str, Any]:
    """What a training of a site's model is told of it; nothing of a shared one."""
    if policy.site_id is None:
        return {}
    return {
        "site": policy.site_id, "equipment_class": policy.equipment_class, "look_back_days": policy.look_back_days,
    }  # fmt: skip
