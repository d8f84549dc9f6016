"""What ``manage.py detect`` costs on a long file, beside the time that ``csv`` alone takes: ``make bench-files``.

Processor seconds, not those of the clock, since cores are shared. The detectors' share is what is left of the whole
command once reading, writing and starting are known.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from agents import judge_file, judged_rows
from mlops.detectors import contract
from mlops.detectors.contract import Block, Scores
from mlops.state import Fields, State
from sensors.columns import Bool, SensorTable
from sensors.tables.layouts import Wanted
from sensors.tables.rows import Table, fewer_collections
from tests.bench import results
from tests.bench.results import row

ROWS = 200_000
COLUMNS = (1, 8)
SEED = 1


class Nothing:
    """A detector that costs nothing and finds everything normal."""

    name, version = "nothing", "1"
    kinds: tuple[str, ...] = ("NEVER",)
    fields: Fields = {}
    by_machine = False
    needs: tuple[str, ...] = ()

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        zero = np.zeros(len(block.columns))
        return Scores(zero, zero.astype(np.int8), zero, zero, block.columns.at, zero), state


def make(path: Path, rows: int, columns: int) -> None:
    value = np.random.default_rng(SEED).normal(20.0, 3.0, (rows, columns)).round(4)
    start = datetime(2026, 1, 1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", *(f"sensor {k}" for k in range(columns))])
        writer.writerows([start + timedelta(minutes=n), *cells] for n, cells in enumerate(value.tolist()))


def alone(path: Path) -> None:
    with path.open(newline="") as file:
        for _ in csv.reader(file):
            pass


def arrays(path: Path) -> None:
    with fewer_collections(), Table(path, Wanted()) as table:
        for _ in table.chunks():
            pass


def judge(path: Path, using: Mapping[str, contract.Detector]) -> None:
    with fewer_collections(), Table(path, Wanted()) as table, Path(os.devnull).open("w") as out:
        machine = judge_file.Machine(table.layout.columns, using=using)
        writer, tally = judged_rows.Writer(machine), judged_rows.Tally()
        for chunk in table.chunks():
            judged = machine.judge(chunk)
            out.write(writer.rows(chunk, judged))
            tally.add(chunk, judged)


def seconds(work: Callable[[], object]) -> float:
    """Of the fastest of three."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(3))


@dataclass(frozen=True, slots=True)
class Spent:
    """By a process: processor seconds, and the most memory it had, in MiB."""

    seconds: float
    memory: float


MEASURED = """
import os, pathlib, sys
import manage
manage.main(sys.argv)
peak = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
times = os.times()
print(times.user + times.system, peak.split()[1], file=sys.stderr)
"""


def command(*arguments: str) -> Spent:
    """``manage.py`` with these arguments, in a process of its own that says at its end what it took."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        cwd=results.ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    used, kibibytes = done.stderr.split()
    return Spent(float(used), float(kibibytes) / 1024)


def detect(path: Path) -> Spent:
    return command("detect", str(path), "--out", os.devnull, "--quiet")


def start(folder: Path) -> Iterator[dict[str, Any]]:
    path = folder / "two.csv"
    make(path, 2, 1)
    django, ours = (min(one().seconds for _ in range(3)) for one in (lambda: command("version"), lambda: detect(path)))
    yield row("start: a file of two rows", ours, "s", goal="< 1 s over Django's", ok=ours - django < 1, baseline=django)


def long(folder: Path, rows: int, columns: int) -> Iterator[dict[str, Any]]:
    path, tenth = folder / "long.csv", folder / "tenth.csv"
    make(path, rows, columns)
    make(tenth, rows // 10, columns)
    name, readings = f"{columns} x {rows}", rows * columns
    plain = seconds(lambda: alone(path))
    yield row(f"{name}: csv alone", plain, "s", detail=f"{readings / plain:,.0f} readings/s")
    for what, work in (
        ("read into arrays", lambda: arrays(path)),
        ("all but the detectors", lambda: judge(path, {"nothing": Nothing()})),
    ):
        took = seconds(work)
        yield row(f"{name}: {what}", took, "s", baseline=plain, detail=f"{readings / took:,.0f} readings/s")
    few, many = detect(tenth), detect(path)
    rate = f"{readings / many.seconds:,.0f} readings/s"
    yield row(f"{name}: the command", many.seconds, "s", baseline=plain, detail=rate)
    yield row(f"{name}: memory", many.memory, "MiB", goal="as with a tenth", ok=many.memory < few.memory * 1.1 + 5,
              baseline=few.memory)  # fmt: skip


def bench(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        yield from start(Path(folder))
        for columns in COLUMNS:
            yield from long(Path(folder), rows, columns)


def main() -> int:
    found = []
    for one in bench():
        results.show([one])
        found.append(one)
    results.keep("files", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
