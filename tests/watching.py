"""A Prometheus and an Alertmanager of a test's own, configured as the product's are, but for addresses and times; and a
program that shows figures which no machine can be brought to for a test."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests
import yaml

from config import node
from tests.servers import HttpSink

ROOT = Path(__file__).resolve().parents[1]
RULES, CONFIGURED = ROOT / "deploy/prometheus/rules.yml", ROOT / "deploy/prometheus/prometheus.yml"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
PROGRAMS = ("prometheus", "prometheus-alertmanager")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
WHY_NOT = f"no {' and no '.join(MISSING)} on this machine: install prometheus and prometheus-alertmanager"
WINDOW = "15s"
"""Instead of five minutes."""
PATIENCE = 60.0
TOKEN = "the-token-of-the-tests"

http = requests.Session()
http.trust_env = False


def shortened(rules: str) -> str:
    """The rules with times for a test: what lasts minutes lasts a second, counts of minutes are of seconds."""
    return re.sub(r"\[\d+m\]", f"[{WINDOW}]", re.sub(r"^( +for:) \d+m$", r"\1 1s", rules, flags=re.M))


class Figures:
    """A page of figures that are whatever they are told to be."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        figures = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write("".join(f"{name} {value}\n" for name, value in figures.values.items()).encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Watch:
    """Prometheus, an Alertmanager as the product's, one that holds nothing back, and whoever is told by that one.

    ``told``: when each alert first came, by name and by the address it is about, in seconds since 1970.
    """

    def __init__(self, folder: Path, *, web: str, workers: Sequence[str]) -> None:
        self.folder, self.web, self.workers = folder, web, list(workers)
        self.figures, self.sink = Figures(), HttpSink()
        self.port, self.plain, self.real = (node.free_port(0) for _ in range(3))
        self.url = f"http://127.0.0.1:{self.port}"
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        self._stack.callback(self.figures.close)
        self._stack.enter_context(self.sink)
        (self.folder / "rules.yml").write_text(shortened(RULES.read_text(encoding="utf-8")), encoding="utf-8")
        (self.folder / "token").write_text(TOKEN)
        self._write("prometheus.yml", self._prometheus())
        for name, port, quiet in (("plain", self.plain, False), ("real", self.real, True)):
            self._write(f"{name}.yml", self._alertmanager(quiet=quiet))
            self._start(
                "prometheus-alertmanager", f"--config.file={self.folder / name}.yml",
                f"--storage.path={self.folder / name}", f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=", "--log.level=error",
            )  # fmt: skip
        self._start(
            "prometheus", f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=2s", "--log.level=error",
        )  # fmt: skip
        until(lambda: _answers(f"{self.url}/-/ready"), what="Prometheus")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._stack.callback(process.wait, 20)
        self._stack.callback(process.terminate)

    def _prometheus(self) -> dict[str, Any]:
        told: dict[str, Any] = yaml.safe_load(CONFIGURED.read_text(encoding="utf-8"))
        told["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
        told["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
            f"127.0.0.1:{port}" for port in (self.plain, self.real)
        ]
        where = {"bellwether": [self.web], "workers": self.workers, "alerting": [f"127.0.0.1:{self.port}"]}
        for job in told["scrape_configs"]:
            job["static_configs"] = [{"targets": where[job["job_name"]]}]
            if "authorization" in job:
                job["authorization"]["credentials_file"] = str(self.folder / "token")
        told["scrape_configs"].append({"job_name": "made", "static_configs": [{"targets": [self.figures.address]}]})
        return told

    def _alertmanager(self, *, quiet: bool) -> dict[str, Any]:
        told: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
        hook = {"url": self.sink.url, "send_resolved": False}
        told["receivers"] = [
            {"name": one["name"]} if quiet else {"name": one["name"], "webhook_configs": [hook]}
            for one in told["receivers"]
        ]
        del told["global"]
        if not quiet:
            del told["inhibit_rules"]
        for route in (told["route"], *told["route"]["routes"]):
            route |= {"group_wait": "0s", "group_interval": "1s"}
        return told

    def sent(self) -> list[dict[str, Any]]:
        """All that the receiver was told, as Alertmanager says it."""
        return [alert for request in list(self.sink.received) for alert in json.loads(request.body)["alerts"]]

    def told(self) -> dict[str, dict[str, Any]]:
        """Alerts that came, the first of each name."""
        found: dict[str, dict[str, Any]] = {}
        for alert in self.sent():
            found.setdefault(alert["labels"]["alertname"], alert)
        return found

    def missing(
        self, names: Iterable[str], *, meanwhile: Callable[[], object] | None = None, limit: float = PATIENCE
    ) -> list[str]:
        """Wait until the receiver was told of all of them; those that did not come in time. ``meanwhile``: done again
        and again, for what is counted."""
        ends = time.monotonic() + limit
        while (missing := sorted(set(names) - set(self.told()))) and time.monotonic() < ends:
            if meanwhile is not None:
                meanwhile()
            time.sleep(0.1)
        return missing

    def silenced(self) -> set[str]:
        """Alerts that the product's own Alertmanager holds back, since they follow from another."""
        found = http.get(f"http://127.0.0.1:{self.real}/api/v2/alerts", timeout=10).json()
        return {alert["labels"]["alertname"] for alert in found if alert["status"]["inhibitedBy"]}

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus says to a query. Raises ``ValueError`` where it is none."""
        answer = http.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


def shows(found: list[dict[str, Any]]) -> bool:
    """Whether there is a value among them that is a number."""
    return any(not math.isnan(float(one["value"][1])) for one in found)


def _answers(url: str) -> bool:
    try:
        return http.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def until(condition: Callable[[], object], *, what: str, limit: float = PATIENCE) -> None:
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends, f"{what}: not within {limit:g} s"
        time.sleep(0.1)
