"""Every hour: when the sensors that have limits will be at them, if they go on as they do. Heavy: a worker loads it.

Of each hour of a sensor the mean counts, of the last ``WINDOW_HOURS`` hours. What is told is held against the sensor's
own past once a day, and together with all sensors of its kind on machines of its class says whether the interval is
proven, and so shown. Machines whose turn was longest ago come first, and a round has a time.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import structlog
from django.conf import settings
from django.utils import timezone

from mlops import coverage, limit_backtest, limits
from mlops.learning.examples import Track
from mlops.limit_models import LimitForecast
from mlops.limits import Book
from mlops.time_to_limit import time_to_limit
from sensors import regimes, series
from sensors.columns import to_instant
from sensors.models import Sensor
from sensors.rollups import HOUR_US

log = structlog.get_logger(__name__)

WINDOW_HOURS, HORIZON_HOURS = 7 * 24, 2 * 24
"""What tells of the trend, a week, so that a day's cycle is no trend; how far is looked ahead, as far as the back-tests
look."""
LOOK_BACK = timedelta(days=120)
TESTED_AGAIN = timedelta(days=1)
SHARE_OF_LIMIT = 0.5
State = LimitForecast.State
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Round:
    """``newest``: of each sensor when it was last read; ``before``: what was told of it."""

    now: datetime
    newest: Mapping[int, int]
    before: Mapping[int, Sequence[LimitForecast]]
    book: Book


def look_round() -> int:
    """How many forecasts were made."""
    sensors = list(limits.with_limits().annotate(begun=regimes.newest()))
    table = series.newest([one.pk for one in sensors])
    newest = dict(zip(table["sensor_id"].tolist(), table["measured_at"].tolist(), strict=True))
    before = limits.newest([one.pk for one in sensors])
    book = Book(row for rows in before.values() for row in rows)
    this = Round(timezone.now(), newest, before, book)
    ends_at = time.monotonic() + settings.CELERY_TASK_SOFT_TIME_LIMIT * SHARE_OF_LIMIT
    machines = _by_machine(sensors)
    made = 0
    for count, mine in enumerate(machines):
        if time.monotonic() > ends_at:
            log.warning("agents.limit-forecasts.out-of-time", left=len(machines) - count)
            break
        for sensor in mine:
            for row in _forecasts(sensor, this):
                limits.keep(row)
                made += 1
    limits.forget(before=this.now - timedelta(days=settings.ML_PREDICTIONS_DAYS))
    return made


def _by_machine(sensors: Sequence[Sensor]) -> list[list[Sensor]]:
    """Who has waited longest first."""
    found = defaultdict[int, list[Sensor]](list)
    for sensor in sensors:
        found[sensor.machine_id or 0].append(sensor)
    last = limits.computed_at()
    return [found[machine] for machine in sorted(found, key=lambda one: last.get(one, NEVER))]


def _forecasts(sensor: Sensor, this: Round) -> Iterator[LimitForecast]:
    """Of each side the next limit; nothing where no hour has ended since."""
    if sensor.pk not in this.newest:
        return
    hour = this.newest[sensor.pk] // HOUR_US * HOUR_US
    asked = to_instant(hour)
    mine = this.before.get(sensor.pk, ())
    if any(row.asked_at >= asked and row.limit == getattr(sensor, row.limit_name) for row in mine):
        return
    track = _track(sensor, hour)
    if not len(track.at):
        return
    for above in (True, False):
        found = limits.next_limit(sensor, float(track.value[-1, 0]), above=above)
        if found is not None:
            yield _forecast(sensor, this, track, asked, found, above=above)


def _track(sensor: Sensor, hour: int) -> Track:
    """A row for each whole hour with a good reading, at its end; nothing of before the newest regime."""
    begun: datetime | None = getattr(sensor, "begun", None)
    start = max(to_instant(hour) - LOOK_BACK, begun or NEVER)
    table = series.hours(sensor.pk, start=start, end=to_instant(hour))
    counted = table["counted"] > 0
    return Track(sensor.external_id, table["hour_at"][counted] + HOUR_US, table["mean"][counted][:, None])


def _forecast(
    sensor: Sensor, this: Round, track: Track, asked: datetime, limit: tuple[str, float], *, above: bool
) -> LimitForecast:
    name, value = limit
    before = next((row for row in this.before.get(sensor.pk, ()) if row.limit_name == name), None)
    if before is None or before.tested_at < this.now - TESTED_AGAIN:
        tested_at, shares = this.now, _tested(track, above=above)
        this.book.put(sensor, above, shares)
    else:
        tested_at, shares = before.tested_at, before.shares
    found = coverage.over_machines(np.array(this.book.of(sensor), np.float64))
    p10, p50, p90 = time_to_limit(
        track, value, above=above, horizon_s=HORIZON_HOURS * 3_600.0, window=WINDOW_HOURS, seed=sensor.pk
    )
    state = State.UNSURE if math.isnan(p10) else State.FAR if math.isinf(p10) else State.TREND
    return LimitForecast(
        machine_id=sensor.machine_id, sensor_id=sensor.pk, limit_name=name, limit=value,
        day=asked.astimezone(UTC).date(), asked_at=asked, state=state, p10=_number(p10), p50=_number(p50),
        p90=_number(p90), shares=shares, tested_at=tested_at, observed=_number(found.observed),
        least=_number(found.least), origins=found.machines,
        is_proven=found.proven,
    )  # fmt: skip


def _tested(track: Track, *, above: bool) -> list[float]:
    found = limit_backtest.shares(track, above=above, window=WINDOW_HOURS, horizon_us=HORIZON_HOURS * HOUR_US)
    return [float(one) for one in found]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
