"""Deadbands for sensors whose alarms are a nuisance: asked for, and what the newest backtest that sought one found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from agents.backtests import requests
from agents.backtests.history import Target
from agents.backtests.proposal import LIMITS
from agents.models import Backtest
from sensors import zones
from sensors.models import Sensor

SEEK = {"seek": "deadband"}
LOOK_BACK_DAYS = 1.0
"""Limits learn nothing; this is for validate to know what the sensor usually does."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Of a sensor. ``deadband``: to be given to it, None where there is none (yet); ``words`` say what of it."""

    backtest_id: int
    is_under_way: bool
    deadband: float | None
    words: str


def newest(sensors: Mapping[int, Sensor]) -> dict[int, Sought]:
    """By sensor, of those for which one was ever sought. One query."""
    rows = (
        Backtest.objects.filter(sensor__in=sensors, proposed__seek=SEEK["seek"])
        .order_by("sensor", "-id")
        .distinct("sensor")
        .values_list("sensor", "id", "status", "reason", "result__sought")
    )
    return {
        sensor: _read(sensors[sensor], backtest, status, reason, found)
        for sensor, backtest, status, reason, found in rows
    }


def _read(sensor: Sensor, backtest: int, status: str, reason: str, found: Mapping[str, object] | None) -> Sought:
    if status in Backtest.UNFINISHED:
        return Sought(backtest, True, None, "being worked out")
    if found is None:
        return Sought(backtest, False, None, reason)
    now = {name: getattr(sensor, name) for name in (*LIMITS, "deadband")}
    if now == found["of"]:
        value = found["deadband"]
        return Sought(backtest, False, value if isinstance(value, int | float) else None, str(found["words"]))
    if now == {**_settings(found), "deadband": found["deadband"]}:
        return Sought(backtest, False, None, f"in force: {found['words']}")
    return Sought(backtest, False, None, "worked out for other limits: have it worked out again")


def _settings(found: Mapping[str, object]) -> dict[str, object]:
    of = found["of"]
    return dict(of) if isinstance(of, dict) else {}


def has_limits(sensor: Sensor) -> bool:
    """Whether a deadband means anything for it."""
    return any(getattr(sensor, name) is not None for name in LIMITS) or isinstance(sensor.vibration_zones, zones.Zones)


def ask(sensors: Iterable[Sensor], *, start: datetime, end: datetime, actor: User) -> list[int]:
    """Ids of the backtests that will look for a deadband: of the sensors that have limits, and none is under way.

    Raises ``requests.Refused`` where the site has too many that wait.
    """
    wanted = {sensor.pk: sensor for sensor in sensors if has_limits(sensor)}
    busy = {sensor for sensor, found in newest(wanted).items() if found.is_under_way}
    return [
        requests.ask(
            Target(sensor.site, sensor.machine, sensor),
            from_at=start, to_at=end, look_back_days=LOOK_BACK_DAYS, proposed=SEEK, actor=actor,
        ).pk
        for sensor in wanted.values() if sensor.pk not in busy
    ]  # fmt: skip
