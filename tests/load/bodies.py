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
ABOVE = b"150.0"
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
class Form:
    """How a reading is written: a text with ``SSSSSSS``, ``VVVVV`` and an instant of fixed width in it."""

    row: bytes
    instant: bytes
    first: bytes
    last: bytes
    nanoseconds: bool = False


JSON = Form(b',{"sensor":"SSSSSSS","measured_at":"TTTTTTTTTTTTTTTTTTTT","value":VVVVV}', b"T" * 20, b"[", b"]")
LINES = Form(b"reading,sensor=SSSSSSS value=VVVVV TTTTTTTTTTTTTTTTTTT\n", b"T" * 19, b"r", b"\n", nanoseconds=True)
FORMS = {"json": JSON, "lines": LINES}


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
        at = self.form.row.index(self.form.instant)
        rows = whole[:-1].reshape(self.shape.instants, self.shape.sensors, -1)
        rows[:, :, at : at + len(self.form.instant)] = self.stamps[step : step + self.shape.instants, None, :]
        return whole


def prepare(shape: Shape, *, form: Form, start: int, steps: int, first: int, rounds: int, seed: int = 1) -> Bodies:
    """Bodies of so many rounds from the step ``first`` on; ``start``: seconds since 1970 of step 0, ``steps``: how many
    there are at all. Where the rounds are more than a period, the values come again after it.
    """
    dice = np.random.default_rng(seed)
    pool = _pool(dice)
    rounds = max(1, min(shape.rounds, rounds))
    width = len(form.row)
    table = np.empty((rounds, shape.streams, shape.readings * width + len(form.last)), np.uint8)
    table[:, :, -len(form.last) :] = np.frombuffer(form.last, np.uint8)
    rows = table[:, :, : shape.readings * width].reshape(rounds, shape.streams, shape.instants, shape.sensors, width)
    rows[...] = np.frombuffer(form.row, np.uint8)
    sensors = np.arange(shape.streams * shape.sensors).reshape(shape.streams, shape.sensors)
    names = np.array([[name_of(int(s)).encode() for s in stream] for stream in sensors])
    _put(rows, form.row.index(b"SSSSSSS"), np.broadcast_to(names[:, None, :], rows.shape[1:4]))
    for number in range(rounds):
        step = first + number * shape.instants + np.arange(shape.instants)
        _put(rows[number], form.row.index(b"VVVVV"), _values(shape, sensors, step, pool, dice))
    table[:, :, 0] = form.first[0]
    return Bodies(shape, form, first, table, stamps(form, start=start, steps=steps))


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
    if shape.probe:
        values[:, -1, 0] = ABOVE
    else:
        values[is_above(sensors[:, None, :], step[None, :, None])] = ABOVE
    return values


def _put(rows: Text, at: int, texts: NDArray[np.bytes_]) -> None:
    """Write texts of one width into the rows, from a column on."""
    width = texts.dtype.itemsize
    characters = np.ascontiguousarray(texts).view(np.uint8).reshape(*texts.shape, width)
    rows[..., at : at + width] = characters


def stamps(form: Form, *, start: int, steps: int) -> Text:
    """The text of each step's instant, as rows of characters."""
    seconds = start + np.arange(steps, dtype=np.int64)
    if form.nanoseconds:
        texts = (seconds * 1_000_000_000).astype("S19")
    else:
        texts = np.char.add(np.datetime_as_string(seconds.astype("datetime64[s]")), "Z").astype("S20")
    return np.ascontiguousarray(texts).view(np.uint8).reshape(steps, -1).copy()


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
