"""How many readings a second a client, and a site, may send: token buckets in Redis.

A bucket holds what may be sent in ``BURST_SECONDS`` and fills at the agreed rate. A request takes its readings from the
client's bucket and the site's, from both or from none; one that is larger than a whole bucket needs a full one and
leaves it in debt, so that the rate holds on average whatever the requests' size. While Redis is down or slow nothing is
counted and everything passes (readings are accepted whatever else is broken), and it is not asked for some seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from agents.admission import Reason, Refusal
from agents.breaker import Breaker

log = structlog.get_logger(__name__)

BURST_SECONDS = 10
PREFIX = "bw:quota"

# A bucket is one number: the instant, in microseconds of Redis's clock, at which it will be full again. The answer is
# the place (from 1) of the bucket that is emptiest, in seconds, and the microseconds until all have room; 0, 0 = taken.
TAKE = """
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local burst = tonumber(ARGV[1])
local place, wait = 0, 0
local full, cost = {}, {}
for i, key in ipairs(KEYS) do
    cost[i] = math.floor(ARGV[2] * 1000000 / ARGV[2 + i])
    full[i] = math.max(tonumber(redis.call("GET", key) or 0), now)
    local short = full[i] + math.min(cost[i], burst) - burst - now
    if short > wait then
        place, wait = i, short
    end
end
if place == 0 then
    for i, key in ipairs(KEYS) do
        local at = full[i] + cost[i]
        redis.call("SET", key, string.format("%.0f", at), "PX", math.ceil((at - now) / 1000) + 1)
    end
end
return {place, math.ceil(wait)}
"""

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


def take(wanted: tuple[Bucket, ...], *, readings: int) -> Refusal | None:
    """Take the readings out of all buckets, or say which has no room and for how long."""
    started = time.monotonic()
    if not wanted or not breaker.allows(started):
        return None
    failed, place, wait = False, 0, 0
    try:
        script = get_redis_connection("default").register_script(TAKE)
        arguments = [BURST_SECONDS * 1_000_000, readings, *(bucket.rate for bucket in wanted)]
        place, wait = script(keys=[bucket.key for bucket in wanted], args=arguments)
    except (RedisError, OSError) as error:
        failed = True
        log.warning("agents.quota.not-counted", error=str(error))
    now = time.monotonic()
    breaker.note(now=now, took=now - started, failed=failed)
    return _refusal(wanted[place - 1], readings=readings, wait=wait / 1e6) if place else None


def _refusal(bucket: Bucket, *, readings: int, wait: float) -> Refusal:
    who = "This client" if bucket.reason is Reason.CLIENT_QUOTA else "The site"
    detail = f"{who} may send {bucket.rate} readings a second; there is room for these {readings} in {wait:.1f} s."
    return Refusal(bucket.reason, detail, wait=wait)
