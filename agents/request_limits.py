"""How many requests a client, a device, a site and an address may send: buckets in Redis, taken from at once.

Of each request with credentials the client's bucket counts (a device's key has a rate of its own), and the site's where
the credentials are of one site; of one without, or with credentials that are refused, the address's. ``docs/limits.md``
has the rules. While Redis is down or slow nothing is counted and everything passes; that is told once, and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from agents import quota
from sensors import directory, origin
from sensors.problems import Problem

PREFIX = "bw:requests"

LIMITED = Counter("pdm_requests_limited", "Requests that were too many, by whose limit.", ["limit"])
for _name in ("client", "device", "ingest", "site", "address"):
    LIMITED.labels(_name)  # a count of 0 can be told from a missing one


@dataclass(frozen=True, slots=True)
class Limit:
    """Whose, and how many in a window of so many seconds."""

    name: str
    owner: str
    most: int
    seconds: int

    @property
    def key(self) -> str:
        return f"{PREFIX}:{self.name}:{self.owner}"

    def policy(self) -> str:
        return f'"{self.name}";q={self.most};w={self.seconds}'


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of taking one from each. ``left``: microseconds of each window that are left; ``wait``: seconds until
    the one that is empty has room."""

    limits: tuple[Limit, ...]
    left: tuple[int, ...]
    empty: Limit | None = None
    wait: float = 0.0

    def headers(self) -> dict[str, str]:
        """After draft-ietf-httpapi-ratelimit-headers: what may still be sent, and the seconds until all of it may."""
        if not self.left:
            return {}
        each = zip(self.limits, self.left, strict=True)
        now = [
            f'"{one.name}";r={max(0, left * one.most // (one.seconds * 1_000_000))}'
            f";t={max(0, math.ceil(one.seconds - left / 1e6))}"
            for one, left in each
        ]
        return {"RateLimit-Policy": ", ".join(one.policy() for one in self.limits), "RateLimit": ", ".join(now)}


def _limit(name: str, owner: object) -> tuple[Limit, ...]:
    rate = settings.REQUEST_RATES[name]
    return () if rate is None else (Limit(name, str(owner), *rate),)


def draw(limits: tuple[Limit, ...]) -> Drawn:
    """Take one of each, or nothing where one is empty."""
    if not limits:
        return Drawn((), ())
    windows = [quota.Window(one.key, one.most, one.seconds) for one in limits]
    place, wait, left = quota.draw(windows, cost=1)
    if not place:
        return Drawn(limits, left)
    LIMITED.labels(limits[place - 1].name).inc()
    return Drawn(limits, left, limits[place - 1], wait / 1e6)


class Requests(BaseThrottle):
    """Asked by the framework before each operation, once it knows who asks."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Raises a ``too-many-requests`` problem; what is left is told by the answer's headers."""
        _take(request._request, of(request, view))
        return True


def of(request: Request, view: Any) -> tuple[Limit, ...]:
    user: Any = request.user
    if not isinstance(user, User):
        return _limit("address", origin.network(request._request))
    name = getattr(view, "limit", "client")
    owner: Any = getattr(request.auth, "limit_owner", None)  # a key says whose it is: ("device", 7) or ("client", "k7")
    kind, number = owner or (name, user.pk)
    seats = directory.access().seats_of(user) if settings.REQUEST_RATES["site"] else ()
    site = _limit("site", seats[0].site.pk) if len(seats) == 1 else ()
    return (*_limit(kind, number), *site)


def _take(request: HttpRequest, limits: tuple[Limit, ...]) -> None:
    drawn = draw(limits)
    setattr(request, "_drawn", drawn)  # noqa: B010 - the request carries it, its class does not know it
    if drawn.empty is not None:
        raise Problem("too-many-requests", _told(drawn.empty, drawn.wait), retry_after=drawn.wait)


def _told(empty: Limit, wait: float) -> str:
    whose = {"site": "The site", "address": "This address"}.get(empty.name, "This client")
    return f"{whose} may send {empty.most} requests in {empty.seconds} s; there is room for one more in {wait:.1f} s."


def refused(request: HttpRequest) -> Problem | None:
    """Counts a request whose credentials were refused; the problem to answer with where there were too many."""
    if hasattr(request, "_drawn"):  # it was counted before it was refused
        return None
    try:
        _take(request, _limit("address", origin.network(request)))
    except Problem as problem:
        return problem
    return None


def tell(request: HttpRequest, response: HttpResponse) -> None:
    """The headers of an answer."""
    drawn: Drawn | None = getattr(request, "_drawn", None)
    if drawn is not None:
        for name, value in drawn.headers().items():
            response[name] = value
