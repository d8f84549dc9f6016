"""What people read of models that are asked about live machines: what they say, and why one says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from mlops import predictions, serving
from mlops.models import Deployment, ModelHealth, ModelVersion, Prediction
from mlops.predictions import NOT_SHOWN, PROVEN, UNPROVEN
from sensors import show
from sensors.models import Equipment

QUANTILE = re.compile(r"(?P<of>.*?)_?(?P<share>p10|p50|p90)")
SAYS_NOTHING = "says nothing"


@dataclass(frozen=True, slots=True)
class Line:
    """What a model last said of a machine. ``outputs``: name and value with its unit, or why it is not shown."""

    row: Prediction
    outputs: tuple[tuple[str, str], ...]


def of_machine(machine: Equipment) -> list[Line]:
    return [Line(row, tuple(told(row.outputs))) for row in predictions.newest_shown(machine)]


def told(outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """P10, P50 and P90 of one thing as one range."""
    ranges: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, one in outputs.items():
        if name == PROVEN:
            continue
        if (found := QUANTILE.fullmatch(name)) is not None:
            ranges.setdefault(found["of"], {})[found["share"]] = one
        else:
            yield name, _value(one)
    for of, ends in ranges.items():
        yield of or "forecast", _range(ends)


def _value(one: Mapping[str, Any]) -> str:
    if one.get(UNPROVEN):
        return NOT_SHOWN
    return SAYS_NOTHING if one["value"] is None else show.number(one["value"], one["unit"])


def _range(ends: Mapping[str, Mapping[str, Any]]) -> str:
    if any(one.get(UNPROVEN) for one in ends.values()):
        return NOT_SHOWN
    values = {share: one["value"] for share, one in ends.items()}
    if None in values.values():
        return SAYS_NOTHING
    unit = next(iter(ends.values()))["unit"]
    if "p10" not in values or "p90" not in values:
        return ", ".join(f"{share.upper()} {show.number(value, unit)}" for share, value in values.items())
    words = f"{show.number(values['p10'])} to {show.number(values['p90'], unit)} (P10 to P90)"
    return words + (f", median {show.number(values['p50'], unit)}" if "p50" in values else "")


def not_asked(machine: Equipment) -> list[tuple[str, str]]:
    """Models that might be asked about a machine and are not, or do not answer, by name, and why."""
    champions = _champions()
    classes = {version.signature.get("equipment_class", "") for version in champions}
    among = serving.machines(classes=classes, of=Equipment.objects.filter(pk=machine.pk))
    told = {one.name: one for one in ModelHealth.objects.filter(name__in=[version.name for version in champions])}
    found = []
    for version in champions:
        for fit in serving.fits(version.signature, among):
            health = told.get(version.name)
            why = fit.why or ("" if health is None else health.not_answered.get(str(machine.pk), ""))
            if why:
                found.append((version.name, why))
    return found


def _champions() -> list[ModelVersion]:
    entries = Deployment.objects.filter(alias=Deployment.Alias.CHAMPION, to_at__isnull=True).select_related("version")
    return [entry.version for entry in entries.defer("gate").order_by("name")]


@dataclass(frozen=True, slots=True)
class Health:
    """How a model does with the machines that somebody may see. ``others``: machine and why it is not asked, or does
    not answer, about it; ``more``: how many others there are beyond those."""

    row: ModelHealth | None
    fits: int
    others: tuple[tuple[serving.Machine, str], ...]
    more: int


def health(name: str, *, machines: QuerySet[Equipment], most: int = 20) -> Health:
    row = ModelHealth.objects.filter(name=name).first()
    version = next((one for one in _champions() if one.name == name), None)
    if version is None:
        return Health(row, 0, (), 0)
    among = serving.machines(classes=[version.signature.get("equipment_class", "")], of=machines)
    fits = list(serving.fits(version.signature, among))
    told = {} if row is None else row.not_answered
    others = [(fit.machine, fit.why or told.get(str(fit.machine.id), "")) for fit in fits]
    others = [(machine, why) for machine, why in others if why]
    return Health(row, sum(not fit.why for fit in fits), tuple(others[:most]), max(0, len(others) - most))
