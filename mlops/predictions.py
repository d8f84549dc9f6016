"""What models said of live machines: written once for each instant, read by pages and REST, forgotten in the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now

from mlops.models import ModelHealth, ModelPolicy, Prediction
from sensors.models import Equipment

PROVEN = "coverage_proven"
"""The output by which a model says itself whether its intervals are proven to cover what they promise: 1, or not."""
UNPROVEN = "unproven"
NOT_SHOWN = "not shown: its coverage is unproven"

Outputs = Mapping[str, Mapping[str, Any]]
"""Of each output its ``unit`` and ``value``, None = it says nothing; ``unproven``: the value is not to be shown."""


def marked(outputs: Outputs) -> dict[str, dict[str, Any]]:
    """The same, and where the model does not say that its coverage is proven each of the others marked as unproven."""
    if PROVEN not in outputs or outputs[PROVEN]["value"] == 1:
        return {name: dict(one) for name, one in outputs.items()}
    return {name: dict(one) if name == PROVEN else {**one, UNPROVEN: True} for name, one in outputs.items()}


def shown(outputs: Outputs) -> dict[str, dict[str, Any]]:
    """What people may see: of what is unproven no value."""
    return {name: {**one, "value": None} if one.get(UNPROVEN) else dict(one) for name, one in outputs.items()}


def says_nothing(outputs: Outputs) -> bool:
    return all(one["value"] is None for name, one in outputs.items() if name != PROVEN)


def record(rows: Sequence[Prediction]) -> None:
    """One that is there already stays as it is."""
    Prediction.objects.bulk_create(rows, ignore_conflicts=True)


def last_asked(machines: Collection[int], *, name: str, version: int) -> dict[int, datetime]:
    """Of each machine that the version answered about the newest instant."""
    mine = Prediction.objects.filter(machine=OuterRef("pk"), name=name, version=version).order_by("-asked_at")
    rows = Equipment.objects.filter(pk__in=machines).annotate(last=Subquery(mine.values("asked_at")[:1]))
    return dict(rows.filter(last__isnull=False).order_by().values_list("pk", "last"))


def newest_shown(machine: Equipment) -> QuerySet[Prediction]:
    """Of each model what was last shown of the machine."""
    mine = Prediction.objects.filter(machine=machine, name=OuterRef("name"), is_shown=True).order_by("-asked_at", "-id")
    newest = ModelPolicy.objects.annotate(newest=Subquery(mine.values("pk")[:1])).values_list("newest", flat=True)
    return Prediction.objects.filter(pk__in=list(newest.filter(newest__isnull=False))).order_by("name")


def looked(name: str, *, answered: bool, trouble: str, not_answered: Mapping[int, str]) -> None:
    """How the model's turn went."""
    told: dict[str, Any] = {"looked_at": Now(), "trouble": trouble, "not_answered": dict(not_answered)}
    if answered:
        told["answered_at"] = Now()
    ModelHealth.objects.update_or_create(name=name, defaults=told)


def forget(*, before: datetime) -> int:
    """How many were deleted that are older."""
    return Prediction.objects.filter(created_at__lt=before).delete()[0]
