"""The figures of a process that forks workers, for Prometheus: each child counts in a file of its own, and the parent
answers with their sum, and with the memory they all use.

What a child that is no more has counted is kept: its file is folded into one for all of them, so that there are never
more files than processes.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from django.conf import settings
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = structlog.get_logger(__name__)

GONE = "0"
"""Stands for a process id in the names of the files that hold what ended processes have counted."""
MEMORY, MEMORY_LIMIT = "pdm_service_memory_bytes", "pdm_service_memory_limit_bytes"
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container is told what it may use."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Answer = Iterable[bytes]
Start = Callable[..., Any]


class Silent(WSGIRequestHandler):
    """Says nothing about each request."""

    def log_message(self, format: str, *args: Any) -> None:
        return None


class Memory:
    """What this process and those it forked hold in memory, and what they may, in bytes."""

    def collect(self) -> Iterator[Metric]:
        used = sum(resident(pid) for pid in (os.getpid(), *children(os.getpid())))
        yield GaugeMetricFamily(MEMORY, "Resident memory of a service's processes together.", value=float(used))
        text = "What they may use together: the container's limit, or the machine's memory."
        yield GaugeMetricFamily(MEMORY_LIMIT, text, value=float(allowed()))


def allowed(limits: Iterable[Path] = LIMITS) -> int:
    """Bytes of memory that this process and those beside it in its container may use."""
    machine = PAGE_BYTES * os.sysconf("SC_PHYS_PAGES")
    told = [path.read_text().strip() for path in limits if path.exists()]
    return min([machine, *(int(word) for word in told if word.isdigit())])


class Counts:
    """The sum of what all processes of the service have counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._folding = threading.Lock()
        self._sum: Any = MultiProcessCollector(None, path=str(folder))

    def collect(self) -> Iterator[Metric]:
        with self._folding:
            fold(self.folder)
            yield from self._sum.collect()


def children(pid: int) -> list[int]:
    """The processes that a process has forked, and theirs. None where the system does not tell (not Linux)."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            own = [int(word) for word in task.read_text().split()]
        except FileNotFoundError:  # ended since
            continue
        found += [*own, *(grandchild for child in own for grandchild in children(child))]
    return found


def resident(pid: int) -> int:
    """Bytes in memory; 0 of a process that is no more."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def fold(folder: Path) -> None:
    """Add what ended processes have counted to one file for each sort of figure, and remove theirs."""
    for path in sorted(folder.glob("*.db")):
        sort, _, pid = path.stem.rpartition("_")
        if pid == GONE or sort.startswith("gauge") or _lives(int(pid)):
            continue
        kept = MmapedDict(str(folder / f"{sort}_{GONE}.db"))
        try:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                kept.write_value(key, kept.read_value(key)[0] + value, 0.0)
        finally:
            kept.close()
        path.unlink()


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def serve(*, host: str, port: int, folder: Path) -> WSGIServer:
    """Answer Prometheus from a thread of this process: at any path, for who has the token where one is set."""
    registry = CollectorRegistry()
    registry.register(Counts(folder))
    registry.register(Memory())
    server = make_server(host, port, guarded(make_wsgi_app(registry)), ThreadingWSGIServer, handler_class=Silent)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("agents.exposition.serving", host=host, port=port)
    return server


def guarded(page: Callable[[dict[str, Any], Start], Answer]) -> Callable[[dict[str, Any], Start], Answer]:
    """The page for whoever sends the token, if there is one; else whoever reaches the port may read."""

    def answer(environ: dict[str, Any], start: Start) -> Answer:
        token = settings.METRICS_TOKEN
        given = environ.get("HTTP_AUTHORIZATION", "")
        if token and not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
            return [b"Metrics need the header Authorization: Bearer METRICS_TOKEN.\n"]
        return page(environ, start)

    return answer


def serve_if_asked() -> WSGIServer | None:
    """As ``METRICS_PORT`` and ``METRICS_HOST`` say; nothing where there is no port."""
    port, folder = settings.METRICS_PORT, os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not port or folder is None:
        return None
    return serve(host=settings.METRICS_HOST, port=port, folder=Path(folder))
