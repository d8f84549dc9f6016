"""The servers that trained models are recorded and kept by, as processes: MLflow, and moto for S3."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from config import node, supervisor

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90
PASSWORD = "of-the-tests"


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def mlflow(log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """The server as ``manage.py up`` runs it, on a free port."""
    port = node.free_port(0)
    command = supervisor.tracking(port=port).command
    told = {"MLFLOW_PORT": str(port), "MLFLOW_TRACKING_PASSWORD": PASSWORD, **(environment or {})}
    with _running(command, url=f"http://127.0.0.1:{port}", ready="/health", log=log, environment=told) as server:
        yield server


@contextmanager
def s3(log: Path, *, port: int = 0) -> Iterator[Server]:
    """A store that speaks like S3, in memory. It takes whatever keys it is given."""
    port = port or node.free_port(0)
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, url=f"http://127.0.0.1:{port}", ready="/moto-api/", log=log, environment={}) as server:
        yield server


@contextmanager
def _running(
    command: Sequence[str], *, url: str, ready: str, log: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ) | environment, stdout=out, stderr=out)
    server = Server(url, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{url}{ready}"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == requests.codes.ok
    except requests.RequestException:
        return False
