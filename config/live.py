"""The live streams' door: a process of its own, in which a thousand may listen without holding a thread each.

Who asks is let in by the view of REST, behind the same middleware, in one of a few threads; what is streamed comes from
one reader of the journal (``agents.live.hub``).
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import HttpResponse
from django.urls import set_script_prefix

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from agents.live import told  # noqa: E402  # after the setup
from agents.live.api import Let, Opened  # noqa: E402
from agents.live.hub import Full, Hub, Stream, missed  # noqa: E402
from sensors import problems  # noqa: E402
from sensors.feed import Position  # noqa: E402

BEAT_SECONDS = 15.0
RETRY_SECONDS = 30
THREADS = 4
OURS = ("/api/v1/live/", "/health/live")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

handler = BaseHandler()
handler.load_middleware()
hub = Hub(most=settings.LIVE_STREAMS, most_of_one=settings.LIVE_STREAMS_OF_A_USER)
pool = ThreadPoolExecutor(THREADS, thread_name_prefix="door")


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    loop = asyncio.get_running_loop()
    answer = await loop.run_in_executor(pool, _answer, scope)
    if not isinstance(answer, Let):
        await _say(answer, send)
        return
    try:
        stream = hub.join(answer.opened.wish, answer.opened.again, loop)
    except Full as full:
        await _say(_full(scope, own=full.own), send)
        return
    listening = asyncio.ensure_future(_gone(receive))
    telling = asyncio.ensure_future(_tell(stream, answer, send))
    try:
        await asyncio.wait([listening, telling], return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(stream)
        for task in (listening, telling):
            task.cancel()
        await asyncio.gather(listening, telling, return_exceptions=True)


def _request(scope: dict[str, Any]) -> ASGIRequest:
    request = ASGIRequest(scope, io.BytesIO())
    request.streams = True  # type: ignore[attr-defined]  # the view looks whether somebody can stream
    return request


def _answer(scope: dict[str, Any]) -> Any:
    close_old_connections()
    try:
        set_script_prefix("/")
        request = _request(scope)
        if request.path not in OURS:
            return problems.plain(request, "not-found", "Only the live stream is served here.")
        return handler.get_response(request)
    finally:
        close_old_connections()


def _full(scope: dict[str, Any], *, own: bool) -> HttpResponse:
    name, why = ("too-many-requests", "You have") if own else ("unavailable", "There are")
    answer = problems.plain(_request(scope), name, f"{why} as many live streams open as there can be.")
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


async def _say(answer: HttpResponse, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status_code, "headers": _headers(answer)})
    await send({"type": "http.response.body", "body": answer.content})
    answer.close()


def _headers(answer: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.items()]


async def _gone(receive: Receive) -> None:
    """Until whoever listens has gone."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _tell(stream: Stream, answer: Let, send: Send) -> None:
    kept = [(name, value) for name, value in _headers(answer) if name not in (b"content-type", b"content-length")]
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        *kept,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    until = await stream.started
    await _send(send, told.HELLO)  # from here on nothing is missed
    for lines in await _before(stream, answer.opened, until):
        await _send(send, lines)
    while True:
        while stream.queue and not stream.ended:
            await _send(send, stream.queue.popleft())
        if stream.ended:
            await send({"type": "http.response.body", "body": told.ENDED})
            return
        stream.news.clear()
        try:
            await asyncio.wait_for(stream.news.wait(), BEAT_SECONDS)
        except TimeoutError:
            await _send(send, told.BEAT)


async def _before(stream: Stream, opened: Opened, until: Position) -> list[bytes]:
    """What was missed between the event that was seen last and the reader's place."""
    if opened.last == 0:
        return []
    loop = asyncio.get_running_loop()
    lines = await loop.run_in_executor(pool, lambda: missed(stream.wish, after_id=opened.last, until=until))
    return [told.RESET] if lines is None else lines


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
