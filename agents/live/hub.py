"""One reader of the journal for all who listen in this process, each with a queue of their own.

The reader is a thread with one connection to the database; the streams live in an event loop. A stream that joins is
told from which place in the journal the reader serves it, so that it can catch up to there by itself. A listener that
takes its lines more slowly than they come is let go, and may come back with the id it saw last.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from django.db import Error, close_old_connections, connections
from django.utils import timezone
from rest_framework.exceptions import APIException

from agents.live import told
from agents.live.told import Happened
from agents.live.wish import Wish
from maintenance import webhook_filter
from sensors import feed, series
from sensors.feed import Position
from sensors.models import Event
from sensors.series import Latest

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
READINGS_SECONDS = 1.0
CHECK_SECONDS = 20.0
MOST_EVENTS = 1_000
MOST_QUEUED = 1_000
OLDEST = timedelta(hours=1)
"""What is older is no news: after a database was restored into another server it may look so."""


class Full(Exception):
    """So many listen that nobody else can. ``own``: of this user alone."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.own = own


@dataclass(eq=False, slots=True)
class Stream:
    """One who listens. ``ask``: reads the wish anew; raises what says that they may not listen any more."""

    wish: Wish
    ask: Callable[[], Wish]
    loop: asyncio.AbstractEventLoop
    started: asyncio.Future[Position]
    news: asyncio.Event = field(default_factory=asyncio.Event)
    queue: deque[bytes] = field(default_factory=deque)
    ended: bool = False

    def put(self, lines: Iterable[bytes]) -> None:
        """In the event loop."""
        for line in lines:
            if len(self.queue) >= MOST_QUEUED:
                self.ended = True
                break
            self.queue.append(line)
        self.news.set()

    def end(self) -> None:
        self.ended = True
        self.news.set()


class Hub:
    """``most`` streams in this process, and ``most_of_one`` of one user."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        self.most, self.most_of_one = most, most_of_one
        self._lock = threading.Lock()
        self._joining: list[Stream] = []
        self._streams: list[Stream] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._position: Position | None = None
        self._latest: dict[int, Latest] = {}

    def join(self, wish: Wish, ask: Callable[[], Wish], loop: asyncio.AbstractEventLoop) -> Stream:
        """In the event loop. Raises ``Full``."""
        stream = Stream(wish, ask, loop, loop.create_future())
        with self._lock:
            all_ = [*self._streams, *self._joining]
            if len(all_) >= self.most:
                raise Full(own=False)
            if sum(one.wish.user_id == wish.user_id for one in all_) >= self.most_of_one:
                raise Full(own=True)
            self._joining.append(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="live", daemon=True)
                self._thread.start()
        self._wake.set()
        return stream

    def leave(self, stream: Stream) -> None:
        with self._lock:
            for streams in (self._streams, self._joining):
                if stream in streams:
                    streams.remove(stream)

    def _go_on(self) -> None:
        checked = read = 0.0
        while True:
            now = time.monotonic()
            try:
                streams = self._admit()
                if not streams:
                    self._position, self._latest = None, {}
                    connections.close_all()
                    self._wake.wait()
                    self._wake.clear()
                    continue
                if now - checked > CHECK_SECONDS:
                    self._check(streams)
                    checked = now
                self._tell_events(streams)
                if now - read > READINGS_SECONDS:
                    self._tell_readings(streams)
                    read = now
            except Error as error:
                log.warning("agents.live.no-database", error=str(error))
                close_old_connections()
            except Exception:
                log.exception("agents.live.failed")
            time.sleep(LOOK_SECONDS)

    def _admit(self) -> list[Stream]:
        """Those that joined since the last look are served from here on."""
        if self._joining and self._position is None:
            self._position = feed.head()
        with self._lock:
            joined, self._joining = self._joining, []
            self._streams += joined
            streams = list(self._streams)
        for stream in joined:
            _call(stream, stream.started.set_result, self._position)
        return streams

    def _check(self, streams: list[Stream]) -> None:
        close_old_connections()
        for stream in streams:
            try:
                stream.wish = stream.ask()
            except APIException as error:
                log.info("agents.live.ended", user_id=stream.wish.user_id, reason=str(error))
                _call(stream, stream.end)

    def _tell_events(self, streams: list[Stream]) -> None:
        after, until = self._position, feed.head()
        if after is None or after > until:  # the database was replaced by one of another server
            self._position = until
            return
        sites = {site for stream in streams for site in stream.wish.sites}
        rows = feed.between(after, until, sites=sites, limit=MOST_EVENTS)
        self._position = feed.of(rows[-1]) if len(rows) == MOST_EVENTS else until
        news = tell([row for row in rows if row.recorded_at > timezone.now() - OLDEST])
        for stream in streams if news else ():
            lines = [one.lines for one in news if stream.wish.wants(one.event, one.about)]
            if lines:
                _call(stream, stream.put, lines)

    def _tell_readings(self, streams: list[Stream]) -> None:
        wanted = {sensor for stream in streams for sensor in stream.wish.sensors}
        if not wanted:
            self._latest = {}
            return
        latest = series.latest(wanted)
        lines = {key: told.reading(key, one) for key, one in latest.items() if self._latest.get(key) != one}
        self._latest = latest
        for stream in streams:
            mine = [lines[key] for key in sorted(stream.wish.sensors & lines.keys())]
            if mine:
                _call(stream, stream.put, mine)


def tell(events: list[Event]) -> list[Happened]:
    known = webhook_filter.about(events)
    return [told.happened(event, known[event.pk]) for event in events]


def missed(wish: Wish, *, after_id: int, until: Position) -> list[bytes] | None:
    """The lines of what came after an event, up to a place; None where that can not be told."""
    last = Event.objects.filter(pk=after_id, site__in=wish.sites).first()
    if last is None or last.written_in is None:
        return None
    rows = feed.between(feed.of(last), until, sites=wish.sites, limit=MOST_EVENTS + 1)
    if len(rows) > MOST_EVENTS:
        return None
    return [one.lines for one in tell(rows) if wish.wants(one.event, one.about)]


def _call(stream: Stream, act: Callable[..., object], *arguments: object) -> None:
    """In the stream's own loop, unless that has ended."""
    try:
        stream.loop.call_soon_threadsafe(act, *arguments)
    except RuntimeError:
        log.info("agents.live.loop-ended")
