"""Listeners of the live stream for tests: they speak to the live process's application as a server would."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from types import TracebackType
from typing import Any, Self

from config import live


class Listener:
    """One who listens, from ``with`` to the end of the block; ``next`` gives what comes, heartbeats left out."""

    def __init__(self, query: str = "", **headers: str) -> None:
        self.scope = {
            "type": "http", "method": "GET", "path": "/api/v1/live/", "query_string": query.encode(), "root_path": "",
            "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream"),
                        *((name.lower().encode(), value.encode()) for name, value in headers.items())],
        }  # fmt: skip
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self._came: queue.Queue[dict[str, Any]] = queue.Queue()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop, self._gone = asyncio.get_running_loop(), asyncio.Event()
        await live.application(self.scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.body += message["body"]
        if self.status != 200:
            self._begun.set()
            return
        for lines in message["body"].decode().split("\n\n"):
            said = dict(line.split(": ", 1) for line in lines.splitlines() if not line.startswith(":"))
            if "data" in said:
                self._came.put(said | {"data": json.loads(said["data"])})
        if b"listening" in self.body or not message.get("more_body"):
            self._begun.set()

    def next(self, *, seconds: float = 5.0) -> dict[str, Any]:
        return self._came.get(timeout=seconds)

    @property
    def is_over(self) -> bool:
        self._thread.join(5.0)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._begun.wait(10.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._gone.set)
        self._thread.join(10.0)
