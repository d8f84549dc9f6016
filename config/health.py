"""Whether the service is alive and ready, and its metrics for Prometheus."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_prometheus import exports
from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from agents import audit, exposition, figures
from agents.models import STAGES, STATUSES
from config import dependencies, gauges
from maintenance import nuisance
from sensors import desk, problems, walls

log = structlog.get_logger(__name__)

DATABASE_UP = ("pdm_database_up", "Whether the database answered this scrape.")
GAUGES = {
    "pdm_parts_waiting": (
        "Accepted parts no run has taken yet.",
        "SELECT count(*) FROM sensors_batchpart WHERE state = 'WAITING'",
    ),
    "pdm_parts_oldest_waiting_age_seconds": (
        "Age of the oldest part no run has taken yet.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)"
        " FROM sensors_batchpart WHERE state = 'WAITING'",
    ),
    "pdm_runs_active": ("Runs on their way.", "SELECT count(*) FROM agents_run WHERE status = 'ACTIVE'"),
    "pdm_runs_failed": ("Runs set aside.", "SELECT count(*) FROM agents_run WHERE status = 'FAILED'"),
    "pdm_runs_strange": (
        "Runs in a state that this version does not know: left alone.",
        "SELECT count(*) FROM agents_run WHERE status NOT IN ('DONE', 'FAILED', 'DISCARDED')"
        f" AND NOT (status IN {tuple(STATUSES)} AND stage IN {tuple(STAGES)})",
    ),
    "pdm_notifications_pending": (
        "Messages waiting to be sent.",
        "SELECT count(*) FROM maintenance_notification WHERE status = 'PENDING'",
    ),
    "pdm_heartbeat_failures": (
        "Calls of the outside heartbeat that were not answered, ever.",
        "SELECT coalesce(max(failures), 0) FROM agents_heartbeat",
    ),
    "pdm_heartbeat_age_seconds": (
        "Time since the outside heartbeat was called and answered; -1 where it never was.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - max(answered_at)), -1) FROM agents_heartbeat",
    ),
} | {
    f"pdm_watchdog_{kind.replace('-', '_')}": (
        audit.TEXTS[kind][0],
        f"SELECT number FROM ({query}) AS found(number, age)",
    )
    for kind, query in figures.queries().items()
}


class FlowCollector:
    """Gauges of the flow, read from the database when Prometheus asks."""

    def collect(self) -> Iterator[Metric]:
        """Without the database its gauges are absent and the other metrics are there: absence can be alarmed."""
        values = _ask()
        yield GaugeMetricFamily(*DATABASE_UP, value=float(bool(values)))
        for name, value in values.items():
            yield GaugeMetricFamily(name, GAUGES[name][0], value=value)

    def describe(self) -> list[Metric]:
        """Known beforehand, so that registering asks the database nothing."""
        texts = {name: text for name, (text, _) in GAUGES.items()}
        return [GaugeMetricFamily(name, text) for name, text in [DATABASE_UP, *texts.items()]]


class NuisanceCollector:
    """Alarms that are a nuisance at this moment, by kind. Not by site: the number of sites has no bound."""

    def collect(self) -> Iterator[Metric]:
        """Absent without the database, as the flow's gauges are."""
        family = self._family()
        try:
            with walls.everywhere():
                found = nuisance.look(now=timezone.now())
        except Error as error:
            log.warning("health.database-silent", error=str(error).strip())
            return
        for kind in nuisance.Kind:
            mine = [one for one in found if one.kind is kind]
            number = len(mine) if kind is nuisance.Kind.FLOOD else sum(one.count for one in mine)
            family.add_metric([kind], float(number))
        yield family

    def describe(self) -> list[Metric]:
        return [self._family()]

    def _family(self) -> GaugeMetricFamily:
        text = "Alarms that chatter, fleet, flap or are stale at this moment; of floods, the sites that are in one."
        return GaugeMetricFamily("pdm_alarm_nuisances", text, labels=["kind"])


def _ask() -> dict[str, float]:
    try:
        with walls.everywhere(), connection.cursor() as cursor:
            values = {}
            for name, (_, query) in GAUGES.items():
                cursor.execute(query)
                values[name] = float(cursor.fetchone()[0])
            return values
    except Error as error:
        log.warning("health.database-silent", error=str(error).strip())
        return {}


REGISTRY.register(FlowCollector())
REGISTRY.register(NuisanceCollector())
REGISTRY.register(exposition.Memory())
for collector in gauges.COLLECTORS:
    REGISTRY.register(collector())


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "live"})


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Ready = Postgres takes writes. Without Redis the service is degraded, and ready all the same (P9)."""
    parts = {"postgres": _postgres(), "redis": _redis()}
    if parts["postgres"] != "up":
        return JsonResponse({"status": "down", **parts}, status=503)
    return JsonResponse({"status": "ready" if parts["redis"] == "up" else "degraded", **parts})


def _postgres() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'")
            return "read-only" if cursor.fetchone()[0] else "up"
    except Error:
        return "down"


def _redis() -> str:
    try:
        cache.has_key("health")
    except (RedisError, OSError):
        return "down"
    return "up"


@require_safe
def deep(request: HttpRequest) -> HttpResponse:
    """Each thing that the service stands on, with how long it took to answer and what was found; for who may read the
    metrics, and for superusers. 503 where the service is down; 200 where it is degraded."""
    if not (_may_scrape(request) or desk.sees_all(request)):
        said = "This needs the header Authorization: Bearer METRICS_TOKEN, or a superuser's session."
        return problems.plain(request, "forbidden", said)
    found = dependencies.look()
    status = dependencies.whole(found)
    told = {
        name: {"status": one.status, "milliseconds": one.milliseconds, "reason": one.reason}
        for name, one in found.items()
    }
    return JsonResponse({"status": status, "dependencies": told}, status=503 if status == "down" else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For who has the token; without one set, on a development machine, for this machine."""
    if not _may_scrape(request):
        return problems.plain(request, "forbidden", "Metrics need the header Authorization: Bearer METRICS_TOKEN.")
    answer: HttpResponse = exports.ExportToDjangoView(request)
    return answer


def _may_scrape(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if token:
        given = request.headers.get("Authorization", "")
        return secrets.compare_digest(given.encode(), f"Bearer {token}".encode())
    try:
        return not settings.PRODUCTION and ipaddress.ip_address(request.META["REMOTE_ADDR"]).is_loopback
    except ValueError:
        return False
