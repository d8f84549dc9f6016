"""Three times what the service can do, for 20 seconds: what is refused is refused well, what is accepted is done.

1. Capacity: more than is judged meanwhile is sent for some seconds, and then nothing more until all is judged;
   capacity = accepted readings by the seconds from the first request to the last stage.
2. Overload: the same requests at three times that rate, open loop, with ``INTAKE_MAX_BACKLOG_*`` low enough to be
   reached, and beside them a client of another site that sends readings of critical machines twice a second.
3. Afterwards: what was accepted, and nothing else, is stored, every stage of it done once.

The generator shares the processors with the service, so capacity is what is left for it. No time is a verdict.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from agents.channels.sink import SmtpSink
from tests.bench import results
from tests.bench.results import row
from tests.chaos import load
from tests.chaos.client import token
from tests.chaos.load import Answer, Load
from tests.chaos.service import SITES, Service, children, until

ACCEPTED = HTTPStatus.ACCEPTED
REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
READINGS = 500
LEASE = 15
FACTOR = 3
FLOODED, CALM = SITES
LOW = tuple(f"low{number}" for number in range(16))
CRITICAL = tuple(f"critical{number}" for number in range(4))
CRITICAL_READINGS = 20
CRITICAL_RATE = 2.0
WARM_UP = 5.0
PRESSURE = 40.0
DRAIN = 300.0
BACKLOG_SECONDS = 10
"""What the age and the size of the backlog may be: small, so that 20 s of overload reach it."""
CONCERNS = "UPDATE sensors_equipment SET criticality = 'LOW' WHERE tag LIKE 'low%'"
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen. ``memory``: MiB of each process before and after, by what it is."""

    offered: float
    flood: Sequence[Answer]
    critical: Sequence[Answer]
    before: dict[str, float]
    after: dict[str, float]
    accepted: int
    stored: int
    stages_twice: int
    drained: float


def overload(folder: Path, *, seconds: float) -> tuple[float, Found]:
    """The capacity, in readings a second, and what came of three times that."""
    with SmtpSink(port=0) as sink:
        mail = {"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0"}
        service = Service(folder / "home", lease_seconds=LEASE, environment=mail)
        try:
            passwords = set_up(service)
            service.start()
            capacity, sent = measure_capacity(service, passwords[FLOODED], seconds=seconds / 2)
            service.kill()
            limits = {
                "INTAKE_MAX_BACKLOG_SECONDS": str(BACKLOG_SECONDS),
                "INTAKE_MAX_BACKLOG_READINGS": str(int(capacity * BACKLOG_SECONDS)),
            }
            service.start(limits)
            return capacity, flood(service, passwords, rate=FACTOR * capacity / READINGS, sent=sent, seconds=seconds)
        finally:
            service.stop()


def set_up(service: Service) -> dict[str, str]:
    """The tables, machines of low and of high concern in both sites; a password by site."""
    service.prepare()
    passwords = service.set_up(machines=(*LOW, *CRITICAL), high=load.HIGH)
    service.execute(CONCERNS)
    return passwords


def measure_capacity(service: Service, password: str, *, seconds: float) -> tuple[float, list[Answer]]:
    """Readings a second through all five stages while more wait than can be judged; and what was sent for it."""
    body = partial(load.readings, sensors=LOW, size=READINGS)
    pressure = Load(service.url, token(service.url, FLOODED, password), rate=PRESSURE, body=body, threads=8)
    began = time.monotonic()
    pressure.begin()
    time.sleep(seconds)
    answers = pressure.end()
    until(lambda: is_quiet(service), limit=DRAIN)
    return sum(answer.readings for answer in answers) / (time.monotonic() - began), answers


def flood(
    service: Service, passwords: Mapping[str, str], *, rate: float, sent: Sequence[Answer], seconds: float
) -> Found:
    """The flood from one site, and critical readings from another, which begin some seconds earlier."""
    low = partial(load.readings, sensors=LOW, size=READINGS, first=len(sent))
    critical = partial(load.readings, sensors=CRITICAL, size=CRITICAL_READINGS)
    flooding = Load(service.url, token(service.url, FLOODED, passwords[FLOODED]), rate=rate, body=low, threads=32)
    caring = Load(service.url, token(service.url, CALM, passwords[CALM]), rate=CRITICAL_RATE, body=critical, threads=4)
    caring.begin()
    time.sleep(WARM_UP)
    before, began = memory(service), time.monotonic()
    flooding.begin()
    time.sleep(seconds)
    after = memory(service)
    flooded, calm = flooding.end(), caring.end()
    drained = until(lambda: is_quiet(service), limit=DRAIN)
    return Found(
        offered=len(flooded) * READINGS / seconds, flood=flooded,
        critical=[answer for answer in calm if answer.due >= began], before=before, after=after,
        accepted=sum(answer.readings for answer in [*sent, *flooded, *calm]),
        stored=service.number(load.STORED), stages_twice=service.number(load.STAGES_TWICE), drained=drained,
    )  # fmt: skip


def is_quiet(service: Service) -> bool:
    return not any(service.number(query) for query in load.ON_THE_WAY)


def memory(service: Service) -> dict[str, float]:
    """MiB that each kind of process holds, its pool included: web, workers, sweep."""
    return {
        kind: sum(resident(pid) for leader in service.processes(word) for pid in (leader, *children(leader)))
        for kind, word in {"web": "granian", "workers": " worker ", "sweep": " sweep"}.items()
    }


def resident(pid: int) -> float:
    """Its resident memory in MiB; none where it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB / 1024
    except FileNotFoundError:
        return 0.0


def rows(capacity: float, found: Found) -> list[dict[str, Any]]:
    refused = [answer for answer in found.flood if answer.status in REFUSALS]
    broken = [answer for answer in (*found.flood, *found.critical) if answer.status not in (*REFUSALS, ACCEPTED)]
    silent = [answer for answer in (*found.flood, *found.critical) if answer.status in REFUSALS
              and not answer.retry_after.isdigit()]  # fmt: skip
    turned_away = len(found.critical) - len(load.accepted(found.critical))
    beyond = found.stored - found.accepted
    return [
        row("capacity", capacity, "readings/s", detail="judged, all five stages, beside the generator"),
        row("offered", found.offered, "readings/s", goal=f"{FACTOR} x", baseline=capacity),
        row("flood: requests", len(found.flood), "requests", detail=str(load.summary(found.flood))),
        row("flood: refused", len(refused) / len(found.flood) * 100, "%"),
        row("refusals without Retry-After", len(silent), "requests", goal=0, ok=not silent, detail=waits(refused)),
        row("neither taken nor refused", len(broken), "requests", goal=0, ok=not broken,
            detail=str(load.summary(broken))),
        row("flood: answered p95", load.percentile(found.flood, of=95), "ms"),
        row("critical: requests", len(found.critical), "requests", detail=str(load.summary(found.critical))),
        row("critical: refused", turned_away, "requests", goal=0, ok=turned_away == 0),
        row("critical: accept p95", load.percentile(found.critical, of=95), "ms"),
        *(row(f"memory: {kind}", found.after[kind], "MiB", baseline=found.before[kind]) for kind in found.after),
        row("accepted", found.accepted, "readings", detail="of capacity and overload together"),
        row("lost", max(0, -beyond), "readings", goal=0, ok=beyond >= 0),
        row("doubled", max(0, beyond) + found.stages_twice, "readings, stages", goal=0,
            ok=beyond <= 0 and found.stages_twice == 0),
        row("all judged after", found.drained, "s"),
    ]  # fmt: skip


def waits(refused: Sequence[Answer]) -> str:
    seconds = sorted({int(answer.retry_after) for answer in refused if answer.retry_after.isdigit()})
    return f"Retry-After from {seconds[0]} to {seconds[-1]} s" if seconds else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="How long three times the capacity is offered.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bellwether-overload-") as folder:
        found = rows(*overload(Path(folder), seconds=options.seconds))
    results.show(found)
    results.keep("overload", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
