"""The report of maintenance: the figures of the page of maintenance, and the orders of the period."""

from __future__ import annotations

from django.db.models import Count, Q

from agents.reporting.document import Document, Figure, Table, rounded
from agents.reporting.period import Asked
from maintenance import kpi_report
from maintenance.kpi_report import Report
from maintenance.models import WorkOrder


def make(asked: Asked) -> Document:
    made = kpi_report.make(asked.site.pk, start=asked.start, end=asked.end, now=asked.end)
    orders = WorkOrder.objects.filter(site=asked.site)
    opened = orders.filter(**asked.within("opened_at"))
    counts = orders.aggregate(
        opened=Count("pk", filter=Q(**asked.within("opened_at"))),
        completed=Count("pk", filter=Q(**asked.within("completed_at"))),
        overdue=Count("pk", filter=Q(due_at__lt=asked.end) & ~Q(status="CANCELLED")
                      & (Q(completed_at=None) | Q(completed_at__gte=asked.end))),
    )  # fmt: skip
    figures = [
        Figure("orders_opened", "Orders opened", counts["opened"], "", "Work orders that were opened in the period."),
        Figure("orders_completed", "Orders completed", counts["completed"], "", "Work orders whose work was completed "
               "in the period."),
        Figure("orders_overdue", "Orders overdue at the end", counts["overdue"], "", "Work orders due before the end "
               "of the period, not cancelled and not completed by then."),
        *(Figure(one.entry.name, one.entry.title, rounded(one.value), one.entry.unit,
                 f"{one.entry.formula} {one.entry.provenance}") for one in made.figures),
    ]  # fmt: skip
    plot = asked.by_day(opened, "opened_at", name="orders", title="Work orders by day", unit="opened")
    return asked.document("MAINTENANCE", "Maintenance", figures, [_by_type(asked), _losses(made)], [plot])


def _by_type(asked: Asked) -> Table:
    orders = WorkOrder.objects.filter(site=asked.site)
    opened, completed = (Count("pk", filter=Q(**asked.within(field))) for field in ("opened_at", "completed_at"))
    rows = orders.order_by("maintenance_type").values("maintenance_type").annotate(opened=opened, completed=completed)
    told = [
        (str(WorkOrder.Type(row["maintenance_type"]).label), row["opened"], row["completed"])
        for row in rows
        if row["opened"] or row["completed"]
    ]
    return Table("orders", "Work orders by type (EN 13306)", ("type", "opened", "completed"), tuple(told))


def _losses(made: Report) -> Table:
    rows = [
        (made.tags[loss.machine], loss.mode, loss.failures, rounded(loss.downtime), rounded(loss.cost / 100))
        for loss in made.losses
    ]
    columns = ("machine", "failure_mode", "failures", "downtime_hours", "cost")
    return Table("losses", "What was lost, by machine and failure mode", columns, tuple(rows))
