"""How often the doctor names the right cause: ``make bench-doctor``.

Each fault is brought about for real, on servers of its own: statements that Postgres refuses, targets that do not
answer, payloads that cannot be read, memory and time that run out, workers that are killed, mistakes in code. The runs
go through stages, quarantine and set-aside as in the service; then the doctor looks, and its diagnosis is held against
what was broken. A fault's label says what was broken, whatever the traceback looks like; the set has faults in it that
look like something else. Those of ``tests.bench.doctor_unseen`` were written after the rules, which were not changed
for them; their figures stand apart.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from agents import doctor, releases
from agents.diagnosis import Likely
from agents.models import Case, Run
from config import embedded
from sensors import store
from tests import faults, workers
from tests.bench import doctor_faults, doctor_unseen, results
from tests.bench.doctor_faults import Fault
from tests.bench.results import row

CAUSES = [cause.value for cause in Likely]
LABELS = [cause for cause in CAUSES if cause != Likely.UNKNOWN]
OLD_VERSION = "old-version"


def diagnose(fault: Fault) -> Case | None:
    """Bring the fault about in an empty plant that has worked well so far, and have the doctor look; its case."""
    call_command("flush", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(store.TABLES)}")
    ours, releases.current = releases.current, lambda: OLD_VERSION  # type: ignore[assignment]
    try:
        releases.note(OLD_VERSION)
        plant = faults.sensors(4)
        for sensor in plant:
            faults.send(sensor, [1.0, 2.0])
        workers.recover()
        assert not Run.objects.exclude(status="DONE").exists()
        fault.strike(plant)
        Case.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        doctor.look_round()
    finally:
        releases.current = ours
        doctor_faults.put_back_migrations()
    return Case.objects.order_by("-failures", "id").first()


def measure(found: Sequence[tuple[str, str]], name: str) -> list[dict[str, Any]]:
    """Precision and recall of each cause over pairs of what was broken and what was said."""
    counted, rows = Counter(found), []
    for cause in LABELS:
        right = counted[cause, cause]
        said = sum(n for (_, guess), n in counted.items() if guess == cause)
        was = sum(n for (label, _), n in counted.items() if label == cause)
        for figure, of in (("precision", said), ("recall", was)):
            if of:
                rows.append(row(f"{name}: {figure} of {cause}", right / of, "share", detail=f"{right} of {of}"))
    right, all_ = sum(n for (label, guess), n in counted.items() if label == guess), len(found)
    rows.append(row(f"{name}: named rightly", right / all_, "share", detail=f"{right} of {all_}"))
    wrong = sum(n for (label, guess), n in counted.items() if guess not in (label, Likely.UNKNOWN))
    rows.append(row(f"{name}: named wrongly", wrong / all_, "share", detail=f"{wrong} of {all_}; the rest: unknown"))
    return rows


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words).rstrip() + "\n")
    sys.stdout.flush()


def show_confusion(found: Sequence[tuple[str, str]]) -> None:
    counted = Counter(found)
    say("was broken \\ was said".ljust(24), *(cause.rjust(11) for cause in CAUSES))
    for label in LABELS:
        say(label.ljust(24), *(str(counted[label, guess] or ".").rjust(11) for guess in CAUSES))
    say()


def run(name: str, known: Sequence[Fault]) -> list[dict[str, Any]]:
    found = []
    for fault in known:
        case = diagnose(fault)
        said, rule = (case.likely_cause, case.rule) if case else (Likely.UNKNOWN.value, "no case")
        found.append((fault.label, said))
        mark = "ok  " if said == fault.label else "miss"
        say(f"{mark} {fault.label:11} {said:11} {rule:22} {fault.name}")
    say()
    show_confusion(found)
    return measure(found, name)


def main() -> int:
    embedded.ensure_needed()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        rows = run("faults", doctor_faults.FAULTS) + run("unseen faults", doctor_unseen.FAULTS)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.show(rows)
    results.keep("doctor", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
