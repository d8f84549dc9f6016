"""A signed POST to an https address, as CloudEvents 1.0 in structured JSON.

The receiver checks ``Bellwether-Signature: v1=<hex>``, the HMAC-SHA256 of timestamp, a dot and the body under the
channel's secret, and drops what it has seen under the same ``Idempotency-Key``.

``http.client`` is enough, and shows what matters: the address that was judged is the one connected to, with the name
kept in Host and SNI; nothing follows redirects or reads proxy variables.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import MappingProxyType

from django.conf import settings

from agents.channels.contract import Message, Permanent, Transient
from agents.channels.deadline import Deadline
from maintenance import addresses, messages
from maintenance.addresses import Refused, Target

LIMIT_SECONDS = 5.0
RESPONSE_LIMIT = 65_536
SHOWN = 200
LONGEST_RETRY_AFTER = 30 * 86_400.0
WAIT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}

Resolver = Callable[[str, int], Sequence[str]]


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order the system would try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def signature(secret: str, *, timestamp: str, body: bytes) -> str:
    """What the header ``Bellwether-Signature`` holds."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


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


class _Connection(HTTPConnection):
    """Connects to one of the given addresses, whatever the host is called, before ``until``."""

    def __init__(self, target: Target, resolved: Sequence[str], *, until: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port)
        self.resolved = resolved
        self.until = until
        self.tls = tls
        self.wire: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self.wire = self._first_that_answers()
        self.sock.settimeout(_left(self.until))
        if self.tls is not None:
            self.sock = self.wire = self.tls.wrap_socket(self.sock, server_hostname=self.host)

    def _first_that_answers(self) -> socket.socket:
        """Each address gets its share of the time, so that one that is silent does not use it all up."""
        errors = []
        for tried, address in enumerate(self.resolved):
            share = _left(self.until) / (len(self.resolved) - tried)
            try:
                return socket.create_connection((address, self.port), timeout=share)
            except OSError as error:
                errors.append(error)
        raise errors[-1]


@dataclass(frozen=True, slots=True)
class Webhook:
    """``resolve`` and ``tls`` are arguments so that tests can name hosts and certificates of their own."""

    resolve: Resolver = look_up
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    limit_seconds: float = LIMIT_SECONDS

    def send(self, message: Message) -> str:
        if not message.secret:
            raise Permanent("the channel has no secret, and nothing is sent unsigned")
        body = envelope(message)
        return self.request("POST", message.target, headers=_headers(message, body), body=body)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] = MappingProxyType({}), body: bytes | None = None
    ) -> str:
        """Ask an address for something; what it answered, in one line. Raises ``Permanent`` and ``Transient``."""
        until = time.monotonic() + self.limit_seconds
        try:
            target = addresses.parse(url)
            resolved = self._addresses(target, until)
            addresses.judge(
                target, resolved, allowed=[ipaddress.ip_network(n) for n in settings.WEBHOOK_ALLOWED_NETWORKS]
            )
        except Refused as refused:
            raise Permanent(f"address refused: {refused}", gone=True) from refused
        headers = {"Host": target.host_header, "User-Agent": "Bellwether", "Connection": "close", **headers}
        return self._exchange(method, target, resolved, until, headers, body)

    def _addresses(self, target: Target, until: float) -> Sequence[str]:
        literal = addresses.literal(target)
        if literal is not None:
            return [literal]
        try:
            return _in_time(lambda: self.resolve(target.host, target.port), until=until)
        except (OSError, UnicodeError) as error:
            raise Transient(f"{target.host} was not resolved: {error}") from error

    def _exchange(
        self, method: str, target: Target, resolved: Sequence[str], until: float, headers: Mapping[str, str],
        body: bytes | None,
    ) -> str:  # fmt: skip
        tls = self.tls() if target.scheme == "https" else None
        connection = _Connection(target, resolved, until=until, tls=tls)
        with Deadline(_left(until)) as deadline:
            deadline.watch(lambda: connection.wire)  # the connection itself forgets its socket before the body
            try:
                connection.request(method, target.path, body, headers)
                with connection.getresponse() as response:
                    return _answer(response)
            except ssl.SSLCertVerificationError as error:
                raise Permanent(f"the certificate of {target.host} was not accepted: {error.verify_message}") from error
            except (OSError, HTTPException) as error:
                why = f"no answer within {self.limit_seconds:g} s" if deadline.expired else f"{_name(error)}: {error}"
                raise Transient(why) from error
            finally:
                connection.close()


def _name(error: BaseException) -> str:
    return type(error).__name__


def _left(until: float) -> float:
    """Seconds left, never 0: that would mean a socket that does not wait."""
    return max(0.001, until - time.monotonic())


def _in_time(work: Callable[[], Sequence[str]], *, until: float) -> Sequence[str]:
    """The result of a call that knows no time limit of its own; it is left behind in its thread when time is over."""
    done: queue.Queue[Sequence[str] | Exception] = queue.Queue()

    def run() -> None:
        try:
            done.put(work())
        except Exception as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = done.get(timeout=_left(until))
    except queue.Empty:
        raise TimeoutError("it took too long") from None
    if isinstance(result, Exception):
        raise result
    return result


def _headers(message: Message, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    return {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "Idempotency-Key": message.key,
        "Bellwether-Timestamp": timestamp,
        "Bellwether-Signature": signature(message.secret, timestamp=timestamp, body=body),
    }


def _answer(response: HTTPResponse) -> str:
    status = response.status
    if 200 <= status < 300:
        return f"{status} {response.headers.get('X-Request-Id', '')}".strip()
    said = f"answered {status}: {_body(response)}"
    if status == HTTPStatus.GONE:
        raise Permanent(said, gone=True)
    if status >= 500 or status in WAIT:
        raise Transient(said, retry_after=retry_after(response.headers.get("Retry-After", ""), now=datetime.now(UTC)))
    raise Permanent(said)


def _body(response: HTTPResponse) -> str:
    """The beginning of what the receiver said, for the log; a body that breaks off changes nothing."""
    try:
        said = response.read(RESPONSE_LIMIT)
    except (OSError, HTTPException):
        said = b""
    return messages.one_line(said.decode("utf-8", "replace"), limit=SHOWN) or response.reason


def retry_after(header: str, *, now: datetime) -> float:
    """Seconds that the header ``Retry-After`` asks for, as a number or a date (RFC 9110, 10.2.3); else 0."""
    value = header.strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)
