"""The water-flow series that ships inside the package river, and how what was found compares with what is documented.

Hourly flow of a branch of a water supply, litres a second, 2022-03-20 to 2022-05-16 (1,268 rows, kindly donated by
Tecnojest s.r.l. to river, ``river.datasets.WaterFlow``). Its description names four anomalous stretches: three
moments of low flow and one small peak by a pump. It gives no instants; those here were read off the series: from the
first to the last value more than five litres a second away from the day around it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agents.models import Run
from maintenance.models import Anomaly
from sensors import columns
from sensors.models import BatchPart, Site

MARGIN = timedelta(hours=12)
"""An anomaly so close before or after a stretch belongs to it: the fall, and the recovery."""


@dataclass(frozen=True, slots=True)
class Stretch:
    name: str
    start: datetime
    end: datetime

    def overlaps(self, anomaly: Anomaly) -> bool:
        return anomaly.started_at <= self.end and anomaly.last_at >= self.start

    def is_near(self, anomaly: Anomaly) -> bool:
        return anomaly.started_at <= self.end + MARGIN and anomaly.last_at >= self.start - MARGIN


def _stretch(name: str, start: str, end: str) -> Stretch:
    return Stretch(name, datetime.fromisoformat(start), datetime.fromisoformat(end))


DOCUMENTED = (
    _stretch("low flow", "2022-03-24T09:00+01:00", "2022-03-25T01:00+01:00"),
    _stretch("low flow", "2022-03-29T08:00+02:00", "2022-03-29T20:00+02:00"),
    _stretch("pump peak", "2022-04-03T06:00+02:00", "2022-04-03T06:00+02:00"),
    _stretch("low flow", "2022-04-27T15:00+02:00", "2022-04-28T05:00+02:00"),
)


@dataclass(frozen=True, slots=True)
class Score:
    """``found``: for each documented stretch the anomalies that overlap it; ``false``: those near none."""

    found: tuple[tuple[Stretch, tuple[Anomaly, ...]], ...]
    false: tuple[Anomaly, ...]

    @property
    def all_found(self) -> bool:
        return all(anomalies for _, anomalies in self.found)


def path() -> Path:
    """The file in the installed package. Raises ``FileNotFoundError``."""
    package = importlib.util.find_spec("river")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("The package river is not installed.")
    file = Path(package.submodule_search_locations[0]) / "datasets" / "water-flow.csv"
    if not file.exists():
        raise FileNotFoundError(f"The package river has no {file.name}.")
    return file


def score(anomalies: Sequence[Anomaly]) -> Score:
    """Hold anomalies of the machine against the documented stretches."""
    found = tuple((stretch, tuple(a for a in anomalies if stretch.overlaps(a))) for stretch in DOCUMENTED)
    false = tuple(a for a in anomalies if not any(stretch.is_near(a) for stretch in DOCUMENTED))
    return Score(found, false)


def accept_to_anomaly(site: Site) -> list[float]:
    """Seconds from the acceptance of the reading with which each anomaly began to the anomaly's row, ascending."""
    seconds = []
    for anomaly in Anomaly.objects.filter(site=site).order_by("id"):
        parts = BatchPart.objects.filter(run_id=anomaly.first_run_id).select_related("batch")
        for part in parts:
            readings = columns.unpack(bytes(part.columns))
            began = columns.from_instant(anomaly.started_at)
            if ((readings.sensor == anomaly.sensor_id) & (readings.at == began)).any():
                seconds.append((anomaly.created_at - part.batch.received_at).total_seconds())
    return sorted(seconds)


def runs_of(site: Site) -> int:
    """How many runs the readings of a site took."""
    return Run.objects.filter(id__in=BatchPart.objects.filter(batch__site=site).values("run_id")).count()
