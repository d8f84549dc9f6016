"""The report of the quality of the data: what was stored of each sensor, how much of it is good, and what was expected.

Of readings the hours (of UTC) count that begin in the period, as they are rolled up when readings are stored.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Sum

from agents.reporting.document import Document, Figure, Table, rounded
from agents.reporting.period import Asked
from maintenance.models import Anomaly
from sensors import series
from sensors.columns import to_instant
from sensors.models import Batch, ReadingConflict, Sensor

MOST_SENSORS = 50


@dataclass(frozen=True, slots=True)
class Held:
    """Of one sensor: readings, the good ones of them, and how many were to come (None: nobody said)."""

    name: str
    readings: int
    good: int
    expected: float | None

    @property
    def good_share(self) -> float | None:
        return 100 * self.good / self.readings if self.readings else None

    @property
    def completeness(self) -> float | None:
        return None if not self.expected else 100 * min(1.0, self.readings / self.expected)


def make(asked: Asked) -> Document:
    held, by_day = _held(asked)
    faults = Anomaly.objects.filter(site=asked.site, nature="INSTRUMENT", **asked.within("started_at")).order_by()
    kinds = tuple(faults.values_list("kind").annotate(number=Count("pk")).order_by("-number", "kind"))
    tables = [_sensors(held), Table("faults", "Faults of instruments by kind", ("kind", "number"), kinds)]
    plot = asked.plot(by_day, name="readings", title="Readings by day", unit="stored")
    figures = [*_of_readings(held), *_of_requests(asked), _faults(sum(number for _, number in kinds))]
    return asked.document("DATA_QUALITY", "Quality of the data", figures, tables, [plot])


def _held(asked: Asked) -> tuple[list[Held], dict[date, int]]:
    days: dict[date, int] = defaultdict(int)
    found = []
    seconds = (asked.end - asked.start).total_seconds()
    for sensor in Sensor.objects.filter(site=asked.site).order_by("external_id").only("external_id", "period_seconds"):
        hours = series.hours(sensor.pk, start=asked.start, end=asked.end)
        for at, readings in zip(hours["hour_at"].tolist(), hours["readings"].tolist(), strict=True):
            days[to_instant(at).astimezone(asked.zone).date()] += readings
        expected = seconds / sensor.period_seconds if sensor.period_seconds else None
        found.append(Held(sensor.external_id, int(hours["readings"].sum()), int(hours["counted"].sum()), expected))
    return found, days


def _of_readings(held: list[Held]) -> list[Figure]:
    readings, good = sum(one.readings for one in held), sum(one.good for one in held)
    due = [one for one in held if one.completeness is not None]
    complete = sum(one.completeness or 0.0 for one in due) / len(due) if due else None
    return [
        Figure("sensors", "Sensors", len(held), "", "Sensors of the site, now."),
        Figure("sensors_without_readings", "Sensors without readings", sum(not one.readings for one in held), "",
               "Sensors of which no reading of the period is stored."),
        Figure("readings", "Readings stored", readings, "", "Readings in the hours (UTC) that begin in the period."),
        Figure("good_readings", "Good readings", good, "", "Of these the ones that validation marked good."),
        Figure("good_share", "Share of good readings", rounded(100 * good / readings if readings else None), "%",
               "Good readings of all readings stored."),
        Figure("completeness", "Completeness", rounded(complete), "%", "Readings stored of those that were to come by "
               "each sensor's period, 100 % at most; the mean over the sensors that have a period."),
    ]  # fmt: skip


def _of_requests(asked: Asked) -> list[Figure]:
    batches = Batch.objects.filter(site=asked.site, **asked.within("received_at"))
    sums = batches.aggregate(twice=Sum("duplicates"), rejected=Sum("rejected"))
    conflicts = ReadingConflict.objects.filter(sensor__site=asked.site, **asked.within("measured_at")).count()
    return [
        Figure("conflicts", "Conflicts", conflicts, "", "Readings measured in the period that came again with another "
               "value; the first was kept."),
        Figure("duplicates", "Readings sent twice", sums["twice"] or 0, "", "Twice in one request of the period."),
        Figure("rejected", "Readings rejected", sums["rejected"] or 0, "", "Items of the requests of the period that "
               "could not be taken."),
    ]  # fmt: skip


def _faults(number: int) -> Figure:
    words = "Faults of sensors that began in the period, by validation."
    return Figure("instrument_faults", "Faults of instruments", number, "", words)


def _sensors(held: list[Held]) -> Table:
    """The worst first: those with no readings, then by what is missing and what is not good."""
    worst = sorted(held, key=lambda one: (one.readings > 0, one.completeness or 100.0, one.good_share or 0.0, one.name))
    rows = [
        (one.name, one.readings, one.good, rounded(one.good_share), rounded(one.expected), rounded(one.completeness))
        for one in worst[:MOST_SENSORS]
    ]
    columns = ("sensor", "readings", "good", "good_share_%", "expected", "completeness_%")
    return Table("sensors", f"Sensors, the worst first ({MOST_SENSORS} at most)", columns, tuple(rows))
