from __future__ import annotations

import csv
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from agents import judge_file, judged_rows
from agents.sketch import Sketch
from sensors import progress
from sensors.columns import SECOND_US
from sensors.tables import layouts, output
from sensors.tables.rows import Table, fewer_collections

PICTURES = (".png", ".svg")
STDOUT = Path("-")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}


class Command(BaseCommand):
    help = (
        "Judge a CSV file with the shipped detectors, without database or server: for each row a score from 0 to 1 "
        "(how rare what is new in it is), a verdict, and its column. A row is judged by the rows before it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("file", type=Path, help="CSV with a header: a time column, and a value column for each sensor.")
        add("--out", type=Path, required=True, metavar="FILE", help="CSV to write; - is stdout.")
        add("--time-column", metavar="NAME", help="Default: found by its name and what it holds.")
        add("--columns", metavar="A,B", help="Value columns. Default: all that hold numbers, but labels.")
        add("--delimiter", metavar="MARK", help="comma, semicolon, tab, pipe, or the mark. Default: found.")
        add("--time-zone", default="UTC", metavar="NAME", help="Of times without an offset, as Europe/Rome (UTC).")
        add("--period", type=float, default=60.0, metavar="SECONDS", help="From a row number to the next (60).")
        add("--train", type=int, default=0, metavar="N", help="The first N rows are good: learned from, not judged.")
        add(
            "--false-alarms-per-week",
            type=float,
            metavar="X",
            help="Of each column, and of all together. Default: the detectors' own.",
        )
        add("--details", action="store_true", help="Also write of each column: score, low and high expected.")
        add("--plot", type=Path, metavar="FILE", help="A picture to write, .png or .svg.")
        add("--quiet", action="store_true", help="Neither progress nor summary.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wanted = _wanted(options)
            _check_places(options)
            with fewer_collections(), Table(options["file"], wanted) as table:
                self._judge(table, options)
        except (layouts.BadFile, output.CannotWrite) as error:
            raise CommandError(str(error)) from error

    def _judge(self, table: Table, options: dict[str, Any]) -> None:
        began = time.perf_counter()
        using = judge_file.default(options["false_alarms_per_week"])
        machine = judge_file.Machine(table.layout.columns, train=options["train"], using=using)
        writer = judged_rows.Writer(machine, details=options["details"])
        tally, sketch = judged_rows.Tally(), Sketch() if options["plot"] else None
        errors = OutputWrapper(cast(TextIO, self.stderr._out))  # not red: it is no error
        live = not options["quiet"] and errors.isatty() and table.size
        bar = progress.Bar(errors, total=table.size, what="bytes") if live else None
        with self._output(options["out"]) as write, bar or nullcontext():
            write(writer.header())
            for chunk in table.chunks():
                judged = machine.judge(chunk)
                write(writer.rows(chunk, judged))
                tally.add(chunk, judged)
                if sketch:
                    sketch.add(chunk, judged)
                if bar:
                    bar.show(table.done)
        seconds = time.perf_counter() - began
        if sketch:
            _draw(sketch, table, options)
        if not options["quiet"]:
            for line in judged_rows.summary(machine, table, tally, seconds=seconds):
                errors.write(line)

    @contextmanager
    def _output(self, path: Path) -> Iterator[Callable[[str], object]]:
        """What takes the text; bytes that were no UTF-8 go out as they came in."""
        buffer = getattr(self.stdout._out, "buffer", None)
        if path != STDOUT:
            with output.replacing(path) as file:
                yield lambda text: file.write(text.encode(errors="surrogateescape"))
        elif buffer is None:
            yield lambda text: self.stdout.write(text, ending="")
        else:
            try:
                yield lambda text: buffer.write(text.encode(errors="surrogateescape"))
                buffer.flush()
            except BrokenPipeError as error:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing at exit fails again
                raise output.CannotWrite("Nobody reads the output any more.") from error
            except OSError as error:
                raise output.CannotWrite(f"The output cannot be written: {error.strerror}.") from error


def _wanted(options: dict[str, Any]) -> layouts.Wanted:
    period, budget = options["period"], options["false_alarms_per_week"]
    if not (math.isfinite(period) and 1e-6 <= period <= 1e9):
        raise CommandError("--period must be more than 0: the seconds from a row to the next.")
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise CommandError("--false-alarms-per-week must be more than 0, as 0.2 or 3.")
    if options["train"] < 0:
        raise CommandError("--train must be 0 or more: a number of rows.")
    mark = options["delimiter"]
    delimiter = None if mark is None else DELIMITERS.get(mark, mark)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise CommandError(f"--delimiter {mark!r} is no single mark: give one of {', '.join(DELIMITERS)}, or the mark.")
    named = next(csv.reader([options["columns"] or ""]), [])
    columns = tuple(name.strip() for name in named if name.strip())
    return layouts.Wanted(
        options["time_column"], columns, delimiter, _zone(options["time_zone"]), round(period * SECOND_US)
    )


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CommandError(f"There is no time zone {name!r}: use a name such as Europe/Rome.") from error


def _check_places(options: dict[str, Any]) -> None:
    """Whether what is to be written can be, before anything is judged."""
    plot: Path | None = options["plot"]
    if options["out"] != STDOUT:
        output.check(options["out"], source=options["file"])
    if plot is None:
        return
    if plot.suffix.lower() not in PICTURES:
        raise CommandError(f"--plot {plot} is of no kind that can be drawn: name it .png or .svg.")
    output.check(plot, source=options["file"])
    if plot.resolve() == options["out"].resolve():
        raise CommandError("--plot and --out name the same file.")


def _draw(sketch: Sketch, table: Table, options: dict[str, Any]) -> None:
    found = sketch.stretches()
    if found is None:
        raise CommandError("There is nothing to draw: no row could be used. The rows and their reasons are written.")
    picture = import_module("agents.picture")  # not above: matplotlib takes a second, also of those who draw nothing
    plot, layout = options["plot"], table.layout
    period = table.wanted.period if layout.kind in (layouts.NUMBERS, layouts.COUNTED) else None
    with output.replacing(plot) as file:
        picture.draw(file, plot.suffix.lower(), layout.columns, found, title=options["file"].name, period=period)
