"""What was found before where the same thing happened: completed work orders of a machine and failure mode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from maintenance.messages import PastCase
from maintenance.models import WorkOrder

MOST = 3


def past_cases(groups: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[PastCase, ...]]:
    """The newest completed orders of each machine and failure mode, a few at most. One query."""
    wanted = set(groups)
    newest_first = Window(
        RowNumber(), partition_by=["machine", "failure_mode"], order_by=[F("completed_at").desc(), F("id").desc()]
    )
    rows = (
        WorkOrder.objects.filter(
            status=WorkOrder.Status.COMPLETED,
            machine__in={machine for machine, _ in wanted},
            failure_mode__in={mode for _, mode in wanted},
        )
        .annotate(place=newest_first)
        .filter(place__lte=MOST)
        .order_by("place")
        .values_list("machine", "failure_mode", "id", "completed_at", "findings")
    )
    found = defaultdict[tuple[int, str], list[PastCase]](list)
    for machine, mode, order, closed_at, findings in rows:
        if machine is not None and closed_at is not None:
            found[machine, mode].append(PastCase(order, closed_at, findings))
    return {group: tuple(cases) for group, cases in found.items() if group in wanted}
