"""The maintenance log: orders and free entries in one list, searched in the site's language, each site its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maintenance import log
from maintenance.models import LogEntry, LogLanguage, LogLine, WorkOrder
from sensors.models import Equipment, Site
from tests import factories
from tests.client import client, problem
from tests.factories import NOON

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
WORDS = ("hose", "cracked", "seal", "worn", "replaced")


@pytest.fixture
def site() -> Site:
    return factories.site(slug="works", name="Works")


def order(
    machine: Equipment, title: str, *, status: str = "CLOSED", findings: str = "Done", **fields: Any
) -> WorkOrder:
    over = {"completed_at": NOON, "closed_at": NOON, "findings": findings} if status != "OPEN" else {}
    return WorkOrder.objects.create(
        **{"site": machine.site, "machine": machine, "maintenance_type": "INSPECTION", "priority": "LOW",
           "title": title, "opened_at": NOON - DAY, "status": status} | over | fields
    )  # fmt: skip


def found(site: Site, text: str) -> list[str]:
    lines = log.search(LogLine.objects.filter(site=site), text, sites=[site.pk])
    return sorted(lines.values_list("title", flat=True))


def test_finished_orders_and_entries_are_lines_with_who_did_them(site: Site) -> None:
    machine, person = factories.machine(site=site), factories.user(site=site, username="ana")
    order(machine, "Closed", found_mode="VIB", activity="REPLACE", assigned_to=person)
    order(machine, "Still to do", status="OPEN")
    log.add(machine, actor=person, title="Swept", found="Dust", fixed="Broom", at=NOON + DAY)
    log.add(machine, actor=person, title="Old", worker="The vendor", at=NOON - DAY)
    lines = LogLine.objects.values_list("title", "kind", "worker", "failure_mode", "activity")
    assert list(lines) == [
        ("Swept", "ENTRY", "ana", "", ""), ("Closed", "ORDER", "ana", "VIB", "REPLACE"),
        ("Old", "ENTRY", "The vendor", "", ""),
    ]  # fmt: skip


def test_an_order_is_in_the_log_while_it_is_finished(site: Site) -> None:
    made = order(factories.machine(site=site), "Seal changed")
    assert found(site, "seal") == ["Seal changed"]
    WorkOrder.objects.filter(pk=made.pk).update(status="OPEN")
    assert found(site, "seal") == []


def test_an_order_is_found_by_its_number_and_where_it_is_spoken_of(site: Site) -> None:
    machine = factories.machine(site=site)
    made = order(machine, "Seal changed")
    log.add(machine, actor=factories.user(), title=f"Again, see WO-{made.pk}")
    order(machine, "Greased")
    order(factories.machine(site=factories.site()), "Theirs")
    for text in (f"WO-{made.pk}", f" wo-{made.pk}"):
        assert found(site, text) == [f"Again, see WO-{made.pk}", "Seal changed"]
    assert found(site, f"WO-{10**17}") == []
    assert LogLine.objects.exclude(site=site).count() == 1
    theirs = WorkOrder.objects.exclude(site=site).get()
    assert not log.search(LogLine.objects.all(), f"WO-{theirs.pk}", sites=[site.pk]).exists()


def test_words_are_searched_in_what_was_done_found_and_fixed(site: Site) -> None:
    machine, person = factories.machine(site=site), factories.user()
    order(machine, "A", findings="The hose was cracked")
    log.add(machine, actor=person, title="B", found="a worn hose")
    log.add(machine, actor=person, title="C", fixed="New hose, cracked seal out", at=NOON)
    assert found(site, "HOSE") == ["A", "B", "C"]
    assert found(site, "hose cracked") == ["A", "C"]
    assert found(site, '"cracked seal"') == ["C"]
    assert found(site, "hose -cracked") == ["B"]
    assert found(site, "worn or seal") == ["B", "C"]
    assert found(site, "  ") == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("language", "text", "query", "finds"),
    [
        ("", "pumps leaking", "pump leaks", False), ("ENGLISH", "pumps leaking", "pump leaks", True),
        ("PORTUGUESE", "rolamentos trocados", "rolamento trocar", True),
        ("ENGLISH", "rolamentos trocados", "rolamento trocar", False), ("SIMPLE", "pumps", "pumps", True),
    ],
)  # fmt: skip
def test_a_site_is_searched_in_its_language(site: Site, language: str, text: str, query: str, finds: bool) -> None:
    log.add(factories.machine(site=site), actor=factories.user(), title=text)
    if language:
        LogLanguage.objects.create(site=site, language=language)
    assert (found(site, query) == [text]) is finds


def test_sites_of_several_languages_are_searched_each_in_its_own(site: Site) -> None:
    other = factories.site()
    LogLanguage.objects.create(site=other, language="ENGLISH")
    for one in (site, other):
        log.add(factories.machine(site=one), actor=factories.user(), title="pumps")
    lines = log.search(LogLine.objects.all(), "pump", sites=[site.pk, other.pk])
    assert [line.site_id for line in lines] == [other.pk]


@given(st.text(max_size=60))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_searched_for(site: Site, text: str) -> None:
    found(site, text.encode("utf-8", "replace").decode())


@given(st.lists(st.sets(st.sampled_from(WORDS), min_size=1), min_size=1, max_size=5), st.sets(st.sampled_from(WORDS)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_has_all_its_words(site: Site, written: list[set[str]], asked: set[str]) -> None:
    LogEntry.objects.all().delete()
    machine = Equipment.objects.filter(site=site).first() or factories.machine(site=site)
    for n, words in enumerate(written):
        LogEntry.objects.create(site=site, machine=machine, at=NOON, title=f"t{n}", found=" ".join(sorted(words)))
    assert found(site, " ".join(asked)) == [f"t{n}" for n, words in enumerate(written) if asked <= words]


@pytest.mark.parametrize("language", ["SIMPLE", "ENGLISH", "PORTUGUESE"])
def test_a_search_goes_through_the_indexes(site: Site, language: str) -> None:
    machine, title = factories.machine(site=site), {"at": NOON, "title": "Seal"}
    of = {"site": site, "machine": machine, "maintenance_type": "INSPECTION", "priority": "LOW", "opened_at": NOON}
    over = {"status": "CLOSED", "findings": "Done", "completed_at": NOON, "closed_at": NOON, "title": "Seal"}
    WorkOrder.objects.bulk_create(WorkOrder(**of | over) for _ in range(2_000))
    LogEntry.objects.bulk_create(LogEntry(site=site, machine=machine, **title) for _ in range(2_000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_workorder, maintenance_logentry")
        plan = LogLine.objects.filter(log.matches("hose", language)).order_by().explain()
        by_number = log.search(LogLine.objects.all(), "WO-7", sites=[site.pk]).order_by().explain()
    assert "work_order_words" in plan
    assert "log_entry_words" in plan
    assert "Seq Scan on maintenance_workorder" not in by_number
    assert "Seq Scan on maintenance_logentry" not in by_number


def test_what_cannot_be_written_down_is_refused(site: Site) -> None:
    machine, person = factories.machine(site=site), factories.user()
    for refused, fields in (
        (log.NothingSaid, {"title": " "}),
        (log.NotYet, {"title": "x", "at": NOON + DAY, "now": NOON}),
        (log.NotAMachine, {"title": "x"}),
    ):
        of = factories.machine(site=site, level="LINE") if refused is log.NotAMachine else machine
        with pytest.raises(refused):
            log.add(of, actor=person, **fields)  # type: ignore[arg-type]


# Over REST


def test_over_rest_the_log_is_searched_within_ones_sites(site: Site) -> None:
    other = factories.site()
    for one in (site, other):
        log.add(factories.machine(site=one), actor=factories.user(), title="Hose changed", at=NOON)
    mine = client(factories.user(site=site, role="VIEWER"))
    for query in ({"q": "hose"}, {}, {"site": site.pk, "q": "hose"}, {"after": NOON.isoformat()}, {"kind": "ENTRY"}):
        rows = mine.get("/api/v1/log/", query).json()["results"]
        assert [row["site"] for row in rows] == [site.pk], query
    for query in ({"site": other.pk}, {"site": other.pk, "q": "hose"}, {"q": "nothing"}, {"before": NOON.isoformat()}):
        assert mine.get("/api/v1/log/", query).json()["results"] == []
    hidden = LogLine.objects.get(site=other).pk
    problem(mine.get(f"/api/v1/log/{hidden}/"), status=404, name="not-found")
    problem(client().get("/api/v1/log/"), status=401, name="not-authenticated")


def test_over_rest_who_works_in_the_site_writes_into_it(site: Site) -> None:
    machine = factories.machine(site=site)
    body = {"machine": machine.pk, "title": "Coupling changed", "found": "Torn", "fixed": "New"}

    def post(role: str, of: Site, **more: Any) -> Any:
        return client(factories.user(site=of, role=role)).post(
            "/api/v1/log/", body | more, content_type="application/json"
        )

    made = post("TECHNICIAN", site)
    assert made.status_code == 201
    assert {name: made.json()[name] for name in body} == body
    problem(post("VIEWER", site), status=403, name="forbidden")
    problem(post("ADMIN", factories.site()), status=400, name="invalid")
    problem(post("ADMIN", site, title=""), status=400, name="invalid")
    problem(post("ADMIN", site, at="2999-01-01T00:00:00Z"), status=409, name="conflict")
    assert LogEntry.objects.count() == 1


# As a page


def browser(site: Site | None, role: str = "TECHNICIAN") -> Client:
    made = Client()
    made.force_login(factories.user(site=site, role=role, is_staff=True))
    return made


LIST = "admin:maintenance_logline_changelist"


def test_the_page_lists_and_searches_and_asks_as_often_whatever_there_is(site: Site) -> None:
    reader, counted = browser(site), []
    assert "Nothing is written here yet" in reader.get(reverse(LIST)).content.decode()
    for _ in range(2):
        for n in range(5):
            order(factories.machine(site=site), f"Hose <b> {n}")
            log.add(factories.machine(site=site), actor=factories.user(), title="Seal")
        with CaptureQueriesContext(connection) as queries:
            text = reader.get(reverse(LIST), {"q": "hose"}).content.decode()
        counted.append(len(queries))
        assert "Hose &lt;b&gt;" in text
        assert ">Seal<" not in text
    assert counted[0] == counted[1]
    line = LogLine.objects.filter(kind="ORDER").first()
    assert line is not None
    page = reader.get(reverse("admin:maintenance_logline_change", args=[line.pk]))
    assert page.status_code == 200


def test_the_page_shows_ones_sites_only(site: Site) -> None:
    log.add(factories.machine(site=factories.site()), actor=factories.user(), title="Secret")
    assert "Secret" not in browser(site).get(reverse(LIST)).content.decode()
    assert "Secret" not in browser(site).get(reverse(LIST), {"q": "secret"}).content.decode()
    assert browser(None).get(reverse(LIST)).status_code == 403


def test_an_entry_is_written_by_who_works_there_and_changed_by_nobody(site: Site) -> None:
    machine, foreign = factories.machine(site=site), factories.machine(site=factories.site())
    form = {"machine": machine.pk, "at_0": "2026-03-01", "at_1": "12:00", "title": "Swept", "found": "", "fixed": "",
            "worker": ""}  # fmt: skip
    add = reverse("admin:maintenance_logentry_add")
    assert browser(site, "VIEWER").post(add, form).status_code == 403
    worker = browser(site)
    assert worker.post(add, form | {"machine": foreign.pk}).status_code == 200
    assert LogEntry.objects.count() == 0
    assert worker.post(add, form).status_code == 302
    entry = LogEntry.objects.get()
    assert (entry.site, entry.title, entry.author is None) == (site, "Swept", False)
    change = reverse("admin:maintenance_logentry_change", args=[entry.pk])
    assert worker.get(change).status_code == 200
    assert worker.post(change, form | {"title": "Other"}).status_code == 403


def test_the_language_is_set_by_an_administrator(site: Site) -> None:
    add = reverse("admin:maintenance_loglanguage_add")
    assert browser(site).post(add, {"site": site.pk, "language": "ENGLISH"}).status_code == 403
    assert browser(site, "ADMIN").post(add, {"site": site.pk, "language": "ENGLISH"}).status_code == 302
    assert LogLanguage.objects.get().language == "ENGLISH"
