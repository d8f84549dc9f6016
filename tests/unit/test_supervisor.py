from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.celery import QUEUES, STAGE_QUEUES
from config.supervisor import Child, Supervisor, service


def until(condition: Callable[[], bool], *, limit: float = 20) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def supervise(tmp_path: Path, *commands: str) -> tuple[Supervisor, io.StringIO]:
    out = io.StringIO()
    children = [Child(f"c{n}", [sys.executable, "-c", code]) for n, code in enumerate(commands)]
    return Supervisor(children, folder=tmp_path, environment=os.environ, out=out), out


def test_lines_come_out_behind_the_name_of_the_child(tmp_path: Path) -> None:
    supervisor, out = supervise(tmp_path, "print('hello')", "print('there')")
    supervisor.start()
    until(lambda: "c0 | hello" in out.getvalue() and "c1 | there" in out.getvalue())
    supervisor.stop()


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    supervisor, out = supervise(tmp_path, "import os; open('starts', 'a').write('x')")
    supervisor.start()

    def started_twice() -> bool:
        supervisor.check()
        return (tmp_path / "starts").exists() and len((tmp_path / "starts").read_text()) >= 2

    until(started_twice)
    supervisor.stop()
    assert "ended with 0; again in" in out.getvalue()


def test_what_the_children_stand_on_is_tended_and_a_failure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, out = supervise(tmp_path)
    monkeypatch.setattr("config.supervisor.TEND_SECONDS", 0.0)
    tended = threading.Event()

    def tend() -> None:
        tended.set()
        raise OSError("no room")

    supervisor.tend = tend
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    until(lambda: "servers | OSError: no room" in out.getvalue())
    supervisor.stopping.set()
    watching.join()
    assert tended.is_set()


def test_stop_ends_every_child_and_starts_none_again(tmp_path: Path) -> None:
    supervisor, _ = supervise(tmp_path, "import time; time.sleep(600)", "import time; time.sleep(600)")
    supervisor.start()
    supervisor.stop()
    supervisor.check()
    assert all(child.process is None or child.process.poll() is not None for child in supervisor.children)


def queues_by_worker(children: list[Child]) -> dict[str, set[str]]:
    return {c.name: set(c.command[c.command.index("-Q") + 1].split(",")) for c in children if "-Q" in c.command}


def test_every_queue_has_a_worker_and_the_one_that_waits_for_targets_serves_no_stage(tmp_path: Path) -> None:
    served = queues_by_worker(service(port=0, flower_port=0, beat_file=tmp_path / "beat", concurrency=1))
    assert set().union(*served.values()) == set(QUEUES)
    [sends] = [queues for queues in served.values() if "deliver" in queues]
    assert sends.isdisjoint(STAGE_QUEUES)


def test_the_mlflow_server_is_one_of_the_processes_where_it_has_a_port(tmp_path: Path) -> None:
    ports = {"port": 0, "flower_port": 0, "beat_file": tmp_path / "beat", "concurrency": 1}
    without, with_it = service(**ports), service(**ports, mlflow_port=5050)
    assert [child.name for child in with_it] == [*(child.name for child in without), "mlflow"]
    assert with_it[-1].command[with_it[-1].command.index("--host") + 1] == "127.0.0.1"


def test_lines_of_json_have_the_name_of_their_process_as_a_field(tmp_path: Path) -> None:
    supervisor, out = supervise(tmp_path, """print('{"event":"a.b"}'); print('in a library: password=letmein99')""")
    supervisor.json = True
    supervisor.start()
    until(lambda: out.getvalue().count("\n") >= 2)
    supervisor.stop()
    first, second = (json.loads(line) for line in out.getvalue().splitlines()[:2])
    assert first == {"process": "c0", "event": "a.b"}
    assert (second["process"], second["event"]) == ("c0", "in a library: password=[redacted]")
