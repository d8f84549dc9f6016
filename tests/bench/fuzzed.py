"""A server that programs ask, with a plant in its database: web and live streams as ``manage.py up`` starts them,
and what else of the service is wanted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import node, supervisor
from tests.chaos.service import ROOT, Service, until

START_SECONDS = 120.0
UNLIMITED = "1000000/s"
ENVIRONMENT = {
    "REQUEST_CLIENT_RATE": "none", "REQUEST_DEVICE_RATE": "none", "REQUEST_INGEST_RATE": "none",
    "REQUEST_SITE_RATE": "none", "REQUEST_ADDRESS_RATE": "none", "LOGIN_RATE": UNLIMITED, "LINK_RATE": UNLIMITED,
    "INTAKE_MAX_BACKLOG_SECONDS": "1000000",  # nobody works off what is sent
    "ML_ANSWER_SECONDS": "0",  # nor answers questions
    "JWT_ACCESS_MINUTES": "60", "LOG_LEVEL": "ERROR", "WEBHOOK_ALLOWED_NETWORKS": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """``log``: what the server wrote, the traceback of each 500 among it."""

    service: Service
    url: str
    passwords: dict[str, str]
    log: Path


@contextmanager
def running(folder: Path, *, also: tuple[str, ...] = ()) -> Iterator[Fuzzed]:
    """On servers of its own in this folder; ``also``: other processes of the service by name."""
    live = node.free_port(0)
    environment = ENVIRONMENT | {"LIVE_PORT": str(live), "LIVE_URL": f"http://127.0.0.1:{live}"}
    service = Service(folder / "home", lease_seconds=45, environment=environment)
    with ExitStack() as started:
        started.callback(service.stop)
        service.prepare()
        passwords = json.loads(service.run("-m", "tests.bench.fuzz_plant").splitlines()[-1])
        log = started.enter_context(service.log.open("a"))
        for child in supervisor.service(
            port=service.port, flower_port=0, live_port=live, beat_file=folder / "beat", concurrency=1
        ):
            if child.name in ("web", "live", *also):
                environment = service.environment | dict(child.told)
                process = subprocess.Popen(list(child.command), cwd=ROOT, env=environment, stdout=log, stderr=log)
                started.callback(process.wait, 30)
                started.callback(process.terminate)
        until(service.is_ready, limit=START_SECONDS)
        yield Fuzzed(service, service.url, passwords, service.log)
