"""Which alarm came first: the alarms of a stretch by machine, the first machine first. Reads, and changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, IntegerField, Min, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce

from maintenance import hidden
from maintenance.flood_models import Flood
from maintenance.isa182 import TEN_MINUTES
from maintenance.models import Alarm, AlarmTransition

ACTIVATIONS = (AlarmTransition.Action.OPENED, AlarmTransition.Action.REOPENED)


def of_flood(flood: Flood) -> QuerySet[Any]:
    """The alarms of a flood, as ``within`` has them."""
    mine = Alarm.objects.filter(site=flood.site_id, raised_at__gte=flood.began_at - TEN_MINUTES)
    return within(mine, since=flood.began_at - TEN_MINUTES, until=flood.ended_at)


def within(rows: QuerySet[Alarm], *, since: datetime, until: datetime | None) -> QuerySet[Any]:
    """Those of the alarms that became active after ``since``, up to ``until`` if there is an end, and were not hidden
    then, with ``first_at``, ``machine_first_at``, ``activations`` and their ``state``: in event time.

    Machines come in the order of their first alarm, the alarms of each in the order in which they came first.
    """
    came = AlarmTransition.objects.filter(alarm=OuterRef("pk"), action__in=ACTIVATIONS, suppression="", at__gt=since)
    if until is not None:
        came = came.filter(at__lte=until)
    counted = came.order_by().values("alarm").annotate(count=Count("pk")).values("count")
    known = hidden.with_state(rows).annotate(
        first_at=Subquery(came.order_by("at", "id").values("at")[:1]),
        activations=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
    )
    ordered = known.filter(first_at__isnull=False).annotate(
        machine_first_at=Window(Min("first_at"), partition_by="machine_id")
    )
    return ordered.order_by("machine_first_at", "machine_id", "first_at", "id")
