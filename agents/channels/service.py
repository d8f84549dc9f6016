"""Slack, Teams, SMS gateways, Telegram, ntfy and the rest, by an address of the library apprise.

The address holds the secrets, so it is the channel's secret and never its target. The library runs in a process of its
own (``agents.courier``), where each connection is judged as a webhook's is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from django.conf import settings

from agents.channels import exchange, rendering
from agents.channels.contract import Message, Permanent, Transient
from maintenance import messages

LIMIT_SECONDS = 15.0  # within the workers' soft time limit
GONE = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
"""The token was revoked, or there is nobody at that address: a person has to look at it."""
PASSED_ON = ("PATH", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LANG")
"""Of the environment; no proxies, no secrets of ours, no folder with a person's own files."""
SHORTEST_SECRET = 4
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Service:
    limit_seconds: float = LIMIT_SECONDS

    def send(self, message: Message) -> str:
        if not message.secret:
            raise Permanent("the channel has no address of a service", gone=True)
        said = rendering.render(message)
        return _judge(self._ask(message.secret, title=said.subject, body=said.text), url=message.secret)

    def _ask(self, url: str, *, title: str, body: str) -> Mapping[str, Any]:
        job = {"url": url, "title": title, "body": body, "networks": settings.WEBHOOK_ALLOWED_NETWORKS}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "agents.courier"],
                input=json.dumps(job), capture_output=True, text=True, timeout=self.limit_seconds,
                cwd=settings.BASE_DIR, env=_environment(), check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Transient(f"no answer within {self.limit_seconds:g} s") from error
        if done.returncode != 0:
            raise Transient(f"the courier ended with {done.returncode}: {scrub(done.stderr[-SHOWN:], url=url)}")
        outcome: Mapping[str, Any] = json.loads(done.stdout)
        return outcome


def _environment() -> dict[str, str]:
    return {"HOME": os.devnull, **{name: os.environ[name] for name in PASSED_ON if name in os.environ}}


def _judge(outcome: Mapping[str, Any], *, url: str) -> str:
    """What the other side calls the message; raises ``Permanent`` and ``Transient``."""
    status = outcome["status"]
    if outcome["sent"]:
        return f"{status or 'handed over'} {outcome['request_id']}".strip()
    if not outcome["known"]:
        raise Permanent("this is no address of a service that the library knows", gone=True)
    if outcome["refused"]:
        raise Permanent(f"address refused: {outcome['refused']}", gone=True)
    why = scrub(f"answered {status}: {outcome['said']}" if status else outcome["said"], url=url)
    if not 400 <= status < 500 or status in exchange.WAIT:
        wait = exchange.retry_after(outcome["retry_after"], now=datetime.now(UTC))
        raise Transient(why or "it was not taken, and nothing was said", retry_after=wait)
    raise Permanent(why, gone=status in GONE)


def scrub(text: str, *, url: str) -> str:
    """The text in one line, without any part of the address: it could be a secret."""
    rest = url.partition("://")[2]
    parts = {part for form in (rest, unquote(rest)) for part in re.split(r"[/?&=:@#,;+ ]+", form)}
    for part in sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(part, "***")
    return messages.one_line(text, limit=SHOWN)
