"""One exchange with an address that somebody else named, over HTTP, within one time limit.

``http.client`` is enough, and shows what matters: the address that was judged is the one connected to, with the name
kept in Host and SNI; nothing follows redirects or reads proxy variables.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import MappingProxyType

from django.conf import settings

from agents.channels.contract import Permanent, Transient
from agents.channels.deadline import Deadline
from maintenance import addresses
from maintenance.addresses import Refused, Target

LIMIT_SECONDS = 5.0
RESPONSE_LIMIT, READ_AT_ONCE = 65_536, 1_024
LONGEST_RETRY_AFTER = 30 * 86_400.0
WAIT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}

Resolver = Callable[[str, int], Sequence[str]]


class Untrusted(Permanent):
    """The certificate of the other side was not accepted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: as much of it as is read, and as came before it broke off."""

    status: int
    reason: str
    headers: Message
    body: bytes

    @property
    def retry_after(self) -> float:
        return retry_after(self.headers.get("Retry-After", ""), now=datetime.now(UTC))


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order the system would try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


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
class Exchange:
    """``resolve`` and ``tls`` are arguments so that tests can name hosts and certificates of their own."""

    resolve: Resolver = look_up
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    limit_seconds: float = LIMIT_SECONDS

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str] = MappingProxyType({}), body: bytes | None = None
    ) -> Answer:
        """What was answered, whatever it was. Raises ``Permanent`` where it may not be asked, and ``Transient``."""
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
    ) -> Answer:  # fmt: skip
        tls = self.tls() if target.scheme == "https" else None
        connection = _Connection(target, resolved, until=until, tls=tls)
        with Deadline(_left(until)) as deadline:
            deadline.watch(lambda: connection.wire)  # the connection itself forgets its socket before the body
            try:
                connection.request(method, target.path, body, headers)
                with connection.getresponse() as response:
                    return Answer(response.status, response.reason, response.headers, _body(response))
            except ssl.SSLCertVerificationError as error:
                raise Untrusted(f"the certificate of {target.host} was not accepted: {error.verify_message}") from error
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


def _body(response: HTTPResponse) -> bytes:
    """The beginning of what was said, of good news as much as comes at once; a body that breaks off changes nothing."""
    try:
        return response.read1(READ_AT_ONCE) if 200 <= response.status < 300 else response.read(RESPONSE_LIMIT)
    except (OSError, HTTPException):
        return b""


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
