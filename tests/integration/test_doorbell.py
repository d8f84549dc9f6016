from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from celery import current_app
from django.conf import settings
from django_redis import get_redis_connection

from agents import doorbell, hearsay
from agents.breaker import SLOW_SECONDS
from agents.doorbell import Bell
from config.celery import QUEUES

pytestmark = pytest.mark.usefixtures("redis_empty")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


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


def test_lanes_that_share_a_run_are_one_bell() -> None:
    doorbell.ring_lanes([0, 3, 7])
    assert messages("ingest") == 1
    doorbell.ring_lanes([0, 40])
    assert messages("ingest") == 3


def test_no_bell_while_it_is_settled_who_rings_next() -> None:
    hearsay.settled(0, seconds=60)
    doorbell.ring_lanes([0, 7])
    assert messages("ingest") == 0
    doorbell.ring_lanes([7, 40])
    assert messages("ingest") == 1
    hearsay.over([0])
    doorbell.ring_lanes([7])
    assert messages("ingest") == 2


def test_a_bell_that_rests_rings_after_it_and_nobody_else_before() -> None:
    doorbell.ring_all([Bell("ingest", 0, rest=0.2), Bell("validate", 1)])
    assert (messages("ingest"), messages("validate")) == (0, 1)
    doorbell.ring_lanes([5])
    assert messages("ingest") == 0
    until(lambda: messages("ingest") == 1)
    until(lambda: not hearsay.lanes_told_of([0]))


def test_while_redis_is_left_alone_everybody_may_ring() -> None:
    hearsay.settled(0, seconds=60)
    hearsay.breaker.silent_until = math.inf
    try:
        assert hearsay.lanes_told_of([0]) == set()
        hearsay.over([0])
    finally:
        hearsay.breaker.silent_until = 0.0
    assert hearsay.lanes_told_of([0, 16]) == {0}


def test_a_bell_that_did_not_go_out_does_not_count() -> None:
    doorbell.breaker.silent_until = math.inf
    doorbell.ring_lanes([0])
    doorbell.breaker.silent_until = 0.0
    doorbell.ring_lanes([0])
    assert messages("ingest") == 1


def test_a_queue_nobody_reads_is_an_error() -> None:
    with pytest.raises(Exception, match="nowhere"):
        doorbell.ring(Bell("nowhere", 1))


def test_a_bell_is_not_waited_for_as_long_as_a_worker_waits_for_its_broker() -> None:
    waits = current_app.connection_for_write(transport_options=doorbell.IN_HASTE).transport_options
    assert waits["max_retries"] == 0
    assert waits["socket_timeout"] <= SLOW_SECONDS < current_app.conf.broker_transport_options["socket_timeout"]


def test_the_settings_carry_what_the_flow_relies_on() -> None:
    conf = current_app.conf
    assert conf.task_acks_late
    assert conf.accept_content == ["json"]
    assert conf.task_ignore_result
    assert conf.task_soft_time_limit < conf.task_time_limit < settings.LEASE_SECONDS
    assert conf.broker_transport_options["visibility_timeout"] > settings.LEASE_SECONDS
