"""The site and period a report is of, and counts of rows by day of the site's own time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate

from agents.reporting import periods
from agents.reporting.document import Document, Figure, Plot, Table
from sensors.models import Site


@dataclass(frozen=True, slots=True)
class Asked:
    site: Site
    start: datetime
    end: datetime

    @property
    def zone(self) -> ZoneInfo:
        return self.site.zone

    def within(self, field: str) -> dict[str, datetime]:
        """The condition that a field lies in the period."""
        return {f"{field}__gte": self.start, f"{field}__lt": self.end}

    def document(
        self, kind: str, title: str, figures: list[Figure], tables: list[Table], plots: list[Plot]
    ) -> Document:  # fmt: skip
        start, end = (at.astimezone(self.zone) for at in (self.start, self.end))
        return Document(
            kind, title, self.site.name, self.zone.key, start, end, tuple(figures), tuple(tables), tuple(plots)
        )

    def by_day(
        self, rows: QuerySet[Any], field: str, *, name: str, title: str, unit: str, of: str = "pk"
    ) -> Plot:  # fmt: skip
        """How many rows there are of each day, or the sum of what they have in ``of``."""
        amount = Count("pk") if of == "pk" else Sum(of)
        counted = rows.order_by().annotate(day=TruncDate(field, tzinfo=self.zone)).values("day").annotate(amount=amount)
        return self.plot({row["day"]: row["amount"] for row in counted}, name=name, title=title, unit=unit)

    def plot(self, amounts: dict[Any, int], *, name: str, title: str, unit: str) -> Plot:
        days = periods.days(self.start.astimezone(self.zone), self.end.astimezone(self.zone))
        return Plot(
            name, title, unit, tuple(day.isoformat() for day in days), tuple(amounts.get(day, 0) for day in days)
        )
