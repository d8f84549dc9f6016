"""Token buckets in Redis, and by them how many readings a second a client, and a site, may send.

A bucket holds what may be sent in ``BURST_SECONDS`` and fills at the agreed rate. A request takes its readings from the
client's bucket and the site's, from both or from none; one that is larger than a whole bucket needs a full one and
leaves it in debt, so that the rate holds on average whatever the requests' size. While Redis is down or slow nothing is
counted and everything passes (readings are accepted whatever else is broken), and it is not asked for some seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from django_redis import get_redis_connection
from prometheus_client import Counter
from redis.exceptions import RedisError

from agents.admission import Reason, Refusal
from agents.breaker import Breaker

log = structlog.get_logger(__name__)

BURST_SECONDS = 10
PREFIX = "bw:quota"

# A bucket is one number: the instant, in microseconds of Redis's clock, at which it will be full again. Of each come
# its size and what is to be taken, in microseconds of filling. The answer is the place (from 1) of the bucket that is
# emptiest, in seconds, and the microseconds until all have room; 0, 0 = taken; then what is left in each.
TAKE = """
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local place, wait = 0, 0
local full, cost, size, answer = {}, {}, {}, {}
for i, key in ipairs(KEYS) do
    size[i], cost[i] = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    full[i] = math.max(tonumber(redis.call("GET", key) or 0), now)
    local short = full[i] + math.min(cost[i], size[i]) - size[i] - now
    if short > wait then
        place, wait = i, short
    end
end
if place == 0 then
    for i, key in ipairs(KEYS) do
        local at = full[i] + cost[i]
        redis.call("SET", key, string.format("%.0f", at), "PX", math.ceil((at - now) / 1000) + 1)
        full[i] = at
    end
end
answer[1], answer[2] = place, math.ceil(wait)
for i in ipairs(KEYS) do
    answer[2 + i] = math.floor(now + size[i] - full[i])
end
return answer
"""

UNCOUNTED = Counter("pdm_limits_uncounted", "Requests that no limit counted, because Redis was away or slow.")

breaker = Breaker()


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose it is, and its rate in readings a second."""

    reason: Reason
    owner: int
    rate: int

    @property
    def key(self) -> str:
        return f"{PREFIX}:{self.reason}:{self.owner}"


def buckets(*, user_id: int | None, site_id: int, client_rate: int, site_rate: int) -> tuple[Bucket, ...]:
    """Those that count: a rate of 0 is no quota."""
    wanted = [(Reason.CLIENT_QUOTA, user_id, client_rate), (Reason.SITE_QUOTA, site_id, site_rate)]
    return tuple(Bucket(reason, owner, rate) for reason, owner, rate in wanted if owner is not None and rate > 0)


@dataclass(frozen=True, slots=True)
class Window:
    """A bucket by its key: it holds ``most``, and fills in so many seconds."""

    key: str
    most: int
    seconds: int


def take(wanted: tuple[Bucket, ...], *, readings: int) -> Refusal | None:
    """Take the readings out of all buckets, or say which has no room and for how long."""
    if not wanted:
        return None
    windows = [Window(bucket.key, bucket.rate * BURST_SECONDS, BURST_SECONDS) for bucket in wanted]
    place, wait, _ = draw(windows, cost=readings)
    return _refusal(wanted[place - 1], readings=readings, wait=wait / 1e6) if place else None


def draw(windows: Sequence[Window], *, cost: int) -> tuple[int, int, tuple[int, ...]]:
    """Take so much out of all of them, or nothing: the place (from 1) of the emptiest where one has no room, with the
    microseconds until it has; and what is left in each, in microseconds of filling. 0, 0, () where nothing counts."""
    started = time.monotonic()
    if not breaker.allows(started):
        UNCOUNTED.inc()
        return 0, 0, ()
    failed, place, wait, left = False, 0, 0, ()
    try:
        script = get_redis_connection("default").register_script(TAKE)
        arguments = [
            number for one in windows for number in (one.seconds * 10**6, cost * one.seconds * 10**6 // one.most)
        ]
        place, wait, *left = script(keys=[one.key for one in windows], args=arguments)
    except (RedisError, OSError) as error:
        failed = True
        UNCOUNTED.inc()
        log.warning("agents.quota.not-counted", error=str(error))
    now = time.monotonic()
    breaker.note(now=now, took=now - started, failed=failed)
    return place, wait, tuple(left)


def _refusal(bucket: Bucket, *, readings: int, wait: float) -> Refusal:
    who = "This client" if bucket.reason is Reason.CLIENT_QUOTA else "The site"
    detail = f"{who} may send {bucket.rate} readings a second; there is room for these {readings} in {wait:.1f} s."
    return Refusal(bucket.reason, detail, wait=wait)
