"""What Bellwether claims, and what of it is shown: ``make readiness``.

Each claim (``tests.bench.readiness_claims``) is held against the evidence that benchmarks left in
``.bellwether/bench``. The score is the share of claims whose evidence is fresh and good. Nothing is measured unless it
is asked for: ``--run`` runs the commands of all claims that are stale or not shown, ``--quick`` those of the quick
ones, and judges these alone. The table is kept as ``readiness.json``, which a page of the admin shows.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.bench import results
from tests.bench.readiness_claims import AREAS, CLAIMS, Claim
from tests.bench.readiness_verdicts import Here, Judged, Row, Verdict, judge, score

DAYS = 14.0
"""How old evidence may be."""
NAME = "readiness"
OF_MAKE = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS", "SECONDS", "SEEDS", "PARTS")
"""What make hands down to what it starts: meant for this command, not for those that it runs."""


@functools.cache
def changed(commit: str, also: Sequence[str]) -> list[str] | None:
    """Files of the product, and below ``also``, that differ from a commit, whether that was committed or not."""
    paths = (*results.PRODUCT, *also)
    differ = results.git("diff", "--name-only", commit, "--", *paths)
    new = results.git("ls-files", "--others", "--exclude-standard", "--", *paths)
    return None if differ is None or new is None else sorted({*differ.split("\n"), *new.split("\n")} - {""})


def lacks(claim: Claim) -> str:
    """Why this machine cannot show a claim, or shows less than it is about; empty where it can."""
    processors = len(os.sched_getaffinity(0))
    missing = [f"{name} is not installed" for name in claim.programs if shutil.which(name) is None]
    if claim.data and not (results.DATA / claim.data).is_dir():
        missing.append(f"the data set {claim.data} is not at hand")
    if processors < claim.processors:
        missing.append(
            f"asked for on {claim.processors} processors or more: service, servers and load share {processors} here"
        )
    return "not to be shown on this machine: " + ", ".join(missing) if missing else ""


def evidence(file: str) -> list[Row] | None:
    """The rows of a file; None where there is none, or it holds no rows."""
    try:
        rows = json.loads((results.OUT / f"{file}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    is_table = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows if is_table else None


def judge_all(
    claims: Iterable[Claim], *, now: datetime, days: float = DAYS, since: datetime | None = None
) -> list[Judged]:
    here = Here(now, days, changed, lacks, since)
    return [judge(claim, evidence(claim.file), here) for claim in claims]


def run(claims: Iterable[Claim]) -> None:
    """The commands of the claims, each once; what they say is theirs, how they ended too."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    for make, command in dict.fromkeys((claim.make, claim.command) for claim in claims):
        words = ["make", "--no-print-directory", *make.split()] if make else [sys.executable, "-m", *command.split()]
        say(f"== make {make}" if make else f"== python -m {command}")
        subprocess.run(words, cwd=results.ROOT, env=environment, check=False)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show(judged: Sequence[Judged]) -> None:
    results.wide([
        ("area", "claim", "target", "found", "by", "when, on", "verdict"),
        *((one.claim.area, one.claim.says, one.claim.target, one.value or "-", _by(one), _when(one), _told(one))
          for one in judged),
    ])  # fmt: skip
    counts = ", ".join(f"{sum(one.verdict == verdict for one in judged)} {verdict}" for verdict in Verdict)
    say(f"Score: {score(judged):.0f} % of {len(judged)} claims have evidence that is fresh and good ({counts}).")


def _by(one: Judged) -> str:
    return f"make {one.claim.make}" if one.claim.make else f"python -m {one.claim.command}"


def _when(one: Judged) -> str:
    return f"{one.at[:16].replace('T', ' ')}, {one.commit[:9]}" if one.at else "-"


def _told(one: Judged) -> str:
    return f"{one.verdict.upper() if one.verdict == Verdict.BAD else one.verdict}" + (f": {one.why}" if one.why else "")


def keep(judged: Sequence[Judged], *, now: datetime) -> None:
    """As JSON, for the admin and for programs."""
    table: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "commit": results.STARTED["commit"],
        "score": score(judged),
        "rows": [
            {"area": one.claim.area, "claim": one.claim.says, "target": one.claim.target, "value": one.value,
             "run": _by(one), "command": one.command, "at": one.at, "commit": one.commit, "verdict": one.verdict,
             "why": one.why}
            for one in judged
        ],
    }  # fmt: skip
    results.OUT.mkdir(parents=True, exist_ok=True)
    (results.OUT / f"{NAME}.json").write_text(json.dumps(table, indent=1))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Evidence the quick claims anew; fail if one is not good.")
    parser.add_argument("--run", action="store_true", help="Run what is stale or not shown first. Takes hours.")
    parser.add_argument("--days", type=float, default=DAYS, help="How old evidence may be.")
    asked = parser.parse_args(arguments)
    began = datetime.now(UTC).replace(microsecond=0)
    claims = sorted(CLAIMS, key=lambda one: AREAS.index(one.area))
    quick = [one for one in claims if one.quick]
    if asked.quick:
        run(quick)
    elif asked.run:
        again = {Verdict.STALE, Verdict.NOT_SHOWN}
        before = judge_all(claims, now=datetime.now(UTC), days=asked.days)
        run(one.claim for one in before if one.verdict in again and not has_nothing_to_go_on(one.claim))
    changed.cache_clear()
    now = datetime.now(UTC)
    judged = judge_all(claims, now=now, days=asked.days)
    keep(judged, now=now)
    if asked.quick:
        judged = judge_all(quick, now=now, since=began)
    show(judged)
    fails = {Verdict.BAD, Verdict.STALE, Verdict.NOT_SHOWN} if asked.quick else {Verdict.BAD}
    return int(any(one.verdict in fails for one in judged))


def has_nothing_to_go_on(claim: Claim) -> bool:
    """Whether its command would find nothing to work with; with fewer processors it does, and says what it found."""
    return any(shutil.which(name) is None for name in claim.programs) or bool(
        claim.data and not (results.DATA / claim.data).is_dir()
    )


if __name__ == "__main__":
    sys.exit(main())
