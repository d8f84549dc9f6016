"""What can be exported, in which forms, how much of it, and who may. Light: pages and REST import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.export_models import Export
from sensors.permissions import READ, READ_AUDIT

What, Form = Export.What, Export.Form

TAKES: Mapping[str, str] = {name: READ for name in What.values} | {What.EVENTS: READ_AUDIT, What.AUDIT: READ_AUDIT}
"""The permission that each takes in its site: what people did is for who reads the audit trail."""
OF_A_MACHINE = frozenset({What.READINGS, What.ANOMALIES, What.ALARMS, What.ORDERS})
OF_A_SENSOR = frozenset({What.READINGS, What.ANOMALIES, What.ALARMS})
MEDIA_TYPES: Mapping[str, str] = {
    Form.CSV: "text/csv; charset=utf-8",
    Form.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.NDJSON: "application/x-ndjson",
}
MOST_ROWS: Mapping[str, int] = {
    Form.CSV: 50_000_000,
    Form.XLSX: 250_000,
    Form.PARQUET: 50_000_000,
    Form.NDJSON: 50_000_000,
}
"""Of a workbook a sheet holds a million; nobody opens more than this, and it lies on the disk while it is made."""
MOST_AT_ONCE = 20_000
"""Rows of a file that is answered at once."""
MOST_BYTES = 1_000_000_000
LONGEST, LONGEST_AT_ONCE = timedelta(days=3_660), timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of a site, of [start, end); of one machine or sensor where it is named."""

    what: str
    site_id: int
    start: datetime
    end: datetime
    machine_id: int | None = None
    sensor_id: int | None = None


class Refused(Exception):
    """It is not exported; the message says why. ``field``: of which of its own, empty where of none."""

    def __init__(self, text: str, *, field: str = "") -> None:
        super().__init__(text)
        self.field = field


def check(asked: Asked, *, longest: timedelta) -> None:
    """Raises ``Refused``."""
    if asked.end <= asked.start:
        raise Refused("The period is empty: it must end after it begins.", field="to_at")
    if asked.start.year < 1971 or asked.end.year > 9000:
        raise Refused("The period lies before 1971 or beyond all calendars.", field="from_at")
    if asked.end - asked.start > longest:
        raise Refused(f"The period is longer than {longest.days} days.", field="to_at")
    if asked.machine_id is not None and asked.what not in OF_A_MACHINE:
        raise Refused("These are of no machine.", field="machine")
    if asked.sensor_id is not None and asked.what not in OF_A_SENSOR:
        raise Refused("These are of no sensor.", field="sensor")
