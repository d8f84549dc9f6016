"""Which live machines a model can be asked about, by the class, the features and the units of its signature.

A person tags a sensor with the feature it is: nothing is guessed from names, and nothing is filled in. Light: pages ask
it as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from mlops.asking import COUNTED
from sensors.models import Equipment, Sensor


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sensor that a person tagged with a feature."""

    id: int
    unit: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its components. ``sensors``: its tagged ones by feature, which are one each."""

    id: int
    tag: str
    equipment_class: str
    site: int
    lane: int
    sensors: Mapping[str, Tagged]


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model can be asked about a machine. ``sensors``: ids in the order of the signature's features, none
    where it cannot, and ``why`` says why not."""

    machine: Machine
    sensors: tuple[int, ...] = ()
    why: str = ""


def machines(*, classes: Collection[str] = (), of: QuerySet[Equipment] | None = None) -> list[Machine]:
    """Those with a tagged sensor, and those of the classes; ``of``: no others than these. Two queries."""
    among = (Equipment.objects.all() if of is None else of).filter(level=Equipment.Level.MACHINE)
    tagged: dict[int, dict[str, Tagged]] = {}
    rows = Sensor.objects.exclude(feature="").order_by("pk")
    if of is not None:
        rows = rows.filter(machine__in=among.order_by().values("pk"))
    for machine, feature, key, unit in rows.values_list("machine_id", "feature", "pk", "unit"):
        tagged.setdefault(machine, {})[feature] = Tagged(key, unit)
    wanted = Q(pk__in=list(tagged))
    for name in {name for name in classes if name}:
        wanted |= Q(equipment_class__iexact=name)
    found = among.filter(wanted).order_by("pk").values_list("pk", "tag", "equipment_class", "site_id", "lane")
    return [Machine(key, tag, kind, site, lane or 0, tagged.get(key, {})) for key, tag, kind, site, lane in found]


def fits(signature: Mapping[str, Any], among: Sequence[Machine]) -> Iterator[Fit]:
    """Of each machine that the model is meant for, or that has one of its features, whether it can be asked about it.
    A site's model is never told of another site's machines.

    ``signature``: as ``ModelVersion`` keeps it.
    """
    features = {one["name"]: one["unit"] for one in signature.get("features", ())}
    meant, site = signature.get("equipment_class", ""), signature.get("site", 0)
    for machine in among:
        if site and machine.site != site:
            continue
        is_meant = bool(meant) and machine.equipment_class.casefold() == meant.casefold()
        if features and (is_meant or not machine.sensors.keys().isdisjoint(features)):
            why = "" if is_meant or not meant else _of_another_class(machine, meant)
            why = why or _lacking(machine, features) or _other_units(machine, features)
            yield Fit(machine, () if why else tuple(machine.sensors[name].id for name in features), why)


def _of_another_class(machine: Machine, meant: str) -> str:
    return f"It is of class {machine.equipment_class or 'none'}; the model is for {meant}."


def _lacking(machine: Machine, features: Mapping[str, str]) -> str:
    lacking = [name for name in features if name not in machine.sensors]
    return f"No sensor is tagged as {', '.join(lacking)}." if lacking else ""


def _other_units(machine: Machine, features: Mapping[str, str]) -> str:
    units = {name: machine.sensors[name].unit for name in features}
    return " ".join(
        f"{name} is in {units[name] or 'no unit'}; the model takes {unit or 'no unit'}."
        for name, unit in features.items()
        if units[name] != unit and not (units[name] == COUNTED and not unit)
    )
