"""A machine's readings from a file, judged by the live detectors block by block; what was learned is carried on. Pure.

Of a row the highest score of its columns and detectors counts, so that a row is abnormal where one of its cells is. A
row's result depends on the rows before it only, and not on how the file is split into blocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mlops import detectors
from mlops import state as states
from mlops.detectors import contract, events
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable
from sensors.tables import rows
from sensors.tables.rows import Chunk

NORMAL = "normal"
MOST_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Cells:
    """Of n x columns the detector's word that counts: ``rank`` (-1 = not judged; abnormal before normal, then by
    score), ``score``, ``kind`` (index into ``Machine.kinds``, 0 = normal), and what was expected (NaN = no bound).
    ``news``: the highest of any detector."""

    rank: Float64
    score: Float64
    kind: Int64
    low: Float64
    high: Float64
    news: Float64


@dataclass(frozen=True, slots=True)
class Judged:
    """What n rows came to: ``score`` and ``news`` (see ``contract.Scores``), NaN = not judged; ``kind``, as of cells;
    ``lead``: the column they are of; ``training``: rows that were learned from and not judged."""

    score: Float64
    news: Float64
    kind: Int64
    lead: Int64
    training: Bool
    cells: Cells

    @property
    def judged(self) -> Bool:
        return ~np.isnan(self.score)


@dataclass(frozen=True, slots=True)
class Event:
    """Abnormal rows together. ``row``: number of the first; ``began``, ``last``: times of the first and the last one as
    given; ``ends``: number of the last; ``kind`` and ``lead`` are of the peak."""

    row: int
    ends: int
    began: str
    last: str
    rows: int
    peak: float
    kind: str
    lead: str


def default(false_alarms_per_week: float | None = None) -> dict[str, contract.Detector]:
    """The shipped detectors but those of limits: a file's columns have none."""
    made = detectors.default(false_alarms_per_week=false_alarms_per_week)
    return {name: detector for name, detector in made.items() if name not in {"limits", "rate", "zones"}}


class Machine:
    """The sensors of one machine, one for each column, and what is remembered of them: no more for more rows.

    The first ``train`` rows are learned from, not judged.
    """

    def __init__(
        self, columns: tuple[str, ...], *, train: int = 0, using: Mapping[str, contract.Detector] | None = None
    ) -> None:
        self.columns, self.train = columns, train
        self.using = dict(default() if using is None else using)
        self.kinds = (NORMAL, *(kind for detector in self.using.values() for kind in detector.kinds))
        self.table = unconfigured(len(columns))
        self.learned = {n: states.cold(self.table.sensor, one.fields) for n, one in self.using.items()}
        self.events = Events(columns, self.kinds)

    def judge(self, chunk: Chunk) -> Judged:
        """The next rows."""
        cells, each = self._cells(chunk), np.arange(len(chunk))
        training = each + chunk.first <= self.train
        lead = cells.rank.argmax(axis=1)
        judged = (cells.rank[each, lead] >= 0) & ~training
        score = np.where(judged, cells.score[each, lead], np.nan)
        news = np.where(judged, np.nan_to_num(cells.news).max(axis=1), np.nan)
        found = Judged(score, news, np.where(judged, cells.kind[each, lead], 0), lead, training, cells)
        self.events.take(chunk, found)
        return found

    def _cells(self, chunk: Chunk) -> Cells:
        usable = chunk.usable
        shape = usable.shape
        score, low, high, news = (np.full(shape, np.nan) for _ in range(4))
        cells = Cells(np.full(shape, -1.0), score, np.zeros(shape, np.int64), low, high, news)
        column, row = np.nonzero(usable.T)
        if not len(row):
            return cells
        readings = Columns(column + 1, chunk.at[row], chunk.value[row, column], row.astype(np.int32))
        before, frozen = 0, np.zeros(len(readings), np.bool_)
        for name, detector in self.using.items():
            block = contract.block(readings, self.learned[name])
            said, self.learned[name] = detector.judge(block, self.table, self.learned[name], frozen)
            odd = said.verdict != 0
            rank = np.where(np.isnan(said.score), -1.0, said.score + 2.0 * odd)
            cells.news[row, column] = np.fmax(cells.news[row, column], said.news)
            better = rank > cells.rank[row, column]
            place = row[better], column[better]
            cells.rank[place], cells.score[place] = rank[better], said.score[better]
            cells.kind[place] = np.where(odd, said.verdict.astype(np.int64) + before, 0)[better]
            cells.low[place], cells.high[place] = said.low[better], said.high[better]
            before += len(detector.kinds)
        return cells


class Events:
    """The events of the machine: formed as those of a sensor are, from its rows. Keeps the highest, counts all."""

    def __init__(self, columns: tuple[str, ...], kinds: tuple[str, ...]) -> None:
        self.columns, self.kinds = columns, kinds
        self.ended = 0
        self._state = states.cold(np.ones(1, np.int64), events.FIELDS)
        self._highest: list[tuple[float, int, Event]] = []
        self._open: Event | None = None

    @property
    def count(self) -> int:
        return self.ended + (self._open is not None)

    def take(self, chunk: Chunk, judged: Judged) -> None:
        mine = np.flatnonzero((chunk.fault == rows.FINE) & ~judged.training)
        if not len(mine):
            return
        n = len(mine)
        readings = Columns(np.ones(n, np.int64), chunk.at[mine], np.zeros(n), mine.astype(np.int32))
        unknown = np.full(n, np.nan)
        kind, news = judged.kind[mine].astype(np.int8), judged.news[mine]
        scores = contract.Scores(judged.score[mine], kind, unknown, unknown, readings.at, news)
        formed, self._state = events.form(contract.block(readings, self._state), scores, self._state)
        for event in formed:
            told = self._told(event, chunk, judged, mine)
            self._open = told if event.ended_at is None else None
            if event.ended_at is not None:
                self._keep(told)

    def _told(self, event: events.Event, chunk: Chunk, judged: Judged, mine: Int64) -> Event:
        """In the words of the file. What lies before this chunk was told of when it came."""

        def place(instant: int) -> int | None:
            k = int(np.searchsorted(chunk.at[mine], instant))
            return int(mine[k]) if k < len(mine) and chunk.at[mine[k]] == instant else None

        first, last, peak = place(event.started_at), place(event.last_at), place(event.peak_at)
        before = self._open or Event(0, 0, "", "", 0, 0.0, "", "")
        if first is not None:
            before = replace(before, row=chunk.first + first, began=chunk.time[first])
        if last is not None:
            before = replace(before, ends=chunk.first + last, last=chunk.time[last])
        if peak is not None:
            before = replace(before, kind=self.kinds[event.kind], lead=self.columns[judged.lead[peak]])
        return replace(before, rows=event.readings, peak=event.peak)

    def _keep(self, event: Event) -> None:
        self.ended += 1
        heapq.heappush(self._highest, (event.peak, -event.row, event))
        if len(self._highest) > MOST_EVENTS:
            heapq.heappop(self._highest)

    def highest(self) -> tuple[Event, ...]:
        """At most ``MOST_EVENTS``: those with the highest peaks, in the order of the file."""
        still = [] if self._open is None else [(self._open.peak, -self._open.row, self._open)]
        most = heapq.nlargest(MOST_EVENTS, [*self._highest, *still])
        return tuple(sorted((event for *_, event in most), key=lambda event: event.row))


def unconfigured(sensors: int) -> SensorTable:
    """Sensors 1, 2, ... of one machine, of which nothing is configured."""
    unset, zero = np.full(sensors, np.nan), np.zeros(sensors, np.int64)
    limits = dict.fromkeys(
        (
            "physical_low", "physical_high", "low_low", "low", "high", "high_high", "rise_per_minute",
            "fall_per_minute", "resolution", "max_rate", "zone_c", "zone_d",
        ),
        unset,
    )  # fmt: skip
    one = np.ones(sensors, np.int64)
    return SensorTable(
        sensor=np.arange(1, sensors + 1), machine=np.ones(sensors, np.int64), deadband=np.zeros(sensors),
        period=zero, lateness=zero, calibration_due=zero, regime=zero, fault_until=zero, group=zero,
        declared=np.zeros(sensors, np.bool_), rate_span=zero, alarm_readings=one, alarm_readings_of=one,
        off_below=unset, running_above=unset, **limits,
    )  # fmt: skip
