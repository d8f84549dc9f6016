"""One machine that runs the whole service: what ``manage.py up`` and ``manage.py demo`` start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from django.conf import settings
from django.core.management import call_command

from config import embedded, supervisor
from config.supervisor import Supervisor

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


START_SECONDS = 120


class NoServer(RuntimeError):
    """A server of this node did not start."""


class PortTaken(RuntimeError):
    """Something listens on a port that is needed."""


def prepare(
    *,
    port: int,
    flower_port: int,
    mlflow_port: int = 0,
    live_port: int = 0,
    metrics_port: int = 0,
    concurrency: int = 1,
    extra: Mapping[str, str] | None = None,
) -> Supervisor:
    """Migrate, and describe the children (not started yet); no MLflow server, no live streams and no figures of the
    workers where their port is 0. Raises ``PortTaken``."""
    measured = range(metrics_port, metrics_port + len(supervisor.MEASURED)) if metrics_port else ()
    for number in (port, flower_port, mlflow_port, live_port, *measured):
        if number and not is_free(number):
            raise PortTaken(f"Port {number} is in use: stop what listens there, or choose another one.")
    call_command("migrate", verbosity=0)
    subprocess.run([sys.executable, "-m", "agents"], cwd=settings.BASE_DIR, check=True)
    children = supervisor.service(
        port=port,
        flower_port=flower_port,
        mlflow_port=mlflow_port,
        metrics_port=metrics_port,
        backup=bool(settings.BACKUP_TO),
        live_port=live_port,
        beat_file=home() / "beat",
        concurrency=concurrency,
    )
    told = {"MLFLOW_PORT": str(mlflow_port)} | dict(extra or {})
    if live_port and not settings.LIVE_URL:
        told["LIVE_URL"] = f"http://127.0.0.1:{live_port}"
    return Supervisor(
        children,
        folder=settings.BASE_DIR,
        environment=environment() | told,
        json=settings.LOG_JSON,
        tend=embedded.ensure_needed,
    )


@contextmanager
def tracking() -> Iterator[None]:
    """The node's MLflow server for as long as the block lasts, where it is to run one and none does. Raises
    ``NoServer`` where it does not answer."""
    port = settings.MLFLOW_PORT
    if not port or not is_free(port):
        yield
        return
    with (home() / "mlflow.log").open("a") as log:
        server = Supervisor([supervisor.tracking(port=port)], settings.BASE_DIR, environment(), out=log)
        server.start()
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield
        finally:
            server.stop()


def _wait_for(url: str) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with suppress(requests.RequestException):
            if requests.get(url, timeout=2).ok:
                return
        time.sleep(0.2)
    raise NoServer(f"{url} does not answer after {START_SECONDS} s; {home() / 'mlflow.log'} may say why.")


def home() -> Path:
    """Where this node keeps its own files."""
    path = Path(settings.HOME)
    path.mkdir(parents=True, exist_ok=True)
    return path


def environment() -> dict[str, str]:
    """What the children inherit: the servers found or started here, one thread for each numeric library."""
    return (
        dict(os.environ)
        | {"DATABASE_URL": settings.DATABASE_URL, "REDIS_URL": settings.REDIS_URL}
        | ({"DATABASE_WEB_URL": settings.DATABASE_WEB_URL} if settings.DATABASE_WEB_URL else {})
        | {"FLOWER_BASIC_AUTH": f"{settings.FLOWER_USER}:{settings.FLOWER_PASSWORD}", "REMAP_SIGTERM": "SIGQUIT"}
        | dict.fromkeys(THREADS, "1")
        | {"PYTHONUNBUFFERED": "1"}
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int) -> int:
    """The preferred port if one is named and nothing listens there, else any free one."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _of_workers(first: int) -> str:
    return f", and of the workers at ports {first} to {first + len(supervisor.MEASURED) - 1}" if first else ""


def where_to_look(*, port: int, flower_port: int, mlflow_port: int = 0, metrics_port: int = 0) -> list[str]:
    name, password = settings.MLFLOW_TRACKING_USERNAME, settings.MLFLOW_TRACKING_PASSWORD
    mlflow = [f"MLflow      http://127.0.0.1:{mlflow_port}/ as {name}, password {password}"] if mlflow_port else []
    return [
        f"Admin       http://127.0.0.1:{port}/admin/",
        f"REST API    http://127.0.0.1:{port}/api/v1/docs/",
        f"Metrics     http://127.0.0.1:{port}/metrics{_of_workers(metrics_port)}",
        f"Flower      http://127.0.0.1:{flower_port}/ as {settings.FLOWER_USER}, password {settings.FLOWER_PASSWORD}",
        *mlflow,
    ]
