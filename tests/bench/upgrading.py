"""From an earlier commit to the code at hand: a database that the older code made and filled is migrated, and compared.

python -m tests.bench.upgrading --from COMMIT

The older code is taken out of git into a folder, makes its tables, a site, and readings with a fault in them that go
through all stages. Then the code at hand migrates, and must find each row of every table that was there, read the same
readings, and take more. Needs the repository, not only its files; the packages are those at hand.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from config import embedded
from tests.bench import results
from tests.bench.results import row

START = datetime(2026, 3, 1, tzinfo=UTC)
READINGS = 5_000
CHANGES = {"django_migrations", "django_content_type", "auth_permission", "django_session", "agents_jobrun"}
"""Tables that are not the plant's."""


class Failed(Exception):
    """A step of either code ended with an error; says which, and what it said."""


@dataclass(frozen=True, slots=True)
class Trial:
    """``code``: a folder with a ``manage.py`` in it."""

    home: Path

    @property
    def environment(self) -> Mapping[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        own.pop("DJANGO_SETTINGS_MODULE", None)
        return own | {"BELLWETHER_HOME": str(self.home), "MLFLOW_PORT": "0", "LIVE_PORT": "0", "OMP_NUM_THREADS": "1"}

    def manage(self, code: Path, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=code, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"{' '.join(words)} of {code.name}: {(done.stdout + done.stderr).strip()[-2_000:]}")
        return done.stdout

    @contextmanager
    def servers(self) -> Iterator[None]:
        hold = "import sys; from config import embedded; embedded.ensure(); print('up', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", hold], cwd=results.ROOT, env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:  # fmt: skip
            assert holder.stdout is not None and holder.stdin is not None
            holder.stdout.readline()
            try:
                yield
            finally:
                holder.stdin.close()

    def counts(self) -> dict[str, int]:
        """Rows of each table of the plant."""
        host = str(self.home / "run")
        with (
            closing(psycopg2.connect(host=host, user="postgres", dbname=embedded.DATABASE)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
                " AND NOT relispartition"
            )
            found = {}
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT count(*) FROM "{table}"')
                found[table] = cursor.fetchone()[0]
            cursor.execute("SELECT count(*) FROM sensors_reading")
            found["sensors_reading"] = cursor.fetchone()[0]
        return {table: count for table, count in found.items() if table not in CHANGES}


def older(commit: str, folder: Path) -> Path:
    """The tree of a commit, as it was."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=results.ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        raise Failed(packed.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def table(path: Path, *, first: int) -> Path:
    """A steady value with a stretch far beyond it."""
    lines = [
        f"{(START + timedelta(minutes=n)).isoformat()},{90 if n % 2000 > 1900 else 40 + n % 7}\n"
        for n in range(first, first + READINGS)
    ]
    path.write_text("time,flow\n" + "".join(lines), encoding="utf-8")
    return path


def carry_out(commit: str, folder: Path) -> list[dict[str, Any]]:
    trial, before_it = Trial(folder / "home"), older(commit, folder / "older")
    trial.home.mkdir()
    ours = results.ROOT
    replay = ("--site", "plant", "--machine", "P-1")
    with trial.servers():
        trial.manage(before_it, "setup", "--site", "plant")
        trial.manage(before_it, "replay", str(table(folder / "first.csv", first=0)), *replay)
        before = trial.counts()
        wanted = trial.manage(ours, "showmigrations", "--plan").count("[ ]")
        began = time.monotonic()
        trial.manage(ours, "migrate", "--verbosity", "0")
        took = time.monotonic() - began
        after = trial.counts()
        trial.manage(ours, "migrate", "--check")
        trial.manage(ours, "check")
        trial.manage(ours, "replay", str(folder / "first.csv"), *replay)
        again = trial.counts()["sensors_reading"]
        trial.manage(ours, "replay", str(table(folder / "second.csv", first=READINGS)), *replay)
        more = trial.counts()["sensors_reading"]
    gone = {name: (count, after.get(name, 0)) for name, count in before.items() if after.get(name, 0) < count}
    told = f"from {commit}; {sum(before.values()):,} rows in {len(before)} tables, then {len(after)}"
    return [
        row("migrations that waited", wanted, "", detail=told),
        row("migrating", took, "s"),
        row("tables that lost rows", len(gone), "", goal="0", ok=not gone, detail=str(gone or "")),
        row("readings before", before["sensors_reading"], "", goal=READINGS, ok=before["sensors_reading"] == READINGS),
        row("readings after", after["sensors_reading"], "", goal=READINGS, ok=after["sensors_reading"] == READINGS),
        row("readings after the same were sent again", again, "", goal=READINGS, ok=again == READINGS),
        row("readings after more were sent", more, "", goal=2 * READINGS, ok=more == 2 * READINGS),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="commit", required=True, metavar="COMMIT", help="What ran before.")
    given = parser.parse_args()
    if not re.fullmatch(r"[\w./~^-]+", given.commit):
        parser.error(f"{given.commit!r} is no commit")
    with tempfile.TemporaryDirectory(prefix="bw-up-") as folder:
        try:
            rows = carry_out(given.commit, Path(folder))
        except Failed as error:
            sys.stderr.write(f"{error}\n")
            return 1
    results.show(rows)
    results.keep("upgrading", rows)
    return 0 if all(one["ok"] is not False for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
