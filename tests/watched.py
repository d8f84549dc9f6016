"""Processes of the product, started as ``manage.py up`` starts them, one by one, each with figures of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import requests

from config import node, supervisor
from config.supervisor import Child, Supervisor
from tests.watching import ROOT, TOKEN, http, until

FLOWER_USER, FLOWER_PASSWORD = "operator", "a-password-of-the-tests"


class Product:
    """``names``: of the processes of ``config.supervisor.service`` that are to run."""

    def __init__(self, folder: Path, *, names: Sequence[str], environment: Mapping[str, str]) -> None:
        self.port, self.flower_port = node.free_port(0), node.free_port(0)
        self.url = f"http://127.0.0.1:{self.port}"
        self.web, self.out = f"127.0.0.1:{self.port}", StringIO()
        children = supervisor.service(
            port=self.port, flower_port=self.flower_port, beat_file=folder / "beat", concurrency=1, metrics_port=1
        )
        self.children = [child for child in children if child.name in names]
        for child in self.children:
            if child.metrics_port:
                child.metrics_port = node.free_port(0)
        self.supervisor = Supervisor(
            self.children, folder=ROOT, environment=os.environ | self._told() | dict(environment), out=self.out
        )

    def _told(self) -> dict[str, str]:
        return {
            "METRICS_TOKEN": TOKEN, "MLFLOW_PORT": "0", "LIVE_PORT": "0", "REMAP_SIGTERM": "SIGQUIT",
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{FLOWER_PASSWORD}", "PYTHONUNBUFFERED": "1",
            "FLOWER_USER": FLOWER_USER, "FLOWER_PASSWORD": FLOWER_PASSWORD,
        }  # fmt: skip

    @property
    def counting(self) -> dict[str, str]:
        """Addresses of the figures of workers and sweep, by name."""
        return {child.name: f"127.0.0.1:{child.metrics_port}" for child in self.children if child.metrics_port}

    def start(self) -> None:
        self.supervisor.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        until(lambda: self._well(f"{self.url}/health/ready"), what=f"web: {self.out.getvalue()[-2000:]}", limit=120)
        for name, address in self.counting.items():
            until(lambda at=address: self._well(f"http://{at}/metrics"), what=name, limit=120)  # type: ignore[misc]

    def _well(self, url: str) -> bool:
        try:
            return http.get(url, timeout=5, headers={"Authorization": f"Bearer {TOKEN}"}).ok
        except requests.RequestException:
            return False

    def child(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def signal(self, number: int, *names: str) -> None:
        """To whole groups of processes: STOP freezes, CONT wakes, KILL ends."""
        for name in names:
            process = self.child(name).process
            if process is not None and process.poll() is None:
                os.killpg(process.pid, number)

    def kill(self, *names: str) -> None:
        self.signal(signal.SIGKILL, *names)
        for name in names:
            process = self.child(name).process
            assert process is not None
            process.wait(20)

    def send(self, key: str, readings: list[dict[str, Any]]) -> int:
        """Send readings; the status of the answer, 0 where there was none."""
        try:
            return http.post(
                f"{self.url}/api/v1/data/ingest", json=readings, headers={"Authorization": key}, timeout=30
            ).status_code
        except requests.RequestException:
            return 0

    def get(self, key: str, path: str) -> int:
        return http.get(f"{self.url}{path}", headers={"Authorization": key}, timeout=30).status_code

    def stop(self) -> None:
        self.signal(signal.SIGCONT, *(child.name for child in self.children))
        self.supervisor.stop()
