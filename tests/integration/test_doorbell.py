from __future__ import annotations

import math

import pytest
from celery import current_app
from django.conf import settings
from django_redis import get_redis_connection

from agents import doorbell
from agents.breaker import SLOW_SECONDS
from agents.doorbell import Bell
from agents.models import Run
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


@pytest.mark.django_db
def test_many_requests_for_the_same_lanes_are_one_bell() -> None:
    doorbell.forget()
    for now, lanes in ((5.0, [0, 3]), (5.004, [1]), (5.009, [3])):
        doorbell.ring_lanes(lanes, now=now)
    assert messages("ingest") == 1
    doorbell.ring_lanes([0, 40], now=5.009)
    assert messages("ingest") == 2
    doorbell.ring_lanes([0], now=5.02)
    assert messages("ingest") == 3


@pytest.mark.django_db
def test_a_lane_with_an_active_run_is_not_rung_for() -> None:
    Run.objects.create(lane=0, lanes=8)
    doorbell.forget()
    doorbell.ring_lanes([0, 7])
    assert messages("ingest") == 0
    doorbell.ring_lanes([7, 8])
    assert messages("ingest") == 1


@pytest.mark.django_db
def test_a_bell_that_did_not_go_out_does_not_count() -> None:
    doorbell.forget()
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
