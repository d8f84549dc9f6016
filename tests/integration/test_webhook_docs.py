"""The receiver in ``docs/webhooks.md`` takes what Bellwether sends, and refuses everything else."""

from __future__ import annotations

import re
import runpy
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from agents.channels.exchange import Exchange
from agents.channels.webhook import headers, signature
from tests import outgoing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
BODY = b'{"id":"1","source":"here","subject":"alarm/7","type":"bellwether.alarm.opened"}'


@pytest.fixture
def example(tmp_path: Path) -> dict[str, Any]:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    (tmp_path / "receiver.py").write_text(source, encoding="utf-8")
    return runpy.run_path(str(tmp_path / "receiver.py"))


@pytest.fixture
def address(example: dict[str, Any], settings: Settings) -> Iterator[str]:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL
    with ThreadingHTTPServer(("127.0.0.1", 0), example["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_the_receiver_agrees_to_our_origin_alone(example: dict[str, Any], address: str) -> None:
    for origin, agreed in ((example["ORIGIN"], example["ORIGIN"]), ("other.example.com", None)):
        answer = Exchange().ask("OPTIONS", address, headers={"WebHook-Request-Origin": origin})
        assert answer.headers.get("WebHook-Allowed-Origin") == agreed


def test_the_receiver_takes_an_event_once(
    example: dict[str, Any], address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        sent = headers([example["SECRET"]], BODY)
        assert Exchange().ask("POST", address, headers=sent, body=BODY).status == 204
    assert capsys.readouterr().out == "bellwether.alarm.opened alarm/7\n"


def test_the_receiver_refuses_what_is_forged_or_old(example: dict[str, Any], address: str) -> None:
    secret, now = example["SECRET"], str(int(time.time()))
    genuine = signature("other", secret, timestamp=now, body=BODY)
    assert example["is_genuine"](genuine, BODY)
    old = signature(secret, timestamp=str(int(now) - 600), body=BODY)
    for header in ("", "v1=", "t=1", old, signature("other", timestamp=now, body=BODY), genuine.replace("t=", "t=1")):
        answer = Exchange().ask("POST", address, headers={"Bellwether-Signature": header}, body=BODY)
        assert answer.status == 401
    assert not example["is_genuine"](genuine, BODY + b" ")
