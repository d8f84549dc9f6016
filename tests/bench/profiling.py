"""Where the time goes while the service is at its limit: by process, by Python function, by statement of Postgres.

py-spy samples the web server and the workers; threads that wait for work are left out. The embedded
Postgres has no ``pg_stat_statements``: what its backends are busy with is looked at many times a second.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from tests.bench import cpu
from tests.bench.results import ROOT
from tests.bench.running import Site, in_a_folder, running

WATCHED = ("web", "worker intake", "worker judge")
RATE = 200
LOOKS_A_SECOND = 100
MOST = 15
WAITING = (
    "_worker (concurrent/futures/thread.py", "EpollSelector.select (", "Arbiter.wait_for_signals (", "_epoll.poll (",
    "_recv (billiard/connection.py", "_read_from_socket (redis/", "wait (threading.py",
)  # fmt: skip
"""Innermost frames of threads that wait for work."""
OURS = ("agents/", "config/", "maintenance/", "mlops/", "sensors/")
BUSY = """
SELECT regexp_replace(left(query, 90), '\\s+', ' ', 'g'), coalesce(wait_event_type || ':' || wait_event, 'running')
FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def spy(site: Site, seconds: float, folder: Path) -> list[tuple[str, subprocess.Popen[bytes], Path]]:
    """py-spy on each watched group of processes; each with the file it will write."""
    binary = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if binary is None:
        say("py-spy is not installed: no functions are shown")
        return []
    begun = []
    for group in site.groups:
        for number, pid in enumerate(sorted(cpu.tree(group.leaders)) if group.name in WATCHED else []):
            out = folder / f"{group.name}-{number}.txt"
            command = [binary, "record", "--format", "raw", "--rate", str(RATE), "--duration", str(round(seconds)),
                       "--output", str(out), "--pid", str(pid)]  # fmt: skip
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            begun.append((group.name, subprocess.Popen(command, **quiet), out))  # type: ignore[call-overload]
    return begun


@contextmanager
def looking(site: Site) -> Iterator[Counter[tuple[str, str]]]:
    """What the backends are seen at, and what they wait for, as often as they were."""
    seen: Counter[tuple[str, str]] = Counter()
    stop = threading.Event()

    def look() -> None:
        connection = psycopg2.connect(host=str(site.service.sockets), user="postgres", dbname="bellwether")
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not stop.wait(1 / LOOKS_A_SECOND):
                cursor.execute(BUSY)
                seen.update(cursor.fetchall())
                seen["looks", ""] += 1
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def samples(path: Path) -> Iterator[tuple[list[str], int]]:
    """Stacks, outermost first, and how often each was seen, from py-spy's raw form."""
    for line in path.read_text().splitlines() if path.exists() else []:
        stack, _, count = line.rpartition(" ")
        yield [short(frame) for frame in stack.split(";")], int(count)


def short(frame: str) -> str:
    """A frame without the folders that are the same everywhere."""
    return re.sub(r"\((?:.*/site-packages/|.*/python3\.\d+/|" + re.escape(str(ROOT)) + r"/)?(.*)\)", r"(\1)", frame)


def function(frame: str) -> str:
    """A frame without its line."""
    return re.sub(r":\d+\)$", ")", frame)


def report(name: str, paths: Sequence[Path]) -> None:
    """Of one group: the functions it is in itself, and those of ours it is below."""
    inside: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for path in paths:
        for stack, count in samples(path):
            if any(waiting in stack[-1] for waiting in WAITING):
                continue
            total += count
            inside[function(stack[-1])] += count
            below.update({function(frame): count for frame in stack if any(f"({ours}" in frame for ours in OURS)})
    say(f"\n{name}: {total} samples, {total / RATE:.1f} s at work or waiting for Postgres")
    for title, counted in (("itself", inside), ("ours, with all below", below)):
        say(f"  {title}")
        for frame, count in counted.most_common(MOST):
            say(f"    {count / max(1, total):6.1%}  {frame}")


def statements(seen: Counter[tuple[str, str]]) -> None:
    looks = seen.pop(("looks", ""), 1)
    say("\nPostgres: backends busy on average, by statement and what it waited for")
    for (query, wait), count in seen.most_common(MOST):
        say(f"    {count / looks:6.3f}  {wait:24} {query}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def profile(site: Site, *, shape: str, seconds: float, connections: int, rate: float) -> None:
    order = site.order(shape, seconds=seconds, connections=connections, rate=rate)
    files: dict[str, list[Path]] = {}
    spies = []

    def begin() -> None:
        time.sleep(seconds * 0.1)
        spies.extend(spy(site, seconds * 0.8, site.folder))

    starting = threading.Thread(target=begin)
    with looking(site) as seen:
        outcome = site.load(order, when_begun=starting.start)
    starting.join()
    for name, process, path in spies:
        process.wait()
        files.setdefault(name, []).append(path)
    say(f"{shape}: {outcome.rate:,.0f} readings/s; {outcome.told()}")
    say("The samplers take time themselves: the rate is lower than without them.")
    for name, paths in files.items():
        report(name, paths)
    statements(seen)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gateway", choices=["gateway", "hundreds", "singles", "plant"])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0, help="Requests/s, open loop; 0 = as fast as answers come.")
    options: Any = parser.parse_args(arguments)
    with in_a_folder() as folder, running(folder) as site:
        profile(site, shape=options.shape, seconds=options.seconds, connections=options.connections, rate=options.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
