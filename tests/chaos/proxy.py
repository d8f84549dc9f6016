"""A small TCP proxy that passes bytes on, slows them, stalls them, or cuts: a bad network between two of our parts."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 65_536
ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where the bytes go: the path of a unix socket, or a port."""

    path: Path | None = None
    port: int = 0
    host: str = "127.0.0.1"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection(self.host, self.port)


class Proxy:
    """Listens on a free port of this machine, in a thread of its own, from ``with`` to the end of the block.

    ``delay``: seconds that each piece waits. ``cut_after``: so many bytes of answers in all, and the connection that
    carries the last of them is cut in their midst; None = never.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        self.cut_after: int | None = None
        self.opened = 0
        self.cuts = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(ANSWER_SECONDS)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(ANSWER_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

    def cut(self) -> int:
        """Break every open connection; how many there were."""
        return asyncio.run_coroutine_threadsafe(self._cut_all(), self._loop).result(ANSWER_SECONDS)

    def stall(self) -> None:
        """From now on nothing passes, in either direction, and no connection breaks."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Let pass what waited, and all that comes."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    @property
    def connections(self) -> int:
        return len(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, out = await self.target.open()
        except OSError:
            writer.transport.abort()
            return
        self.opened += 1
        self._open.add(writer)
        ways = [
            asyncio.create_task(self._pump(reader, out, answers=False)),
            asyncio.create_task(self._pump(back, writer, answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(writer)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (out, writer):
                end.close()  # what was passed on already still arrives

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        """One direction, until either side closes or the budget of bytes is used up."""
        try:
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if answers and self.cut_after is not None:
                    data, whole = data[: self.cut_after], len(data)
                    self.cut_after -= len(data)
                    if len(data) < whole:
                        self.cuts += 1
                        self.cut_after = None
                        writer.write(data)
                        await writer.drain()
                        return
                writer.write(data)
                await writer.drain()
        except (ConnectionError, TimeoutError):
            return  # one of the two ends has gone: the other one is cut as well

    async def _cut_all(self) -> int:
        ends = list(self._open)
        for writer in ends:
            writer.transport.abort()
        self.cuts += len(ends)
        return len(ends)

    async def _close(self) -> None:
        self._server.close()
        self._flowing.set()
        await self._cut_all()
        await asyncio.gather(*self._serving)
