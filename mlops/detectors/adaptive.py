"""Deviation from what the sensor itself taught: level, season and scale, learned robustly and without configuration.

Six forecasters run beside each other: a level with a memory of 24, 192 or 1536 readings, each plain and on top of an
hour-of-day profile. The one with the smallest recent forecast error is used (a season only where it explains
clearly more). A reading's distance is z = |value - forecast| / mean absolute error. Its threshold comes from a
tail fit over the maxima of blocks of 8 readings (peaks over threshold: Pickands 1975; generalised Pareto by
moments: Hosking and Wallis 1987), extrapolated to the asked number of false alarms per week at the sensor's own
sampling period.

Learning happens once per chunk of 8 readings, so that everything is an array operation over sensors and the result
does not depend on how the stream is split. What is abnormal teaches little (Huber's psi, then a quarter of it);
a sensor that stays abnormal for a day and 192 readings begins anew: a new level is not abnormal for ever.
"""

from __future__ import annotations

import numpy as np

from mlops.detectors.contract import Block, Scores
from mlops.detectors.outlook import CHUNK, DAY_US, HOUR_US, MEMORIES, WEEK_US, View, look
from mlops.state import Array, Fields, State
from sensors.columns import Bool, Float64, Int64, SensorTable

HUBER = 2.0
OUTLIER_WEIGHT = 0.25
OUTLIER_SCALE_WEIGHT = 0.05
WINSOR = 5.0
PRIOR_BLOCKS = 8.0
PATIENCE = 3.0
"""Onsets within two weeks before the threshold is raised in proportion: a sensor that chatters must show more."""
LN2 = 0.6931471805599453


class Adaptive:
    """Level, season, scale and tail of each sensor.

    ``false_alarms_per_week``: the budget per sensor. ``warm_up``: readings before the first score. Score =
    z / (z + threshold): 0.5 is where the budget is spent, 1 is out of all proportion.
    """

    name = "adaptive"
    version = "1"
    kinds: tuple[str, ...] = ("DEVIATION_LOW", "DEVIATION_HIGH")
    fields: Fields = {
        "fill": (np.int64, (), 0),
        "values": (np.float64, (CHUNK,), 0),
        "instants": (np.int64, (CHUNK,), 0),
        "n": (np.int64, (), 0),  # readings learned from
        "first": (np.int64, (), 0),
        "newest": (np.int64, (), 0),
        "period": (np.float64, (), 0),  # microseconds
        "level": (np.float64, (6,), 0),
        "error": (np.float64, (6,), 0),  # mean absolute forecast error
        "judged": (np.float64, (6,), 0),  # readings in it
        "profile": (np.float64, (24,), 0),
        "hours": (np.float64, (24,), 0),  # readings in it
        "days": (np.int64, (24,), 0),  # days in it
        "day": (np.int64, (24,), -1),
        "maximum": (np.float64, (), 0),  # typical maximum of a block
        "excess": (np.float64, (), 0),  # mean excess over it
        "square": (np.float64, (), 0),
        "blocks": (np.float64, (), 0),
        "threshold": (np.float64, (), np.inf),
        "odd_since": (np.int64, (), -1),
        "odd": (np.int64, (), 0),
        "calm": (np.int64, (), 0),  # chunks since one had anything abnormal
        "onsets": (np.float64, (), 0),  # returns to abnormal, fading over two weeks
    }

    def __init__(self, *, false_alarms_per_week: float = 0.2, warm_up: int = 48) -> None:
        self.false_alarms_per_week = false_alarms_per_week
        self.warm_up = warm_up

    def judge(self, block: Block, table: SensorTable, state: State) -> tuple[Scores, State]:
        """See ``contract.Detector``: one pass per chunk of 8 readings, each over all sensors that have that many."""
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        n = len(block.columns)
        out = Scores(
            np.full(n, np.nan), np.zeros(n, np.int8), np.full(n, np.nan), np.full(n, np.nan), block.columns.at.copy()
        )
        fill = arrays["fill"][block.rows]
        steps = (fill + block.counts - 1) // CHUNK + 1
        offset = np.arange(CHUNK, dtype=np.int64)
        for step in range(int(steps.max(initial=0))):
            on = np.flatnonzero(steps > step)
            source = offset + (step * CHUNK - fill[on])[:, None]
            fresh = (source >= 0) & (source < block.counts[on][:, None])
            index = (block.starts[on][:, None] + source)[fresh]
            rows = block.rows[on]
            here, there = np.nonzero(fresh)
            arrays["values"][rows[here], there] = block.columns.value[index]
            arrays["instants"][rows[here], there] = block.columns.at[index]
            filled = np.minimum(fill[on] + block.counts[on] - step * CHUNK, CHUNK)
            arrays["fill"][rows] = filled % CHUNK
            full = filled == CHUNK
            begin(rows[full], arrays)
            view = look(rows, arrays, table)
            self.score(view, fresh, index, arrays, out)
            self.learn(view if full.all() else view.take(full), arrays)
        return out, State(state.sensor, arrays)

    def score(self, view: View, fresh: Bool, index: Int64, arrays: dict[str, Array], out: Scores) -> None:
        """Scores of the fresh readings of a chunk, by what was known when the chunk began."""
        rows, value, at, forecast, scale = view.rows, view.value, view.at, view.forecast, view.scale
        threshold = np.asarray(arrays["threshold"])[rows][:, None]
        z = view.distance
        warm = (arrays["n"][rows] >= self.warm_up)[:, None] & np.ones_like(fresh)
        with np.errstate(invalid="ignore"):
            score = np.where(warm, np.where(np.isinf(z), 1.0, z / (z + threshold)), np.nan)
            band = np.where(warm, threshold * scale, np.nan)
        verdict = np.where(warm & (z > threshold), np.where(value < forecast, 1, 2), 0)
        memory = MEMORIES[view.best % 3] * np.maximum(arrays["period"][rows], 1.0)
        since = np.maximum(arrays["first"][rows][:, None], at - memory.astype(np.int64)[:, None])
        out.score[index] = score[fresh]
        out.verdict[index] = verdict[fresh]
        out.low[index] = (forecast - band)[fresh]
        out.high[index] = (forecast + band)[fresh]
        out.since[index] = np.where(warm, since, at)[fresh]

    def learn(self, view: View, arrays: dict[str, Array]) -> None:
        """Take in one full chunk of each of these sensors."""
        rows = view.rows
        if not len(rows):
            return
        warm = arrays["n"][rows] >= self.warm_up
        odd = warm[:, None] & (view.distance > np.asarray(arrays["threshold"])[rows][:, None])
        learn_period(rows, view.at, arrays)
        memory = long_memory(rows, arrays)
        learn_tail(rows, view.distance, np.asarray(odd.any(axis=1)), warm, memory, arrays)
        learn_levels(view, odd, warm, memory, arrays)
        learn_profile(view, odd, arrays)
        arrays["n"][rows] += CHUNK
        count_onsets(rows, view.at, odd, arrays)
        self.set_threshold(rows, arrays)
        forget(rows, view.at, odd, arrays)

    def set_threshold(self, rows: Int64, arrays: dict[str, Array]) -> None:
        """The distance that block maxima pass as often as the budget allows; wider while little was seen."""
        excess, square = np.asarray(arrays["excess"])[rows], np.asarray(arrays["square"])[rows]
        chance = self.false_alarms_per_week * CHUNK * arrays["period"][rows] / WEEK_US
        reach = np.maximum(logarithm(0.5 / np.maximum(chance, 1e-300)), 1.0)
        shape = np.clip(0.5 - 0.5 * excess * excess / np.maximum(square - excess * excess, 1e-300), 0.0, 0.3)
        t = np.minimum(shape * reach, 4.0)
        growth = 1.0 + t / 2.0 + t * t / 6.0 + t * t * t / 24.0
        young = 1.0 + 64.0 / np.maximum(arrays["n"][rows], 1)
        arrays["threshold"][rows] = (arrays["maximum"][rows] + excess * reach * growth) * young
        arrays["threshold"][rows] *= np.maximum(arrays["onsets"][rows] / PATIENCE, 1.0)


def begin(rows: Int64, arrays: dict[str, Array]) -> None:
    """The first full chunk of a sensor sets its level and its scale."""
    fresh = rows[arrays["n"][rows] == 0]
    if not len(fresh):
        return
    value, at = np.asarray(arrays["values"])[fresh], np.asarray(arrays["instants"])[fresh]
    middle = np.median(value, axis=1)
    arrays["level"][fresh] = 0.0
    arrays["level"][fresh, :3] = middle[:, None]
    arrays["error"][fresh] = mean(np.abs(value - middle[:, None]))[:, None]
    arrays["first"][fresh] = at[:, 0]
    arrays["newest"][fresh] = at[:, 0]
    arrays["maximum"][fresh], arrays["excess"][fresh], arrays["square"][fresh] = 3.0, 1.0, 2.0


def mean(values: Float64) -> Float64:
    """Mean over the 8 positions, in an order of additions that does not depend on the number of sensors."""
    v = values
    total = ((v[:, 0] + v[:, 1]) + (v[:, 2] + v[:, 3])) + ((v[:, 4] + v[:, 5]) + (v[:, 6] + v[:, 7]))
    return np.asarray(total / CHUNK)


def logarithm(x: Float64) -> Float64:
    """Natural logarithm within 0.06, by exact operations only: the same bits on every machine."""
    mantissa, exponent = np.frexp(x)
    return np.asarray((exponent + 2.0 * mantissa - 2.0) * LN2)


def learn_period(rows: Int64, at: Int64, arrays: dict[str, Array]) -> None:
    """The usual step: median over the chunk, then a slow mean."""
    previous = np.concatenate([arrays["newest"][rows][:, None], at[:, :-1]], axis=1)
    step = np.maximum(np.median(at - previous, axis=1), 1.0)
    weight = 1.0 / np.minimum(arrays["n"][rows] // CHUNK + 1, 32)
    arrays["period"][rows] += weight * (step - arrays["period"][rows])
    arrays["newest"][rows] = at[:, -1]


def long_memory(rows: Int64, arrays: dict[str, Array]) -> Float64:
    """Readings that errors and tails are averaged over: three days' worth, at least 256, at most 4096."""
    return np.asarray(np.clip(3 * DAY_US / np.maximum(arrays["period"][rows], 1.0), 256.0, 4096.0))


def learn_tail(rows: Int64, z: Float64, odd: Bool, warm: Bool, memory: Float64, arrays: dict[str, Array]) -> None:
    """Median and mean excess of block maxima, from the end of the warm-up on; a prior counts as 8 blocks."""
    top = z.max(axis=1)
    seen = arrays["blocks"][rows] + warm
    weight = np.where(warm, 1.0 / np.minimum(seen + PRIOR_BLOCKS, memory / CHUNK), 0.0)
    level = np.asarray(arrays["maximum"])[rows]
    over = np.minimum(top - level, 4.0 * np.asarray(arrays["excess"])[rows])
    arrays["maximum"][rows] = np.maximum(level + weight * np.sign(over) * 2.0 * arrays["excess"][rows], 0.5)
    half = np.where(over > 0, 2.0 * weight * np.where(odd, OUTLIER_SCALE_WEIGHT, 1.0), 0.0)
    arrays["excess"][rows] += np.minimum(half, 0.5) * (over - arrays["excess"][rows])
    arrays["square"][rows] += np.minimum(half, 0.5) * (over * over - arrays["square"][rows])
    arrays["blocks"][rows] = seen


def learn_levels(view: View, odd: Bool, warm: Bool, memory: Float64, arrays: dict[str, Array]) -> None:
    """Levels by Huber's psi, errors by winsorised means; a running mean until the memory is filled."""
    rows = view.rows
    usable = np.repeat(view.known[:, None], 6, axis=1)
    usable[:, :3] = True
    error = view.value[:, :, None] - view.levels
    scale = view.scales[:, None, :]
    clip = np.where(warm[:, None, None], HUBER * scale, np.inf)
    weight = np.where(odd, OUTLIER_WEIGHT, 1.0)[:, :, None]
    psi = np.clip(error, -clip, clip) * weight
    age = np.asarray(arrays["judged"])[rows] + CHUNK
    rate = np.minimum(CHUNK / np.minimum(np.repeat(MEMORIES[None, :], 2, axis=0).ravel(), age), 1.0)
    size = np.minimum(np.abs(error), np.where(warm[:, None, None], WINSOR * scale, np.inf))
    size = scale + (size - scale) * np.where(odd, OUTLIER_SCALE_WEIGHT, 1.0)[:, :, None]
    spread = np.minimum(CHUNK / np.minimum(memory[:, None], age + CHUNK), 1.0)
    arrays["level"][rows] += np.where(usable, rate * mean(psi), 0.0)
    arrays["error"][rows] += np.where(usable, spread * (mean(size) - arrays["error"][rows]), 0.0)
    arrays["judged"][rows] += np.where(usable, CHUNK, 0.0)


def learn_profile(view: View, odd: Bool, arrays: dict[str, Array]) -> None:
    """Mean value by hour of the day (UTC) with a memory of about a week; abnormal readings are pulled in."""
    rows, bins, value = view.rows, view.bins, view.value
    young = np.asarray(np.take_along_axis(np.asarray(arrays["days"])[rows], bins, axis=1) < 4)
    reach = HUBER * view.scale
    tame = np.where(odd & ~young, np.clip(value, view.forecast - reach, view.forecast + reach), value)
    cap = np.maximum(7.0, 7.0 * HOUR_US / np.maximum(arrays["period"][rows], 1.0))
    day = view.at // DAY_US
    hours = np.flatnonzero(np.append(True, (bins[:, 1:] != bins[:, :-1]).any(axis=0)))
    for first, end in zip(hours, np.append(hours[1:], CHUNK), strict=True):  # no sensor's hour changes within
        place = rows, bins[:, first]
        n, mean_of_hour = arrays["hours"][place], arrays["profile"][place]
        days, last = arrays["days"][place], arrays["day"][place]
        for i in range(first, end):
            n = n + 1.0
            mean_of_hour = mean_of_hour + (tame[:, i] - mean_of_hour) / np.minimum(n, cap)
            days, last = days + (last != day[:, i]), day[:, i]
        arrays["hours"][place], arrays["profile"][place] = n, mean_of_hour
        arrays["days"][place], arrays["day"][place] = days, last


def count_onsets(rows: Int64, at: Int64, odd: Bool, arrays: dict[str, Array]) -> None:
    """How often it became abnormal lately, after at least two chunks of calm."""
    any_odd = odd.any(axis=1)
    fade = np.clip(1.0 - np.maximum(arrays["period"][rows], 0.0) * CHUNK / (14.0 * DAY_US), 0.0, 1.0)
    onset = any_odd & (arrays["calm"][rows] >= 2)
    arrays["onsets"][rows] = arrays["onsets"][rows] * fade + onset
    arrays["calm"][rows] = np.where(any_odd, 0, arrays["calm"][rows] + 1)


def forget(rows: Int64, at: Int64, odd: Bool, arrays: dict[str, Array]) -> None:
    """A sensor that has been abnormal for a day and 192 readings without a normal chunk begins anew."""
    mostly = odd.sum(axis=1) > CHUNK // 2
    arrays["odd_since"][rows] = np.where(
        mostly, np.where(arrays["odd"][rows] == 0, at[:, 0], arrays["odd_since"][rows]), -1
    )
    arrays["odd"][rows] = np.where(mostly, arrays["odd"][rows] + CHUNK, 0)
    over = mostly & (arrays["odd"][rows] >= 192) & (at[:, -1] - arrays["odd_since"][rows] >= DAY_US)
    for name, (_, _, fill) in Adaptive.fields.items():
        arrays[name][rows[over]] = fill
