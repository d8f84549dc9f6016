"""What the MLflow server of this node is told: its database, its place for files, and what it must not do."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import psycopg2
from django.conf import settings
from psycopg2 import errors, sql

from mlops import mlflow_switches

SCHEMA = "mlflow"


def environment(store: str) -> dict[str, str]:
    """For the server's process, before it imports MLflow, with the URL of its ``backend_store``.

    The names that begin with _ are those by which MLflow's own command tells its server the same.
    """
    told = mlflow_switches.SAFE | {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": settings.ML_ARTIFACTS,
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts()),
        # The server shows people the files of a run.
        "MLFLOW_S3_ENDPOINT_URL": settings.S3_ENDPOINT_URL,
        "AWS_DEFAULT_REGION": settings.S3_REGION,
        "AWS_ACCESS_KEY_ID": settings.S3_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": settings.S3_SECRET_KEY,
    }
    return {name: value for name, value in told.items() if value}


def hosts() -> list[str]:
    """Host headers that are let through: a page of somewhere else must not reach the server by a name of its own."""
    asked = urlsplit(str(settings.MLFLOW_TRACKING_URI))
    return list(dict.fromkeys([asked.netloc, f"127.0.0.1:{asked.port}", f"localhost:{asked.port}"]))


def backend_store() -> str:
    """The URL of MLflow's database as SQLAlchemy writes it: MLFLOW_DATABASE_URL, else one beside ours, made if missing.

    Where our role may not make a database, a schema of its own in ours serves.
    """
    url = settings.MLFLOW_DATABASE_URL or _beside(settings.DATABASE_URL)
    parts = urlsplit(url)
    # SQLAlchemy's own default is another driver, which is not installed.
    driver = "postgresql+psycopg2" if parts.scheme in ("postgres", "postgresql") else parts.scheme
    return parts._replace(scheme=driver).geturl()


def _beside(url: str) -> str:
    parts = urlsplit(url)
    name = f"{unquote(parts.path.lstrip('/'))}_{SCHEMA}"
    database = parts._replace(path=f"/{quote(name, safe='')}").geturl()
    options = dict(parse_qsl(parts.query))
    options["options"] = f"{options.get('options', '')} -csearch_path={SCHEMA}".strip()
    schema = parts._replace(query=urlencode(options, quote_via=quote)).geturl()
    with closing(psycopg2.connect(url, connect_timeout=3)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone():
            return database
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [SCHEMA])
        if cursor.fetchone():
            return schema
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
            return schema
    return database
