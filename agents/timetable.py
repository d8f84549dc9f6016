"""How often each periodic job is due, and how often beat looks whether it is.

Pure: Celery reads it before there are models.
"""

from __future__ import annotations

from datetime import timedelta

PERIODS: dict[str, timedelta] = {
    "make_partitions": timedelta(hours=1),
    "expire_readings": timedelta(hours=6),
    "compact_readings": timedelta(minutes=1),
    "watchdog": timedelta(minutes=1),
    "doctor": timedelta(seconds=30),
    "alarm_nuisance": timedelta(minutes=1),
    "schedules": timedelta(minutes=1),
    "trainings": timedelta(minutes=10),
    "mirror_aliases": timedelta(minutes=2),
    "forget_questions": timedelta(hours=6),
    "drift": timedelta(hours=1),
    "predict": timedelta(minutes=1),
    "limit_forecasts": timedelta(hours=1),
    "model_breaches": timedelta(minutes=10),
    "forget_predictions": timedelta(hours=6),
    "forget_requests": timedelta(hours=1),
    "forget_log_ins": timedelta(hours=6),
    "forget_webhook_deliveries": timedelta(hours=6),
    "forget_exports": timedelta(minutes=10),
    "seal_audit": timedelta(seconds=30),
    "reports": timedelta(minutes=1),
}
"""Name of a job, which is that of its task without ``agents.``, and the period in which it is done once."""

TICKS_A_PERIOD = 4
LONGEST_TICK = timedelta(minutes=5)


def tick(job: str) -> timedelta:
    """Time between two ticks: several to a period, so that a job that failed is tried again within it.

    A tick that finds the period's work done costs three short statements.
    """
    return min(PERIODS[job] / TICKS_A_PERIOD, LONGEST_TICK)
