"""Where the processors' time goes: seconds of each group of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.service import Service, children, command_of

TICKS = os.sysconf("SC_CLK_TCK")
WEB = ("gunicorn", "granian")


@dataclass(frozen=True, slots=True)
class Group:
    """Processes that belong together, by the ids of those on top."""

    name: str
    leaders: tuple[int, ...]


def groups(service: Service) -> list[Group]:
    """Those of a running service, its servers included."""
    assert service.process is not None
    found: dict[str, list[int]] = {"postgres": [service.postgres_pid()], "redis": [service.redis_pid()]}
    for pid in children(service.process.pid):
        found.setdefault(name_of(command_of(pid)), []).append(pid)
    return [Group(name, tuple(pids)) for name, pids in found.items()]


def name_of(command: str) -> str:
    """What a process of the service is, by its command."""
    words = command.split()
    if any(server in command for server in WEB):
        return "web"
    if "worker" in words:
        return "worker " + next((word.split("@")[0] for word in words if "@" in word), "")
    return next((word for word in ("beat", "sweep", "flower") if word in words), "other")


def tree(leaders: Iterable[int]) -> list[int]:
    """The processes, and all below them."""
    found, waiting = [], list(leaders)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for thread in _threads(pid):
            waiting += _children(pid, thread)
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names only
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children(pid: int, thread: str) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def seconds(group: Group) -> float:
    """All that the group has used, children that have ended included: their time counts as their parent's."""
    return sum(_seconds(pid) for pid in tree(group.leaders))


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def memory(group: Group) -> list[float]:
    """The most resident MiB that each process had so far, the largest first."""
    return sorted((_resident(pid) for pid in tree(group.leaders)), reverse=True)


def _resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def machine() -> float:
    """Seconds that the processors this process may use were busy, whoever it was for."""
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in mine:
            user, nice, system, _, _, irq, softirq, *_ = (int(field) for field in fields)
            total += user + nice + system + irq + softirq
    return total / TICKS


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds used so far, by group."""

    used: Mapping[str, float]
    machine: float


def read(watched: Iterable[Group]) -> Reading:
    return Reading({group.name: seconds(group) for group in watched}, machine())


def split(before: Reading, after: Reading, *, load: float) -> dict[str, float]:
    """Seconds by group between two readings; ``load``: those of the generator; ``others``: of the machine's rest."""
    spent = {name: after.used[name] - before.used.get(name, 0.0) for name in after.used} | {"load": load}
    return spent | {"others": max(0.0, after.machine - before.machine - sum(spent.values()))}


def told(spent: Mapping[str, float], *, elapsed: float, readings: int) -> str:
    """In words: each group's share of one processor, and its microseconds for a reading, and those of all.

    The rate that these would allow if nothing ever waited says what a machine that others use as well cannot show.
    """
    each = {name: used / max(1, readings) for name, used in spent.items()}
    parts = [
        f"{name} {used / elapsed:.0%}" + ("" if name == "others" else f" ({each[name] * 1e6:.2f} us)")
        for name, used in sorted(spent.items(), key=lambda item: -item[1])
    ]
    ours = sum(used for name, used in each.items() if name != "others")
    most = len(os.sched_getaffinity(0)) / max(ours, 1e-9)
    return f"{', '.join(parts)} of one processor; {ours * 1e6:.2f} us each, which allows {most:,.0f}/s"
