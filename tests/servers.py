"""Servers that tests send to: real sockets that answer, refuse, stall and break off as told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.channels.sink import SmtpSink

STALL_SECONDS = 30.0


class UnwillingSmtp(SmtpSink):
    """A mail server that answers a command as told: replies of its own for RCPT and DATA, or none at all."""

    def __init__(self, *, rcpt: str = "", data: str = "", stall: bool = False) -> None:
        super().__init__()
        self.rcpt = rcpt
        self.data = data
        self.stall = stall

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.stall:
            await asyncio.sleep(STALL_SECONDS)
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self.data or await super().handle_DATA(server, session, envelope)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """``drip``: one byte of the body every so many seconds, for ever; ``cut``: close without a word."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drip: float = 0.0
    cut: bool = False


class HttpSink:
    """An HTTP server that keeps each request and gives the answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers) or [Answer()]
        self.received: list[Request] = []
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook?plant=1"

    def __enter__(self) -> HttpSink:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> Answer:
        """The next answer, whatever was asked; a sink with a mind of its own overrides this."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.close_connection = True
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # it broke off on the way: nothing was asked
                request = Request(self.command, self.path, dict(self.headers), body)
                sink.received.append(request)
                answer = sink.answer(request)
                if not answer.cut:
                    self._say(answer)

            do_GET = do_OPTIONS = do_POST

            def _say(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(answer.body)
                    while answer.drip and not sink._closing.wait(answer.drip):
                        self.wfile.write(b".")
                except OSError:
                    return  # the client had enough

            def log_message(self, format: str, *args: Any) -> None:
                """What came is in ``received``."""

        return Handler


@contextmanager
def slow_loris() -> Iterator[int]:
    """The port of a server that says one byte at a time, for ever, to whoever connects."""
    closing = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            try:
                while not closing.wait(0.02):
                    self.request.sendall(b"H")
            except OSError:
                return  # the client had enough

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            closing.set()
            server.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[tuple[int, list[object]]]:
    """The port of a server that takes connections and never answers, and who connected."""
    closing, connected = threading.Event(), list[object]()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            connected.append(self.client_address)
            closing.wait(STALL_SECONDS)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1]), connected
        finally:
            closing.set()
            server.shutdown()
            thread.join()


@contextmanager
def deaf_after_commit(upstream: Callable[[], socket.socket], *, commit: bytes = b"COMMIT") -> Iterator[int]:
    """The port of a way to Postgres that passes COMMIT on and then breaks off: it is done, and the client never hears.

    ``commit``: what commits, where it is a statement that does so by itself. The connection must not be encrypted.
    """

    def pass_on(here: socket.socket, there: socket.socket, told: threading.Event, *, up: bool) -> None:
        try:
            while data := here.recv(65_536):
                if up and commit in data:
                    told.set()
                if told.is_set() and not up:
                    break  # the answer to it has come: it is kept back
                there.sendall(data)
        except OSError:
            return  # the other direction has closed both
        finally:
            for end in (here, there):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            told = threading.Event()
            with upstream() as server:
                down = threading.Thread(target=pass_on, args=(server, self.request, told), kwargs={"up": False})
                down.start()
                pass_on(self.request, server, told, up=True)
                down.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(proxy.server_address[1])
        finally:
            proxy.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that signs itself, for one host name."""

    path: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context

    def client(self) -> ssl.SSLContext:
        """Trusts this certificate alone."""
        return ssl.create_default_context(cafile=str(self.path))


def certificate(folder: Path, *, host: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return Certificate(path)


def resolver(*answers: list[str]) -> Callable[[str, int], list[str]]:
    """Gives the answers in turn, the last one for ever, whatever is asked."""
    left = list(answers)
    return lambda host, port: left.pop(0) if len(left) > 1 else left[0]
