"""Faults that were written after the doctor's rules, and that no rule was changed for."""

from __future__ import annotations

import decimal
import json
import resource
import smtplib
import socket
import tempfile
import urllib.request

from django_redis import get_redis_connection

from tests.bench.doctor_faults import (
    STATE,
    B,
    D,
    Fault,
    P,
    R,
    S,
    after_a_deployment,
    asks,
    eat_bytes,
    everywhere,
    fetch,
    in_a_trial,
    in_the_lane_only,
    killed,
    one_of_many,
    poison,
    schema,
    statement,
)

ANOMALY = "ALTER TABLE maintenance_anomaly"


def speak_to_nobody() -> None:
    one, other = socket.socketpair()
    other.close()
    one.sendall(b"x" * 10_000)


def redis_is_full() -> None:
    redis = get_redis_connection("default")
    redis.config_set("maxmemory", "1")
    try:
        redis.set("bw:bench", "x")
    finally:
        redis.config_set("maxmemory", "0")


def a_page_of_a_proxy() -> object:
    return json.loads("<html>Bad gateway</html>")


def model_does_not_fit() -> None:
    try:
        eat_bytes()
    except MemoryError as error:
        raise RuntimeError("the model could not be loaded") from error


def write_too_large_a_file() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 10_000)


def burn_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    while True:
        pass


def next_of_none() -> object:
    return next(iter(()))


FAULTS: tuple[Fault, ...] = (
    Fault("urllib is refused", D, everywhere(lambda: urllib.request.urlopen("http://127.0.0.1:9", timeout=1))),
    Fault("a mail server's name does not resolve", D, everywhere(lambda: smtplib.SMTP("mail.invalid", timeout=2))),
    Fault("the other end has hung up", D, everywhere(speak_to_nobody, stage="DETECT")),
    Fault("the model store says 429", D, everywhere(
        asks(b"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n", fetch))),
    Fault("a proxy answers instead", D, everywhere(a_page_of_a_proxy)),
    Fault("Postgres ends connections", D, in_the_lane_only(statement("SELECT pg_terminate_backend(pg_backend_pid())"))),
    Fault("workers are killed at detect", D, in_the_lane_only(killed, stage="DETECT")),
    Fault("a column of alarms is missing", S, schema(
        "ALTER TABLE maintenance_alarm RENAME COLUMN is_active TO was",
        "ALTER TABLE maintenance_alarm RENAME COLUMN was TO is_active")),
    Fault("a schema is missing", S, everywhere(statement("SELECT * FROM reporting.daily"))),
    Fault("a column is too narrow", S, everywhere(statement(
        "CREATE TEMP TABLE narrow (kind varchar(2)) ON COMMIT DROP; INSERT INTO narrow VALUES ('HIGH_VALUE')"))),
    Fault("a check of the database is older than the code", S, schema(
        f"{STATE} ADD CONSTRAINT old CHECK (memory_run_id < 0) NOT VALID", f"{STATE} DROP CONSTRAINT old")),
    Fault("Redis is full", R, everywhere(redis_is_full)),
    Fault("a model does not fit into memory", R, everywhere(model_does_not_fit, stage="DETECT")),
    Fault("a file grows too large", R, everywhere(write_too_large_a_file)),
    Fault("processor time runs out", R, in_a_trial(burn_time)),
    Fault("a payload is not a number", P, one_of_many(lambda: int(float("nan")))),
    Fault("a payload is infinite", P, one_of_many(lambda: int(float("inf")), stage="DETECT")),
    Fault("a payload is no decimal", P, one_of_many(lambda: decimal.Decimal("1,5"))),
    Fault("a payload kills its worker", P, poison("VALIDATE", "kill")),
    Fault("a payload is None where text is wanted", P, one_of_many(lambda: None.strip())),  # type: ignore[attr-defined]
    Fault("a new version runs out of items", B, after_a_deployment(everywhere(next_of_none, stage="DECIDE"))),
    Fault("a new version cannot be serialised", B, after_a_deployment(everywhere(lambda: json.dumps(object())))),
    Fault("SQL divides by zero", B, everywhere(statement("SELECT 1 / 0"))),
    Fault("a foreign key is broken", B, everywhere(statement(
        "INSERT INTO agents_casetransition (case_id, from_status, to_status, actor, reason)"
        " VALUES (-1, '', 'OPEN', 'x', 'x'); SET CONSTRAINTS ALL IMMEDIATE"))),
)  # fmt: skip
