"""What has to be done regularly, whether or not anything comes in.

``agents.jobs`` sees to it that each is done once in its period; each bears being done twice or at once all the same.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from sensors import store

DAYS_AHEAD = 3


def make_partitions() -> None:
    """Partitions of yesterday to some days ahead, so that the flow finds them ready."""
    today = timezone.now().date()
    store.make_partitions(today + timedelta(days=n) for n in range(-1, DAYS_AHEAD + 1))


def expire_readings() -> int:
    """Drop the days older than retention; how many."""
    return store.drop_partitions(before=timezone.now().date() - timedelta(days=settings.READINGS_RETENTION_DAYS))
