"""What people own over REST: chains, rotas, overrides, persons, channels, subscriptions. Read by members of the site,
written by its administrators, whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from maintenance.escalation_models import Chain, ChainStep, Override, Rota, Shift
from maintenance.models import Channel, Notification, Reader, Subscription
from sensors.models import Event, Membership, Site
from tests import factories, plant
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ROLES = Membership.Role
NAMES = ("escalation-chains", "rotas", "on-call-overrides", "persons", "channels", "subscriptions")


def member(site: Site, role: str = ROLES.ADMIN, **fields: Any) -> User:
    return factories.user(site=site, role=role, password=None, **fields)


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Lisbon")


@pytest.fixture
def boss(site: Site) -> Client:
    """An administrator of the site, and no superuser."""
    return client(member(site, username="boss"))


def reader(site: Site, name: str = "anna") -> Reader:
    return Reader.objects.create(site=site, user=member(site, ROLES.TECHNICIAN, username=name))


def log(site: Site, name: str = "log") -> Channel:
    return Channel.objects.create(site=site, kind="CONSOLE", name=name)


def bodies(site: Site) -> dict[str, dict[str, Any]]:
    """One of each that may be added to the site, by the name of its list."""
    anna, shared = reader(site), log(site)
    rota = Rota.objects.create(site=site, name="Days")
    shift = {"reader": anna.pk, "first_on": "2026-01-05", "starts": "08:00", "ends": "08:00"}
    spell = {"from_at": "2026-03-02T18:00:00Z", "until_at": "2026-03-03T06:00:00Z"}
    return {
        "escalation-chains": {"site": site.pk, "name": "Night", "steps": [{"reader": anna.pk}, {"rota": rota.pk}]},
        "rotas": {"site": site.pk, "name": "Nights", "shifts": [shift]},
        "on-call-overrides": {"rota": rota.pk, "reader": anna.pk, **spell},
        "persons": {"site": site.pk, "user": member(site, ROLES.VIEWER).pk, "limit_messages": 3},
        "channels": {"site": site.pk, "name": "Mail", "kind": "EMAIL", "target": "a@example.org", "reader": anna.pk},
        "subscriptions": {"site": site.pk, "channel": shared.pk, "kinds": ["alarm.opened"]},
    }


CHANGES: dict[str, dict[str, Any]] = {
    "escalation-chains": {"is_enabled": False}, "rotas": {"time_zone": "Europe/Rome"},
    "on-call-overrides": {"reason": "Ill"}, "persons": {"limit_messages": 7}, "channels": {"name": "Post"},
    "subscriptions": {"lowest_priority": "HIGH"},
}  # fmt: skip
JOURNAL = dict(zip(NAMES, ("chain", "rota", "override", "person", "channel", "subscription"), strict=True))


def pointers(answer: Any) -> set[str]:
    return {error["pointer"] for error in problem(answer, status=400, name="invalid")["errors"]}


# What all of them share


@pytest.mark.parametrize("name", NAMES)
def test_it_is_added_read_changed_and_deleted_and_the_journal_says_by_whom(boss: Client, site: Site, name: str) -> None:
    body, path = bodies(site)[name], f"{API}{name}/"
    made = boss.post(path, body, JSON)
    assert made.status_code == 201, made.content
    row = f"{path}{made.json()['id']}/"
    assert boss.get(row).json() | {"on_call": 0} == made.json() | {"on_call": 0}
    changed = boss.patch(row, CHANGES[name], JSON)
    assert changed.status_code == 200, changed.content
    assert CHANGES[name].items() <= changed.json().items()
    untouched = body.keys() - CHANGES[name].keys() - {"steps", "shifts"}
    assert {field: changed.json()[field] for field in untouched} == {field: body[field] for field in untouched}
    assert boss.patch(row, CHANGES[name], JSON).status_code == 200
    assert boss.delete(row).status_code == 204
    problem(boss.get(row), status=404, name="not-found")
    kept = Event.objects.filter(subject=f"{JOURNAL[name]}/{made.json()['id']}").order_by("id")
    assert [(e.type, e.actor, e.site_id) for e in kept] == [
        (f"{JOURNAL[name]}.{what}", "boss", site.pk) for what in ("added", "changed", "deleted")
    ]
    ((field, value),) = CHANGES[name].items()
    assert (kept[1].data["before"][field] != value, kept[1].data["after"][field]) == (True, value)


@pytest.mark.parametrize("name", NAMES)
def test_members_read_and_only_an_administrator_of_the_site_writes(boss: Client, site: Site, name: str) -> None:
    body, path = bodies(site)[name], f"{API}{name}/"
    stranger = client(member(factories.site()))
    for role in (ROLES.VIEWER, ROLES.TECHNICIAN, ROLES.INGEST):
        problem(client(member(site, role)).post(path, body, JSON), status=403, name="forbidden")
    assert pointers(stranger.post(path, body, JSON)) >= {"#/rota" if name == "on-call-overrides" else "#/site"}
    row = f"{path}{boss.post(path, body, JSON).json()['id']}/"
    for role in (ROLES.VIEWER, ROLES.TECHNICIAN):
        http = client(member(site, role))
        assert http.get(row).status_code == 200
        problem(http.patch(row, CHANGES[name], JSON), status=403, name="forbidden")
        problem(http.delete(row), status=403, name="forbidden")
    problem(stranger.get(row), status=404, name="not-found")
    problem(stranger.patch(row, CHANGES[name], JSON), status=404, name="not-found")
    problem(stranger.delete(row), status=404, name="not-found")
    assert stranger.get(path).json()["results"] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_of_another_site_is_not_there_for_it(boss: Client, site: Site, name: str) -> None:
    """Neither by whoever may not see the other site, nor by a superuser who mixes two up."""
    theirs, mine = bodies(factories.site())[name], member(site, is_superuser=True)
    own = {"site": site.pk} if "site" in theirs else {"rota": Rota.objects.create(site=site, name="own").pk}
    names = {"escalation-chains": "#/steps/0/reader", "rotas": "#/shifts/0/reader", "on-call-overrides": "#/reader",
             "persons": "#/user", "channels": "#/reader", "subscriptions": "#/channel"}  # fmt: skip
    for http in (boss, client(mine)):
        assert names[name] in pointers(http.post(f"{API}{name}/", theirs | own, JSON))
    assert not Event.objects.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_list_costs_the_same_queries_whatever_its_length(boss: Client, site: Site, name: str) -> None:
    counts = []
    for _ in range(2):
        plant.rows(site)
        with CaptureQueriesContext(connection) as queries:
            assert len(boss.get(f"{API}{name}/").json()["results"]) == len(counts) + 1
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Chains and rotas


def test_the_steps_of_a_chain_are_replaced_as_a_whole_or_stay(boss: Client, site: Site) -> None:
    anna, ben = reader(site), reader(site, "ben")
    body = {"site": site.pk, "name": "Night", "steps": [{"reader": anna.pk, "after_minutes": 5}, {"reader": ben.pk}]}
    made = boss.post(f"{API}escalation-chains/", body, JSON).json()
    assert [(one["reader"], one["after_minutes"], one["times"]) for one in made["steps"]] == [
        (anna.pk, 5, 1), (ben.pk, 10, 1),
    ]  # fmt: skip
    row = f"{API}escalation-chains/{made['id']}/"
    renamed = boss.patch(row, {"name": "Nights"}, JSON).json()
    assert (renamed["name"], renamed["steps"]) == ("Nights", made["steps"])
    other = boss.patch(row, {"steps": [{"reader": ben.pk, "times": None}]}, JSON).json()
    assert [(one["reader"], one["times"]) for one in other["steps"]] == [(ben.pk, None)]
    wrong = [{"reader": anna.pk, "times": None}, {"reader": ben.pk}]
    assert pointers(boss.patch(row, {"name": "Days", "steps": wrong}, JSON)) == {"#/steps"}
    assert boss.get(row).json() == other
    assert Event.objects.latest("id").data["after"]["steps"][0]["reader"] == ben.pk


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        ([], "#/steps"), ("x", "#/steps"), ([{"reader": "anna"}] * 51, "#/steps"),
        ([{}], "#/steps/0"), ([{"reader": "anna", "rota": "nights"}], "#/steps/0"),
        ([{"reader": "anna"}, {"reader": 999_999}], "#/steps/1/reader"),
        ([{"reader": "anna"}, {"reader": "anna", "times": 0}], "#/steps/1/times"),
        ([{"reader": "anna", "medium": "PIGEON"}], "#/steps/0/medium"),
        ([{"reader": "anna", "times": None}, {"rota": "nights"}], "#/steps"),
    ],
)  # fmt: skip
def test_a_chain_that_makes_no_sense_is_told_by_field_and_nothing_is_stored(
    boss: Client, site: Site, steps: Any, pointer: str
) -> None:
    keys = {"anna": reader(site).pk, "nights": Rota.objects.create(site=site, name="nights").pk}
    if isinstance(steps, list):
        steps = [{k: keys.get(v, v) if k != "medium" else v for k, v in one.items()} for one in steps]
    answer = boss.post(f"{API}escalation-chains/", {"site": site.pk, "name": "Night", "steps": steps}, JSON)
    assert pointers(answer) == {pointer}
    assert not Chain.objects.exists()
    assert not ChainStep.objects.exists()


def test_one_enabled_chain_for_a_priority_and_one_of_a_name(boss: Client, site: Site) -> None:
    body = {"site": site.pk, "name": "Night", "steps": [{"reader": reader(site).pk}]}
    assert boss.post(f"{API}escalation-chains/", body, JSON).status_code == 201
    for wrong in (body | {"name": "Day"}, body | {"lowest_priority": "LOW"}):
        assert pointers(boss.post(f"{API}escalation-chains/", wrong, JSON)) == {"#"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"days": 8}, "#/shifts/0"), ({"days": 0}, "#/shifts/0/days"), ({"last_on": "2026-01-01"}, "#/shifts/0"),
        ({"first_on": "soon"}, "#/shifts/0/first_on"), ({"reader": None}, "#/shifts/0/reader"),
    ],
)  # fmt: skip
def test_a_rota_that_makes_no_sense_is_told_by_field(
    boss: Client, site: Site, change: dict[str, Any], pointer: str
) -> None:
    body = bodies(site)["rotas"]
    wrong = body | {"shifts": [body["shifts"][0] | change]}
    assert pointers(boss.post(f"{API}rotas/", wrong, JSON)) == {pointer}
    assert pointers(boss.post(f"{API}rotas/", body | {"time_zone": "Mars/Base"}, JSON)) == {"#/time_zone"}
    made = boss.post(f"{API}rotas/", body, JSON).json()
    assert pointers(boss.patch(f"{API}rotas/{made['id']}/", {"shifts": wrong["shifts"]}, JSON)) == {pointer}
    assert list(Shift.objects.filter(rota=made["id"]).values_list("days", flat=True)) == [7]


def test_who_takes_over_is_on_call_at_once_and_ends_after_it_begins(boss: Client, site: Site) -> None:
    body = bodies(site)["on-call-overrides"]
    row = boss.post(f"{API}on-call-overrides/", body, JSON).json()
    there = f"{API}rotas/{body['rota']}/on-call/?at="
    assert [one["name"] for one in boss.get(f"{there}2026-03-02T19:00:00Z").json()["persons"]] == ["anna"]
    assert boss.get(f"{there}2026-03-02T17:00:00Z").json()["persons"] == []
    wrong = {"until_at": "2026-03-02T18:00:00Z"}
    assert pointers(boss.patch(f"{API}on-call-overrides/{row['id']}/", wrong, JSON)) == {"#"}
    for query, count in (("ends_after=2026-03-03T05:00:00Z", 1), ("ends_after=2026-03-03T06:00:00Z", 0),
                         (f"rota={body['rota']}", 1), ("starts_before=2026-03-02T18:00:00Z", 0)):  # fmt: skip
        assert len(boss.get(f"{API}on-call-overrides/?{query}").json()["results"]) == count


def test_what_a_shift_or_step_names_is_not_deleted_by_the_way(boss: Client, site: Site) -> None:
    anna, shared = reader(site), log(site)
    rota = boss.post(f"{API}rotas/", {"site": site.pk, "name": "Nights"}, JSON).json()
    steps = [{"rota": rota["id"]}, {"reader": anna.pk}, {"channel": shared.pk}]
    boss.post(f"{API}escalation-chains/", {"site": site.pk, "name": "Night", "steps": steps}, JSON)
    for path in (f"rotas/{rota['id']}/", f"persons/{anna.pk}/", f"channels/{shared.pk}/"):
        problem(boss.delete(f"{API}{path}"), status=409, name="conflict")
    assert (Rota.objects.count(), Reader.objects.count(), Channel.objects.count()) == (1, 1, 1)
    assert not Event.objects.filter(type__endswith=".deleted").exists()


def test_a_channel_that_messages_went_to_stays_with_them(boss: Client, site: Site) -> None:
    shared = log(site)
    Notification.objects.create(site=site, channel=shared, event_type="alarm.opened", payload={}, key="told")
    problem(boss.delete(f"{API}channels/{shared.pk}/"), status=409, name="conflict")
    admin = Client()
    admin.force_login(factories.user(is_superuser=True, is_staff=True))
    admin.post(reverse("admin:maintenance_channel_delete", args=[shared.pk]), {"post": "yes"})
    assert (Channel.objects.get(), Notification.objects.get().channel) == (shared, shared)


# Persons, channels, subscriptions


def test_a_person_sets_their_own_quiet_hours_and_nobody_elses(site: Site) -> None:
    anna, ben = reader(site), reader(site, "ben")
    http = client(anna.user)
    own = f"{API}persons/{anna.pk}/"
    hours = {"quiet_from": "22:00:00", "quiet_until": "07:00:00"}
    said = http.patch(own, hours | {"user": ben.user_id}, JSON).json()
    assert (said["quiet_from"], said["user"], said["name"]) == ("22:00:00", anna.user_id, "anna")
    assert pointers(http.patch(own, {"quiet_until": None}, JSON)) == {"#"}
    assert pointers(http.patch(own, {"time_zone": "Mars/Base"}, JSON)) == {"#/time_zone"}
    problem(http.patch(f"{API}persons/{ben.pk}/", hours, JSON), status=403, name="forbidden")
    problem(http.delete(own), status=403, name="forbidden")
    Membership.objects.filter(user=anna.user).delete()
    problem(http.patch(own, hours, JSON), status=404, name="not-found")


def test_a_secret_is_taken_never_shown_and_stays_when_left_empty(boss: Client, site: Site) -> None:
    body = {"site": site.pk, "name": "Chat", "kind": "SERVICE", "secret": "slack://T1JJ3T3L2/A1BRTD4JD/hush"}
    path = f"{API}channels/"
    made = boss.post(path, body, JSON)
    row = f"{path}{made.json()['id']}/"
    told = [made, boss.get(row), boss.get(path), boss.patch(row, {"name": "Talk", "secret": ""}, JSON)]
    assert not any("hush" in answer.content.decode() for answer in told)
    stored = Channel.objects.get()
    assert (stored.name, stored.secret, stored.target) == ("Talk", body["secret"], "slack")
    assert (made.json()["secret_is_set"], stored.owner and stored.owner.username) == (True, "boss")
    boss.patch(row, {"secret": "ntfys://ntfy.sh/hush2"}, JSON)
    stored.refresh_from_db()
    assert (stored.secret, stored.target) == ("ntfys://ntfy.sh/hush2", "ntfys")
    boss.delete(row)
    assert not any("hush" in str(event.data) for event in Event.objects.all())


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"kind": "EMAIL", "target": "not a mailbox"}, "#/target"), ({"kind": "EMAIL"}, "#/target"),
        ({"kind": "WEBHOOK", "target": "https://hooks.example.com/x"}, "#/secret"),
        ({"kind": "WEBHOOK", "target": "http://hooks.example.com/x", "secret": "s"}, "#/target"),
        ({"kind": "WEBHOOK", "target": "https://169.254.169.254/latest", "secret": "s"}, "#/target"),
        ({"kind": "WEBHOOK", "target": "https://[::1]/x", "secret": "s"}, "#/target"),
        ({"kind": "WEBHOOK", "target": "https://a:b@hooks.example.com/", "secret": "s"}, "#/target"),
        ({"kind": "SERVICE", "secret": "hooks.slack.com/x"}, "#/secret"), ({"kind": "PIGEON"}, "#/kind"),
    ],
)  # fmt: skip
def test_a_channel_that_could_never_work_is_told_by_field(
    boss: Client, site: Site, said: dict[str, str], pointer: str
) -> None:
    answer = boss.post(f"{API}channels/", {"site": site.pk, "name": "Out", **said}, JSON)
    assert pointers(answer) == {pointer}
    assert not Channel.objects.exists()


def test_what_the_operator_allowed_may_be_reached_and_the_form_holds_to_the_same(
    boss: Client, site: Site, client: Client, settings: Settings
) -> None:
    body = {"site": site.pk, "name": "Hook", "kind": "WEBHOOK", "target": "http://127.0.0.1:9/x", "secret": "s"}
    form = body | {"lowest_priority": "LOW", "language": "en", "digest_minutes": 0, "is_enabled": "on"}
    client.force_login(member(site, is_staff=True))
    page = reverse("admin:maintenance_channel_add")
    assert "It is refused: 127.0.0.1 is at 127.0.0.1" in client.post(page, form).content.decode()
    assert pointers(boss.post(f"{API}channels/", body, JSON)) == {"#/target"}
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    assert boss.post(f"{API}channels/", body, JSON).status_code == 201
    assert client.post(page, form | {"name": "Other"}).status_code == 302


def test_enabling_a_channel_anew_starts_afresh_and_any_may_be_switched_off(boss: Client, site: Site) -> None:
    off = Channel.objects.create(
        site=site, kind="EMAIL", name="Mail", target="a@b.org", is_enabled=False, disabled_reason="gone", failures=9
    )
    row = f"{API}channels/{off.pk}/"
    said = boss.patch(row, {"name": "Post"}, JSON).json()
    assert (said["disabled_reason"], said["failures"]) == ("gone", 9)
    said = boss.patch(row, {"is_enabled": True}, JSON).json()
    assert (said["disabled_reason"], said["failures"]) == ("", 0)
    Channel.objects.update(target="")
    assert boss.patch(row, {"is_enabled": False}, JSON).json()["is_enabled"] is False


def test_a_channel_sends_a_test(site: Site) -> None:
    to = log(site)
    path = f"{API}channels/{to.pk}/test/"
    problem(client(member(site, ROLES.VIEWER)).post(path, {}, JSON), status=403, name="forbidden")
    http = client(member(site, ROLES.TECHNICIAN))
    answer = http.post(path, {}, JSON)
    assert (answer.status_code, answer.json()["id"]) == (202, Notification.objects.get().pk)
    problem(http.post(path, {}, JSON), status=409, name="conflict")
    problem(client(member(factories.site())).post(path, {}, JSON), status=404, name="not-found")


def test_a_subscription_is_of_one_and_asks_for_what_there_is(boss: Client, site: Site) -> None:
    anna, shared, path = reader(site), log(site), f"{API}subscriptions/"
    part = factories.machine(site=site)
    for wrong, pointer in (
        ({}, "#"), ({"reader": anna.pk, "channel": shared.pk}, "#"),
        ({"reader": anna.pk, "kinds": ["alarm.sung"]}, "#/kinds/0"),
        ({"reader": anna.pk, "equipment": 999_999}, "#/equipment"),
    ):  # fmt: skip
        assert pointers(boss.post(path, {"site": site.pk, **wrong}, JSON)) == {pointer}
    assert boss.post(path, {"site": site.pk, "reader": anna.pk, "equipment": part.pk}, JSON).status_code == 201
    assert Subscription.objects.get().equipment == part


# The admin keeps the same journal


def test_what_is_changed_in_the_admin_is_in_the_journal_too(site: Site, client: Client) -> None:
    client.force_login(member(site, username="boss", is_staff=True))
    anna = reader(site)
    rota = Rota.objects.create(site=site, name="Nights")
    page = reverse("admin:maintenance_rota_change", args=[rota.pk])
    none = {"shifts-TOTAL_FORMS": 0, "shifts-INITIAL_FORMS": 0}
    over = {"overrides-TOTAL_FORMS": 1, "overrides-INITIAL_FORMS": 0, "overrides-0-reader": anna.pk,
            "overrides-0-from_at_0": "2026-03-02", "overrides-0-from_at_1": "18:00",
            "overrides-0-until_at_0": "2026-03-03", "overrides-0-until_at_1": "06:00"}  # fmt: skip
    assert client.post(page, {"name": "Nights", "time_zone": "", **none, **over}).status_code == 302
    made = Override.objects.get()
    gone = over | {
        "overrides-INITIAL_FORMS": 1,
        "overrides-0-id": made.pk,
        "overrides-0-rota": rota.pk,
        "overrides-0-DELETE": "on",
    }
    assert client.post(page, {"name": "Days", "time_zone": "", **none, **gone}).status_code == 302
    assert client.post(reverse("admin:maintenance_rota_delete", args=[rota.pk]), {"post": "yes"}).status_code == 302
    kept = Event.objects.order_by("id").values_list("type", "subject", "actor")
    assert list(kept) == [
        ("override.added", f"override/{made.pk}", "boss"), ("rota.changed", f"rota/{rota.pk}", "boss"),
        ("override.deleted", f"override/{made.pk}", "boss"), ("rota.deleted", f"rota/{rota.pk}", "boss"),
    ]  # fmt: skip
