"""Lose the database and bring it back, for real: ``make drill``.

A service of its own (embedded Postgres and Redis in a new folder) takes readings through the whole flow. Backups are
kept by ``manage.py backup --keep``, as in production. While a client goes on writing, it is stopped for a moment and
the contents of every table are summed up: the instant to come back to. It writes on; then Postgres, client and keeper
are killed and the data folder is deleted. What is in the place of the backups is all that is left.

It is brought back twice by ``manage.py restore``: to the instant (every table must have the same sums), and as late as
there is anything: what the client was told is stored, and is not there, is what was lost.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from pyrage import x25519

from config import embedded
from config.recovery import server
from tests.bench import results
from tests.bench.drill_writer import BATCH
from tests.bench.results import row

NOT_COMPARED = {"agents_backup"}
"""Written by the keeper itself, which is not stopped."""
RTO_SECONDS, RPO_SECONDS = 1_800, 86_400
AIM_RTO_SECONDS, AIM_RPO_SECONDS = 60, 10
LONGEST_SECONDS = 900.0
SHIP_SECONDS = 2

Sums = dict[str, tuple[int, str]]


class Failed(RuntimeError):
    """The drill could not be carried out."""


@dataclass(slots=True)
class Service:
    """A home of its own, and what runs on it."""

    home: Path
    place: Path
    secret: x25519.Identity

    @property
    def environment(self) -> Mapping[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        return own | {
            "BELLWETHER_HOME": str(self.home),
            "BACKUP_TO": str(self.place),
            "BACKUP_RECIPIENT": str(self.secret.to_public()),
            "BACKUP_SHIP_SECONDS": str(SHIP_SECONDS),
            "MLFLOW_PORT": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *arguments: str) -> str:
        """A command of the product, to its end. Raises ``Failed``."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=results.ROOT, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"{' '.join(arguments)}: {done.stderr.strip()[-2_000:]}")
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.home / "drill.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=results.ROOT, env=self.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @contextmanager
    def servers(self) -> Iterator[None]:
        """Postgres and Redis of this home, for as long as the block lasts or until they are killed."""
        holder = self.start("-c", "from config import embedded; embedded.ensure(); import time; time.sleep(3600)")
        until(lambda: (self.home / "run" / ".s.PGSQL.5432").exists(), "Postgres did not start")
        try:
            yield
        finally:
            holder.terminate()
            holder.wait()

    def connect(self) -> Any:
        return closing(psycopg2.connect(host=str(self.home / "run"), user="postgres", dbname=embedded.DATABASE))


def until(holds: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + LONGEST_SECONDS
    while not holds():
        if time.monotonic() > ends:
            raise Failed(f"{otherwise} within {LONGEST_SECONDS:g} s.")
        time.sleep(0.1)


def sums(connection: Any) -> Sums:
    """Of every table: how many rows, and a sum over their contents that does not depend on their order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition ORDER BY relname"
        )
        found: Sums = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0)::text"
                f' FROM "{table}" AS t'
            )
            found[table] = cursor.fetchone()
    return {table: facts for table, facts in found.items() if table not in NOT_COMPARED}


def accepted(book: Path) -> tuple[datetime, int]:
    """When the last batch was accepted, and how many readings were by then."""
    at, _, readings = book.read_text().splitlines()[-1].split()
    return datetime.fromisoformat(at), int(readings)


def stop(process: subprocess.Popen[bytes], number: int) -> None:
    os.killpg(process.pid, number)
    process.wait()


def carry_out(service: Service, *, batches: int, seconds: float) -> list[dict[str, Any]]:
    """The whole drill; the rows of its table."""
    book, key = service.home / "book", service.home.parent / "key"
    key.write_text(str(service.secret))
    with service.servers():
        service.run("manage.py", "migrate", "--verbosity", "0")
        say(f"{batches * BATCH:,} readings through the whole flow ...")
        service.run("-m", "tests.bench.drill_writer", str(book), "--batches", str(batches))
        began = time.monotonic()
        keeper = service.start("manage.py", "backup", "--keep")
        until(lambda: any(service.place.rglob("manifest.json")), "No backup was made")
        took = time.monotonic() - began
        say("a client goes on writing ...")
        first = service.start("-m", "tests.bench.drill_writer", str(book), "--first", str(batches))
        until(lambda: accepted(book)[1] > batches * BATCH, "The client wrote nothing")
        time.sleep(seconds)
        stop(first, signal.SIGTERM)
        with service.connect() as connection:
            before = sums(connection)
            connection.rollback()
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                instant = cursor.fetchone()[0]
        _, readings = accepted(book)
        second = service.start("-m", "tests.bench.drill_writer", str(book), "--first", str(readings // BATCH))
        until(lambda: accepted(book)[1] > readings, "The client wrote nothing more")
        time.sleep(seconds)
        say("Postgres, client and keeper are killed, the data is deleted ...")
        pid = int((service.home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        for process in (second, keeper):
            stop(process, signal.SIGKILL)
        # Until it is buried, its socket's lock stands for one that runs, and no other may take its place.
        until(lambda: not Path(f"/proc/{pid}").exists(), "Postgres did not die")
        lost_at = time.monotonic()
        shutil.rmtree(service.home / "postgres")
        shutil.rmtree(service.home / "spool")
    return [
        row("backup, whole", took, "s", detail=f"{size(service.place) / 1e6:.1f} MB in the place"),
        *to_the_instant(service, key, instant, before, lost_at),
        *as_late_as_can_be(service, key, book),
    ]


def to_the_instant(
    service: Service, key: Path, instant: datetime, before: Sums, lost_at: float
) -> list[dict[str, Any]]:
    folder = service.home.parent / "instant"
    service.run("manage.py", "restore", str(folder), f"--key={key}", f"--at={instant.isoformat()}")
    with served(folder / "postgres") as connection:
        rto = time.monotonic() - lost_at
        after = sums(connection)
    different = sorted(table for table in before.keys() | after.keys() if before.get(table) != after.get(table))
    rows = sum(count for count, _ in before.values())
    return [
        row("tables that are not as they were", len(different), "tables", goal=0, ok=not different,
            detail=", ".join(different) or f"{len(before)} tables, {rows:,} rows, compared by contents"),
        row("RTO: from the loss to a server that answers", rto, "s", goal=f"< {RTO_SECONDS} s", ok=rto < RTO_SECONDS,
            detail=f"aim {AIM_RTO_SECONDS} s: {'reached' if rto < AIM_RTO_SECONDS else 'not reached'}"),
    ]  # fmt: skip


def as_late_as_can_be(service: Service, key: Path, book: Path) -> list[dict[str, Any]]:
    folder = service.home.parent / "latest"
    service.run("manage.py", "restore", str(folder), f"--key={key}")
    with served(folder / "postgres") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(accepted), 0) FROM sensors_batch")
        there = int(cursor.fetchone()[0])
    at, readings = accepted(book)
    kept = [line.split() for line in book.read_text().splitlines() if int(line.split()[2]) <= there]
    rpo = (at - datetime.fromisoformat(kept[-1][0])).total_seconds() if kept else float("inf")
    return [
        row("RPO: the newest that was kept, before the newest", rpo, "s", goal=f"< {RPO_SECONDS} s",
            ok=rpo < RPO_SECONDS, detail=f"aim {AIM_RPO_SECONDS} s: {'reached' if rpo < AIM_RPO_SECONDS else 'not'}"),
        row("readings that were accepted and are lost", readings - there, "readings", detail=f"of {readings:,}"),
    ]  # fmt: skip


@contextmanager
def served(data: Path) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="bw-drill-") as sockets:
        nothing = Path(sockets) / "nothing"
        nothing.mkdir()
        with (
            server.running(data, Path(sockets), seconds=LONGEST_SECONDS, reads=nothing),
            closing(psycopg2.connect(host=sockets, user="postgres", dbname=embedded.DATABASE)) as connection,
        ):
            yield connection


def size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def say(text: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=2_000_000, help="Stored before the backup.")
    parser.add_argument("--seconds", type=float, default=20, help="How long the client writes before each strike.")
    parser.add_argument("--smoke", action="store_true", help="Whether it works: few readings, few seconds.")
    asked = parser.parse_args()
    batches, seconds = (20, 3.0) if asked.smoke else (asked.readings // BATCH, asked.seconds)
    with tempfile.TemporaryDirectory(prefix="bw-drill-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        Path(folder).chmod(0o755)
        service = Service(home, Path(folder) / "place", x25519.Identity.generate())
        rows = carry_out(service, batches=batches, seconds=seconds)
    results.show(rows)
    results.keep("drill-smoke" if asked.smoke else "drill", rows)
    return int(any(found["ok"] is False for found in rows))


if __name__ == "__main__":
    sys.exit(main())
