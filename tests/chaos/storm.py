"""Random faults on the whole service, from a printed seed, and what was lost or doubled: ``make chaos``.

Clients send readings over HTTP at a steady rate, first in peace, then while processes are killed and frozen, Redis and
Postgres crash, connections stall and break, messages come twice and the sinks are slow, busy and break off. Whatever
was answered with 202 must then be there exactly once, down to the message in its sink (see ``tests.chaos.invariants``).
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from tests.bench import results
from tests.bench.results import row
from tests.chaos import facts, figures, invariants, model
from tests.chaos.client import HIGH, MACHINES, POISON, POISONED, READINGS, Clients
from tests.chaos.facts import Facts
from tests.chaos.faults import FAULTS, PATIENCE, Arena, Fault, Storm
from tests.chaos.figures import Phases
from tests.chaos.invariants import Violation
from tests.chaos.model import Model
from tests.chaos.proxy import Proxy, Target
from tests.chaos.service import Service, until
from tests.chaos.sinks import Log, StormyHook, StormyMail

POISON_PATIENCE = 300.0

DONE_RUNS = "SELECT count(*) FROM agents_run WHERE status = 'DONE'"
BEHIND = """SELECT count(*) FROM sensors_batchpart p JOIN sensors_equipment e ON e.lane = p.lane
WHERE p.state IN ('WAITING', 'TAKEN') AND p.created_at < clock_timestamp() - interval '2 seconds' AND e.tag <> %s"""
WARM_SECONDS = 20.0
ON_THE_WAY = {
    "parts": """SELECT count(*) FROM sensors_batchpart p JOIN sensors_equipment e ON e.lane = p.lane
        WHERE p.state IN ('WAITING', 'TAKEN') AND e.tag <> %s""",
    "runs": """SELECT count(*) FROM agents_run r JOIN sensors_equipment e ON e.lane = r.lane
        WHERE r.status NOT IN ('DONE', 'FAILED') AND e.tag <> %s""",
    "messages": "SELECT count(*) FROM maintenance_notification WHERE status = 'PENDING' AND %s IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One storm. ``lease``: seconds; the time limits of tasks follow. ``poison``: send batches that break a stage."""

    seed: int
    seconds: float
    quiet: float
    rate: float
    lease: int
    faults: Sequence[Fault] = FAULTS
    poison: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    rows: list[dict[str, Any]]
    violations: list[Violation]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def arena(plan: Plan, home: Path, log: Log) -> Iterator[tuple[Arena, dict[str, str], dict[str, str]]]:
    """The service behind proxies, not started; with the environment to start it in, and a password by site."""
    with ExitStack() as stack:
        mail, hook = stack.enter_context(StormyMail(log)), stack.enter_context(StormyHook(log))
        service = Service(home, lease_seconds=plan.lease)
        stack.callback(service.stop)
        service.prepare()
        ways = {
            "postgres": Target(service.postgres_socket), "broker": Target(service.redis_socket),
            "mail": Target(port=mail.port), "hook": Target(port=hook.port),
        }  # fmt: skip
        proxies = {name: stack.enter_context(Proxy(target)) for name, target in ways.items()}
        passwords = service.set_up(
            machines=(*MACHINES, POISONED), high=HIGH, hook=f"http://127.0.0.1:{proxies['hook'].port}"
        )
        environment = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{proxies['postgres'].port}/bellwether?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{proxies['broker'].port}/0",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(proxies["mail"].port),
            "EMAIL_USE_TLS": "0",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        yield Arena(service, random.Random(plan.seed), **proxies), environment, passwords


def run(plan: Plan, home: Path) -> Outcome:
    """One storm from start to verdict. Raises ``TimeoutError`` where the service does not get on."""
    log = Log(random.Random(plan.seed + 1))
    say(f"seed {plan.seed}: {plan.quiet:g} s of peace, {plan.seconds:g} s of faults")
    with arena(plan, home, log) as (where, environment, passwords):
        service = where.service
        service.execute(figures.COUNT_RINGS)
        poison = {"BELLWETHER_POISON": ",".join(f"{kind}:{value}" for kind, value in POISON.items())}
        service.start(environment | (poison if plan.poison else {}))
        clients = Clients(service.url, passwords, rate=plan.rate, seed=plan.seed, poison=plan.poison)
        storm = Storm(where, plan.faults)
        phases = _rage(plan, clients, storm)
        say("  the last request is accepted")
        log.is_kind = True
        drained = until(lambda: is_drained(service, without=POISONED), limit=PATIENCE)
        until(lambda: is_drained(service, without=""), limit=POISON_PATIENCE)
        say("  all is done")
        wanted = model.of(clients.ledger.accepted)
        found = facts.load(service, log.deliveries)
        windows = sum(strike.fault.senders for strike in storm.strikes)
        violations = [
            *invariants.check(wanted, found, windows=windows),
            *(Violation(invariants.ACCEPTED_IS_DONE, answer) for answer in clients.ledger.refused),
            *invariants.replays(clients.ledger.accepted),
        ]
        rows = [
            *_counts(plan, clients, storm, found, log),
            *_verdicts(violations, invariants.RULES),
            *figures.rows(service, clients.ledger.accepted, storm.strikes, phases),
            row("drained after the last request", drained, "s", detail="without what poison holds up"),
        ]
        if plan.poison:
            late = _replayed(service, environment, wanted, log)
            rows += _verdicts(late, (invariants.REPLAYED,))
            violations += late
        return Outcome(rows, violations)


def _rage(plan: Plan, clients: Clients, storm: Storm) -> Phases:
    """Load in peace, then under faults, then none. Peace begins when the workers have caught up with the start.

    A machine on which they never do is overloaded by this rate; its quiet phase shows that.
    """
    service = storm.arena.service
    clients.start()
    try:
        until(lambda: service.number(DONE_RUNS) > 0, limit=PATIENCE)
        warm = time.monotonic() + WARM_SECONDS
        until(lambda: service.number(BEHIND, POISONED) == 0 or time.monotonic() > warm, limit=PATIENCE)
        peace = time.time()
        time.sleep(plan.quiet)
        began = time.time()
        storm.rage(seconds=plan.seconds, say=say, goes_on=clients.are_sending)
    finally:
        clients.stop()
    return Phases(peace, began)


def is_drained(service: Service, *, without: str) -> bool:
    """Whether all has come to an end, but for what the machine of that name sent."""
    return not any(service.number(query, without) for query in ON_THE_WAY.values())


def _replayed(service: Service, environment: dict[str, str], wanted: Model, log: Log) -> list[Violation]:
    """Start again without the poison, replay what was set aside, and look at everything once more."""
    service.kill()
    service.start(environment)
    service.run("manage.py", "replay-failed", "--all")
    until(lambda: is_drained(service, without=""), limit=POISON_PATIENCE)
    return invariants.after_replay(wanted, facts.load(service, log.deliveries))


def _counts(plan: Plan, clients: Clients, storm: Storm, found: Facts, log: Log) -> list[dict[str, Any]]:
    accepted = clients.ledger.accepted
    kinds = Counter(strike.fault.name for strike in storm.strikes)
    asked = [one for one in accepted if not one.duplicate]
    twice = [one for one in accepted if one.duplicate]
    return [
        row("faults", len(storm.strikes), "faults", detail=f"seed {plan.seed}: {_told(kinds)}"),
        row("requests accepted", len(asked), "requests",
            detail=f"{READINGS} readings each; answers: {_told(clients.ledger.answers)}"),
        row("requests sent again", len(twice), "requests", detail=f"{sum(not one.keyed for one in twice)} without key"),
        row("batches poisoned", len({one.request for one in accepted if one.request.poison}), "batches"),
        row("runs", len(found.runs), "runs", detail=_told(Counter(found.runs.values()))),
        row("messages", len(found.messages), "messages", detail=_told(log.counts())),
        row("messages delivered again", invariants.doubled(found), "copies",
            detail=f"{invariants.unheard(found)} answers late or broken off"),
    ]  # fmt: skip


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} x {what}" for what, count in sorted(counts.items()))


def _verdicts(violations: Sequence[Violation], rules: Sequence[str]) -> list[dict[str, Any]]:
    """For each rule how much breaks it, which must be nothing."""
    shown = []
    for rule in rules:
        broken = [one for one in violations if one.rule == rule]
        detail = "; ".join(one.what for one in broken)[:500]
        shown.append(row(rule, sum(one.count for one in broken), "found", goal=0, ok=not broken, detail=detail))
    return shown


def run_in_a_folder_of_its_own(plan: Plan) -> Outcome:
    """The same where nothing else is; the service's log is kept where the storm did not come to its end."""
    with tempfile.TemporaryDirectory(prefix="bellwether-storm-") as folder:
        try:
            outcome = run(plan, Path(folder) / "home")
        except (TimeoutError, RuntimeError, psycopg2.Error):
            keep_log(plan, Path(folder))
            raise
        if outcome.violations:
            keep_log(plan, Path(folder))
        return outcome


def keep_log(plan: Plan, folder: Path) -> None:
    results.OUT.mkdir(parents=True, exist_ok=True)
    kept = results.OUT / f"chaos-seed-{plan.seed}.log"
    if (folder / "up.log").exists():
        shutil.copy(folder / "up.log", kept)
        say(f"The service's log is kept in {kept}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="How many storms, each of another seed.")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=75, help="Of faults in each storm.")
    parser.add_argument("--quiet", type=float, default=15, help="Seconds of load without faults before.")
    parser.add_argument("--rate", type=float, default=10, help="Requests a second.")
    parser.add_argument("--lease", type=int, default=8, help="Seconds that a worker may hold what it works on.")
    asked = parser.parse_args()
    everything: list[dict[str, Any]] = []
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        began = time.monotonic()
        plan = Plan(seed, seconds=asked.seconds, quiet=asked.quiet, rate=asked.rate, lease=asked.lease)
        try:
            rows = run_in_a_folder_of_its_own(plan).rows
        except TimeoutError as error:
            rows = [row("storms that did not end", 1, "storms", goal=0, ok=False, detail=f"seed {seed}: {error}")]
        results.show([*rows, row("this storm", time.monotonic() - began, "s in all")])
        everything += rows
    together = figures.together(everything, storms=asked.seeds)
    say(f"{asked.seeds} storms together")
    results.show(together)
    results.keep("storm", [*together, *everything])
    return 0 if all(row["ok"] is not False for row in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
