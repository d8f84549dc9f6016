"""Memory of each process and connections to Postgres while a load runs, looked at every few seconds."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg2
from scipy import stats

from tests.bench.cpu import Group, tree
from tests.bench.running import Site

EVERY = 2.0
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
ENOUGH = 8
"""Looks without which no slope is told."""


@dataclass(slots=True)
class Seen:
    """``together``: MiB of each group of processes, what they share counted once; ``alone``: MiB of its own of each
    process; both with the second of each look. ``connections``: at each look, the watcher's own left out."""

    together: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    alone: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    connections: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slope:
    """MiB a minute, with the limits of its 95 % interval."""

    middle: float
    low: float
    high: float


def slope(looks: Sequence[tuple[float, float]]) -> Slope | None:
    """The median of the slopes between all pairs (Theil and Sen); None for too few looks."""
    if len(looks) < ENOUGH:
        return None
    at, size = np.array(looks).T
    middle, _, low, high = stats.theilslopes(size, at / 60, 0.95)
    return Slope(float(middle), float(low), float(high))


@contextmanager
def watching(site: Site, *, every: float = EVERY) -> Iterator[Seen]:
    seen, stop = Seen(), threading.Event()

    def look() -> None:
        with closing(psycopg2.connect(host=str(site.service.sockets), user="postgres", dbname="bellwether")) as link:
            link.autocommit = True
            with link.cursor() as cursor:
                while not stop.wait(every):
                    cursor.execute(CONNECTIONS)
                    seen.connections.append(cursor.fetchone()[0])
                    for group in site.groups:
                        note(seen, group)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def note(seen: Seen, group: Group) -> None:
    """Add a group's processes of this moment."""
    now, whole = time.monotonic(), 0.0
    for pid in tree(group.leaders):
        together, alone = memory(pid)
        whole += together
        seen.alone[group.name, pid].append((now, alone))
    seen.together[group.name].append((now, whole))


def memory(pid: int) -> tuple[float, float]:
    """MiB of a process: its share of everything, and what it has of its own; zeros where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0, 0.0
    sizes = {name: int(size.split()[0]) / 1024 for name, _, size in (line.partition(":") for line in lines[1:])}
    return sizes.get("Pss", 0.0), sizes.get("Anonymous", 0.0)
