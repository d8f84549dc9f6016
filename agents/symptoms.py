"""Read what is known of a case: its runs, what else the stage did lately, deployments and migrations."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents import cases, releases
from agents.diagnosis import Symptoms
from agents.models import Case, Run, StageAttempt
from sensors.models import BatchPart

COLUMN = re.compile(r'column "(\w+)" of relation "(\w+)"')
LATELY = timedelta(minutes=10)
MOST = 1_000
"""Beyond so many nothing depends on the number."""


def observe(case: Case) -> Symptoms:
    newest = cases.waiting(case).last() or Run.objects.filter(case=case).order_by("id").last()
    since, seconds = case.opened_at - LATELY, None
    deployment = releases.deployment_of(case.version)
    if deployment is not None and deployment.follows:  # else it is no newer than anything
        since = max(since, deployment.at)
        seconds = (case.opened_at - deployment.at).total_seconds()
    done = StageAttempt.objects.filter(
        stage=case.stage, outcome=StageAttempt.Outcome.DONE, run__created_at__gte=since, ended_at__gte=since
    )
    return Symptoms(
        kind=str(case.evidence.get("kind", "")),
        error_class=case.error_class,
        text=newest.error if newest else "",
        failures=case.failures,
        spared=done.order_by()[:MOST].count(),
        sites=sites(case),
        split=Run.objects.filter(case=case, split_from__isnull=False).exists(),
        since_deployment=seconds,
        migrations_pending=migrations_pending(),
        unknown_column=newest is not None and speaks_of_an_unknown_column(newest.error),
        sender=sender(case),
        lately=_lately(case, newest),
    )


def sender(case: Case) -> int | None:
    """User id of the only client whose readings failed; None where there are more, or it is not known."""
    runs = Run.objects.filter(case=case).values("pk")
    senders = BatchPart.objects.filter(run_id__in=runs).order_by().values_list("batch__submitted_by", flat=True)
    found: list[int | None] = list(senders.distinct()[:2])
    return found[0] if len(found) == 1 else None


def _lately(case: Case, newest: Run | None) -> int:
    if newest is None:
        return 0
    runs = Run.objects.filter(case=case, created_at__gte=newest.created_at - LATELY)
    return runs.order_by()[:MOST].count()


def sites(case: Case) -> int:
    """Of how many sites its runs carried readings."""
    runs = Run.objects.filter(case=case).values("pk")
    return BatchPart.objects.filter(run_id__in=runs).values("batch__site_id").distinct().count()


def speaks_of_an_unknown_column(text: str) -> bool:
    """Whether an error is about a column that the database has and the code does not, of a table of ours."""
    known = {
        model._meta.db_table: {field.column for field in model._meta.concrete_fields} for model in apps.get_models()
    }
    return any(column not in known.get(table, {column}) for column, table in COLUMN.findall(text))


def migrations_pending() -> bool:
    """Whether the code that runs knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def told(symptoms: Symptoms) -> dict[str, Any]:
    """As evidence on the case: all but the traceback, which stands on the runs."""
    seen = asdict(symptoms)
    del seen["text"]
    return seen | {"condition": symptoms.condition, "raised": sorted(symptoms.raised)}
