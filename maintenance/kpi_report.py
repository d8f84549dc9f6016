"""The report on the maintenance of a site, or of a part of it, over a period: as values, as JSON, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from maintenance import kpi, kpi_data, kpi_groups
from maintenance.kpi import Figure, Period
from maintenance.kpi_groups import Loss, PartLife
from maintenance.survival import Curve
from sensors.columns import to_instant
from sensors.models import Equipment

USUAL = timedelta(days=365)
LONGEST = timedelta(days=366 * 30)
FORMULAS = tuple("=+-@\t\r")


class BadPeriod(ValueError):
    """The period cannot be reported on; the message says why."""


class NoEquipment(LookupError):
    """There is no such equipment in this site."""


@dataclass(frozen=True, slots=True)
class Report:
    """``failures``: of each piece of the period, of ``length`` microseconds; ``tags`` by machine."""

    period: Period
    figures: tuple[Figure, ...]
    losses: tuple[Loss, ...]
    parts: tuple[PartLife, ...]
    curve: Curve
    length: int
    failures: tuple[int, ...]
    tags: dict[int, str]


def make(
    site_id: int, *, start: datetime, end: datetime, now: datetime, equipment_id: int | None = None
) -> Report:  # fmt: skip
    """The report on [start, end); what is not over by then still runs. Raises ``BadPeriod``, ``NoEquipment``."""
    end = min(end, now)
    if start >= end:
        raise BadPeriod("The period must begin before it ends, and not in the future.")
    if end - start > LONGEST:
        raise BadPeriod(f"The period is longer than {LONGEST.days // 366} years.")
    if equipment_id is not None and not Equipment.objects.filter(pk=equipment_id, site_id=site_id).exists():
        raise NoEquipment(f"There is no equipment {equipment_id} in this site.")
    found = kpi_data.load(site_id, equipment_id=equipment_id, start=start, end=end)
    length, failures = kpi_groups.over_time(found.orders, found.period)
    return Report(
        found.period,
        kpi.figures(found.orders, found.worked, found.out, found.alarms, found.period),
        kpi_groups.pareto(found.orders, found.out, found.period),
        kpi_groups.lives(found.orders, found.period),
        kpi_groups.curve(found.orders, found.period),
        length,
        failures,
        found.tags,
    )


def plain(made: Report) -> dict[str, Any]:
    """The report as plain values, for JSON."""
    return {
        "from": to_instant(made.period.start),
        "to": to_instant(made.period.end),
        "machines": len(made.tags),
        "figures": [figure(one) for one in made.figures],
        "losses": [_loss(made, one) for one in made.losses],
        "parts": [asdict(one) for one in made.parts],
        "failures": {"seconds": made.length // 1_000_000, "counts": list(made.failures)},
        "between_failures": {
            "hours": made.curve.time.tolist(), "share": made.curve.share.tolist(), "low": made.curve.low.tolist(),
            "high": made.curve.high.tolist(), "ended": made.curve.ended, "running": made.curve.running,
        },
    }  # fmt: skip


def figure(one: Figure) -> dict[str, Any]:
    entry = one.entry
    return {
        "name": entry.name, "title": entry.title, "value": one.value, "unit": entry.unit, "low": one.low,
        "high": one.high, "events": one.events, "running": one.running, "formula": entry.formula,
        "interval": entry.interval, "provenance": entry.source, "checked": entry.checked,
    }  # fmt: skip


def _loss(made: Report, one: Loss) -> dict[str, Any]:
    told = asdict(one)
    return told | {"tag": made.tags[one.machine], "failure_mode": told.pop("mode"), "cost": one.cost / 100}


def table(made: Report) -> Iterator[tuple[Any, ...]]:
    """Lines of a CSV file: the figures, then what was lost, then the parts, each with its head; apart by empty ones."""
    yield ("figure", "value", "unit", "low_95", "high_95", "events", "running", "formula", "source", "interval")
    for one in made.figures:
        entry = one.entry
        yield (entry.name, one.value, entry.unit, one.low, one.high, one.events, one.running, entry.formula,
               entry.provenance, entry.interval)  # fmt: skip
    yield ()
    yield ("machine", "failure_mode", "failures", "downtime_hours", "cost", "share", "so_far")
    for loss in made.losses:
        yield (_harmless(made.tags[loss.machine]), loss.mode, loss.failures, loss.downtime, f"{loss.cost / 100:.2f}",
               loss.share, loss.so_far)  # fmt: skip
    yield ()
    yield ("part", "failures", "mtbf_hours", "low_95", "high_95", "median_hours", "mean_hours", "running")
    for part in made.parts:
        yield (
            _harmless(part.part),
            part.failures,
            part.mtbf,
            part.low,
            part.high,
            part.median,
            part.mean,
            part.running,
        )


def _harmless(text: str) -> str:
    """As text to a spreadsheet too, which would take it for a formula."""
    return f"'{text}" if text[:1] in FORMULAS else text
