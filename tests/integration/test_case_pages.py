"""What people do with failed work, by cause: in the admin and over REST."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from agents import cases, dead_letters, failures
from agents.models import Case, Run
from sensors.models import BatchPart, Event, Membership, Site
from tests import factories, plant
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/cases/"
ROLES = Membership.Role


def failed(site: Site, count: int = 2, *, error: Exception | None = None) -> Case:
    """A case with runs of a site, set aside as the pipeline does it."""
    verdict = failures.judge(error or ZeroDivisionError("division by zero"), stage="DETECT", attempt=9)
    for _ in range(count):
        rows = plant.rows(site)
        Case.objects.filter(runs=rows.run).update(status="CANCELLED", ended_at=factories.NOON)
        BatchPart.objects.filter(pk=rows.part.pk).update(state="SET_ASIDE")
        with transaction.atomic():
            dead_letters.set_aside(rows.run, verdict)
    return Case.objects.exclude(status="CANCELLED").get(cause=verdict.cause)


def page(case: Case, name: str = "change") -> str:
    return reverse(f"admin:agents_case_{name}", args=[case.pk])


def staff(http: Client, site: Site, role: str = ROLES.TECHNICIAN) -> Client:
    http.force_login(factories.user(site=site, role=role, is_staff=True, username=f"maria-{site.pk}"))
    return http


def statuses(case: Case) -> list[str]:
    return sorted(Run.objects.filter(case=case).values_list("status", flat=True))


def test_the_list_shows_what_failed_how_many_wait_and_of_which_site(client: Client) -> None:
    site = factories.site(name="North works")
    case = failed(site, 3)
    listed = staff(client, site).get(reverse("admin:agents_case_changelist"), {"standing": "open"})
    (row,) = listed.context["cl"].result_list
    text = listed.content.decode()
    assert (row.waiting, row.site_names) == (3, ["North works"])
    assert "Detect: ZeroDivisionError: division by zero" in text
    cases.cancel(case.pk, actor="maria", reason="a test")
    for standing, count in (("open", 0), ("ended", 1)):
        listed = client.get(reverse("admin:agents_case_changelist"), {"standing": standing})
        assert listed.context["cl"].result_count == count


def test_the_list_without_anything_says_so(client: Client) -> None:
    listed = staff(client, factories.site()).get(reverse("admin:agents_case_changelist"))
    assert "No work has failed for good" in listed.content.decode()


def test_the_page_tells_the_history_and_leads_to_the_runs(client: Client) -> None:
    site = factories.site()
    case = failed(site)
    text = staff(client, site).get(page(case)).content.decode()
    for run in case.runs.all():
        assert reverse("admin:agents_run_change", args=[run.pk]) in text
    assert "was set aside." in text
    everything = client.get(reverse("admin:agents_run_changelist"), {"case__id__exact": case.pk})
    assert everything.context["cl"].result_count == 2


@pytest.mark.parametrize(
    ("button", "form", "runs", "status"),
    [
        ("replay_one", {}, ["FAILED", "REPLAY"], "REMEDIATING"),
        ("replay_all", {}, ["REPLAY", "REPLAY"], "REMEDIATING"),
        ("discard_all", {"reason": "a test bench"}, ["DISCARDED", "DISCARDED"], "CANCELLED"),
        ("cancel_case", {"reason": "a test bench"}, ["FAILED", "FAILED"], "CANCELLED"),
    ],
)
def test_a_button_asks_first_and_then_does_it_in_the_name_of_who_pressed(
    client: Client, button: str, form: dict[str, str], runs: list[str], status: str
) -> None:
    site = factories.site()
    case = failed(site)
    staff(client, site)
    assert page(case, button) in client.get(page(case)).content.decode()
    assert client.get(page(case, button)).status_code == 200
    assert statuses(case) == ["FAILED", "FAILED"]
    if form:
        assert "required" in client.post(page(case, button), {"confirmed": "1"}).content.decode()
    assert client.post(page(case, button), {"confirmed": "1"} | form).status_code == 302
    case.refresh_from_db()
    assert (statuses(case), case.status) == (runs, status)
    last = case.transitions.last()
    assert last is not None
    assert last.actor == f"maria-{site.pk}"
    assert form.get("reason", "Replays") in last.reason


def test_a_button_is_offered_only_while_it_makes_sense(client: Client) -> None:
    site = factories.site()
    case = failed(site)
    staff(client, site)
    Run.objects.filter(case=case).update(status="ACTIVE")
    text = client.get(page(case)).content.decode()
    assert page(case, "replay_all") not in text
    assert page(case, "cancel_case") in text
    answer = client.post(page(case, "replay_all"), {"confirmed": "1"}, follow=True)
    assert f"No run of case {case.pk} is set aside" in answer.content.decode()
    cases.cancel(case.pk, actor="maria", reason="a test")
    assert page(case, "cancel_case") not in client.get(page(case)).content.decode()


def test_a_viewer_may_look_and_not_act(client: Client) -> None:
    site = factories.site()
    case = failed(site)
    staff(client, site, ROLES.VIEWER)
    assert page(case, "replay_all") not in client.get(page(case)).content.decode()
    assert client.post(page(case, "replay_all"), {"confirmed": "1"}).status_code == 403
    assert statuses(case) == ["FAILED", "FAILED"]


def test_a_case_that_touches_another_site_is_for_administrators_of_the_installation(client: Client) -> None:
    mine, other = factories.site(), factories.site()
    case = failed(mine)
    staff(client, mine)
    assert client.get(page(case)).status_code == 200
    assert failed(other, 1) == case
    assert client.get(page(case)).status_code == 302
    assert client.post(page(case, "replay_all"), {"confirmed": "1"}).status_code in {302, 404}
    assert statuses(case) == ["FAILED"] * 3
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    assert client.get(page(case)).status_code == 200


def test_a_case_with_a_run_that_carries_nothing_is_for_administrators_of_the_installation(client: Client) -> None:
    site = factories.site()
    case = failed(site)
    Run.objects.create(lane=63, status="FAILED", stage="DECIDE", case=case)
    assert staff(client, site).get(page(case)).status_code == 302


# Over REST


def root() -> Client:
    return client(factories.user(is_superuser=True, username="root"))


def test_cases_are_listed_and_told_with_their_history() -> None:
    case, http = failed(factories.site()), root()
    (row,) = http.get(API, {"status": "OPEN"}).json()["results"]
    assert (row["id"], row["waiting"], row["likely_cause"]) == (case.pk, 2, "UNKNOWN")
    found = http.get(f"{API}{case.pk}/").json()
    assert len(found["runs"]) == 2
    assert found["transitions"][0]["to_status"] == "OPEN"
    assert http.get(API, {"likely_cause": "BUG"}).json()["results"] == []


def test_all_runs_of_a_case_are_replayed_or_one_as_a_trial() -> None:
    case, http = failed(factories.site()), root()
    answer = http.post(f"{API}{case.pk}/replay/", {"only_one": True}, JSON)
    assert (answer.status_code, answer.json()["waiting"], answer.json()["status"]) == (202, 1, "REMEDIATING")
    assert http.post(f"{API}{case.pk}/replay/", {}, JSON).json()["waiting"] == 0
    problem(http.post(f"{API}{case.pk}/replay/", {}, JSON), status=409, name="conflict")
    assert statuses(case) == ["REPLAY", "REPLAY"]
    assert Event.objects.filter(type="run.replayed", actor="root").count() == 2


def test_all_runs_of_a_case_are_discarded_with_a_reason() -> None:
    case, http = failed(factories.site()), root()
    problem(http.post(f"{API}{case.pk}/discard/", {}, JSON), status=400, name="invalid")
    answer = http.post(f"{API}{case.pk}/discard/", {"reason": "a test bench"}, JSON).json()
    assert (answer["status"], answer["transitions"][-1]["actor"]) == ("CANCELLED", "root")
    problem(http.post(f"{API}{case.pk}/discard/", {"reason": "again"}, JSON), status=409, name="conflict")


def test_a_case_is_cancelled_once() -> None:
    case, http = failed(factories.site()), root()
    assert http.post(f"{API}{case.pk}/cancel/", {"reason": "a test"}, JSON).json()["status"] == "CANCELLED"
    problem(http.post(f"{API}{case.pk}/cancel/", {"reason": "a test"}, JSON), status=409, name="conflict")
    problem(http.post(f"{API}{case.pk}/replay/", {}, JSON), status=409, name="conflict")
    assert statuses(case) == ["FAILED", "FAILED"]


def test_only_administrators_of_the_installation_may() -> None:
    site = factories.site()
    case = failed(site)
    http = client(factories.user(site=site, role=ROLES.ADMIN))
    problem(http.get(API), status=403, name="forbidden")
    problem(http.post(f"{API}{case.pk}/replay/", {}, JSON), status=403, name="forbidden")
    problem(client().get(API), status=401, name="not-authenticated")
    assert statuses(case) == ["FAILED", "FAILED"]
