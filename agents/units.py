"""A change of unit: a part of ``validate``, pure.

Somebody sets a transmitter from bar to psi: from one reading to the next the value goes by a known map a x + b, and so
do its changes. It is told from a real shift by four things, all of which must hold:

1. one step leaves every value there ever was, by ``FAR`` of its usual steps;
2. it lands where a map takes the reading before it, to within ``NEAR`` usual steps of the new unit, and so many steps
   of either unit are at most ``TELLING`` of the way there;
3. the mean of ``CONFIRM`` readings from there on is where the map takes the level before, to within ``CLOSE`` times its
   spread, and the way between the two is twice that;
4. the steps between them have grown by a: nearer to that than to no change at all (on a scale of logarithms), and to
   within a factor of two.

So a sensor that shows one number all the time is never judged, and one whose steps are more than a thirtieth of the way
between the two units neither. Until it is decided the readings are held back as bad, so that a unit raises no alarm,
but for those that pass a limit people set: these are judged as ever. A shift that happens to look like a map is judged
``EARLY`` readings late where its steps are what they were, else ``CONFIRM``, and nothing is held back again for
``WARM_UP`` readings. Once it is confirmed, all are bad until ``AGREE`` readings in a row are nearer to the old unit, or
a regime is declared. Where it has been and come back from by itself counts as seen, so that a machine with two states
is taken for another unit once at most. Factors: NIST Special Publication 811, Appendix B.8; gauge to absolute pressure
and the like are shifts with nothing to tell them by, and are left out.
"""

from __future__ import annotations

import math

import numpy as np

from mlops.detectors.compiled import Kept, compiled
from mlops.state import Array, Fields

WARM_UP = 48
FAR = 8.0
NEAR, CLOSE = 3.0, 1.5
EARLY, CONFIRM = 12, 32
AGREE = 3
MEMORY, LONGER = 24.0, 128.0
"""Readings over which level and spread, and the usual step, are averaged, exponentially."""
TELLING = 0.1
"""Where a sensor's noise is wider than this share of the way, a map leads near almost any value, and to be near one
says nothing."""
ROUNDED = 0.002
"""Share of the step by which a value may miss the map because the display rounds."""
FINE, HELD, CHANGED = 0, 1, 2

PAIRS = (
    ("tenths", 10.0), ("hundredths", 100.0), ("thousandths", 1000.0), ("millionths", 1e6),
    ("bar to psi", 14.503774), ("kPa to psi", 0.14503774), ("MPa to psi", 145.03774), ("m to ft", 3.2808399),
    ("mm to in", 1 / 25.4), ("kg to lb", 2.2046226), ("gal to l", 3.7854118), ("m/s to km/h", 3.6),
    ("1/s to 1/min", 60.0),
)  # fmt: skip
"""What goes by a factor, and back."""
MAPS: Array = np.array(
    [[1.8, 32.0], [1 / 1.8, -32 / 1.8], [1.0, 273.15], [1.0, -273.15], [1 / 1.8, 255.37222], [1.8, -459.67]]
    + [[one, 0.0] for _, factor in PAIRS for one in (factor, 1 / factor)]
)
NAMES = (
    "degrees C to F", "degrees F to C", "degrees C to K", "K to degrees C", "degrees F to K", "K to degrees F",
    *(name for forth, _ in PAIRS for name in (forth, f"{forth}, back")),
)  # fmt: skip

FIELDS: Fields = {
    "unit_seen": (np.int64, (), 0),  # readings, up to WARM_UP
    "unit_steps_seen": (np.int64, (), 0),  # up to LONGER
    "unit_last": (np.float64, (), 0),  # the last one, in the unit that is known
    "unit_level": (np.float64, (), 0),
    "unit_spread": (np.float64, (), 0),
    "unit_step": (np.float64, (), 0),
    "unit_since": (np.int64, (), 0),
    "unit_count": (np.int64, (), 0),  # readings held, or in the other unit
    "unit_sum": (np.float64, (), 0),  # of those held
    "unit_steps": (np.float64, (), 0),
    "unit_value": (np.float64, (), 0),  # the last one held
    "unit_range": (np.float64, (2,), 0),  # the smallest, with its sign changed, and the largest of these
    "unit_map": (np.int64, (), 0),  # 1 + the place of the map, once it is confirmed
    "unit_back": (np.int64, (), 0),  # readings in a row that are nearer to the old unit
}


@compiled
def follow(kept: Kept, at: int, value: float, maps: Array, regime: int) -> int:
    """``FINE``, ``HELD`` or ``CHANGED``. ``regime``: since when the newest is in force, 0 = none."""
    if kept.unit_map > 0:
        return _in_another(kept, at, value, maps, regime)
    if kept.unit_count > 0:
        return _held(kept, at, value, maps)
    usual = kept.unit_step
    beyond = max(-kept.rail[0] - value, value - kept.rail[1])
    if kept.unit_seen >= WARM_UP and usual > 0.0 and beyond > FAR * usual:
        for k in range(len(maps)):
            target = maps[k, 0] * kept.unit_last + maps[k, 1]
            way = abs(target - kept.unit_last)
            near = _rounding(way) + NEAR * maps[k, 0] * usual
            if abs(value - target) <= near and NEAR * max(maps[k, 0], 1.0) * usual <= TELLING * way:
                kept.unit_since, kept.unit_count, kept.unit_value = at, 1, value
                kept.unit_sum, kept.unit_steps = value, 0.0
                kept.unit_range[0], kept.unit_range[1] = -value, value
                return HELD
    _learn(kept, value)
    return FINE


@compiled
def _rounding(way: float) -> float:
    return ROUNDED * abs(way)


@compiled
def _learn(kept: Kept, value: float) -> None:
    if kept.unit_seen == 0:
        kept.unit_level = kept.unit_last = value
        kept.unit_steps_seen = 0
    share = 1.0 / min(kept.unit_seen + 1.0, MEMORY)
    kept.unit_spread += share * (abs(value - kept.unit_level) - kept.unit_spread)
    kept.unit_step += (abs(value - kept.unit_last) - kept.unit_step) / min(kept.unit_steps_seen + 1.0, LONGER)
    kept.unit_steps_seen = min(kept.unit_steps_seen + 1, int(LONGER))
    kept.unit_level += share * (value - kept.unit_level)
    kept.unit_last = value
    kept.unit_seen = min(kept.unit_seen + 1, WARM_UP)


@compiled
def _held(kept: Kept, at: int, value: float, maps: Array) -> int:
    """One more after the step: what was it?"""
    mean = kept.unit_sum / kept.unit_count
    if abs(value - kept.unit_level) < abs(value - mean):
        kept.unit_count = kept.unit_seen = 0
        _know(kept)
        _learn(kept, value)
        return FINE
    kept.unit_count += 1
    _reach(kept, value)
    kept.unit_sum += value
    kept.unit_steps += abs(value - kept.unit_value)
    kept.unit_value = value
    step = kept.unit_steps / (kept.unit_count - 1)
    if kept.unit_count < CONFIRM:
        if kept.unit_count != EARLY or _may_be(kept, step, maps):
            return HELD
        found = 0
    else:
        found = _found(kept, step, maps)
    if found == 0:
        kept.unit_count = kept.unit_seen = 0
        _learn(kept, value)
        return FINE
    kept.unit_map, kept.unit_back = found, 0
    return CHANGED


@compiled
def _may_be(kept: Kept, step: float, maps: Array) -> bool:
    """Whether the steps so far have grown by a quarter, at least, of what a map near the values would have them."""
    grown = math.log(step / kept.unit_step) if step > 0.0 else -math.inf
    mean = kept.unit_sum / kept.unit_count
    for k in range(len(maps)):
        a, expected = maps[k, 0], math.log(maps[k, 0])
        target = a * kept.unit_level + maps[k, 1]
        near = abs(mean - target) <= 2.0 * CLOSE * a * kept.unit_spread + _rounding(target - kept.unit_level)
        if near and (grown >= 0.25 * expected if expected >= 0.0 else grown <= 0.25 * expected):
            return True
    return False


@compiled
def _found(kept: Kept, step: float, maps: Array) -> int:
    """1 + the place of the map that level and steps agree with best, 0 where there is none."""
    best, found = math.inf, 0
    for k in range(len(maps)):
        miss = _miss(kept, kept.unit_sum / kept.unit_count, step, maps[k, 0], maps[k, 1])
        if miss < best:
            best, found = miss, k + 1
    return found


@compiled
def _miss(kept: Kept, mean: float, step: float, a: float, b: float) -> float:
    """How far the level is from where the map takes the one before; infinite where level or steps do not agree."""
    target = a * kept.unit_level + b
    near = CLOSE * a * kept.unit_spread + _rounding(target - kept.unit_level)
    miss = abs(mean - target)
    if miss > near or abs(target - kept.unit_level) < 2.0 * near:
        return math.inf
    if kept.unit_step == 0.0 or step == 0.0:
        return math.inf
    grown, expected = math.log(step / kept.unit_step), math.log(a)
    nearer = expected == 0.0 or abs(grown - expected) < abs(grown)
    return miss if nearer and abs(grown - expected) <= math.log(2.0) else math.inf


@compiled
def _in_another(kept: Kept, at: int, value: float, maps: Array, regime: int) -> int:
    """The level is followed as it would be in the unit that is known."""
    a, b = maps[kept.unit_map - 1, 0], maps[kept.unit_map - 1, 1]
    known = (value - b) / a
    back = abs(value - kept.unit_level) < abs(known - kept.unit_level)
    kept.unit_back = kept.unit_back + 1 if back else 0
    if kept.unit_back >= AGREE or kept.unit_since < regime <= at:
        if regime > kept.unit_since:
            kept.unit_seen = 0
        kept.unit_map, kept.unit_count = 0, 0
        _know(kept)
        _learn(kept, value)
        return FINE
    kept.unit_count += 1
    if not back:
        _learn(kept, known)
        _reach(kept, value)
    return CHANGED


@compiled
def _reach(kept: Kept, value: float) -> None:
    kept.unit_range[0], kept.unit_range[1] = max(kept.unit_range[0], -value), max(kept.unit_range[1], value)


@compiled
def _know(kept: Kept) -> None:
    """Where it was in the meantime is where it can be."""
    for side in range(2):
        kept.rail[side] = max(kept.rail[side], kept.unit_range[side])
