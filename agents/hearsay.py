"""What Redis says where an answer helps and none does no harm: Postgres is the record.

``lanes_told_of``: lanes nobody needs to ring for, because who rings next for them is settled. A run looks at what waits
when it has ended (``over``, then the look), so what is committed while it is under way needs no bell; and where a run
has left its lanes a rest, its own bell is on the way. Whatever is forgotten here costs a bell too many; whatever is
kept too long, the second until the sweep finds what waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import structlog
from django_redis import get_redis_connection
from redis import Redis
from redis.exceptions import RedisError

from agents.breaker import Breaker

log = structlog.get_logger(__name__)

breaker = Breaker()
UNDER_WAY_SECONDS = 5.0
"""So long a run may be under way before bells are rung in vain again."""


def ask(what: str, call: Callable[[Redis], Any]) -> Any:
    """What Redis says; None where it fails, or has just failed and is left alone."""
    started = time.monotonic()
    if not breaker.allows(started):
        return None
    answer, failed = None, False
    try:
        answer = call(get_redis_connection("default"))
    except (RedisError, OSError) as error:
        failed = True
        log.warning("agents.hearsay.redis-unreachable", what=what, error=str(error))
    now = time.monotonic()
    breaker.note(now=now, took=now - started, failed=failed)
    return answer


def settled(lane: int, *, seconds: float) -> None:
    """For so long nobody needs to ring for what comes into these neighbours (``lane``: the first of them)."""
    ask("settled", lambda store: store.set(_key(lane), 1, px=max(1, round(seconds * 1000))))


def over(lanes: Collection[int]) -> None:
    """Whoever brings something from now on has to ring."""
    ask("over", lambda store: store.delete(*map(_key, lanes)))


def lanes_told_of(lanes: Collection[int]) -> set[int]:
    """Those of some first lanes for which nobody needs to ring."""
    asked = sorted(lanes)
    answers = ask("lanes", lambda store: store.mget(map(_key, asked)))
    return {lane for lane, answer in zip(asked, answers or (), strict=False) if answer is not None}


def _key(lane: int) -> str:
    return f"lane:{lane}"
