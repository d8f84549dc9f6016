"""The one table of agents: what each does, which events it reads and writes, and where its health is read.

Pure. A test holds it complete: every task, every periodic job and every stage belongs to one agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents import timetable

SECONDS, MINUTES = 1, 60
LANES, BATCHES, READINGS = "batch parts", "batches", "readings"
THINGS = frozenset(
    {
        LANES, BATCHES, READINGS, "verdicts", "decisions", "notifications", "deliveries", "cases", "questions",
        "answers", "trainings", "predictions", "drift checks", "limit forecasts", "performances", "backtests",
        "job rows", "machine states", "audit entries", "log-ins", "requests", "backups", "failed runs", "reports",
        "exports",
    }
)  # fmt: skip
"""What agents read and write that is no event of the journal: rows of tables."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts of an agent are. ``name``: its kind and key, as ``agents.coordinator.facts`` reads them.
    ``late_after``: seconds that what is due may wait before nobody is thought to be at it."""

    name: str
    late_after: float


@dataclass(frozen=True, slots=True)
class Agent:
    """``reads`` and ``writes``: types of the journal's events (``alarm.*``: that family), or names of ``THINGS``.
    ``tasks``: of Celery, without ``agents.``; none where the sweep or a service of its own does the work."""

    name: str
    does: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    sources: tuple[Source, ...]
    tasks: tuple[str, ...] = ()
    run_by: str = "workers"


def _stage(name: str) -> Source:
    return Source(f"stage/{name.upper()}", 60 * SECONDS)


def _errand(name: str) -> Source:
    return Source(f"errand/{name}", 15 * MINUTES)


def _job(name: str) -> Source:
    """Done at latest in the third of its periods, and never called late within two minutes."""
    return Source(f"job/{name}", max(2 * timetable.PERIODS[name].total_seconds(), 2 * MINUTES))


def _periodic(name: str, does: str, reads: tuple[str, ...], writes: tuple[str, ...], *jobs: str) -> Agent:
    return Agent(name, does, reads, writes, tuple(_job(job) for job in jobs), jobs)


AGENTS: tuple[Agent, ...] = (
    Agent(
        "ingest", "Takes what waits in a lane into a run, and puts its readings in order.",
        (BATCHES, LANES), (LANES,), (_stage("ingest"),), ("ingest",),
    ),
    Agent(
        "validate", "Judges each reading, stores it, and tells faults of instruments.",
        (LANES,), (READINGS, "verdicts", "instrument.fault", "machine.state_changed"), (_stage("validate"),),
        ("validate",),
    ),
    Agent(
        "detect", "Looks for what is not as usual in the readings that were kept.",
        ("verdicts", READINGS, "label.*", "regime.*"), ("anomaly.detected", "machine states"), (_stage("detect"),),
        ("detect",),
    ),
    Agent(
        "decide", "Opens, raises and clears alarms, and opens work orders.",
        ("anomaly.detected", "instrument.fault", "suppression.*", "machine.state_changed"),
        ("alarm.*", "work_order.*", "decisions"), (_stage("decide"),), ("decide",),
    ),
    Agent(
        "notify", "Writes the messages about what was decided, for whoever asked to be told.",
        ("alarm.*", "work_order.*", "subscription.*"), ("notifications",), (_stage("notify"),), ("notify",),
    ),
    Agent(
        "quarantine", "Searches a run that fails for the part that makes it fail, and sets that aside.",
        ("failed runs",), ("failed runs", "case.opened"), (Source("stage/QUARANTINE", 10 * MINUTES),), ("quarantine",),
    ),
    Agent(
        "deliver", "Sends messages over their channels.",
        ("notifications",), ("deliveries",), (Source("deliver", 5 * MINUTES),), ("deliver",),
    ),
    Agent(
        "webhook", "Sends the events of a site to the addresses that asked for them.",
        ("alarm.*", "anomaly.*", "work_order.*", "case.*", "schedule.*", "plan.*", "model.*", "sensor.*"),
        ("deliveries", "webhook.verified", "webhook.paused", "webhook.gone"), (Source("webhook", 5 * MINUTES),),
        ("webhook",),
    ),
    Agent(
        "escalate", "Tells the next in the chain of an alarm that nobody acknowledges.",
        ("alarm.*", "chain.*"), ("escalation.*", "notifications"), (Source("escalate", 2 * MINUTES),),
        run_by="the sweep",
    ),
    Agent(
        "approve", "Lets requested work go ahead, wait or be rejected, as the site's policies say.",
        ("work_order.requested", "approval_policy.*", "delegation.*"),
        ("work_order.approved", "work_order.rejected", "notifications"), (Source("approve", 2 * MINUTES),),
        run_by="the sweep",
    ),
    Agent(
        "schedule", "Makes schedules, and asks for new ones where something changed.",
        ("work_order.*", "worker.*", "absence.*", "working_hours.*", "schedule.requested"),
        ("schedule.proposed", "schedule.failed"), (_errand("schedule"), _job("schedules")), ("schedule", "schedules"),
    ),
    _periodic(
        "predict", "Asks the models that speak about each machine, and keeps what they say.",
        (READINGS, "model.promoted"), ("predictions",), "predict",
    ),
    _periodic(
        "forecast", "Says when a sensor will be at its limits.", (READINGS,), ("limit forecasts",), "limit_forecasts",
    ),
    Agent(
        "learn", "Trains models when they were asked for, when their time has come or new labels ask for it.",
        ("label.*", "trainings", READINGS), ("trainings", "model.promoted", "model.challenged"),
        (_errand("training"), _job("trainings"), _job("mirror_aliases")), ("train", "trainings", "mirror_aliases"),
    ),
    _periodic(
        "drift", "Looks whether readings are still as those that models learned from, and asks for trainings.",
        (READINGS, "model.promoted"), ("drift checks", "trainings"), "drift",
    ),
    _periodic(
        "performance", "Holds what models said against what happened, and takes back one that does worse.",
        ("predictions", "label.*", "work_order.completed"), ("performances", "model.rolled_back"), "model_breaches",
    ),
    Agent(
        "answer", "Answers questions to models over REST.",
        ("questions",), ("answers",), (_errand("question"),), ("answer",),
    ),
    Agent(
        "backtest", "Finds out what a limit or a detector would have done with stored readings.",
        ("backtests", READINGS, "label.*"), ("backtests",), (_errand("backtest"),), ("backtest",),
    ),
    Agent(
        "report",
        "Makes the reports that were asked for or whose time has come, and mails those.",
        ("reports", READINGS, "anomaly.*", "alarm.*", "work_order.*", BATCHES, "deliveries"),
        ("reports", "notifications"),
        (_errand("report"), _job("reports")),
        ("report", "reports"),
    ),
    Agent(
        "export", "Makes the files that were asked for, and deletes them when their time is over.",
        ("exports", READINGS, "anomaly.*", "alarm.*", "work_order.*", "audit entries"), ("exports",),
        (_errand("export"), _job("forget_exports")), ("export", "forget_exports"),
    ),
    _periodic(
        "nuisance", "Watches for alarms that come and go or stay for long.",
        ("alarm.*",), ("alarm.noted",), "alarm_nuisance",
    ),
    _periodic(
        "watchdog", "Tells of sensors that fell silent, audits the service, calls the outside heartbeat.",
        ("job rows", LANES, "notifications"), ("sensor.silent", "sensor.heard", "instrument.fault"), "watchdog",
    ),
    _periodic(
        "doctor", "Diagnoses cases of failed runs, tries a remedy, and writes down whether it helped.",
        ("case.opened", "failed runs"), ("cases", "case.needs_person", "case.resolved", "run.replayed"), "doctor",
    ),
    _periodic(
        "housekeeping", "Makes partitions ahead, packs and expires readings, forgets what is old, seals the audit.",
        (READINGS, "audit entries", "log-ins", "requests"), ("readings.expired", "audit entries"), "make_partitions",
        "expire_readings", "compact_readings", "forget_questions", "forget_predictions", "forget_requests",
        "forget_log_ins", "forget_webhook_deliveries", "seal_audit",
    ),
    Agent(
        "backup", "Ships what Postgres writes, and makes whole backups.", (READINGS,), ("backups",),
        (Source("backup", 2 * MINUTES),), run_by="the service backup",
    ),
)  # fmt: skip
