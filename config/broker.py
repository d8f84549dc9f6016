"""Kombu's Redis transport, mended where it would leave a worker deaf, and where it makes all things anew each time."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as transport
from kombu.transport import virtual
from redis.exceptions import RedisError


class QoS(transport.QoS):
    """Forgets a message also where Redis did not hear that it was done.

    A worker takes the next message when it holds fewer than it may (``worker_prefetch_multiplier``). Kombu counts one
    as held until Redis has answered; Celery logs that it did not ("Couldn't ack") and goes on, and with one message
    allowed that worker would never take another one. What Redis still keeps comes back after the visibility timeout:
    a bell that is rung twice.
    """

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except (RedisError, OSError):
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        except (RedisError, OSError):
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(transport.Channel):
    """Keeps the client that it sends its commands by.

    Kombu makes one for each command (``conn_or_acquire``), and to make one costs four times what the command does. A
    client is nothing but its pool of connections, so it is kept as long as the channel keeps that pool.
    """

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # kombu's types lack it
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]
        return self._kept


def mend() -> None:
    """Make them what every connection uses. Called once, where the application is made."""
    Channel.QoS = QoS
    transport.Transport.Channel = Channel
