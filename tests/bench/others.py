"""Ours beside time series databases that take the same readings by line protocol over HTTP, and only store them.

InfluxDB (1.x) and VictoriaMetrics as Debian packages them (``influxdb``, ``victoria-metrics``), each started on a free
port in a folder of its own, at its best: 10,000 lines a request, over one and over two connections, the better counts.
What each says that it holds is compared with what was sent. Where one is not installed, its row says so.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import node
from tests.bench import results
from tests.bench.results import row
from tests.bench.running import found_by, in_a_folder, midnight, order_for, running, sending
from tests.chaos.service import session, until
from tests.load import bodies

MACHINES = 100
CONNECTIONS = (1, 2)
START_SECONDS = 30.0
SETTLE_SECONDS = 120.0
STEADY_SECONDS = 6.0
BLOCK = 512
"""Bytes of a block as stat counts them."""
INFLUX = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
cache-max-memory-size = "4g"
cache-snapshot-write-cold-duration = "2s"
compact-full-write-cold-duration = "4s"
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


@dataclass(frozen=True, slots=True)
class Other:
    """Another database. ``goal``: the part of its rate that ours is to reach."""

    name: str
    binary: str
    goal: float
    write: str
    command: Callable[[str, Path, int], list[str]]
    begin: Callable[[str], None]
    count: Callable[[str, int], int]


def influx_command(binary: str, folder: Path, port: int) -> list[str]:
    config = folder / "influxdb.conf"
    config.write_text(INFLUX.format(folder=folder, port=port, rpc=node.free_port(0)))
    return [binary, "-config", str(config)]


def influx_begin(url: str) -> None:
    session().post(f"{url}/query", params={"q": "CREATE DATABASE bench"}, timeout=30).raise_for_status()


def influx_count(url: str, until_second: int) -> int:
    answer = session().get(f"{url}/query", params={"db": "bench", "q": "SELECT count(value) FROM reading"}, timeout=300)
    found = answer.json()["results"][0].get("series")
    return int(found[0]["values"][0][1]) if found else 0


def victoria_command(binary: str, folder: Path, port: int) -> list[str]:
    options = [f"-storageDataPath={folder / 'data'}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=1y"]
    return [binary, *options, "-loggerLevel=ERROR"]


def victoria_begin(url: str) -> None:
    session().get(f"{url}/health", timeout=30).raise_for_status()


def victoria_count(url: str, until_second: int) -> int:
    session().get(f"{url}/internal/force_flush", timeout=300).raise_for_status()
    query = {"query": "sum(count_over_time(reading_value[10d]))", "time": str(until_second), "nocache": "1"}
    answer = session().get(f"{url}/api/v1/query", params=query, timeout=300)
    found = answer.json()["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


OTHERS = (
    Other("InfluxDB", "influxd", 0.6, "/write?db=bench", influx_command, influx_begin, influx_count),
    Other("VictoriaMetrics", "victoria-metrics", 0.2, "/write", victoria_command, victoria_begin, victoria_count),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Points a second of each run over each number of connections, and bytes a point on disk."""

    rates: dict[int, list[float]]
    bytes_each: float

    @property
    def best(self) -> float:
        return max(statistics.median(rates) for rates in self.rates.values())


def measure(other: Other, binary: str, folder: Path, *, seconds: float, times: int) -> Measured:
    """Raises ``TimeoutError`` where it does not hold what it was sent."""
    port, step, sent = node.free_port(0), 0, 0
    url = f"http://127.0.0.1:{port}"
    rates: dict[int, list[float]] = {connections: [] for connections in CONNECTIONS}
    with server(other.command(binary, folder, port), folder / "log"):
        until(lambda: answers(url), limit=START_SECONDS)
        other.begin(url)
        for connections in [each for _ in range(times) for each in CONNECTIONS]:
            order = order_for(
                "lines", machines=MACHINES, begins=midnight(), step=step, folder=folder, host="127.0.0.1", port=port,
                seconds=seconds, connections=connections, path=other.write, form="lines", accepted=10_000,
            )  # fmt: skip
            with sending(order, folder) as sender:
                sender.wait_until_ready()
                sender.begin()
                said = sender.result()
            assert not said.problems, said.problems[:3]
            found = found_by(order)
            sent += int(found["accepted"].sum())
            rates[connections].append(int(found["accepted"].sum()) / said.seconds)
            step = int(found["step"].max()) + bodies.shape("lines", machines=MACHINES).instants
        until(lambda: other.count(url, midnight() + step) == sent, limit=START_SECONDS)
        settle(folder)
        return Measured(rates, size(folder) / sent)


@contextmanager
def server(command: Sequence[str], log: Path) -> Iterator[None]:
    """A server of the bench's own, ended with it."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return session().get(f"{url}/ping", timeout=5).ok or session().get(f"{url}/health", timeout=5).ok
    except OSError:
        return False


def size(folder: Path) -> int:
    """Bytes on disk below the folder, the journals included; what a file only reserves is not there."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * BLOCK if path.is_file() and path.suffix not in (".npz", ".json") else 0
        except FileNotFoundError:
            continue  # merged away meanwhile
    return total


def settle(folder: Path) -> None:
    """Wait until it has merged what it wants to: its size is the same for some seconds."""
    last, since = size(folder), time.monotonic()
    ends = since + SETTLE_SECONDS
    while time.monotonic() < ends and time.monotonic() - since < STEADY_SECONDS:
        time.sleep(0.5)
        if (now := size(folder)) != last:
            last, since = now, time.monotonic()


def rows(other: Other, found: Measured, ours: float) -> list[dict[str, Any]]:
    ratio = ours / found.best
    detail = "; ".join(
        f"{connections} connections {min(rates):,.0f} to {max(rates):,.0f}"
        for connections, rates in found.rates.items()
    )
    return [
        row(f"{other.name}, storing only", found.best, "points/s", detail=detail),
        row(f"{other.name}, on disk", found.bytes_each, "bytes/point"),
        row(f"ours, of {other.name}", ratio, "x", goal=f">= {other.goal}", ok=ratio >= other.goal),
    ]


def bench(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    measured = {}
    for other in OTHERS:
        binary = shutil.which(other.binary)
        if binary is not None:
            place = folder / other.binary
            place.mkdir()
            measured[other] = measure(other, binary, place, seconds=options.seconds, times=options.times)
            shutil.rmtree(place)
    with running(folder) as site:
        sent = {"seconds": options.seconds, "connections": options.connections}
        rates = [site.load(site.order("gateway", **sent)).rate for _ in range(options.times)]
    ours = statistics.median(rates)
    made = [row("ours, stored and judged", ours, "readings/s", detail=f"{min(rates):,.0f} to {max(rates):,.0f}")]
    for other in OTHERS:
        if other in measured:
            made += rows(other, measured[other], ours)
        else:
            made.append(row(f"{other.name}", 0, "points/s", detail=f"{other.binary} is not installed: not measured"))
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="How long each run sends.")
    parser.add_argument("--times", type=int, default=3, help="How many runs of each.")
    parser.add_argument("--connections", type=int, default=4, help="Of the load on ours.")
    options = parser.parse_args(arguments)
    with in_a_folder() as folder:
        found = bench(folder, options)
    results.show(found)
    results.keep("others", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
