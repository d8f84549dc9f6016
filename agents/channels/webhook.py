"""A signed POST to an https address, as CloudEvents 1.0 in structured JSON.

The receiver checks ``Bellwether-Signature: t=<seconds>,v1=<hex>``, the HMAC-SHA256 of timestamp, a dot and the body
under the channel's secret, and drops what it has seen under the same ``Idempotency-Key``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from django.conf import settings

from agents.channels.contract import Message, Permanent, Transient
from agents.channels.exchange import WAIT, Answer, Exchange
from maintenance import messages

SHOWN = 200
MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"


def signature(*secrets: str, timestamp: str, body: bytes) -> str:
    """What the header ``Bellwether-Signature`` holds: the time, and a signature by each secret."""
    signed = timestamp.encode() + b"." + body
    each = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={timestamp}", *(f"v1={one}" for one in each)])


def headers(secrets: Sequence[str], body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    return {
        "Content-Type": MEDIA_TYPE,
        "Bellwether-Timestamp": timestamp,
        "Bellwether-Signature": signature(*secrets, timestamp=timestamp, body=body),
    }


def envelope(message: Message) -> bytes:
    """The body: the same bytes for each attempt."""
    event = {
        "specversion": "1.0",
        "id": message.key,
        "source": f"{settings.PUBLIC_URL}/sites/{message.payload['site']['id']}",
        "type": f"bellwether.{message.event_type}",
        "subject": message.payload["subject"],
        "time": message.payload["at"],
        "datacontenttype": "application/json",
        "data": {**message.payload, "url": settings.PUBLIC_URL + message.payload["path"]},
    }
    return json.dumps(event, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Webhook(Exchange):
    def send(self, message: Message) -> str:
        if not message.secret:
            raise Permanent("the channel has no secret, and nothing is sent unsigned")
        body = envelope(message)
        said = {**headers([message.secret], body), "Idempotency-Key": message.key}
        return self.request("POST", message.target, headers=said, body=body)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] = MappingProxyType({}), body: bytes | None = None
    ) -> str:
        """Ask an address for something; what it answered, in one line. Raises ``Permanent`` and ``Transient``."""
        return judge(self.ask(method, url, headers=headers, body=body))


def judge(answer: Answer) -> str:
    """A good answer in one line. Raises ``Permanent`` and ``Transient`` where it is none."""
    if 200 <= answer.status < 300:
        return f"{answer.status} {answer.headers.get('X-Request-Id', '')}".strip()
    words = messages.one_line(answer.body.decode("utf-8", "replace"), limit=SHOWN) or answer.reason
    said = f"answered {answer.status}: {words}"
    if answer.status == HTTPStatus.GONE:
        raise Permanent(said, gone=True)
    if answer.status >= 500 or answer.status in WAIT:
        raise Transient(said, retry_after=answer.retry_after)
    raise Permanent(said)
