"""Kombu's Redis transport, mended where it would leave a worker deaf."""

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


def mend() -> None:
    """Make it what every channel counts with. Called once, where the application is made."""
    transport.Channel.QoS = QoS
