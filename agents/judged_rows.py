"""A judged file as CSV rows, and its summary. Pure: text in memory, no files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from agents.judge_file import Judged, Machine
from sensors.columns import Float64
from sensors.tables import rows
from sensors.tables.layouts import Layout
from sensors.tables.rows import BAD, FAULTS, FINE, Chunk

HEADER = ("row", "time", "score", "verdict", "contributor", "reason")
NOT_JUDGED = "not judged"
TRAINING, LEARNING = "training", "learning"


class Writer:
    """Chunks as the lines of the output."""

    def __init__(self, machine: Machine, *, details: bool = False) -> None:
        self.machine, self.details = machine, details

    def header(self) -> str:
        each = ("score", "low", "high") if self.details else ()
        return _lines([[*HEADER, *(f"{column} {what}" for column in self.machine.columns for what in each)]])

    def rows(self, chunk: Chunk, judged: Judged) -> str:
        """``score``: six decimals, rounded down, so that only what is abnormal reads 0.5 or more."""
        seen = judged.judged
        kinds, columns = self.machine.kinds, self.machine.columns
        pairs = list(zip(seen.tolist(), judged.kind.tolist(), judged.lead.tolist(), strict=True))
        parts: list[Iterable[object]] = [
            range(chunk.first, chunk.first + len(chunk)),
            chunk.time,
            _decimals(judged.score),
            [kinds[kind] if said else NOT_JUDGED for said, kind, _ in pairs],
            [columns[lead] if said else "" for said, _, lead in pairs],
            reasons(chunk, judged, columns),
        ]
        if self.details:
            cells = judged.cells
            for k in range(len(columns)):
                known = seen & (cells.rank[:, k] >= 0)
                parts.append(_decimals(np.where(known, cells.score[:, k], np.nan)))
                parts += [_exact(np.where(known, bound[:, k], np.nan)) for bound in (cells.low, cells.high)]
        return _lines(zip(*parts, strict=True))


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


def _lines(table: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue()


class Tally:
    """What is counted while a file is judged."""

    def __init__(self) -> None:
        self.rows = self.judged = self.abnormal = self.readings = self.cells_left_out = self.training = (
            self.learning
        ) = 0
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


def summary(machine: Machine, layout: Layout, tally: Tally, *, blank: int, seconds: float) -> list[str]:
    """For people, line by line."""
    versions = ", ".join(f"{name} {detector.version}" for name, detector in machine.using.items())
    kind = layout.kind if layout.time_column is None else f"{layout.kind} in {layout.time_column!r}"
    lines = [
        f"columns    {', '.join(machine.columns)} (time: {kind}; detectors: {versions})",
        *(f"           without {name!r}: {why}" for name, why in layout.left_out),
        f"rows       {tally.rows}: judged {tally.judged}, training {tally.training}, before the first score "
        f"{tally.learning}, left out {sum(tally.left_out.values())}",
    ]
    lines += [
        f"left out   {count} {reason} (the first is row {tally.first_of[reason]})"
        for reason, count in tally.left_out.most_common()
    ]
    if tally.cells_left_out:
        lines.append(f"left out   {tally.cells_left_out} bad values of rows that were judged without them")
    if blank:
        lines.append(f"left out   {blank} blank lines, which are no rows")
    if tally.left_out[FAULTS[rows.OUT_OF_ORDER]] * 2 > tally.rows:
        lines.append("           most rows are older than one before them: sort the file by time")
    lines.append(f"abnormal   {tally.abnormal} rows, {machine.events.count} events")
    lines += events(machine)
    rate = tally.readings / max(seconds, 1e-9)
    lines.append(f"speed      {tally.readings} readings in {seconds:.1f} s, {rate:,.0f} a second")
    return lines


def events(machine: Machine) -> list[str]:
    """The highest events, and how many more there were."""
    found = machine.events.highest()
    lines = [
        f"  {event.began} to {event.last}  rows {event.row} to {event.ends}  peak {event.peak:.3f}  {event.kind}  "
        f"{event.lead}"
        for event in found
    ]
    if more := machine.events.count - len(found):
        lines.append(f"  and {more} more with lower peaks")
    return lines
