"""The time of each page and endpoint of work orders, and of large tables, with 100,000 orders stored
(`make bench-orders`).

Two sites, 200 machines; one order in twenty is still to be done, a third of those planned within five weeks; each has
its history, and one in five labour. Each page is asked for by an administrator of one site, through Django's own
client: no network, everything else as it is served.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse
from django.utils import timezone

from config import embedded
from maintenance import carrying_page, exchange_page, order_board_page, order_calendar_page, order_print
from maintenance.models import WorkOrder
from maintenance.order_pages import OrderPage
from sensors import sheets
from sensors.exchange_rows import SensorRows
from sensors.models import Equipment, Membership, Site
from tests import client, factories
from tests.bench import results
from tests.bench.results import row

ORDERS, MACHINES, SENSORS, TIMES = 100_000, 100, 2_000, 7
GOAL_MS = 2_000.0
"""What a page or endpoint may take."""
OPEN = ("REQUESTED", "OPEN", "PLANNED", "ASSIGNED", "IN_PROGRESS", "ON_HOLD")
PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
RNG = np.random.default_rng(7)


def fill(site: Site, people: Sequence[User], count: int) -> list[Equipment]:
    """So many orders of a site, over two years."""
    machines = [factories.machine(site=site) for _ in range(MACHINES)]
    now = timezone.now()
    WorkOrder.objects.bulk_create((_order(site, machines, people, now, n) for n in range(count)), batch_size=2_000)
    return machines


def _order(site: Site, machines: Sequence[Equipment], people: Sequence[User], now: Any, n: int) -> WorkOrder:
    ago = timedelta(hours=float(RNG.uniform(0, 2 * 365 * 24)))
    to_do = n % 20 == 0
    status = OPEN[n // 20 % len(OPEN)] if to_do else ("COMPLETED", "CLOSED", "CANCELLED")[n % 3]
    person = people[n % len(people)]
    is_planned = status in ("PLANNED", "ASSIGNED") or n % 3 == 0
    return WorkOrder(
        site=site, machine=machines[n % len(machines)], maintenance_type="CORRECTIVE_DEFERRED", status=status,
        priority=PRIORITIES[int(RNG.integers(4))], title=f"Look at bearing {n}", description="Noise at start. " * 10,
        opened_at=now - ago, due_at=now + timedelta(hours=float(RNG.uniform(-200, 800))) if to_do else None,
        assigned_to=person if status in OPEN[3:] else None, hold_reason="Waits for a part",
        findings="" if to_do else "Greased, aligned, back to 2.1 mm/s. " * 5,
        planned_start=now + timedelta(hours=float(RNG.uniform(-17 * 24, 17 * 24))) if is_planned else None,
        planned_minutes=90 if is_planned else None, completed_at=None if to_do else now - ago / 2,
        closed_at=now - ago / 3 if status == "CLOSED" else None,
    )  # fmt: skip


STEPS = """
INSERT INTO maintenance_workordertransition (order_id, action, from_status, to_status, key, at, comment)
SELECT id, action, '', 'OPEN', 'bench/' || id || '/' || action, at, '' FROM maintenance_workorder,
LATERAL (VALUES ('OPENED', opened_at), ('PLANNED', planned_start), ('COMPLETED', completed_at), ('CLOSED', closed_at))
    AS steps (action, at) WHERE at IS NOT NULL
"""
LABOUR = """
INSERT INTO maintenance_labour (order_id, worker_id, from_at, until_at, hourly_cost, note)
SELECT id, %s, at, at + interval '25 minutes', 42, '' FROM maintenance_workorder,
LATERAL (SELECT timestamptz '2010-01-01Z' + id * interval '30 minutes' AS at) AS worked WHERE id %% 5 = 0
"""
"""Nobody does two things at once."""
FILLED = ("maintenance_workorder", "maintenance_workordertransition", "maintenance_labour")


def pages(client: Client, rest: Client, site: Site) -> Iterator[dict[str, Any]]:
    """Each page, and each endpoint as the same person asks for it."""
    orders, api = reverse("admin:maintenance_workorder_changelist"), "/api/v1/work-orders/"
    one = WorkOrder.objects.filter(site=site, status="PLANNED").values_list("pk", flat=True)[0]
    machine = WorkOrder.objects.get(pk=one).machine_id
    last = WorkOrder.objects.filter(site=site).count() // OrderPage.list_per_page
    asked = {
        "board": reverse(order_board_page.NAME),
        "calendar": reverse(order_calendar_page.NAME),
        "list of orders": orders,
        "list, overdue": f"{orders}?planning=overdue",
        "list, without a time": f"{orders}?planning=unplanned",
        "list, still to do": f"{orders}?standing=open",
        "list, mine": f"{orders}?assigned=me",
        "list, searched": f"{orders}?q=bearing+4711",
        "list, by due date": f"{orders}?o=8",
        "list, the last page": f"{orders}?p={last}",
        "an order": reverse("admin:maintenance_workorder_change", args=[one]),
        "an order on paper": reverse(order_print.NAME, args=[one]),
        "carrying out an order": reverse(carrying_page.NAME, args=[one]),
        "maintenance log": reverse("admin:maintenance_logline_changelist"),
        "import and export": reverse(exchange_page.NAME),
        "export of the orders of 90 days": reverse(exchange_page.EXPORT, query={
            "kind": "work-orders", "site": site.pk, "format": "csv", "since": timezone.now().date() - timedelta(90),
        }),
        api: api,
        f"{api}?is_over=false": f"{api}?is_over=false",
        f"{api}?due_before=...": f"{api}?due_before={timezone.now():%Y-%m-%dT%H:%M:%SZ}",
        f"{api}?machine=...": f"{api}?machine={machine}",
        f"{api}{{id}}/": f"{api}{one}/",
        f"{api}{{id}}/costs/": f"{api}{one}/costs/",
        "/api/v1/labour/": "/api/v1/labour/",
        "/api/v1/log/": "/api/v1/log/",
    }  # fmt: skip
    for name, url in asked.items():
        yield _page(rest if name.startswith("/api/") else client, name, url)


def _page(client: Client, name: str, url: str) -> dict[str, Any]:
    with CaptureQueriesContext(connection) as queries:
        size, asked = len(_answer(client, url)), len(queries)
        sql = 1_000 * sum(float(one["time"]) for one in queries)
    took = [_timed(lambda: _answer(client, url)) * 1_000 for _ in range(TIMES)]
    middle = statistics.median(took)
    detail = f"slowest {max(took):.0f} ms, {asked} queries ({sql:.0f} ms), {size / 1_000:.0f} kB"
    return row(name, middle, "ms, median", goal=f"below {GOAL_MS:g}", ok=middle < GOAL_MS, detail=detail)


def _answer(client: Client, url: str) -> bytes:
    answer = client.get(url)
    if answer.status_code != 200:
        raise AssertionError(f"{url} answers {answer.status_code}")
    return answer.content


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def tables(site: Site, actor: User, machines: Sequence[Equipment], count: int) -> Iterator[dict[str, Any]]:
    """A table of sensors, the longest that is taken: tried, and then stored."""
    lines = (f"s-{n},Sensor {n},{machines[n % len(machines)].tag},{n / 7:.3f}" for n in range(count))
    sheet = sheets.read("sensors.csv", "\n".join(["external_id,name,equipment,high", *lines]).encode())
    for name, trial in (("trial run of an import", True), ("import", False)):
        took = _timed(partial(SensorRows(site, actor).run, sheet, trial=trial))
        yield row(name, took, "s", detail=f"{count:,} rows")


def bench(orders: int, sensors: int = SENSORS) -> Iterator[dict[str, Any]]:
    sites = [factories.site(), factories.site()]
    people = [factories.user(site=sites[0], role=Membership.Role.ADMIN, is_staff=True) for _ in range(8)]
    with transaction.atomic():
        machines, _ = (fill(site, people, orders // 2) for site in sites)
    with connection.cursor() as cursor:
        cursor.execute(STEPS)
        cursor.execute(LABOUR, [people[0].pk])
        cursor.execute(f"ANALYZE {', '.join(FILLED)}")
    browser = Client(HTTP_HOST="127.0.0.1")
    browser.force_login(people[0])
    yield row("orders", WorkOrder.objects.count(), "stored")
    yield from pages(browser, client.client(people[0]), sites[0])
    yield from tables(sites[0], people[0], machines, sensors)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many are stored")
    options = parser.parse_args(arguments)
    embedded.ensure_needed()
    setup_test_environment()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    rows = []
    try:
        for one in bench(options.orders):
            results.show([one])
            rows.append(one)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.keep("orders", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
