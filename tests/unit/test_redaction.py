"""Secrets do not get into lines, whatever they stand in."""

from __future__ import annotations

import json
import logging
import sys

import pytest
import structlog

from config import logging as lines
from config.redaction import MARK, Redactor, secrets_of
from deploy.server_lines import Lines

SECRET = "correct-horse-battery-9"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "said",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f"Api-Key {SECRET}",
        f"cookie: __Host-session={SECRET}; other=1",
        f"postgresql://bellwether:{SECRET}@db:5432/bellwether",
        f"redis://:{SECRET}@redis/0",
        f"https://{SECRET}@sentry.example/7",
        f"https://example.com/hook?plant=1&token={SECRET}&x=2",
        f"GET /api/v1/x?X-Amz-Signature={SECRET}",
        f"connection failed: host=db password={SECRET} user=x",
        f'{{"client_secret": "{SECRET}"}}',
        f"api_key='{SECRET}'",
        f"POST /act/shelve/{SECRET}",
        f"a key bw_0123456789ab_{SECRET}",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(said: str) -> None:
    told = Redactor().text(said)
    assert SECRET not in told
    assert MARK in told


def test_tokens_and_secret_keys_are_known_by_their_form() -> None:
    assert Redactor().text(f"got {TOKEN}!") == f"got {MARK}!"
    assert Redactor().text("AGE-SECRET-KEY-1QQQQ") == MARK


@pytest.mark.parametrize(
    "said",
    [
        "agents.pipeline.stage-done",
        "agents.Run 7: token 5 is no longer the newest",
        "the key came before with another body",
        "https://example.com/hook?plant=1&page=2",
        "alarm-transition/3/channel/4",
        "See https://bellwether.example/api/v1/batches/7/",
    ],
)
def test_other_words_stay(said: str) -> None:
    assert Redactor([SECRET]).text(said) == said


def test_fields_are_judged_by_their_names_however_deep() -> None:
    told = Redactor().value({"password": 7, "a": {"api_key": SECRET, "n": 3, "list": [f"Bearer {SECRET}", None]}})
    assert told == {"password": 7, "a": {"api_key": MARK, "n": 3, "list": [f"Bearer {MARK}", None]}}


def test_secrets_of_this_installation_are_known_by_value() -> None:
    given = {
        "SECRET_KEY": "a1b2c3d4e5", "DATABASE_URL": "postgresql://me:p%40ssw0rd!@db/x", "LOG_LEVEL": "WARNING-LEVEL",
        "SIMPLE_JWT": {"SIGNING_KEY": "nested-one"}, "JWT_PREVIOUS_KEYS": "first-old-key, second-old-key",
    }  # fmt: skip
    redactor = Redactor(secrets_of(given))
    for secret in ("a1b2c3d4e5", "p%40ssw0rd!", "p@ssw0rd!", "nested-one", "first-old-key", "second-old-key"):
        assert redactor.text(f"before {secret} after") == f"before {MARK} after"
    assert redactor.text("WARNING-LEVEL") == "WARNING-LEVEL"


def test_a_line_is_json_of_one_line_with_its_exception_and_without_secrets() -> None:
    written = lines.formatter(json=True)
    try:
        raise ValueError(f"could not log in\nwith password={SECRET}")
    except ValueError:
        ours = {"event": "agents.x", "note": "first\nsecond", "exc_info": sys.exc_info(), "auth_token": SECRET}
        record = logging.LogRecord("agents.x", logging.ERROR, "", 0, ours, (), None)
        record._logger, record._name = structlog.get_logger(), "error"  # type: ignore[attr-defined]
        foreign = logging.LogRecord("library", logging.ERROR, "", 0, "Bearer %s", (SECRET,), sys.exc_info())
    for one in (record, foreign):
        line = written.format(one)
        assert "\n" not in line
        assert SECRET not in line
        assert "could not log in" in json.loads(line)["exception"]
    assert json.loads(written.format(foreign))["event"] == f"Bearer {MARK}"
    odd = logging.LogRecord("library", logging.ERROR, "", 0, "one\u2028two\x85three", (), None)
    assert len(written.format(odd).splitlines()) == 1
    assert json.loads(written.format(odd))["event"] == "one\u2028two\x85three"


def test_granian_writes_as_the_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("_granian", logging.WARNING, "", 0, "a worker\ndied", (), None)
    monkeypatch.delenv("BELLWETHER_PRODUCTION", raising=False)
    monkeypatch.setenv("LOG_JSON", "0")
    assert Lines().format(record) == "[WARNING] a worker\ndied"
    monkeypatch.setenv("LOG_JSON", "1")
    assert json.loads(Lines().format(record))["event"] == "a worker\ndied"
