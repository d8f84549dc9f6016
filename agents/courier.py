"""Carry one message through the library apprise, in a process of its own: ``python -m agents.courier``.

The library sends by itself, to wherever an address of its own kind leads. So it runs apart: every connection is judged
when it is made, by the address that is really connected to; nothing but sockets may be opened to the outside; and the
parent ends the process when the time is over. The job comes on standard input and the outcome goes to standard output,
both as JSON, so that no secret stands in a list of processes.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import apprise
import requests
from requests.adapters import HTTPAdapter

from maintenance import addresses
from maintenance.addresses import Network, Refused, Target

LOCAL = {"blink1", "dbus", "glib", "gnome", "kde", "macosx", "qt", "rsyslog", "syslog", "windows"}
"""What the library does on this machine itself: it reaches nobody."""
FORBIDDEN = {
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
    "socket.sendto",
    "socket.sendmsg",
}


@dataclass(slots=True)
class Outcome:
    """``status``: the last HTTP status that was answered, 0 where none was; ``refused``: why no connection was made."""

    known: bool = True
    sent: bool = False
    status: int = 0
    request_id: str = ""
    retry_after: str = ""
    refused: str = ""
    said: str = ""


@dataclass(slots=True)
class Guard:
    """Judges each connection before it is made; as an audit hook it cannot be taken off again."""

    allowed: Sequence[Network]
    scheme: str = ""
    refused: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            self._refuse(f"{event} is not allowed here")
        if event == "socket.connect":
            self._judge(*arguments)

    def _judge(self, connecting: socket.socket, address: Any) -> None:
        if connecting.family not in (socket.AF_INET, socket.AF_INET6):
            self._refuse("it leads to a socket of this machine")
        host, port = str(address[0]), int(address[1])
        try:
            addresses.judge(Target(self.scheme, host, port, "/"), [host], allowed=self.allowed)
        except (Refused, ValueError) as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        self.refused.append(why)
        raise Refused(why)


class Watch(logging.Handler):
    """Remembers what the library says last of what went wrong."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def carry(job: dict[str, Any]) -> Outcome:
    """Do what the job says. The process is of no use afterwards: it is guarded and observed for good."""
    guard, watch, outcome = Guard([ipaddress.ip_network(n) for n in job["networks"]]), Watch(logging.WARNING), Outcome()
    logging.getLogger("apprise").addHandler(watch)
    _observe(guard, outcome)
    asset = apprise.AppriseAsset(
        app_id="Bellwether", app_desc="Bellwether", async_mode=False, secure_logging=True, storage_mode="memory"
    )
    if urlsplit(job["url"]).scheme.lower() in LOCAL:
        outcome.refused = "it reaches nobody: it is of this machine"
        return outcome
    service = apprise.Apprise.instantiate(job["url"], asset=asset, suppress_exceptions=True)
    if service is None:
        outcome.known = False
        return outcome
    if not service.verify_certificate:
        outcome.refused = "it turns the check of certificates off"
        return outcome
    sys.addaudithook(guard)
    try:
        outcome.sent = bool(service.notify(title=job["title"], body=job["body"]))
    except Refused:
        outcome.sent = False
    outcome.refused = guard.refused[-1] if guard.refused else ""
    outcome.said = watch.last
    return outcome


def _observe(guard: Guard, outcome: Outcome) -> None:
    """See what the library, which says only yes or no, was answered."""
    send = HTTPAdapter.send

    def observed(adapter: HTTPAdapter, request: requests.PreparedRequest, **settled: Any) -> requests.Response:
        guard.scheme = urlsplit(request.url or "").scheme
        answer: requests.Response = send(adapter, request, **settled)
        outcome.status = answer.status_code
        outcome.request_id = answer.headers.get("X-Request-Id", "")
        outcome.retry_after = answer.headers.get("Retry-After", "")
        return answer

    HTTPAdapter.send = observed  # type: ignore[method-assign, assignment]  # this process does nothing else


def main() -> None:
    sys.stdout.write(json.dumps(asdict(carry(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
