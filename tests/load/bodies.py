"""Request bodies of a plant's readings, prepared before the clock starts. Pure: numpy in, bytes out.

Every sensor has a value at each step (a second of event time). One in ``PERIOD / STRETCH`` readings is above ``HIGH``,
``STRETCH`` of a sensor in a row, and at every step of another sensor, so that the share is the same at any moment.
All texts have a fixed width: a body is a table of characters, prepared for one period; what changes from one period to
the next are the characters of its instants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Text = NDArray[np.uint8]
Int64 = NDArray[np.int64]

PER_MACHINE = 10
PERIOD, STRETCH = 10_000, 10
QUIET = 12
"""Normal readings that end an event, as ``mlops.detectors.events`` has it."""
HIGH = 100.0
NORMAL, SPREAD = 50.0, 1.0
ABOVE = b"1"
"""First character of a value above ``HIGH``, before four of a normal one: 100 above it, and not all alike, since a
number that stands is a fault of the sensor.
"""
POOL = 1_000_000
SPACING = 10
"""Steps by which a sensor's first stretch is later than that of the sensor before."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``streams`` bodies make a round; each holds ``instants`` readings of ``sensors`` sensors, by instant.

    ``probe``: the last reading of each body's first sensor is above ``HIGH``, and nothing else is.
    """

    name: str
    streams: int
    sensors: int
    instants: int
    probe: bool = False

    @property
    def readings(self) -> int:
        return self.sensors * self.instants

    @property
    def rounds(self) -> int:
        """Rounds in a period."""
        return PERIOD // self.instants


def shape(name: str, *, machines: int) -> Shape:
    """``gateway``, ``hundreds`` and ``probe``: of one machine; ``singles``: one reading; ``plant``: all sensors."""
    everything = machines * PER_MACHINE
    return {
        "gateway": Shape("gateway", machines, PER_MACHINE, 100),
        "hundreds": Shape("hundreds", machines, PER_MACHINE, 10),
        "singles": Shape("singles", everything, 1, 1),
        "plant": Shape("plant", 1, everything, 1),
        "probe": Shape("probe", machines, PER_MACHINE, 20, probe=True),
        "lines": Shape("lines", max(1, machines // 10), min(everything, 10 * PER_MACHINE), 100),
    }[name]


def name_of(sensor: int) -> str:
    return f"m{sensor // PER_MACHINE:03d}.s{sensor % PER_MACHINE}"


def is_above(sensor: Int64, step: Int64) -> NDArray[np.bool_]:
    """Whether a sensor's value at a step is above ``HIGH``."""
    return np.asarray((step - sensor * SPACING) % PERIOD < STRETCH)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text of fixed width stands in a body: of the first reading, and how much further of the next ones."""

    at: int
    by_instant: int
    by_sensor: int
    width: int

    def of(self, bodies: Text, shape: Shape) -> Text:
        """These characters of all readings: bodies x instants x sensors x width, written through to the bodies."""
        *outer, _ = bodies.shape
        size = (*outer, shape.instants, shape.sensors, self.width)
        strides = (*bodies.strides[:-1], self.by_instant, self.by_sensor, 1)
        return np.ndarray(size, np.uint8, bodies, self.at, strides)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Form:
    """How a body is written, with letters where names, instants and values go."""

    text: bytes
    name: Place
    instant: Place
    value: Place
    nanoseconds: bool = False


NAME, INSTANT, VALUE, NANOSECONDS = b"S" * 7, b"T" * 20, b"V" * 5, b"T" * 19
READING = b',{"sensor":"%b","measured_at":"%b","value":%b}' % (NAME, INSTANT, VALUE)
LINE = b"reading,sensor=%b value=%b %b\n" % (NAME, VALUE, NANOSECONDS)


def form(name: str, shape: Shape) -> Form:
    """``json``: a list of readings, by instant; ``series``: a list of sensors, each with its instants and values;
    ``lines``: line protocol, by instant."""
    return {"json": _readings, "series": _series, "lines": _lines}[name](shape)


def _readings(shape: Shape) -> Form:
    places = [_by_row(READING, letters, shape) for letters in (NAME, INSTANT, VALUE)]
    return Form(b"[" + (READING * shape.readings)[1:] + b"]", *places)


def _lines(shape: Shape) -> Form:
    places = [_by_row(LINE, letters, shape) for letters in (NAME, NANOSECONDS, VALUE)]
    return Form(LINE * shape.readings, *places, nanoseconds=True)


def _by_row(row: bytes, letters: bytes, shape: Shape) -> Place:
    return Place(row.index(letters), len(row) * shape.sensors, len(row), len(letters))


def _series(shape: Shape) -> Form:
    instants, values = (b",".join([one] * shape.instants) for one in (b'"%b"' % INSTANT, VALUE))
    one = b',{"sensor":"%b","measured_at":[%b],"values":[%b]}' % (NAME, instants, values)
    places = [
        Place(one.index(letters), step, len(one), len(letters))
        for letters, step in ((NAME, 0), (INSTANT, len(INSTANT) + 3), (VALUE, len(VALUE) + 1))
    ]
    return Form(b"[" + (one * shape.sensors)[1:] + b"]", *places)


@dataclass(frozen=True, slots=True)
class Bodies:
    """``table``: a body for each round and stream from step ``first`` on; ``stamps``: text of each step's instant."""

    shape: Shape
    form: Form
    first: int
    table: Text
    stamps: Text

    def body(self, stream: int, step: int) -> Text:
        """The body of a stream from a step on, valid until the same one is asked for a period later."""
        whole: Text = self.table[(step - self.first) // self.shape.instants % len(self.table), stream]
        stamps = self.stamps[step : step + self.shape.instants, None, :]
        self.form.instant.of(whole, self.shape)[...] = stamps
        return whole


def prepare(shape: Shape, *, form: Form, start: int, steps: int, first: int, rounds: int, seed: int = 1) -> Bodies:
    """Bodies of so many rounds from the step ``first`` on; ``start``: seconds since 1970 of step 0, ``steps``: how many
    there are at all. Where the rounds are more than a period, the values come again after it.
    """
    dice = np.random.default_rng(seed)
    pool = _pool(dice)
    rounds = max(1, min(shape.rounds, rounds))
    table = np.empty((rounds, shape.streams, len(form.text)), np.uint8)
    table[...] = np.frombuffer(form.text, np.uint8)
    sensors = np.arange(shape.streams * shape.sensors).reshape(shape.streams, shape.sensors)
    names = np.array([[name_of(int(s)).encode() for s in stream] for stream in sensors])
    form.name.of(table, shape)[...] = _characters(names)[:, None]
    values = form.value.of(table, shape)
    for number in range(rounds):
        step = first + number * shape.instants + np.arange(shape.instants)
        values[number] = _characters(_values(shape, sensors, step, pool, dice))
    return Bodies(shape, form, first, table, stamps(start=start, steps=steps, nanoseconds=form.nanoseconds))


def _pool(dice: np.random.Generator) -> NDArray[np.bytes_]:
    """Texts of normal values; stretches of it are what is sent."""
    hundredths = np.clip(np.rint(dice.normal(NORMAL, SPREAD, POOL) * 100), 1_000, 9_999).astype(np.int64)
    return np.array([f"{value / 100:05.2f}".encode() for value in range(10_000)])[hundredths]


def _values(
    shape: Shape, sensors: Int64, step: Int64, pool: NDArray[np.bytes_], dice: np.random.Generator
) -> NDArray[np.bytes_]:
    """Text of the values of one round: streams x instants x sensors."""
    size = (len(sensors), len(step), shape.sensors)
    count = sensors.size * len(step)
    begin = int(dice.integers(0, POOL - count))
    values = pool[begin : begin + count].reshape(size).copy()
    above = np.zeros(size, np.bool_)
    if shape.probe:
        above[:, -1, 0] = True
    else:
        above[...] = is_above(sensors[:, None, :], step[None, :, None])
    values[above] = np.char.add(ABOVE, values[above].astype("S4"))
    return values


def _characters(texts: NDArray[np.bytes_]) -> Text:
    """Texts of one width as rows of characters."""
    return np.ascontiguousarray(texts).view(np.uint8).reshape(*texts.shape, texts.dtype.itemsize)


def stamps(*, start: int, steps: int, nanoseconds: bool = False) -> Text:
    """The text of each step's instant, as rows of characters."""
    seconds = start + np.arange(steps, dtype=np.int64)
    if nanoseconds:
        return _characters((seconds * 1_000_000_000).astype("S19"))
    return _characters(np.char.add(np.datetime_as_string(seconds.astype("datetime64[s]")), "Z").astype("S20"))


def stretches(sensor: Int64, first: Int64, count: Int64, quiet: Int64) -> tuple[Int64, Int64]:
    """How many events above ``HIGH`` begin in ``count`` readings of each sensor from step ``first`` on, and how many
    normal readings each has had since its last one above it, ``QUIET`` at most.

    ``quiet``: that number before. With fewer than ``QUIET`` between them two stretches are one event. All arrays have
    one length.
    """
    phase = (first - sensor * SPACING) % PERIOD
    begun = (phase + count - 1) // PERIOD - (phase - 1) // PERIOD + ((phase > 0) & (phase < STRETCH))
    to_first = np.where(phase < STRETCH, 0, PERIOD - phase)
    continued = (to_first < count) & (quiet + to_first < QUIET)
    since = np.maximum(0, (phase + count - 1) % PERIOD - STRETCH + 1)
    after = np.minimum(QUIET, np.where(since < count, since, quiet + count))
    return np.where(count > 0, begun - continued, 0), np.where(count > 0, after, quiet)
