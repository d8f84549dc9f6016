"""Trainings that new labels ask for: of the models of sites, whose truth is what people say there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from agents.trainings import requests
from mlops import ledger
from mlops.models import ModelPolicy, Training
from sensors.models import Label

ANEW: dict[str, Any] = {}
INCREMENTAL: dict[str, Any] = {"incremental": True}


def due(*, now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of models of which enough was said since their last training, and the options of the next one.

    The champion is shown what was said, which takes seconds; if that was done and the champion is the same, the model
    is trained anew: a fault may lie in what was taken for normal. Then it is the first's turn again.
    """
    for policy in ModelPolicy.objects.filter(site__isnull=False, retrain_labels__isnull=False):
        last = Training.objects.filter(name=policy.name).order_by("-id").first()
        if last is None or requests.not_yet(policy, now=now):
            continue
        said = _said_since(policy, last.created_at)
        if said.count() >= (policy.retrain_labels or 0):
            yield policy.name, _options(policy.name)


def _said_since(policy: ModelPolicy, instant: datetime) -> QuerySet[Label]:
    about = Label.objects.filter(site=policy.site_id, machine__equipment_class__iexact=policy.equipment_class)
    return about.filter(created_at__gt=instant, retracted_at=None)


def _options(name: str) -> dict[str, Any]:
    champion = ledger.champion(name)
    if champion is None:
        return ANEW
    last = Training.objects.filter(name=name, id__gt=champion.training_id).order_by("-id").first()
    return ANEW if last is not None and "incremental" in last.options else INCREMENTAL
