"""What the pages of a sensor and of an anomaly show of its readings: a picture of a period, and the newest value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from sensors import chart, columns, series, show, zones
from sensors.chart import Limit, Picture, Stretch
from sensors.models import Sensor

PERIODS: dict[str, tuple[str, timedelta | None]] = {
    "day": ("Day", timedelta(days=1)),
    "week": ("Week", timedelta(days=7)),
    "month": ("Month", timedelta(days=31)),
    "all": ("All", None),
}
USUAL = "week"
POINTS = 1_200
MOST_ANOMALIES = 25
MOST_SHADED = 300
BAD = 2
QUALITIES = {0: "good", 1: "uncertain", 2: "bad"}
LIMITS = (
    ("low_low", "low low", True),
    ("low", "low", False),
    ("high", "high", False),
    ("high_high", "high high", True),
)


@dataclass(frozen=True, slots=True)
class Window:
    """A period of a sensor's readings."""

    start: datetime
    end: datetime


def context(request: HttpRequest, sensor: Sensor) -> dict[str, Any]:
    """What the sensor's page needs: the picture of the asked period, the links to others, value and anomalies."""
    latest = series.latest([sensor.pk]).get(sensor.pk)
    period = request.GET.get("period", USUAL)
    period = period if period in PERIODS else USUAL
    anomalies = list(sensor.anomalies.order_by("-started_at", "-id")[:MOST_ANOMALIES])
    page: dict[str, Any] = {
        "sensor": sensor,
        "latest": latest,
        "latest_quality": QUALITIES.get(latest.quality, "unknown") if latest else "",
        "anomalies": anomalies,
        "more_anomalies": len(anomalies) == MOST_ANOMALIES,
        "period": period,
        "zones": _zones(sensor, latest.value if latest else None),
    }
    if latest is None:
        return page
    window = _window(sensor, period, until=_until(request, latest.measured_at))
    shaded = sensor.anomalies.filter(_touches(window)).order_by("-peak_score")[:MOST_SHADED]
    return page | {
        "periods": [(key, name, f"?period={key}") for key, (name, _) in PERIODS.items()],
        "window": window,
        "earlier": _moved(period, window.start) if PERIODS[period][1] else "",
        "later": _moved(period, window.end + (window.end - window.start)) if window.end < latest.measured_at else "",
        "chart": picture(sensor, window, stretches=stretches(shaded)),
    }


def _until(request: HttpRequest, newest_at: datetime) -> datetime:
    try:
        asked = parse_datetime(request.GET.get("until", ""))
    except ValueError:
        asked = None
    return newest_at if asked is None or asked.tzinfo is None else max(columns.EPOCH, min(asked, newest_at))


def _window(sensor: Sensor, period: str, *, until: datetime) -> Window:
    length = PERIODS[period][1]
    if length is None:
        return Window(series.oldest_at(sensor.pk) or until, until)
    return Window(until - length, until)


def _moved(period: str, until: datetime) -> str:
    return f"?period={period}&until={until:%Y-%m-%dT%H:%M:%SZ}"


def _touches(window: Window) -> Q:
    standing = Q(ended_at__isnull=True, last_at__gte=window.start) | Q(ended_at__gte=window.start)
    return standing & Q(started_at__lte=window.end)


def stretches(anomalies: Iterable[Any]) -> list[Stretch]:
    """Anomalies as shaded stretches that lead to their pages."""
    return [
        Stretch(
            start=columns.from_instant(anomaly.started_at),
            end=columns.from_instant(anomaly.last_at),
            label=f"{anomaly.kind}, {anomaly.started_at:%Y-%m-%d %H:%M} to {anomaly.last_at:%Y-%m-%d %H:%M} UTC",
            style="instrument" if anomaly.nature == "INSTRUMENT" else "machine",
            href=_page_of(anomaly),
        )
        for anomaly in anomalies
    ]


def _page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _limits(sensor: Sensor) -> list[Limit]:
    """Its alarm limits, and where the zones of vibration begin."""
    limits = [
        Limit(name, value, severe) for field, name, severe in LIMITS if (value := getattr(sensor, field)) is not None
    ]
    graded = sensor.vibration_zones
    if isinstance(graded, zones.Zones):
        limits += [Limit("zone B", graded.a_b), Limit("zone C", graded.b_c), Limit("zone D", graded.c_d, True)]
    return limits


def _zones(sensor: Sensor, newest: float | None) -> str:
    """How vibration is graded and where it stands, or why it is not; empty of what is no vibration."""
    graded = sensor.vibration_zones
    if isinstance(graded, zones.Refusal):
        return f"Not graded by ISO 20816-3. {graded.reason}" if graded.of_vibration else ""
    now = "" if newest is None else f"Zone {graded.of(newest)} now. "
    return (
        f"{now}By ISO 20816-3 zone B begins at {graded.a_b:.3g} {sensor.unit}, C at {graded.b_c:.3g}, D at "
        f"{graded.c_d:.3g}; C and D are anomalies."
    )


def picture(sensor: Sensor, window: Window, *, stretches: list[Stretch]) -> SafeString:
    """The sensor's readings in the window as an SVG that may stand in a page as it is."""
    drawn = series.read(sensor.pk, start=window.start, end=window.end + columns.MICROSECOND, points=POINTS)
    return mark_safe(
        chart.svg(
            Picture(
                title=f"Readings of {sensor.name}",
                unit=sensor.unit,
                start=columns.from_instant(window.start),
                end=columns.from_instant(window.end),
                at=drawn.at,
                value=drawn.value,
                bad=drawn.quality == BAD,
                limits=_limits(sensor),
                stretches=stretches,
            )
        )
    )


def shares(contributors: Iterable[tuple[int, float]]) -> str:
    """Sensors with their shares, in their order, those that are no more left out."""
    rows = list(contributors)
    sensors = Sensor.objects.in_bulk([sensor_id for sensor_id, _ in rows])
    found = [(show.link(sensors[sensor_id]), f"{share:.0%}") for sensor_id, share in rows if sensor_id in sensors]
    return format_html_join(mark_safe("<br>"), "{} {}", found) or show.DASH
