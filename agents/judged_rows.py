"""A judged file as CSV rows, and its summary. Pure: text in memory, no files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from agents.judge_file import Judged, Machine
from sensors.columns import SECOND_US, Float64
from sensors.tables import rows
from sensors.tables.layouts import COUNTED, NUMBERS
from sensors.tables.rows import BAD, FAULTS, FINE, Chunk, Table

HEADER = ("row", "time", "score", "verdict", "contributor", "rarity", "reason")
TO_QUOTE = re.compile(r'[",\r\n]')
NOT_JUDGED = "not judged"
TRAINING, LEARNING = "training", "learning"


class Writer:
    """Chunks as the lines of the output."""

    def __init__(self, machine: Machine, *, details: bool = False) -> None:
        self.machine, self.details = machine, details

    def header(self) -> str:
        each = ("rarity", "low", "high") if self.details else ()
        names = (*HEADER, *(f"{column} {what}" for column in self.machine.columns for what in each))
        return lines([name] for name in names)

    def rows(self, chunk: Chunk, judged: Judged) -> str:
        """``score``: of what is new in the row, 0 where that was said a moment ago; ``rarity``: of the row as it is."""
        seen = judged.judged
        kinds, columns = self.machine.kinds, self.machine.columns
        pairs = list(zip(seen.tolist(), judged.kind.tolist(), judged.lead.tolist(), strict=True))
        parts: list[Sequence[str]] = [
            list(map(str, range(chunk.first, chunk.first + len(chunk)))),
            chunk.time,
            _decimals(judged.news),
            [kinds[kind] if said else NOT_JUDGED for said, kind, _ in pairs],
            [columns[lead] if said else "" for said, _, lead in pairs],
            _decimals(judged.score),
            reasons(chunk, judged, columns),
        ]
        if self.details:
            cells = judged.cells
            for k in range(len(columns)):
                known = seen & (cells.rank[:, k] >= 0)
                parts.append(_decimals(np.where(known, cells.score[:, k], np.nan)))
                parts += [_exact(np.where(known, bound[:, k], np.nan)) for bound in (cells.low, cells.high)]
        return lines(parts)


def reasons(chunk: Chunk, judged: Judged, columns: Sequence[str]) -> list[str]:
    """Why a row was not judged; of one that was, which of its cells were left out."""
    first = len(FAULTS)
    waiting = np.where(judged.judged, FINE, np.where(judged.training, first, first + 1))
    said = [*FAULTS, TRAINING, LEARNING]
    texts = [said[code] for code in np.where(chunk.fault == FINE, waiting, chunk.fault).tolist()]
    for n in np.flatnonzero((chunk.fault == FINE) & (chunk.cell == BAD).any(axis=1)).tolist():
        names = ", ".join(columns[k] for k in np.flatnonzero(chunk.cell[n] == BAD).tolist())
        texts[n] = "; ".join(filter(None, (texts[n], f"{FAULTS[rows.BAD_VALUE]}: {names}")))
    return texts


def _decimals(score: Float64) -> list[str]:
    whole = np.floor(np.nan_to_num(score) * 1e6) / 1e6
    return ["" if empty else f"{x:.6f}" for x, empty in zip(whole.tolist(), np.isnan(score).tolist(), strict=True)]


def _exact(values: Float64) -> list[str]:
    return [repr(x) if fine else "" for x, fine in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)]


def lines(columns: Iterable[Sequence[str]]) -> str:
    """Columns of equal length as lines of CSV; what ``csv.writer`` gives, in a third of its time."""
    return "".join(",".join(row) + "\n" for row in zip(*map(_quoted, columns), strict=True))


def _quoted(cells: Sequence[str]) -> Sequence[str]:
    """The column as it is where no cell needs quotes."""
    if not TO_QUOTE.search("".join(cells)):
        return cells
    return ['"' + cell.replace('"', '""') + '"' if TO_QUOTE.search(cell) else cell for cell in cells]


class Tally:
    """What is counted while a file is judged."""

    def __init__(self) -> None:
        self.rows = self.judged = self.abnormal = self.training = self.learning = 0
        self.readings = self.cells_left_out = 0
        self.left_out: Counter[str] = Counter()
        self.first_of: dict[str, int] = {}

    def add(self, chunk: Chunk, judged: Judged) -> None:
        fine = chunk.fault == FINE
        self.rows += len(chunk)
        self.readings += int(chunk.usable.sum())
        self.judged += int(judged.judged.sum())
        self.abnormal += int((judged.kind > 0).sum())
        self.training += int((fine & judged.training).sum())
        self.learning += int((fine & ~judged.training & ~judged.judged).sum())
        self.cells_left_out += int((chunk.cell[fine] == BAD).sum())
        for code in np.unique(chunk.fault[~fine]).tolist():
            where = np.flatnonzero(chunk.fault == code)
            self.left_out[FAULTS[code]] += len(where)
            self.first_of.setdefault(FAULTS[code], chunk.first + int(where[0]))


def summary(machine: Machine, table: Table, tally: Tally, *, seconds: float) -> list[str]:
    """For people, line by line."""
    versions = ", ".join(f"{name} {detector.version}" for name, detector in machine.using.items())
    said = [
        f"columns    {', '.join(machine.columns)} (time: {_time(table)}; detectors: {versions})",
        *(f"           without {name!r}: {why}" for name, why in table.layout.left_out),
        f"rows       {tally.rows}: judged {tally.judged}, training {tally.training}, before the first score "
        f"{tally.learning}, left out {sum(tally.left_out.values())}",
    ]
    said += [
        f"left out   {count} {reason} (the first is row {tally.first_of[reason]})"
        for reason, count in tally.left_out.most_common()
    ]
    if tally.cells_left_out:
        said.append(f"left out   {tally.cells_left_out} bad values of rows that were judged without them")
    if table.blank:
        said.append(f"left out   {table.blank} blank lines, which are no rows")
    if tally.left_out[FAULTS[rows.OUT_OF_ORDER]] * 2 > tally.rows:
        said.append(
            "           most rows are older than one before them: sort the file by time, "
            "or take out the row that lies far ahead"
        )
    said.append(f"abnormal   {tally.abnormal} rows, {machine.events.count} events")
    said += events(machine)
    rate = tally.readings / max(seconds, 1e-9)
    said.append(f"speed      {tally.readings} readings in {seconds:.1f} s, {rate:,.0f} a second")
    return said


def _time(table: Table) -> str:
    layout = table.layout
    where = "" if layout.time_column is None else f" in {layout.time_column!r}"
    step = f", {table.wanted.period / SECOND_US:g} s each (--period)" if layout.kind in (NUMBERS, COUNTED) else ""
    return layout.kind + where + step


def events(machine: Machine) -> list[str]:
    """The highest events, and how many more there were."""
    found = machine.events.highest()
    said = [
        f"  {event.began} to {event.last}  rows {event.row} to {event.ends}  peak {event.peak:.3f}  {event.kind}  "
        f"{event.lead}"
        for event in found
    ]
    if more := machine.events.count - len(found):
        said.append(f"  and {more} more with lower peaks")
    return said
