"""When a worker can work and a machine be worked on, by what people entered. Reads in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from maintenance import rotas
from maintenance.people_models import Holiday, MachineHours, Worker
from sensors.models import Equipment, Site

DAY = timedelta(days=1)
Between = tuple[datetime, datetime]
"""From an instant until another."""


class _Pattern(Protocol):
    first_on: date
    days: int
    every_days: int
    starts: Any
    ends: Any
    last_on: date | None


def of_workers(workers: Sequence[Worker], *, begin: datetime, end: datetime) -> dict[int, list[Between]]:
    """By worker's id the working hours between two instants, less holidays of the home site and absences.

    ``workers`` with ``site``, ``hours`` and ``absences``.
    """
    free: dict[int, set[date]] = defaultdict(set)
    for site, on in Holiday.objects.filter(site__in={one.site_id for one in workers}).values_list("site_id", "on"):
        free[site].add(on)
    found = {}
    for one in workers:
        zone = one.site.zone
        spans = _spans(one.hours.all(), zone, begin, end, free[one.site_id])
        away = [(row.from_at, row.until_at) for row in one.absences.all()]
        found[one.pk] = _without(spans, away)
    return found


def of_machines(
    machines: Collection[Equipment], site: Site, *, begin: datetime, end: datetime
) -> dict[int, list[Between]]:
    """By machine's id when it may be worked on; machines that say nothing, nor any of their lines, are not named."""
    rows: dict[int, list[MachineHours]] = defaultdict(list)
    for row in MachineHours.objects.filter(site=site):
        rows[row.equipment_id].append(row)
    if not rows:
        return {}
    parents = dict(Equipment.objects.filter(site=site).values_list("id", "parent_id"))
    zone, found = site.zone, {}
    for machine in machines:
        said = next((rows[key] for key in _upwards(machine.pk, parents) if key in rows), None)
        if said is not None:
            found[machine.pk] = _spans(said, zone, begin, end, set())
    return found


def _upwards(key: int | None, parents: Mapping[int, int | None]) -> Iterable[int]:
    while key is not None:
        yield key
        key = parents.get(key)


def _spans(
    rows: Iterable[_Pattern], zone: ZoneInfo, begin: datetime, end: datetime, free: Collection[date]
) -> list[Between]:
    """Sorted, apart from each other, within the two instants."""
    turns = [rotas.Turn(0, r.first_on, r.days, r.every_days, r.starts, r.ends, r.last_on) for r in rows]
    first, last = begin.astimezone(zone).date() - 2 * DAY, end.astimezone(zone).date() + DAY
    found = sorted(
        (max(start, begin), min(stop, end))
        for start, stop, _ in rotas.spans(turns, zone, first, last)
        if start < end and stop > begin and start.astimezone(zone).date() not in free
    )
    joined: list[Between] = []
    for start, stop in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif start < stop:
            joined.append((start, stop))
    return joined


def _without(spans: Iterable[Between], blocks: Iterable[Between]) -> list[Between]:
    left = list(spans)
    for begin, end in blocks:
        left = [part for a, b in left for part in ((a, min(b, begin)), (max(a, end), b)) if part[0] < part[1]]
    return left
