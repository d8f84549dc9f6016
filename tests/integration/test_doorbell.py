from __future__ import annotations

import math
import os
import threading

import pytest
from celery import current_app
from django.conf import settings
from django_redis import get_redis_connection

from agents import doorbell, hearsay
from agents.breaker import SLOW_SECONDS
from agents.doorbell import Bell, Ringer
from config.celery import QUEUES
from tests.chaos.service import until

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
    until(lambda: messages("ingest") == 1, limit=30)
    until(lambda: not hearsay.lanes_told_of([0]), limit=30)


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


def test_who_is_alone_rings_before_it_goes_on() -> None:
    rung: list[tuple[set[int], threading.Thread]] = []
    ringer = Ringer(lambda lanes: rung.append((lanes, threading.current_thread())))
    ringer.tell([1, 2])
    ringer.tell([1])
    assert rung == [({1, 2}, threading.current_thread()), ({1}, threading.current_thread())]


def test_what_is_told_while_it_rings_is_rung_for_together_and_waits_for_no_bell() -> None:
    rung: list[set[int]] = []
    began, may_go_on = threading.Event(), threading.Event()

    def ring(lanes: set[int]) -> None:
        rung.append(lanes)
        began.set()
        may_go_on.wait(30)

    ringer = Ringer(ring)
    first = threading.Thread(target=ringer.tell, args=[[1]])
    first.start()
    assert began.wait(30)
    ringer.tell([2, 3])
    ringer.tell([3, 40])
    assert rung == [{1}]
    may_go_on.set()
    first.join(30)
    until(lambda: len(rung) == 2, limit=30)
    assert rung == [{1}, {2, 3, 40}]


def test_what_is_told_to_many_at_once_is_rung_for() -> None:
    rung: set[int] = set()
    ringer = Ringer(rung.update)
    callers = [threading.Thread(target=lambda n=n: [ringer.tell([n * 100 + i]) for i in range(100)]) for n in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    until(lambda: rung == set(range(800)), limit=30)


def test_an_error_ends_no_ringer() -> None:
    rung: list[set[int]] = []

    def ring(lanes: set[int]) -> None:
        rung.append(lanes)
        if len(rung) == 1:
            raise RuntimeError("of the first")

    ringer = Ringer(ring)
    ringer.tell([1])
    until(lambda: len(rung) == 1, limit=30)
    ringer.tell([2])
    until(lambda: rung == [{1}, {2}], limit=30)


def test_a_process_that_was_forked_rings_with_a_thread_of_its_own() -> None:
    heard, told = os.pipe()

    def ring(lanes: set[int]) -> None:
        os.write(told, bytes(lanes))

    ringer = Ringer(ring)
    ringer.tell([1])
    assert os.read(heard, 1) == b"\x01"
    if not (child := os.fork()):
        ringer.tell([2])
        threading.Event().wait(30)
        os._exit(0)
    try:
        assert os.read(heard, 1) == b"\x02"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(heard)
        os.close(told)
