"""The admin's first page: what needs somebody, each figure with its list behind it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Case, Count, IntegerField, Max, Q, QuerySet, Sum, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from agents import watchdog
from agents.audit import Kind, Trouble
from agents.models import Run
from maintenance import nuisance, performance_page
from maintenance.definition_models import AlarmPriority
from maintenance.models import Alarm, Anomaly, Notification, Priority, WorkOrder
from sensors import desk, show, ticks
from sensors.models import Batch, DiscoveredSensor, SensorPresence

NEWEST = 8
DAY = timedelta(hours=24)
URGENCY = Case(
    *(When(priority=value, then=Value(rank)) for rank, value in enumerate(AlarmPriority.values)),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure; ``tone`` says whether it calls for somebody."""

    name: str
    figure: str
    note: str
    href: str
    tone: str


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK: adds what the index template shows, of the sites whoever asks may see."""
    if not (desk.sees_all(request) or desk.roles(request)):
        return context | {"tiles": [], "nothing_to_see": True, "title": "Overview"}
    alarms = desk.scope(request, Alarm.objects.filter(is_open=True), path="site")
    orders = desk.scope(request, WorkOrder.objects.exclude(status__in=WorkOrder.OVER), path="site")
    anomalies = desk.scope(request, Anomaly.objects.all(), path="site")
    return context | {
        "title": "Overview",
        "tiles": [
            _alarms(alarms), _nuisance(request), _orders(orders, request), _readings(request), _messages(request),
            _runs(request), _discovered(request), _silent(request), *_flow_health(request),
        ],
        "alarms": list(alarms.select_related("machine", "sensor").order_by(URGENCY, "-raised_at", "-id")[:NEWEST]),
        "orders": list(
            orders.select_related("machine", "assigned_to").order_by(URGENCY, "-opened_at", "-id")[:NEWEST]
        ),
        "anomalies": list(anomalies.select_related("sensor", "machine").order_by("-started_at", "-id")[:NEWEST]),
    }  # fmt: skip


def _list(model: str, **query: object) -> str:
    return reverse(f"admin:{model}_changelist", query=query)


def _alarms(alarms: QuerySet[Alarm]) -> Tile:
    by_priority = dict(alarms.order_by().values_list("priority").annotate(Count("pk")))
    total = sum(by_priority.get(p.value, 0) for p in Priority)
    note = ", ".join(f"{by_priority[p]} {p.lower()}" for p in AlarmPriority.values if p in by_priority)
    severe = any(p in by_priority for p in (Priority.CRITICAL, Priority.HIGH))
    tone = "danger" if severe else "warning" if total else "fine"
    return Tile("Open alarms", show.count(total), note or "none", _list("maintenance_alarm", is_open__exact=1), tone)


def _nuisance(request: HttpRequest) -> Tile:
    """Alarms that are a nuisance at this moment, in the sites of whoever asks; behind it the worst site's report, while
    it is in flood its floods."""
    mine = None if desk.sees_all(request) else desk.roles(request)
    found = [one for one in nuisance.look(now=timezone.now()) if mine is None or one.site_id in mine]
    counts: Counter[nuisance.Kind] = Counter()
    for one in found:
        counts[one.kind] += 1 if one.kind is nuisance.Kind.FLOOD else one.count
    note = ", ".join(f"{counts[kind]} {kind}" for kind in nuisance.Kind if counts[kind]) or "none at this moment"
    worst = max(found, key=lambda one: (one.kind is nuisance.Kind.FLOOD, one.count), default=None)
    href = reverse(performance_page.NAME, query={"site": worst.site_id} if worst else None)
    if worst and worst.kind is nuisance.Kind.FLOOD:
        href = _list("maintenance_flood", site=worst.site_id)
    tone = "danger" if counts[nuisance.Kind.FLOOD] else "warning" if found else "fine"
    return Tile("Nuisance alarms", show.count(counts.total()), note, href, tone)


def _orders(orders: QuerySet[WorkOrder], request: HttpRequest) -> Tile:
    counted = orders.aggregate(
        all=Count("pk"),
        mine=Count("pk", filter=Q(assigned_to_id=request.user.pk)),
        nobodys=Count("pk", filter=Q(assigned_to__isnull=True)),
    )
    note = f"{counted['nobodys']} not assigned, {counted['mine']} yours"
    tone = "warning" if counted["nobodys"] else "fine"
    return Tile(
        "Open work orders", show.count(counted["all"]), note, _list("maintenance_workorder", standing="open"), tone
    )


def _readings(request: HttpRequest) -> Tile:
    """Counted over the batches of the newest day on which anything came in: readings themselves are too many."""
    batches = desk.scope(request, Batch.objects.all(), path="site")
    newest = batches.aggregate(newest=Max("received_at"))["newest"]
    if newest is None:
        return Tile("Readings received", "0", "nothing came in yet", _list("sensors_batch"), "plain")
    counted = batches.filter(received_at__gt=newest - DAY).aggregate(
        accepted=Sum("accepted"), held=Sum("held"), rejected=Sum("rejected")
    )
    accepted, held, rejected = counted["accepted"], counted["held"], counted["rejected"]
    note = f"in 24 h to {newest:%Y-%m-%d %H:%M} UTC; {show.count(rejected)} rejected, {show.count(held)} held"
    return Tile(
        "Readings received", show.count(accepted), note, _list("sensors_batch"), "warning" if rejected else "fine"
    )


def _messages(request: HttpRequest) -> Tile:
    rows = desk.scope(request, Notification.objects.all(), path="site")
    counted = rows.aggregate(
        waiting=Count("pk", filter=Q(status="PENDING")), failed=Count("pk", filter=Q(status="FAILED"))
    )
    failed = counted["failed"]
    href = _list("maintenance_notification", status__exact="FAILED" if failed else "PENDING")
    return Tile(
        "Messages failed",
        show.count(failed),
        f"{counted['waiting']} waiting to be sent",
        href,
        "danger" if failed else "fine",
    )


def _runs(request: HttpRequest) -> Tile:
    page: Any = admin.site._registry[Run]
    failed = page.get_queryset(request).filter(status=Run.Status.FAILED).count()
    href = _list("agents_run", status__exact="FAILED")
    note = "set aside, can be replayed" if failed else "nothing is set aside"
    return Tile("Failed runs", show.count(failed), note, href, "danger" if failed else "fine")


def _discovered(request: HttpRequest) -> Tile:
    rows = desk.scope(request, DiscoveredSensor.objects.filter(sensor__isnull=True), path="site")
    found = rows.count()
    href = _list("sensors_discoveredsensor", state="waiting")
    note = "send under a name no sensor has" if found else "every name is known"
    return Tile("Unknown sensors", show.count(found), note, href, "warning" if found else "fine")


def _silent(request: HttpRequest) -> Tile:
    page: Any = admin.site._registry[SensorPresence]
    silent = page.get_queryset(request).count()
    note = "were due and have sent nothing" if silent else "all that are due have sent"
    return Tile(
        "Silent sensors", show.count(silent), note, _list("sensors_sensorpresence"), "warning" if silent else "fine"
    )


def _flow_health(request: HttpRequest) -> list[Tile]:
    """What the watchdog's audit finds of the service; it serves all sites, so only superusers are told."""
    if not desk.sees_all(request):
        return []
    troubles = [trouble for trouble in watchdog.look() if trouble.of_the_service]
    if not troubles:
        return [Tile("Flow health", "well", "nothing is stuck or overdue", _list("agents_jobrun"), "fine")]
    note = "; ".join(
        f"{t.kind.replace('-', ' ')}: {t.count}, the oldest for {ticks.span(t.oldest_seconds)}" for t in troubles
    )
    return [Tile("Flow health", show.count(sum(t.count for t in troubles)), note, _where(troubles[0]), "danger")]


def _where(trouble: Trouble) -> str:
    """The list that shows the first of the audit's findings."""
    return {
        Kind.OVERDUE_DELIVERIES: _list("maintenance_notification", status__exact="PENDING"),
        Kind.STALLED_LANES: _list("sensors_batchpart", state__exact="WAITING"),
        Kind.OVERDUE_JOBS: _list("agents_jobrun"),
    }.get(trouble.kind, _list("agents_run", status__exact="ACTIVE"))
