"""The Celery tasks: one call each. A message carries one id; ``_`` swallows what a newer publisher may add."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, worker_ready

from agents import deliver as delivery
from agents import doctor as rounds
from agents import doorbell, exposition, housekeeping, jobs, pipeline, warm, watch_alarms, webhooks
from agents import watchdog as dog
from agents.backtests import jobs as backtests
from agents.doorbell import Bell
from agents.exports import jobs as exports
from agents.models import Run
from agents.questions import jobs as questions
from agents.reporting import jobs as reporting
from agents.reporting import schedules as report_schedules
from agents.schedule import agent as scheduler
from agents.trainings import jobs as trainings
from sensors import audit_chain


@celeryd_after_setup.connect
def load_before_forking(instance: Any, **_: object) -> None:
    """To load what is compiled takes half a second and more, and what explains models seconds: once for a pool, instead
    of in each child's first run."""
    queues = set(instance.app.amqp.queues.consume_from)
    if warm.QUEUES & queues:
        warm.up()
    if "answer" in queues:
        questions.warm_up()


@worker_ready.connect
def show_figures(**_: object) -> None:
    """When the pool is forked: what listens is the parent's alone."""
    exposition.serve_if_asked()


@shared_task(name="agents.ingest", queue="ingest")
def ingest(lane: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.begin(lane).bells)


@shared_task(name="agents.validate", queue="validate")
def validate(run_id: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.perform(Run.Stage.VALIDATE, run_id).bells)


@shared_task(name="agents.detect", queue="detect")
def detect(run_id: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.perform(Run.Stage.DETECT, run_id).bells)


@shared_task(name="agents.decide", queue="decide")
def decide(run_id: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.perform(Run.Stage.DECIDE, run_id).bells)


@shared_task(name="agents.notify", queue="notify")
def notify(run_id: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.perform(Run.Stage.NOTIFY, run_id).bells)


@shared_task(name="agents.quarantine", queue="quarantine")
def quarantine(run_id: int, **_: Any) -> None:
    doorbell.ring_all(pipeline.search(run_id).bells)


@shared_task(name="agents.deliver", queue="deliver")
def deliver(notification_id: int, **_: Any) -> None:
    doorbell.ring_all(delivery.look(notification_id))


@shared_task(name="agents.webhook", queue="webhook")
def webhook(webhook_id: int, **_: Any) -> None:
    doorbell.ring_all(webhooks.take(webhook_id))


@shared_task(
    name="agents.backtest",
    queue="backtest",
    soft_time_limit=backtests.LONGEST_SECONDS,
    time_limit=backtests.LONGEST_SECONDS + 60,
)
def backtest(backtest_id: int, **_: Any) -> None:
    backtests.perform(backtest_id)


@shared_task(
    name="agents.export",
    queue="export",
    soft_time_limit=exports.LONGEST_SECONDS,
    time_limit=exports.LONGEST_SECONDS + 60,
)
def export(export_id: int, **_: Any) -> None:
    exports.perform(export_id)


@shared_task(
    name="agents.train",
    queue="train",
    soft_time_limit=trainings.LONGEST_SECONDS,
    time_limit=trainings.LONGEST_SECONDS + 60,
)
def train(training_id: int, **_: Any) -> None:
    trainings.perform(training_id)


@shared_task(name="agents.mirror_aliases", queue="train")
def mirror_aliases(**_: Any) -> None:
    jobs.run("mirror_aliases", trainings.mirror)


@shared_task(name="agents.answer", queue="answer")
def answer(question_id: int, **_: Any) -> None:
    questions.perform(question_id)


@shared_task(name="agents.forget_questions", queue="housekeeping")
def forget_questions(**_: Any) -> None:
    jobs.run("forget_questions", questions.forget_old)


@shared_task(name="agents.predict", queue="answer")
def predict(**_: Any) -> None:
    jobs.run("predict", lambda: import_module("agents.predict").look_round())  # heavy, for those who answer alone


@shared_task(name="agents.drift", queue="answer")
def drift(**_: Any) -> None:
    jobs.run("drift", lambda: doorbell.ring_all(import_module("agents.drift").look_round()))


@shared_task(name="agents.limit_forecasts", queue="answer")
def limit_forecasts(**_: Any) -> None:
    jobs.run("limit_forecasts", lambda: import_module("agents.limit_forecasts").look_round())


@shared_task(name="agents.model_breaches", queue="answer")
def model_breaches(**_: Any) -> None:
    jobs.run("model_breaches", lambda: import_module("agents.breaches").look_round())


@shared_task(name="agents.forget_predictions", queue="housekeeping")
def forget_predictions(**_: Any) -> None:
    jobs.run("forget_predictions", housekeeping.forget_predictions)


@shared_task(name="agents.forget_requests", queue="housekeeping")
def forget_requests(**_: Any) -> None:
    jobs.run("forget_requests", housekeeping.forget_requests)


@shared_task(name="agents.forget_log_ins", queue="housekeeping")
def forget_log_ins(**_: Any) -> None:
    jobs.run("forget_log_ins", housekeeping.forget_log_ins)


@shared_task(name="agents.forget_webhook_deliveries", queue="housekeeping")
def forget_webhook_deliveries(**_: Any) -> None:
    jobs.run("forget_webhook_deliveries", housekeeping.forget_webhook_deliveries)


@shared_task(name="agents.forget_exports", queue="housekeeping")
def forget_exports(**_: Any) -> None:
    jobs.run("forget_exports", housekeeping.forget_exports)


@shared_task(name="agents.seal_audit", queue="housekeeping")
def seal_audit(**_: Any) -> None:
    jobs.run("seal_audit", audit_chain.seal)


@shared_task(name="agents.trainings", queue="housekeeping")
def ask_for_trainings(**_: Any) -> None:
    jobs.run("trainings", lambda: doorbell.ring_all(Bell("train", key) for key in trainings.look_round()))


@shared_task(name="agents.reports", queue="housekeeping")
def ask_for_reports(**_: Any) -> None:
    jobs.run("reports", lambda: doorbell.ring_all(Bell("report", key) for key in report_schedules.look_round()))


@shared_task(
    name="agents.report",
    queue="report",
    soft_time_limit=reporting.LONGEST_SECONDS,
    time_limit=reporting.LONGEST_SECONDS + 60,
)
def report(report_id: int, **_: Any) -> None:
    reporting.perform(report_id)


@shared_task(name="agents.make_partitions", queue="housekeeping")
def make_partitions(**_: Any) -> None:
    jobs.run("make_partitions", housekeeping.make_partitions)


@shared_task(name="agents.expire_readings", queue="housekeeping")
def expire_readings(**_: Any) -> None:
    jobs.run("expire_readings", housekeeping.expire_readings)


@shared_task(name="agents.compact_readings", queue="housekeeping")
def compact_readings(**_: Any) -> None:
    jobs.run("compact_readings", housekeeping.compact_readings)


@shared_task(name="agents.watchdog", queue="housekeeping")
def watchdog(**_: Any) -> None:
    jobs.run("watchdog", dog.watch)


@shared_task(name="agents.doctor", queue="housekeeping")
def doctor(**_: Any) -> None:
    jobs.run("doctor", lambda: doorbell.ring_lanes(rounds.look_round()))


@shared_task(name="agents.alarm_nuisance", queue="housekeeping")
def alarm_nuisance(**_: Any) -> None:
    jobs.run("alarm_nuisance", watch_alarms.watch)


@shared_task(name="agents.schedules", queue="housekeeping")
def schedules(**_: Any) -> None:
    jobs.run("schedules", lambda: doorbell.ring_all(Bell("schedule", key) for key in scheduler.look_round()))


@shared_task(
    name="agents.schedule",
    queue="schedule",
    soft_time_limit=scheduler.LONGEST_SECONDS,
    time_limit=scheduler.LONGEST_SECONDS + 60,
)
def schedule(schedule_id: int, **_: Any) -> None:
    scheduler.perform(schedule_id)
