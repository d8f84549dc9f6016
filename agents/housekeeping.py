"""What has to be done regularly, whether or not anything comes in.

``agents.jobs`` sees to it that each is done once in its period; each bears being done twice or at once all the same.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from agents.exports import requests as exports
from maintenance import webhooks
from mlops import predictions
from sensors import compaction, families, idempotency, lockout, retention, sessions, store

DAYS_AHEAD = 3
LOG_INS_KEPT = timedelta(days=30)
SHARE_OF_LIMIT = 0.5
"""Of the time a task may take, what compacting may; what is left over is done in the next period."""


def make_partitions() -> None:
    """Partitions of yesterday to some days ahead, so that the flow finds them ready."""
    today = timezone.now().date()
    store.make_partitions(today + timedelta(days=n) for n in range(-1, DAYS_AHEAD + 1))


def expire_readings() -> int:
    """Drop the days older than retention; how many."""
    return retention.expire(before=timezone.now().date() - timedelta(days=settings.READINGS_RETENTION_DAYS))


def compact_readings() -> compaction.Compacted:
    """Put the days before the newest ones into blocks, as far as the time of a task allows."""
    before = timezone.now().date() - timedelta(days=settings.READINGS_COMPACT_AFTER_DAYS)
    return compaction.compact(before=before, seconds=settings.CELERY_TASK_SOFT_TIME_LIMIT * SHARE_OF_LIMIT)


def forget_predictions() -> int:
    """Delete what models said longer ago than it is kept; how many."""
    return predictions.forget(before=timezone.now() - timedelta(days=settings.ML_PREDICTIONS_DAYS))


def forget_requests() -> int:
    """Delete the answers to requests with idempotency keys that are older than they are kept; how many."""
    return idempotency.forget_old()


def forget_log_ins() -> int:
    """Delete log-ins over REST that have been of no use for so long, sessions that ended, and tries that are too old to
    count; how many log-ins."""
    lockout.forget()
    sessions.SessionStore.clear_expired()
    return families.forget(before=timezone.now() - LOG_INS_KEPT)


def forget_webhook_deliveries() -> int:
    """Delete what was sent to webhooks longer ago than it is kept; how many."""
    return webhooks.forget(before=timezone.now() - webhooks.KEPT)


def forget_exports() -> int:
    """Delete the files of exports that have expired, and what failed ones left; how many expired."""
    return exports.forget_old()
