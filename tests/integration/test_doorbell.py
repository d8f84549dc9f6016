from __future__ import annotations

import pytest
from celery import current_app
from django.conf import settings
from django_redis import get_redis_connection

from agents import doorbell
from agents.doorbell import Bell, Breaker
from config.celery import QUEUES

pytestmark = pytest.mark.usefixtures("redis_empty")


def messages(queue: str) -> int:
    return int(get_redis_connection("default").llen(f"bw:{queue}"))


@pytest.mark.parametrize("queue", QUEUES)
def test_a_bell_is_a_message_in_its_queue(queue: str) -> None:
    assert doorbell.ring(Bell(queue, 7))
    assert messages(queue) == 1


def test_a_bell_is_heard_also_after_redis_was_emptied() -> None:
    doorbell.ring(Bell("detect", 1))
    get_redis_connection("default").flushall()
    doorbell.ring(Bell("detect", 2))
    assert messages("detect") == 1


def test_a_queue_nobody_reads_is_an_error() -> None:
    with pytest.raises(Exception, match="nowhere"):
        doorbell.ring(Bell("nowhere", 1))


def test_the_breaker_stays_silent_after_a_failure_and_then_lets_one_through() -> None:
    breaker = Breaker()
    assert breaker.allows(100.0)
    breaker.note(now=100.0, took=0.01, failed=True)
    assert not breaker.allows(100.0 + doorbell.QUIET_SECONDS - 0.1)
    assert breaker.allows(100.0 + doorbell.QUIET_SECONDS)
    breaker.note(now=120.0, took=0.01, failed=False)
    assert breaker.allows(120.0)


def test_the_breaker_opens_for_a_slow_ring_too() -> None:
    breaker = Breaker()
    breaker.note(now=100.0, took=doorbell.SLOW_SECONDS * 2, failed=False)
    assert not breaker.allows(101.0)


def test_the_settings_carry_what_the_flow_relies_on() -> None:
    conf = current_app.conf
    assert conf.task_acks_late
    assert conf.accept_content == ["json"]
    assert conf.task_ignore_result
    assert conf.task_soft_time_limit < conf.task_time_limit < settings.LEASE_SECONDS
    assert conf.broker_transport_options["visibility_timeout"] > settings.LEASE_SECONDS
