"""Requests that a program made up from the description of the API, valid and not, alone and one after another.

Every answer is held against the description: no 5xx, no status, content type, header or body that is not described.
``make fuzz-api`` asks for 20,000 requests at least; ``--seconds`` is how long it goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from sensors import asked, idempotency
from tests.bench import results
from tests.bench.fuzz_plant import OPERATOR
from tests.bench.fuzzed import Fuzzed, running
from tests.bench.results import row
from tests.bench.running import in_a_folder

WANTED = 20_000
SECONDS = 1_500
CHECKS = {
    "not_a_server_error": "answers 5xx",
    "status_code_conformance": "undocumented statuses",
    "content_type_conformance": "undocumented content types",
    "response_schema_conformance": "bodies against their schema",
    "response_headers_conformance": "headers against their schema",
}
STREAM = "/api/v1/live/"


@dataclass(slots=True)
class Found:
    """What came of a run. ``failures``: by check, operation and title how often, and the first as a person reads it."""

    requests: int = 0
    operations: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    samples: dict[tuple[str, str, str], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    unanswered: int = 0
    described: int = 0
    seconds: float = 0.0

    def take(self, event: Any) -> None:
        """Count what an event of the engine tells."""
        if isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, (events.ScenarioFinished, events.FuzzScenarioFinished)):
            self._scenario(event.recorder, str(getattr(event, "phase", "")))

    def _scenario(self, recorder: Any, phase: str) -> None:
        for key, interaction in recorder.interactions.items():
            self.requests += 1
            self.phases[phase] += 1
            if interaction.response is None:
                self.unanswered += 1
            else:
                self.statuses[interaction.response.status_code] += 1
            if key in recorder.cases:
                self.operations.add(recorder.cases[key].value.operation.label)
        for nodes in recorder.checks.values():
            for node in nodes:
                if node.status is Status.FAILURE and node.failure_info is not None:
                    self._failure(node.name, node.failure_info)

    def _failure(self, check: str, info: Any) -> None:
        failure = info.failure
        told = str(failure.message).splitlines()
        key = (check, str(failure.operation), told[0] if told else failure.title)
        self.failures[key] += 1
        self.samples.setdefault(key, f"{failure.title}: {failure.message[:1500]}\n{info.code_sample[:1500]}")

    def of(self, check: str) -> int:
        return sum(times for (name, *_), times in self.failures.items() if name == check)


class Login:
    """Tokens of those who ask, made anew where one holds no more: sessions are ended by what is asked here too."""

    url: str
    passwords: dict[str, str]

    def get(self, case: Any, context: Any) -> str:
        name = self.whose(case, context)
        body = {"username": name, "password": self.passwords[name]}
        answer = requests.post(f"{self.url}/api/v1/auth/token/", json=body, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access"])

    def set(self, case: Any, token: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
        if zlib.crc32(str(case.id).encode()) % 8:  # a key that came before with another body ends a request early
            case.headers.pop(idempotency.HEADER, None)

    @classmethod
    def whose(cls, case: Any, context: Any) -> str:
        """Half of what is asked comes from the operator of all sites, the rest from members of one."""
        names = sorted(cls.passwords)
        drawn = zlib.crc32(str(case.id).encode())
        return OPERATOR if drawn % 2 else names[drawn // 2 % len(names)]


def configured(fuzzed: Fuzzed, *, seconds: int, seed: int) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-time": seconds,
            "cache": {"enabled": False},
            "base-url": fuzzed.url,
            "request-timeout": 60,
            "max-redirects": 1,
            "continue-on-failure": True,
            "generation": {"mode": "all", "database": "none", "no-shrink": True},
            "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
            "operations": [{"include-path": STREAM, "max-stream-events": 1, "request-timeout": 3}],
        }
    )


def run(fuzzed: Fuzzed, *, seconds: int, seed: int, say: Callable[[str], object] = lambda line: None) -> Found:
    """Ask for so long; at the first tries of every operation at least."""
    schema = schemathesis.openapi.from_url(
        f"{fuzzed.url}/api/v1/schema/?format=json", config=configured(fuzzed, seconds=seconds, seed=seed),
        headers={"Accept": "application/vnd.oai.openapi+json"},
    )  # fmt: skip
    login: Any = type("Told", (Login,), {"url": fuzzed.url, "passwords": fuzzed.passwords})
    schema.auth(cache_by_key=login.whose)(login)
    schema.hook("filter_failure")(counts)
    found = Found(described=schema.statistic.operations.total)
    began = said = time.monotonic()
    for event in from_schema(schema).execute():
        found.take(event)
        if time.monotonic() - said > 30:
            said = time.monotonic()
            say(f"{said - began:6.0f} s  {found.requests:>7,} requests  {len(found.failures)} kinds of failures\n")
    found.seconds = time.monotonic() - began
    return found


def counts(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Who asks for some fields gets these alone: that others are missing is what was asked for."""
    sparse = asked.FIELDS in (case.query or {})
    return not (sparse and "required property" in str(failure.message))


def figures(found: Found, *, wanted: int) -> list[dict[str, Any]]:
    by_phase = ", ".join(f"{name} {times:,}" for name, times in found.phases.most_common())
    by_class = Counter(status // 100 for status in found.statuses.elements())
    told = ", ".join(f"{hundred}xx {times:,}" for hundred, times in sorted(by_class.items()))
    rows = [
        row("requests", found.requests, "requests", goal=f">= {wanted}", ok=found.requests >= wanted, detail=by_phase),
        row("operations asked", len(found.operations), f"of {found.described}", goal=found.described,
            ok=len(found.operations) >= found.described),
        row("answers", sum(found.statuses.values()), "answers", detail=told),
        row("requests without an answer", found.unanswered, "requests", goal=0, ok=not found.unanswered),
        *(row(said, found.of(check), "answers", goal=0, ok=not found.of(check)) for check, said in CHECKS.items()),
        row("errors of the harness", len(found.errors), "errors", goal=0, ok=not found.errors),
        row("took", found.seconds, "s"),
    ]  # fmt: skip
    return rows


def tell(found: Found, log: Path) -> str:
    """Each kind of failure with the first request that showed it, and the end of the server's log."""
    parts = [f"{times} x {check} at {operation}\n{found.samples[check, operation, title]}"
             for (check, operation, title), times in found.failures.most_common()]  # fmt: skip
    parts += [f"harness: {error}" for error in found.errors[:20]]
    if found.of("not_a_server_error"):
        parts.append(log.read_text(errors="replace")[-20_000:])
    return "\n\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--wanted", type=int, default=WANTED, help="How many requests it takes to be enough.")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with in_a_folder() as folder, running(folder) as fuzzed:
        found = run(fuzzed, seconds=given.seconds, seed=given.seed, say=sys.stdout.write)
        told = tell(found, fuzzed.log)
    rows = figures(found, wanted=given.wanted)
    if told:
        sys.stdout.write(told + "\n\n")
    results.show(rows)
    results.keep("fuzz-api", rows)
    return int(not all(one["ok"] is not False for one in rows))


if __name__ == "__main__":
    sys.exit(main())
