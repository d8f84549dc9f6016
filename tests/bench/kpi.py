"""The figures of maintenance on the real work orders of five excavators: ``make bench-kpi``.

They are imported as their owner would, by a mapping, into a database of its own. Times between failures by system, the
last of each machine still running, stand beside the Kaplan-Meier curve of lifelines on the same intervals, which are
built from the files alone (``tests.bench.excavators``). The log of a fleet of aircraft (MaintNet) is imported too, and
searched in full text. Then 100,000 orders are stored, and each page and endpoint of orders, figures and log is asked
for.
"""

from __future__ import annotations

import csv
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment
from django.utils import timezone
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from config import embedded
from maintenance import kpi_report, survival
from maintenance import log as maintenance_log
from maintenance.kpi_groups import PartLife
from maintenance.models import LogLanguage, LogLine
from sensors.models import Equipment, Site
from tests import client, factories
from tests.bench import excavators, results
from tests.bench.results import row

ORDERS, MACHINES, TIMES = 100_000, 100, 5
SLOWEST = 2.0
"""Seconds that a page or endpoint may take."""
FILL = """
INSERT INTO maintenance_workorder (site_id, machine_id, failure_mode, found_mode, maintenance_type, priority, status,
    title, description, occurrences, planned_start, planned_minutes, hold_reason, findings, mechanism, cause,
    detection_method, activity, verdict, opened_at, started_at, completed_at, closed_at)
SELECT %(site)s, machines[1 + n %% array_length(machines, 1)], (ARRAY['VIB', 'ELU', 'OHE', 'STD'])[1 + n %% 4], '',
    (ARRAY['CORRECTIVE_IMMEDIATE', 'CORRECTIVE_DEFERRED', 'PREDETERMINED', 'PREDICTIVE'])[1 + n %% 4], 'MEDIUM',
    'CLOSED', (ARRAY['Bearing', 'Seal', 'Hose', 'Coupling'])[1 + n %% 4] || ' of unit ' || n, '', 1, at, 90, '',
    'Found ' || (ARRAY['worn', 'leaking', 'cracked', 'loose', 'dry'])[1 + n %% 5] || ', replaced it', '', '', '',
    'REPLACE',
    CASE WHEN n %% 4 = 3 THEN (ARRAY['REAL', 'FALSE'])[1 + n %% 2] ELSE '' END, at, at + interval '1 hour',
    at + interval '4 hours', at + interval '5 hours'
FROM (SELECT n, now() - interval '365 days' * (n::float / %(orders)s) - interval '6 hours' AS at
    FROM generate_series(1, %(orders)s) AS n) AS made, (SELECT %(machines)s::bigint[] AS machines) AS known
"""
STEPS = """
INSERT INTO maintenance_workordertransition (order_id, action, from_status, to_status, key, at, comment)
SELECT id, action, '', 'OPEN', 'bench/' || id || '/' || action, at, '' FROM maintenance_workorder,
LATERAL (VALUES ('OPENED', opened_at), ('ASSIGNED', opened_at), ('STARTED', started_at), ('COMPLETED', completed_at),
    ('CLOSED', closed_at)) AS steps (action, at) WHERE site_id = %(site)s
"""


def bench() -> Iterator[dict[str, Any]]:
    yield from on_the_excavators(factories.site(slug="quarry", name="Quarry"))
    yield from on_the_aircraft(factories.site(slug="fleet", name="Fleet"))
    yield from with_many_orders(factories.site(slug="many", name="Many"))


def on_the_excavators(site: Site) -> Iterator[dict[str, Any]]:
    began = time.perf_counter()
    for file, mapping in excavators.FILES:
        path, told = excavators.FOLDER / file, excavators.MAPPINGS / mapping
        call_command("import_history", str(path), "--mapping", str(told), "--site", site.slug, stdout=sys.stdout)
    seconds = time.perf_counter() - began
    count = site.work_orders.count()
    yield row("work orders of excavators imported", count, "orders", detail=f"{count / seconds:,.0f} a second")
    made = kpi_report.make(site.pk, start=excavators.START, end=excavators.END, now=timezone.now())
    for one in made.figures[:1]:
        results.wide([
            ("figure", "value", "95 % interval", "failures"),
            (one.entry.title, f"{one.value:,.1f} h", f"{one.low:,.1f} to {one.high:,.1f} h", str(one.events)),
        ])  # fmt: skip
    yield beside(made.parts, excavators.intervals())


def on_the_aircraft(site: Site) -> Iterator[dict[str, Any]]:
    """Problems and what fixed them, without dates or machines: nothing for the figures, and all for the search."""
    path, told = (
        results.DATA / "maintnet_aviation" / "aircraft_maintenance_logs.csv",
        excavators.MAPPINGS / "aviation.json",
    )
    began = time.perf_counter()
    call_command("import_history", str(path), "--mapping", str(told), "--site", site.slug, stdout=sys.stdout)
    seconds = time.perf_counter() - began
    count = site.work_orders.count()
    yield row("log lines of aircraft imported", count, "orders", detail=f"{count / seconds:,.0f} a second")
    with path.open(encoding="utf-8-sig", newline="") as lines:
        given = [f"{line['PROBLEM']} {line['ACTION']}".lower() for line in csv.DictReader(lines)]
    LogLanguage.objects.create(site=site, language="ENGLISH")
    for text in ("rocker cover gasket leaking", "cracked baffle", "rough mag"):
        found = maintenance_log.search(LogLine.objects.filter(site=site), text, sites=[site.pk]).count()
        plain = sum(all(word in line for word in text.split()) for line in given)
        yield row(f"found: {text}", found, "lines", baseline=plain, detail="beside those that have these very letters")


def beside(parts: tuple[PartLife, ...], given: dict[str, list[tuple[float, bool]]]) -> dict[str, Any]:
    """Print the table, ours beside theirs; the row says how far they are apart at most."""
    lines: list[tuple[str, ...]] = [(
        "system", "failures", "running", "MTBF h (95 %)", "median h, ours", "lifelines", "mean h, ours", "lifelines",
    )]  # fmt: skip
    apart, later = 0.0, 0
    for part in parts:
        hours, ended = zip(*given[part.part], strict=True)
        if (part.failures, part.running) != (len(hours), ended.count(False)):
            raise AssertionError(f"{part} is not of the {len(hours)} failures in the files")
        theirs = KaplanMeierFitter().fit(hours, ended)
        mean = float(restricted_mean_survival_time(theirs, t=max(hours)))
        median = _median(theirs)
        later += median != theirs.median_survival_time_
        lines.append((
            part.part, str(part.failures), str(part.running), f"{part.mtbf:,.0f} ({part.low:,.0f} to {part.high:,.0f})",
            _hours(part.median), _hours(median), _hours(part.mean), _hours(mean),
        ))  # fmt: skip
        apart = max(apart, _apart(part.median, median), _apart(part.mean, mean), _curves(theirs, hours, ended))
    results.wide(lines)
    detail = f"medians, means, curves, bands; by its own rounding lifelines has {later} medians later"
    return row("ours and lifelines are apart by", apart, "relative", goal="1e-9", ok=apart < 1e-9, detail=detail)


def _median(theirs: Any) -> float:
    """Where their curve is one half, to within rounding: 7 of 14 may come out a little above 0.5."""
    reached = theirs.survival_function_at_times(theirs.timeline) <= 0.5 + 1e-12
    return float(theirs.timeline[reached.to_numpy()][0]) if reached.any() else math.inf


def _curves(theirs: Any, hours: tuple[float, ...], ended: tuple[bool, ...]) -> float:
    """How far the curves, and their bands, are apart at most."""
    ours = survival.curve(np.array(hours), np.array(ended))
    band = theirs.confidence_interval_survival_function_.loc[ours.time].to_numpy()
    share = theirs.survival_function_at_times(ours.time).to_numpy()
    made = np.abs(np.concatenate((ours.share - share, ours.low - band[:, 0], ours.high - band[:, 1])))
    return float(np.nanmax(made, initial=0.0))


def _apart(ours: float | None, theirs: float) -> float:
    if ours is None or math.isinf(theirs):
        return 0.0 if ours is None and math.isinf(theirs) else math.inf
    return abs(ours - theirs) / max(1.0, theirs)


def _hours(value: float | None) -> str:
    return "not reached" if value is None or math.isinf(value) else f"{value:,.1f}"


def with_many_orders(site: Site) -> Iterator[dict[str, Any]]:
    machines = [factories.machine(site=site).pk for _ in range(MACHINES)]
    Equipment.objects.filter(pk__in=machines).update(created_at=timezone.now() - kpi_report.USUAL)
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"site": site.pk, "machines": machines, "orders": ORDERS})
        cursor.execute(STEPS, {"site": site.pk})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE maintenance_workorder, maintenance_workordertransition")
    person = factories.user(site=site, role="ADMIN", is_staff=True)
    browser, rest = Client(), client.client(person)
    browser.force_login(person)
    last = site.work_orders.latest("id").pk
    for name, ask in {
        "page of the figures, a year": lambda: browser.get("/admin/maintenance-figures/"),
        "page of the figures, a machine": lambda: browser.get(
            "/admin/maintenance-figures/", {"equipment": Equipment.objects.get(pk=machines[0]).tag}
        ),
        "page of the log": lambda: browser.get("/admin/maintenance/logline/"),
        "page of the log, searched": lambda: browser.get("/admin/maintenance/logline/", {"q": "cracked hose"}),
        "page of the orders": lambda: browser.get("/admin/maintenance/workorder/"),
        "page of an order": lambda: browser.get(f"/admin/maintenance/workorder/{last}/change/"),
        "/api/v1/kpis/, a year": lambda: rest.get("/api/v1/kpis/", {"site": site.pk}),
        "/api/v1/kpis/, a machine": lambda: rest.get("/api/v1/kpis/", {"site": site.pk, "equipment": machines[0]}),
        "/api/v1/kpis/csv/, a year": lambda: rest.get("/api/v1/kpis/csv/", {"site": site.pk}),
        "/api/v1/log/": lambda: rest.get("/api/v1/log/", {"site": site.pk}),
        "/api/v1/log/, many hits": lambda: rest.get("/api/v1/log/", {"site": site.pk, "q": "cracked"}),
        "/api/v1/log/, one hit": lambda: rest.get("/api/v1/log/", {"site": site.pk, "q": "hose 4242"}),
        "/api/v1/work-orders/": lambda: rest.get("/api/v1/work-orders/", {"site": site.pk}),
        "/api/v1/work-orders/{id}/": lambda: rest.get(f"/api/v1/work-orders/{last}/"),
    }.items():
        yield timed(name, ask)


def timed(name: str, ask: Callable[[], Any]) -> dict[str, Any]:
    """The median of some times after a first one."""
    answer = ask()
    if answer.status_code != 200:
        raise AssertionError(f"{name}: {answer.status_code} {answer.content[:500]!r}")
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    seconds = statistics.median(taken)
    detail = f"{len(answer.content) / 1024:,.0f} KiB"
    return row(name, 1_000 * seconds, "ms", goal=f"{1_000 * SLOWEST:,.0f}", ok=seconds <= SLOWEST, detail=detail)


def main() -> int:
    if not excavators.FOLDER.exists():
        sys.stdout.write(f"{excavators.FOLDER} is not there: the excavators' work orders are needed.\n")
        return 0
    embedded.ensure_needed()
    setup_test_environment()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    found = []
    try:
        for one in bench():
            results.show([one])
            found.append(one)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.keep("kpi", found)
    return int(any(one["ok"] is False for one in found))


if __name__ == "__main__":
    sys.exit(main())
