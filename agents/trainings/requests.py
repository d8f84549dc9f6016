"""Trainings that are asked for. Light: pages and REST import it, the work is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from agents import errand
from mlops import ledger, owners, serving
from mlops.models import ModelPolicy, Training
from mlops.names import NAMES
from sensors.models import Equipment, Site

LONGEST_SEARCH_SECONDS = 3_600
LONGEST_LOOK_BACK_DAYS = 3_650
MONTH = timedelta(days=30)
BY_ITSELF = (Training.Cause.SCHEDULE, Training.Cause.DRIFT)


class Refused(Exception):
    """It cannot be asked for; the message says why. ``field``: of which of its own, empty where of none."""

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def ask(
    name: str, *, cause: str, actor: User | None = None, options: Mapping[str, Any] | None = None, here: bool = False
) -> Training:
    """The training that will be done. ``here``: by the caller, so that no worker is called; one whose worker died is
    taken over then. Raises ``Refused``."""
    if name not in NAMES and owners.site_of(name) is None:
        raise Refused(f"There is no model {name!r}. There are: {', '.join(NAMES)}.", field="name")
    chosen = check(options or {})
    policy = ledger.policy(name)
    if not chosen.get("incremental", True):
        del chosen["incremental"]
    if policy.site_id is None and "incremental" in chosen:
        raise Refused("Only the model of a site learns from labels step by step.", field="incremental")
    chosen |= owners.options(policy)
    if cause in BY_ITSELF and (why := not_yet(policy, now=timezone.now())):
        raise Refused(why)
    try:
        with transaction.atomic():
            later = {"ring_after": timezone.now() + timedelta(seconds=LONGEST_SEARCH_SECONDS)} if here else {}
            return Training.objects.create(name=name, cause=cause, options=chosen, asked_by=actor, **later)
    except IntegrityError as error:
        begun = Training.objects.filter(name=name, status__in=Training.UNFINISHED).first() if here else None
        if begun is None or (begun.lease_until is not None and begun.lease_until > timezone.now()):
            raise Refused(f"{name} is being trained already.") from error
        return begun


def model_of(site: Site, equipment_class: str, *, look_back_days: int | None = None) -> str:
    """The name of the site's own model of machines of a class, which learns from so many days from now on. Raises
    ``Refused``."""
    machines = Equipment.objects.filter(site=site, equipment_class__iexact=equipment_class)
    if not equipment_class or not serving.machines(of=machines):
        told = f"{site} has no machine of class {equipment_class!r} with a sensor that is tagged as a feature."
        raise Refused(told, field="equipment_class")
    if look_back_days is not None and not 1 <= look_back_days <= LONGEST_LOOK_BACK_DAYS:
        raise Refused(f"It must be 1 to {LONGEST_LOOK_BACK_DAYS} days.", field="look_back_days")
    try:
        policy = owners.of_site(site, equipment_class)
    except IntegrityError as error:
        raise Refused("Another model was given its name at this moment. Ask again.") from error
    if look_back_days is not None:
        ModelPolicy.objects.filter(pk=policy.pk).update(look_back_days=look_back_days, updated_at=Now())
    return policy.name


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """Seed, seconds for the search, and whether only the limit is to be moved. Raises ``Refused``."""
    if strange := sorted(options.keys() - {"seed", "seconds", "settings", "incremental"}):
        raise Refused(f"There is no option {strange[0]!r}.", field=strange[0])
    seed, seconds = options.get("seed", 1), options.get("seconds", 0.0)
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise Refused("It must be a whole number from 0 to 2,147,483,647.", field="seed")
    if type(seconds) not in (int, float) or not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_SEARCH_SECONDS):
        raise Refused(f"It must be 0 to {LONGEST_SEARCH_SECONDS} seconds.", field="seconds")
    return dict(options)


def not_yet(policy: ModelPolicy, *, now: datetime) -> str:
    """Why nothing but a person may ask for a training now; empty: it may."""
    mine = Training.objects.filter(name=policy.name)
    last = mine.order_by("-id").first()
    if last is not None and last.created_at > now - timedelta(hours=policy.cooldown_hours):
        return f"{policy.name} was trained less than {policy.cooldown_hours} h ago."
    if mine.filter(cause__in=BY_ITSELF, created_at__gt=now - MONTH).count() >= policy.most_a_month:
        return f"{policy.name} was trained {policy.most_a_month} times within 30 days without a person asking for it."
    return ""


def due(*, now: datetime) -> list[str]:
    """Names of models whose time has come and that may be trained."""
    found = []
    for policy in ModelPolicy.objects.filter(retrain_days__isnull=False):
        last = Training.objects.filter(name=policy.name).order_by("-id").first()
        old = last is None or last.created_at <= now - timedelta(days=policy.retrain_days or 0)
        if old and (policy.name in NAMES or policy.site_id is not None) and not not_yet(policy, now=now):
            found.append(policy.name)
    return found


def stop(training_id: int) -> None:
    """Whoever did it in person was stopped by a person."""
    mine = Training.objects.filter(pk=training_id, status__in=Training.UNFINISHED)
    mine.update(status=Training.Status.FAILED, reason="It was stopped.", finished_at=Now(), lease_until=None)


def again(training_id: int) -> None:
    """A failed one is to be tried again. Raises ``Refused``."""
    try:
        with transaction.atomic():
            found = errand.again(Training, training_id, step="", done_share=0.0)
    except IntegrityError as error:
        raise Refused("The model is being trained already.") from error
    if not found:
        raise Refused("Only a training that has failed can be done again.")
