"""The MLflow server of a node: who it lets in, what it does not do, where it keeps its book."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests
from mlflow import __file__ as mlflow_file
from mlflow import environment_variables
from pytest_django import Settings

from config import embedded, tracking
from mlops import mlflow_switches
from tests import model_servers
from tests.model_servers import PASSWORD, Server

ROOT = Path(__file__).resolve().parents[2]
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


def ask(server: Server, path: str, *, password: str | None = PASSWORD, host: str | None = None) -> int:
    answer = requests.get(
        f"{server.url}{path}",
        auth=("bellwether", password) if password else None,
        headers={"Host": host} if host else {},
        timeout=20,
    )
    return answer.status_code


def test_only_who_knows_the_password_is_let_in(mlflow_server: Server) -> None:
    assert ask(mlflow_server, SEARCH) == 200
    assert ask(mlflow_server, SEARCH, password=None) == 401
    assert ask(mlflow_server, SEARCH, password="guessed") == 401
    assert ask(mlflow_server, SEARCH, password="pässwörd") == 401
    for path in ("/", "/version", "/get-artifact?run_id=x&path=y", "/health/../api", "/static-files/x", "//health"):
        assert ask(mlflow_server, path, password=None) == 401
    assert ask(mlflow_server, "/health", password=None) == 200


def test_a_name_of_somebody_elses_is_no_way_in(mlflow_server: Server) -> None:
    port = urlsplit(mlflow_server.url).port
    assert ask(mlflow_server, SEARCH, host=f"localhost:{port}") == 200
    assert ask(mlflow_server, SEARCH, host=f"plant.example:{port}") == 403


def test_it_has_no_assistant_no_jobs_no_gateway_and_no_files_to_upload(mlflow_server: Server) -> None:
    for path in (
        "/ajax-api/3.0/mlflow/assistant/config",
        "/ajax-api/3.0/jobs/x",
        "/gateway/x/mlflow/invocations",
        "/api/2.0/mlflow-artifacts/artifacts",
    ):
        assert ask(mlflow_server, path) in (404, 405, 503), path


def test_it_is_one_process_of_a_known_size(mlflow_server: Server) -> None:
    parent = mlflow_server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert len(children) == 1
    [line] = [one for one in Path(f"/proc/{children[0]}/status").read_text().splitlines() if one.startswith("VmRSS")]
    assert int(line.split()[1]) < 400_000


def test_what_it_is_told_not_to_do_is_known_to_this_version() -> None:
    of_later_versions = {"MLFLOW_ALLOW_MODEL_CODE_EXECUTION"}
    known = {name for name in (*mlflow_switches.SAFE, *mlflow_switches.CLIENT) if hasattr(environment_variables, name)}
    assert {*mlflow_switches.SAFE, *mlflow_switches.CLIENT} - known == of_later_versions
    private = {name for name in tracking.environment("x") if name.startswith("_")}
    constants = (Path(mlflow_file).parent / "server" / "constants.py").read_text()
    assert len(private) == 3
    assert [name for name in private if f'_ENV_VAR = "{name}"' not in constants] == []


# Its database


@pytest.fixture
def plain_url() -> Iterator[str]:
    """A database whose owner may make no other."""
    host = embedded._socket_dir()
    with closing(psycopg2.connect(host=str(host), user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE plain LOGIN NOCREATEDB")
            cursor.execute("CREATE DATABASE plain OWNER plain")
            yield f"postgresql://plain@/plain?host={host}"
            cursor.execute("DROP DATABASE plain WITH (FORCE)")
            cursor.execute("DROP ROLE plain")


def schemas(url: str) -> set[str]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename IN ('experiments', 'model_versions')")
        return {schema for (schema,) in cursor.fetchall()}


def test_it_makes_a_database_beside_ours(mlflow_server: Server, settings: Settings) -> None:
    store = tracking.backend_store()
    assert store.startswith("postgresql+psycopg2://")
    assert urlsplit(store).path == f"/{urlsplit(settings.DATABASE_URL).path[1:]}_mlflow"
    assert schemas(store.replace("+psycopg2", "")) == {"public"}
    assert schemas(settings.DATABASE_URL) == set()


def test_where_it_may_not_it_takes_a_schema_of_its_own(plain_url: str, settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_URL = plain_url
    assert tracking.backend_store() == tracking.backend_store()
    with model_servers.mlflow(tmp_path / "log", {"DATABASE_URL": plain_url}) as server:
        assert ask(server, SEARCH) == 200
    assert schemas(plain_url) == {"mlflow"}


def test_a_database_that_is_named_is_taken_as_it_is(settings: Settings) -> None:
    settings.MLFLOW_DATABASE_URL = "postgresql://mlflow:p%40ss@db.example:5432/mlflow?sslmode=require"
    assert tracking.backend_store() == "postgresql+psycopg2://mlflow:p%40ss@db.example:5432/mlflow?sslmode=require"


# Whether it runs


SAID = """
import json, sys
from config import settings
json.dump([settings.MLFLOW_PORT, settings.MLFLOW_TRACKING_URI, bool(settings.MLFLOW_TRACKING_PASSWORD)], sys.stdout)
"""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, '[5050, "http://127.0.0.1:5050", true]'),
        ({"MLFLOW_PORT": "5051"}, '[5051, "http://127.0.0.1:5051", true]'),
        ({"MLFLOW_PORT": "0"}, "[0, null, false]"),
        ({"MLFLOW_TRACKING_URI": "https://mlflow.example"}, '[0, "https://mlflow.example", false]'),
        ({"MLFLOW_TRACKING_URI": "http://m.example:1", "MLFLOW_PORT": "5051"}, '[0, "http://m.example:1", false]'),
    ],
)  # fmt: skip
def test_a_server_that_is_named_is_taken_instead_and_none_runs_at_port_0(told: dict[str, str], expected: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", SAID], cwd=ROOT, env=clean | told, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == expected
