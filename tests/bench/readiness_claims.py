"""What Bellwether claims to be ready for, each with the benchmark whose rows show it. Targets are all its figures.

A claim is shown by rows of one file of ``.bellwether/bench``, which one command writes. To add one: name the area,
what is claimed, the command with its options as the claim needs them, and for each figure the pattern of the rows'
names, their unit and the target. ``tests.bench.readiness`` does the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

API, PIPELINE, AGENTS, DATABASE, ML, INTERFACE = "API", "pipeline", "agents", "database", "ML", "interface"
SECURITY, TESTING, MONITORING, INFRASTRUCTURE = "security", "testing", "monitoring", "infrastructure"
DOCUMENTATION, RECOVERY = "documentation", "recovery"
AREAS = (
    API, PIPELINE, AGENTS, DATABASE, ML, INTERFACE, SECURITY, TESTING, MONITORING, INFRASTRUCTURE, DOCUMENTATION,
    RECOVERY,
)  # fmt: skip


def number(value: float) -> str:
    """Four digits that count, and of large numbers all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Bound:
    """What the value of each row must be whose whole name matches ``rows``; fewer than ``count`` of them show nothing.

    ``unit``: a pattern of those rows' unit; rows of another are not what was meant.
    """

    rows: str
    unit: str
    below: float | None = None
    most: float | None = None
    least: float | None = None
    count: int = 1

    def holds(self, value: float) -> bool:
        return (
            (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
            and (self.least is None or value >= self.least)
        )

    def told(self) -> str:
        unit = self.unit if re.fullmatch(r"[\w/%, ]*", self.unit) else ""
        if self.most == 0:
            return f"0 {unit}".strip()
        limits = (("<", self.below), ("<=", self.most), (">=", self.least))
        words = [f"{sign} {number(limit)}" for sign, limit in limits if limit is not None]
        return f"{' and '.join(words)} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Goals:
    """Each row that matches and has a goal must have reached it, by the benchmark's own count; ``count``: of these at
    least."""

    rows: str = ".*"
    count: int = 1

    def told(self) -> str:
        return f"each of {self.count} goals or more" if self.count > 1 else "each goal"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed, and what shows it.

    ``shown_by``: the first is the figure that the table shows. ``command``: what writes ``file``, as ``python -m`` is
    given it; evidence of the same with larger numbers counts too. ``make``: how people run it, where there is a target.
    ``also``: paths beside the product of which the evidence depends. ``quick``: cheap enough to be evidenced anew by
    every run of CI. ``processors``, ``programs``, ``data``: what a machine needs to show it.
    """

    area: str
    says: str
    file: str
    command: str
    make: str
    shown_by: tuple[Bound | Goals, ...]
    also: tuple[str, ...] = ()
    quick: bool = False
    processors: int = 1
    programs: tuple[str, ...] = ()
    data: str = ""

    @property
    def target(self) -> str:
        return "; ".join(one.told() for one in self.shown_by)


@dataclass(frozen=True, slots=True)
class Bench:
    """A file of evidence and the command that writes it, for claims that share it."""

    file: str
    command: str
    make: str


NONE = {"most": 0.0}


def claim(area: str, says: str, bench: Bench, *shown_by: Bound | Goals, **more: object) -> Claim:
    return Claim(area, says, bench.file, bench.command, bench.make, shown_by, **more)  # type: ignore[arg-type]


LATENCY = Bench("latency", "tests.bench.latency", "bench-pipeline PARTS=latency")
THROUGHPUT = Bench("throughput", "tests.bench.throughput", "bench-pipeline PARTS=throughput")
CONNECTIONS = Bench("connections", "tests.bench.connections", "bench-pipeline PARTS=connections")
CHAOS = Bench("chaos", "tests.chaos --seeds 1 --seconds 75", "chaos")
LOAD = Bench("load", "tests.bench.load", "load")
STORE = Bench("store", "tests.bench.store", "bench-store")
ORDERS = Bench("orders", "tests.bench.orders", "bench-orders")
KPI = Bench("kpi", "tests.bench.kpi", "bench-kpi")
MATRIX = Bench("matrix", "tests.bench.matrix", "matrix")
DRILL = Bench("drill", "tests.bench.drill", "drill")
COVERAGE = Bench("coverage", "tests.bench.covered", "coverage")
MODELS = Bench("models", "tests.bench.models", "bench-models")
DETECTORS = Bench("detectors", "tests.bench.detectors", "bench-detectors")

FIGURES = Bench("alert-figures", "tests.bench.tested alert-figures tests/unit/test_deploy_files.py", "")
DOCUMENTS = Bench("documents", "tests.bench.documents", "documents")
ALERTS = Bench("alerts", "tests.bench.alerts", "alerts")
FUZZ = Bench("fuzz-api", "tests.bench.fuzz", "fuzz-api")

SINGLE = "answer to a single reading, 103/s: "
STORED_ONCE = (
    Bound(SINGLE + "not 2xx at once", "requests", **NONE),
    Bound(SINGLE + "sent and not stored once", "readings", **NONE),
)
PASSED = (Bound("passed", "tests", least=1.0), Bound("failed", "tests", **NONE), Bound("skipped", "tests", **NONE))
RULES = "storm: I[1-8] .*"

CLAIMS = (
    claim(API, "103 single readings a second, each request authenticated, are answered 2xx, stored once, and 95 of 100 "
          "within 3 ms of when they were due", LATENCY, Bound(SINGLE + "p95", "ms", below=3.0), *STORED_ONCE,
          processors=4),
    claim(API, "1,000 clients on connections of their own are served without an error, 99 of 100 within 2 s",
          CONNECTIONS, Bound("1,000 connections: p99", "ms", below=2_000.0),
          Bound("1,000 connections: errors", "requests", **NONE)),
    claim(API, "10,000 readings a second are stored durably, 99 of 100 requests answered within 2 s, fewer than 0.1 % "
          "of them in error", LOAD, Bound("peak: stored", "readings/s", least=10_000.0),
          Bound("peak: p99", "ms", below=2_000.0), Bound("peak: errors", "%", below=0.1)),
    claim(API, "What was accepted of a steady load, a peak, bursts and a soak is stored once, as it was sent, row by "
          "row", LOAD, Bound("(steady|peak|burst|soak): (lost|doubled|stored .*)", "readings", count=16, **NONE)),
    claim(API, "Of 20,000 requests made up from the description none is answered with what it does not describe", FUZZ,
          Goals(count=4), Bound("requests", "requests", least=20_000.0)),
    claim(PIPELINE, "Under random kills and broken connections nothing that was accepted is lost, doubled, held up or "
          "told to another site", CHAOS, Bound(RULES, "found", count=12, **NONE),
          Bound("storm: faults", "faults", least=20.0)),
    claim(PIPELINE, "Killed again and again, and with the broker emptied, no batch is lost or doubled", CHAOS,
          Bound("baseline: (kills|emptying): (lost|doubled)", "batches", count=4, **NONE),
          Bound("baseline: (kills|emptying): faults", "faults", least=1.0, count=2)),
    claim(PIPELINE, "With Redis away for a minute every request is taken, and nothing is lost or doubled", CHAOS,
          Bound("redis_minute: Redis .*: (lost|doubled|requests failed)", "(readings|readings, stages|requests)",
                count=3, **NONE)),
    claim(PIPELINE, "At three times the capacity what is refused is told when to come again, critical machines are "
          "served, and nothing is lost or doubled", CHAOS, Goals("overload: .*", count=5)),
    claim(PIPELINE, "A part that kills its worker is set aside alone, and the other parts go on", CHAOS,
          Goals("poison: .*", count=3)),
    claim(PIPELINE, "An alarm is committed within 40 ms (median) and 150 ms (99 of 100) of the request that raises it",
          LATENCY, Bound("accept to committed alarm, idle: p50", "ms", below=40.0),
          Bound("accept to committed alarm, idle: p99", "ms", below=150.0), processors=4),
    claim(PIPELINE, "250,000 readings a second are stored and judged", THROUGHPUT,
          Bound("batches of 1,000, by machine", "readings/s", least=250_000.0), processors=4),
    claim(AGENTS, "The doctor names the cause of at least nine in ten failures that it was built on",
          Bench("doctor", "tests.bench.doctor", "bench-doctor"), Bound("faults: named rightly", "share", least=0.9)),
    claim(AGENTS, "A proposed schedule breaks none of the rules of work",
          Bench("schedule", "tests.bench.schedule", "bench-schedule"), Bound(".*: violations", "", count=3, **NONE)),
    claim(AGENTS, "In a storm of alarms a person gets a handful of messages, the first within a minute",
          Bench("storms", "tests.bench.storms", "bench-storms"), Goals(count=2)),
    claim(AGENTS, "An escalation is told at once although hundreds of ordinary mails wait",
          Bench("urgent", "tests.bench.urgent", "bench-urgent"), Goals()),
    claim(DATABASE, "Each question about 100 million stored readings is answered within a second, 95 of 100 times",
          STORE, Bound(".*, p95", "ms", below=1_000.0, count=5), Bound("readings", "stored", least=100_000_000.0)),
    claim(DATABASE, "A compacted reading takes at most 4 bytes, and storing costs no more as the store grows", STORE,
          Bound("bytes of a compacted reading", "bytes", most=4.0),
          Bound("cost of a reading as (the store grows|sensors grow in number)", "times", most=1.3, count=2)),
    claim(DATABASE, "A node under load has fewer than 100 connections to Postgres", LOAD,
          Bound("connections to Postgres, at most", "connections", below=100.0)),
    claim(ML, "Every model is better than each of its baselines on what was held out", MODELS, Goals(),
          data="cmapss"),
    claim(ML, "The detector finds the documented stretches and keeps to the false alarms that it was asked for",
          DETECTORS, Goals(count=6)),
    claim(ML, "The detector reaches its goals on the Numenta benchmark: above 74, 69 and 79 by its three profiles",
          Bench("nab", "tests.bench.nab", "bench-nab"), Goals(count=3), data="nab"),
    claim(ML, "Drift is called falsely no more often than asked for, and a check takes less than a second",
          Bench("drift", "tests.bench.drifting", "bench-drift"), Goals(count=3)),
    claim(ML, "An explanation puts the feature at fault first", Bench("explaining", "tests.bench.explaining",
          "bench-explaining"), Goals(count=2)),
    claim(INTERFACE, "Each page and list of work orders is there within 2 s with 100,000 orders stored", ORDERS,
          Bound(".*", "ms, median", below=2_000.0, count=20), Bound("orders", "stored", least=100_000.0)),
    claim(INTERFACE, "The pages of figures and of the log, and their endpoints, are there within 2 s", KPI,
          Bound("page of .*|/api/.*", "ms", most=2_000.0, count=10), data="excavators"),
    claim(SECURITY, "Every operation of the API declares a permission and lets in exactly whom the table names",
          MATRIX, Bound("answers other than the table says", "of .*", **NONE),
          Bound("operations without a policy", "operations", **NONE),
          Bound("refused requests that touched a row", "of .*", **NONE)),
    claim(SECURITY, "No unsafe code, secret or version below an advisory is found (make audit)",
          Bench("make-audit", "tests.bench.outcome audit", ""),
          Bound("exit status", "", **NONE), also=("tests", "deploy", "pyproject.toml", ".secrets.baseline")),
    claim(TESTING, "85 % of the product's lines are run by its tests, and none of these fails", COVERAGE,
          Bound("covered: all", "%", least=85.0), Bound("pytest: exit status", "", **NONE), also=("tests",)),
    claim(TESTING, "90 % of pipeline, lease, store and alarms are run by the tests", COVERAGE,
          Bound("covered: (pipeline|lease|store|alarms)", "%", least=90.0, count=4), also=("tests",)),
    claim(TESTING, "Style and types are clean (make lint, make types)",
          Bench("make-lint-types", "tests.bench.outcome lint types", ""),
          Bound("exit status", "", **NONE), also=("tests", "pyproject.toml")),
    claim(MONITORING, "Every alert has fired for real, on a Prometheus and an Alertmanager", ALERTS,
          Goals("(?!dashboard ).*", count=10), also=("deploy",), programs=("prometheus", "promtool")),
    claim(MONITORING, "Every query of the dashboards returns data", ALERTS, Goals("dashboard .*", count=5),
          also=("deploy",), programs=("prometheus", "promtool")),
    claim(MONITORING, "Alerts and dashboards ask for figures that are served, and every process that counts is asked",
          FIGURES, *PASSED, also=("deploy", "docker-compose.yml", "Makefile", "tests/unit/test_deploy_files.py"),
          quick=True),
    claim(DOCUMENTATION, "Each command that a document shows is run by a test", DOCUMENTS, Goals(count=2),
          also=("docs", "README.md", "tests", "Makefile")),
    claim(INFRASTRUCTURE, "Production settings, migrations and the API's schema are sound (make check)",
          Bench("make-check", "tests.bench.outcome check", ""),
          Bound("exit status", "", **NONE), also=("Makefile",), quick=True),
    claim(INFRASTRUCTURE, "No service takes more than 2 GB of memory under load", LOAD,
          Bound("memory of .*, at most", "MiB", below=2_048.0, count=8)),
    claim(RECOVERY, "A database that was lost comes back to an instant with the same contents of every table", DRILL,
          Bound("tables that are not as they were", "tables", **NONE)),
    claim(RECOVERY, "It is back within 30 minutes (RTO)", DRILL,
          Bound("RTO: from the loss to a server that answers", "s", below=1_800.0)),
    claim(RECOVERY, "Of what was accepted before the loss less than 24 hours are gone (RPO)", DRILL,
          Bound("RPO: the newest that was kept, before the newest", "s", below=86_400.0)),
)  # fmt: skip
