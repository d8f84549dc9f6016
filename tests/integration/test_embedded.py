"""The embedded servers, in a home of their own and in processes of their own, as commands use them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOLD = "from config import embedded; embedded.ensure(); print('up', flush=True); input()"
PING = """
import psycopg2, redis
from config import embedded
embedded.ensure()
connection = psycopg2.connect(embedded.database_url())
with connection.cursor() as cursor:
    cursor.execute("SELECT current_database()")
    print(cursor.fetchone()[0], redis.Redis.from_url(embedded.redis_url()).ping())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded") / "a home"
    yield folder
    run("from config import embedded; embedded.stop()", folder)


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"BELLWETHER_HOME": str(home)}


def run(code: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(home), check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def hold(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=environment(home), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)


def crash(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=60)


def runs(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


def until(condition: Callable[[], bool], *, limit: float = 30) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_starts_both_servers_and_stops_them_when_it_ends(home: Path) -> None:
    assert run(PING, home) == "bellwether True"
    assert not runs(home)


def test_a_command_beside_another_finds_its_servers_and_leaves_them_running(home: Path) -> None:
    first = hold(home)
    assert run(PING, home) == "bellwether True"
    assert runs(home)
    let_go(first)
    assert not runs(home)


def test_the_last_of_several_stops_the_servers(home: Path) -> None:
    first, second = hold(home), hold(home)
    let_go(first)
    assert runs(home)
    let_go(second)
    assert not runs(home)


def test_what_a_crash_left_running_is_found_again_and_stopped_by_down(home: Path) -> None:
    crashed = hold(home)
    crash(crashed)
    assert runs(home)
    assert run(PING, home) == "bellwether True"
    crashed = hold(home)
    crash(crashed)
    done = subprocess.run(
        [sys.executable, "manage.py", "down"],
        cwd=ROOT,
        env=environment(home),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "Stopped: redis, postgres."
    until(lambda: not runs(home))


def test_secrets_are_made_once_and_readable_by_their_owner_only(home: Path) -> None:
    code = "from config import embedded; print(embedded.keep_secret('A'))"
    assert run(code, home) == run(code, home)
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600


def test_nothing_listens_on_a_network_port(home: Path) -> None:
    first = hold(home)
    pid = (home / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    listening = {
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert not inodes & listening
    let_go(first)
