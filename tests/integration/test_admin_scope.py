"""Who sees and does what in the admin: members their sites, by role; others nothing."""

from __future__ import annotations

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from agents.backup_models import Backup
from agents.export_models import Export
from agents.models import JobRun, Throttle
from maintenance.approval_models import ApprovalPolicy, Delegation
from maintenance.effort_models import LabourRate
from maintenance.models import Alarm, Anomaly, Channel, WorkOrder
from maintenance.people_models import Worker
from maintenance.webhook_models import Webhook, WebhookDelivery
from mlops.models import Deployment, ModelHealth, ModelPolicy, ModelVersion, Training
from sensors.audit_models import AuditEntry
from sensors.desk import Desk
from sensors.identity_models import ApiKey, TokenFamily
from sensors.models import Equipment, Label, Membership, Regime, Sensor, Site
from tests import factories, plant

pytestmark = pytest.mark.django_db

OPERATORS = (Backup, JobRun, Throttle, TokenFamily, AccessAttempt)
"""Of the whole installation: no site's, so no member's."""
SHARED = (ModelPolicy, ModelVersion, Deployment, Training, ModelHealth)
"""Of all sites together: every member of one reads them, and only who administers the installation changes them."""
KEPT = (ApiKey,)
"""Of a site, and seen by its administrators alone."""
ADMINISTERED = (Webhook, WebhookDelivery)
"""Likewise; people add none of the second."""
AUDITORS = (AuditEntry, Export)
"""For some roles alone: see the tests of the audit trail."""
ELSEWHERE = (*OPERATORS, *SHARED, *KEPT, *ADMINISTERED, *AUDITORS)
PAGES = [(m, p) for m, p in admin.site._registry.items() if isinstance(p, Desk) and m not in ELSEWHERE]
IDS = [model._meta.label for model, _ in PAGES]
ROLES = Membership.Role


def url(model: type[Model], name: str, *keys: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=keys)


def staff(client: Client, site: Site | None, *, role: str = ROLES.TECHNICIAN) -> Client:
    client.force_login(factories.user(site=site, role=role, is_staff=True))
    return client


@pytest.fixture
def mine() -> plant.Rows:
    return plant.rows(factories.site(name="Mine works"), name="mine")


@pytest.fixture
def theirs() -> plant.Rows:
    return plant.rows(factories.site(name="Their works"), name="theirs")


def test_every_page_of_ours_is_scoped() -> None:
    others = {model._meta.label for model, page in admin.site._registry.items() if not isinstance(page, Desk)}
    assert others == {"auth.User", "auth.Group"}


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_a_member_sees_their_sites_rows_and_no_others(
    client: Client, mine: plant.Rows, theirs: plant.Rows, model: type[Model], page: Any
) -> None:
    site = mine.machine.site
    staff(client, site, role=ROLES.VIEWER)
    listed = client.get(url(model, "changelist"))
    assert listed.status_code == 200
    annexes = {"slug__startswith": "annex"} if model is Site else {"pk__in": []}
    assert len(listed.context["cl"].result_list) == model._default_manager.exclude(**annexes).count() / 2
    assert "theirs" not in listed.content.decode().lower().replace("their works", "theirs")
    keys = {row.pk for row in listed.context["cl"].result_list}
    for row in model._default_manager.all():
        answer = client.get(url(model, "change", row.pk))
        assert answer.status_code == (200 if row.pk in keys else 302)
        if answer.status_code == 200:
            assert "theirs" not in answer.content.decode().lower().replace("their works", "theirs")


@pytest.mark.parametrize("model", ADMINISTERED)
def test_what_is_of_a_sites_administrators_is_seen_by_them_alone(
    client: Client, mine: plant.Rows, theirs: plant.Rows, model: type[Model]
) -> None:
    rows = list(model._default_manager.all())
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    listed = client.get(url(model, "changelist"))
    assert len(listed.context["cl"].result_list) == len(rows) / 2
    assert "theirs" not in listed.content.decode().lower().replace("their works", "theirs")
    seen = [client.get(url(model, "change", row.pk)).status_code for row in rows]
    assert sorted(seen) == [200, 302]
    for role in (ROLES.VIEWER, ROLES.TECHNICIAN, ROLES.INGEST):
        staff(client, mine.machine.site, role=role)
        assert client.get(url(model, "changelist")).status_code == 403
        for row in rows:
            assert client.get(url(model, "change", row.pk)).status_code in {302, 403}
        assert url(model, "changelist") not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("model", OPERATORS)
def test_what_is_of_the_whole_installation_is_no_members(client: Client, mine: plant.Rows, model: type[Model]) -> None:
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    row = model._default_manager.first()
    assert row is not None
    assert client.get(url(model, "changelist")).status_code == 403
    assert client.get(url(model, "change", row.pk)).status_code in {302, 403}
    assert url(model, "changelist") not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("model", KEPT)
def test_what_only_administrators_see_is_of_their_own_site(
    client: Client, mine: plant.Rows, theirs: plant.Rows, model: type[Model]
) -> None:
    rows = model._default_manager
    own, foreign = rows.get(site=mine.machine.site), rows.get(site=theirs.machine.site)
    for role in set(ROLES.values) - {ROLES.ADMIN}:
        staff(client, mine.machine.site, role=role)
        assert client.get(url(model, "changelist")).status_code == 403
        assert client.get(url(model, "change", own.pk)).status_code in {302, 403}
        assert client.get(url(model, "add")).status_code == 403
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    assert list(client.get(url(model, "changelist")).context["cl"].result_list) == [own]
    assert client.get(url(model, "change", own.pk)).status_code == 200
    for button in ("change", "rotate", "revoke"):
        assert client.post(url(model, button, foreign.pk), {"confirmed": "1"}).status_code in {302, 403, 404}
    foreign.refresh_from_db()
    assert foreign.revoked_at is None


@pytest.mark.parametrize("model", SHARED)
def test_what_all_sites_share_is_read_by_members_and_changed_by_none_of_them(
    client: Client, mine: plant.Rows, model: type[Model]
) -> None:
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    row = model._default_manager.first()
    assert row is not None
    page = admin.site._registry[model]
    assert (
        client.get(url(model, "changelist")).status_code == client.get(url(model, "change", row.pk)).status_code == 200
    )
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    for button in ("roll_back", "promote", "again"):
        if button in getattr(page, "actions_detail", ()):
            name = f"{model._meta.app_label}_{model._meta.model_name}_{button}"
            assert client.get(reverse(f"admin:{name}", args=[row.pk])).status_code == 403
    staff(client, None)
    assert client.get(url(model, "changelist")).status_code == 403


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_staff_without_a_site_see_nothing(client: Client, theirs: plant.Rows, model: type[Model], page: Any) -> None:
    staff(client, None)
    row = model._default_manager.first()
    assert row is not None
    assert client.get(url(model, "changelist")).status_code == 403
    assert client.get(url(model, "change", row.pk)).status_code in {302, 403}
    assert client.get(url(model, "add")).status_code == 403


def test_the_overview_counts_a_members_sites_only(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    staff(client, mine.machine.site)
    page = client.get(reverse("admin:index"))
    assert {tile.figure for tile in page.context["tiles"]} == {"1", "2"}
    assert "theirs" not in page.content.decode()


def test_the_overview_of_staff_without_a_site_says_why_it_is_empty(client: Client, theirs: plant.Rows) -> None:
    staff(client, None)
    assert "not a member of any site" in client.get(reverse("admin:index")).content.decode()


def test_who_is_no_staff_does_not_get_in(client: Client, mine: plant.Rows) -> None:
    client.force_login(factories.user(site=mine.machine.site, role=ROLES.ADMIN))
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("role", [ROLES.VIEWER, ROLES.TECHNICIAN, ROLES.INGEST])
@pytest.mark.parametrize("model", [Site, Equipment, Sensor, Channel])
def test_only_a_sites_administrator_edits(client: Client, mine: plant.Rows, role: str, model: type[Model]) -> None:
    staff(client, mine.machine.site, role=role)
    row = model._default_manager.first()
    assert row is not None
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(url(model, "add")).status_code == 403


def test_choices_offer_a_members_sites_only(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    form = client.get(url(Sensor, "add")).context["adminform"].form
    assert list(form.fields["site"].queryset) == [mine.machine.site]
    assert list(form.fields["equipment"].queryset) == [mine.machine]
    query = {"app_label": "sensors", "model_name": "sensor", "field_name": "equipment"}
    found = client.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [row["id"] for row in found] == [str(mine.machine.pk)]


@pytest.mark.parametrize("is_superuser", [False, True])
def test_choices_of_people_offer_no_programs(client: Client, mine: plant.Rows, is_superuser: bool) -> None:
    site, asks = mine.machine.site, {"is_staff": True, "is_superuser": is_superuser}
    boss = factories.user(site=site, role=ROLES.ADMIN, **asks)
    program = factories.user(site=site, role=ROLES.INGEST)
    both = factories.user(site=site, role=ROLES.INGEST)
    Membership.objects.create(site=factories.site(), user=both, role=ROLES.TECHNICIAN)
    client.force_login(boss)
    for model, name in ((ApprovalPolicy, "approver"), (Worker, "user"), (LabourRate, "worker"), (Delegation, "taker")):
        offered = set(client.get(url(model, "add")).context["adminform"].form.fields[name].queryset)
        assert {boss, both} <= offered
        assert program not in offered
    seats = client.get(url(Site, "change", site.pk)).context["inline_admin_formsets"][0].formset
    assert program in seats.empty_form.fields["user"].queryset


def test_a_sites_administrator_sees_who_is_a_member_of_it(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    boss = factories.user(site=mine.machine.site, role=ROLES.ADMIN, is_staff=True)
    other = factories.user(site=mine.machine.site, role=ROLES.TECHNICIAN)
    factories.user(site=theirs.machine.site, role=ROLES.VIEWER)
    client.force_login(boss)
    seats = client.get(url(Site, "change", mine.machine.site.pk)).context["inline_admin_formsets"][0].formset
    assert {form.instance.user for form in seats.initial_forms} >= {boss, other}
    assert {form.instance.site for form in seats.initial_forms} == {mine.machine.site}


def test_another_sites_machine_cannot_be_smuggled_in(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    staff(client, mine.machine.site, role=ROLES.ADMIN)
    form = {"external_id": "f", "name": "f", "kind": "FLOW", "deadband": 0, "lateness_seconds": 1}
    form |= {"on_delay_seconds": 0, "off_delay_seconds": 0, "alarm_readings": 1, "alarm_readings_of": 1}
    form |= {"rate_span_seconds": 60}
    form |= {"site": theirs.machine.site_id, "equipment": theirs.machine.pk}
    answer = client.post(url(Sensor, "add"), form)
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) >= {"site", "equipment"}


def test_a_role_in_one_site_is_none_in_another(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    user = factories.user(site=mine.machine.site, role=ROLES.ADMIN, is_staff=True)
    Membership.objects.create(site=theirs.machine.site, user=user, role=ROLES.VIEWER)
    client.force_login(user)
    assert client.get(url(Alarm, "acknowledge", mine.alarm.pk)).status_code == 200
    assert client.get(url(Alarm, "acknowledge", theirs.alarm.pk)).status_code == 403
    assert client.post(url(Sensor, "change", theirs.sensor.pk), {}).status_code == 403
    ticked = {"action": "acknowledge_selected", "_selected_action": [mine.alarm.pk, theirs.alarm.pk], "confirmed": "1"}
    assert client.post(url(Alarm, "changelist"), ticked).status_code == 403
    mine.alarm.refresh_from_db()
    assert not mine.alarm.is_acknowledged


BUTTONS = [
    (Alarm, "acknowledge"), (Alarm, "comment"), (WorkOrder, "assign"), (WorkOrder, "start"), (WorkOrder, "complete"),
    (WorkOrder, "cancel"), (Anomaly, "label"), (Sensor, "declare"), (Equipment, "declare"), (Label, "retract"),
    (Regime, "retract"), (Channel, "test"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "button"), BUTTONS)
def test_a_viewer_presses_no_button_and_is_shown_none(
    client: Client, mine: plant.Rows, model: type[Model], button: str
) -> None:
    staff(client, mine.machine.site, role=ROLES.VIEWER)
    row = model._default_manager.get()
    assert client.get(url(model, button, row.pk)).status_code == 403
    assert client.post(url(model, button, row.pk), {"confirmed": "1", "comment": "x"}).status_code == 403
    assert url(model, button, row.pk) not in client.get(url(model, "change", row.pk)).content.decode()


@pytest.mark.parametrize(("model", "button"), BUTTONS)
def test_another_sites_button_is_not_there(
    client: Client, mine: plant.Rows, theirs: plant.Rows, model: type[Model], button: str
) -> None:
    staff(client, mine.machine.site)
    row = {
        Alarm: theirs.alarm, WorkOrder: theirs.order, Anomaly: theirs.anomaly, Sensor: theirs.sensor,
        Equipment: theirs.machine, Label: theirs.label, Regime: theirs.regime, Channel: theirs.channel,
    }[model]  # type: ignore[index]  # fmt: skip
    assert client.post(url(model, button, row.pk), {"confirmed": "1", "comment": "x"}).status_code == 404


def test_a_run_that_carried_another_sites_readings_too_is_not_shown(
    client: Client, mine: plant.Rows, theirs: plant.Rows
) -> None:
    theirs.part.run_id = mine.run.pk
    theirs.part.save(update_fields=["run_id"])
    staff(client, mine.machine.site)
    assert list(client.get(url(type(mine.run), "changelist")).context["cl"].result_list) == []
    assert client.get(url(type(mine.run), "replay", mine.run.pk)).status_code == 404


def test_filters_do_not_name_other_sites(client: Client, mine: plant.Rows, theirs: plant.Rows) -> None:
    staff(client, mine.machine.site)
    assert "Their works" not in client.get(url(Anomaly, "changelist")).content.decode()
