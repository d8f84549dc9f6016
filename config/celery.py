"""The Celery application: queues, limits, and the beat schedule in code.

Celery carries doorbells; Postgres is the record. So: no result backend, no countdown, no chain. Why each setting is
what it is stands beside it.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging, task_prerun, worker_process_shutdown
from django.db import close_old_connections
from kombu import Exchange, Queue

from agents import apart, timetable
from config import broker, remote_control

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

__all__ = ["app", "remote_control"]

STAGE_QUEUES = ("ingest", "validate", "detect", "decide", "notify")
QUEUES = (
    *STAGE_QUEUES, "quarantine", "deliver", "webhook", "housekeeping", "backtest", "schedule", "train", "answer",
    "export", "report",
)  # fmt: skip

broker.mend()
app = Celery("bellwether")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # The anonymous exchange: on Redis, what is published to a named one is lost without a word after FLUSHALL.
    task_queues=[Queue(name, Exchange(""), routing_key=name) for name in QUEUES],
    task_default_queue="housekeeping",
    task_create_missing_queues=False,  # a mistyped queue is an error, not a queue nobody reads
    task_ignore_result=True,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],  # nothing that could carry code
    task_acks_late=True,
    task_reject_on_worker_lost=False,  # attempts are counted in Postgres; a poison message must not loop
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=5_000,
    worker_max_memory_per_child=400_000,
    worker_soft_shutdown_timeout=10,
    worker_enable_soft_shutdown_on_idle=False,  # an idle worker holds nothing: no task has an eta
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_pool_acquire_timeout=2,
    task_publish_retry=False,  # a request never waits for Redis; the sweep rings later
    broker_transport_options={
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 3,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": "bw:",
    },
    worker_send_task_events=True,  # Flower shows nothing without them
    CELERY_DB_REUSE_MAX=100_000,  # else Django's connection is closed after every task
    timezone="UTC",
    # A tick only looks whether the job is due: two beats, or one that repeats itself, do nothing twice (agents.jobs).
    beat_schedule={
        job: {
            "task": f"agents.{job}",
            "schedule": timetable.tick(job),
            "options": {"expires": timetable.tick(job).total_seconds()},  # while nobody works, ticks do not pile up
        }
        for job in timetable.PERIODS
    },
)
app.autodiscover_tasks(["agents"])


@task_prerun.connect
def drop_a_broken_connection(**_: object) -> None:
    """A connection is kept from task to task; one that broke with Postgres would fail every task after it."""
    close_old_connections()


@worker_process_shutdown.connect
def send_what_is_left(**_: object) -> None:
    """A child of a pool ends without the interpreter's own end."""
    apart.send_what_is_left()


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Celery replaces the logging configuration unless somebody answers this hook."""
