from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from django.conf import settings
from kombu import Connection, Exchange, Queue
from redis.exceptions import RedisError

from config.celery import app
from tests.chaos.proxy import Proxy, Target

pytestmark = pytest.mark.usefixtures("redis_empty")
QUEUE = Queue("ingest", Exchange(""), routing_key="ingest")


@pytest.fixture
def way() -> Iterator[Proxy]:
    """To the Redis of these tests."""
    url = urlsplit(settings.REDIS_URL)
    path = Path(unquote(url.path)) if url.scheme == "unix" else None
    with Proxy(Target(path, port=url.port or 6379, host=url.hostname or "127.0.0.1")) as made:
        yield made


def connect(way: Proxy) -> Connection:
    """As a worker does, but with less patience."""
    url = f"redis://127.0.0.1:{way.port}/0"
    made: Connection = app.connection_for_read(url=url, transport_options={"socket_timeout": 0.3})
    return made


def test_a_worker_takes_the_next_message_where_redis_did_not_hear_that_the_last_one_was_done(way: Proxy) -> None:
    with connect(way) as connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)
        for number in (1, 2):
            connection.Producer(channel).publish({"id": number}, routing_key="ingest", declare=[QUEUE])
        first = QUEUE(channel).get()
        assert not channel.qos.can_consume()
        way.stall()
        with pytest.raises(RedisError):
            first.ack()
        way.flow()
        assert channel.qos.can_consume()
        second = QUEUE(channel).get()
        assert (first.payload, second.payload) == ({"id": 1}, {"id": 2})
        second.ack()


def test_a_channel_sends_by_one_client_as_long_as_its_pool_lives(way: Proxy) -> None:
    with connect(way) as connection, connection.channel() as channel:
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        channel._disconnect_pools()
        connection.Producer(channel).publish({"id": 1}, routing_key="ingest", declare=[QUEUE])
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.connection_pool is channel.pool
        assert QUEUE(channel).get().payload == {"id": 1}
