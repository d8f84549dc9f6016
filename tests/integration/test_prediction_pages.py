"""Pages of what models said and of how they do: read by members, filtered, in pages, with a word where nothing is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mlops.models import ModelHealth, Prediction
from sensors.models import Equipment, Membership
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
PREDICTIONS, HEALTH = "/admin/mlops/prediction/", "/admin/mlops/modelhealth/"
PAGE = 50


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site())


@pytest.fixture
def viewer(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=Membership.Role.VIEWER, is_staff=True)


@pytest.fixture
def desk(viewer: User) -> Client:
    opened = Client()
    opened.force_login(viewer)
    return opened


def said(machine: Equipment, count: int = 1, **fields: object) -> None:
    outputs = {"rul_p10": 1.0, "rul_p50": 2.0, "rul_p90": 3.0}
    known = {"name": "life", "version": 2, "alias": "CHAMPION", "is_shown": True, "from_at": NOON} | fields
    Prediction.objects.bulk_create(
        Prediction(
            machine=machine, asked_at=NOON + timedelta(minutes=k),
            outputs={name: {"unit": "h", "value": value} for name, value in outputs.items()}, **known,  # type: ignore[arg-type]
        )
        for k in range(count)
    )  # fmt: skip


def test_where_nothing_is_it_is_said_why(desk: Client) -> None:
    assert "No model has answered yet" in desk.get(PREDICTIONS).content.decode()
    assert "No model was asked yet" in desk.get(HEALTH).content.decode()
    assert "in this selection" in desk.get(PREDICTIONS, {"is_shown__exact": "0"}).content.decode()


def test_members_read_what_was_said_of_their_machines_and_change_nothing(desk: Client, machine: Equipment) -> None:
    said(machine)
    said(factories.machine(site=factories.site(), tag="ELSEWHERE"))
    said(machine, alias="CHALLENGER", is_shown=False, version=3)
    page = desk.get(PREDICTIONS).content.decode()
    assert (
        machine.tag in page
        and "life 2" in page
        and "ELSEWHERE" not in page
        and "1 to 3 h (P10 to P90), median 2 h" in page
    )
    assert "life 3" not in desk.get(PREDICTIONS, {"is_shown__exact": "1"}).content.decode()
    row = Prediction.objects.filter(machine=machine)[0]
    assert desk.get(f"{PREDICTIONS}{row.pk}/change/").status_code == 200
    assert desk.post(f"{PREDICTIONS}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert desk.get(f"{PREDICTIONS}add/").status_code == 403


def test_what_is_unproven_has_no_value_on_any_page(desk: Client, machine: Equipment) -> None:
    Prediction.objects.create(
        machine=machine, name="life", version=1, alias="CHAMPION", is_shown=True, asked_at=NOON, from_at=NOON,
        outputs={"rul_p50": {"unit": "h", "value": 777.0, "unproven": True}},
    )  # fmt: skip
    row = Prediction.objects.get()
    for where in (PREDICTIONS, f"{PREDICTIONS}{row.pk}/change/"):
        page = desk.get(where).content.decode()
        assert "777" not in page and "coverage is unproven" in page


def test_a_list_has_pages_and_costs_the_same_however_long_it_is(desk: Client, machine: Equipment) -> None:
    counts = []
    for version, count in ((1, 2), (2, PAGE + 5)):
        said(machine, count, version=version)
        with CaptureQueriesContext(connection) as queries:
            assert desk.get(PREDICTIONS).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert desk.get(PREDICTIONS, {"p": 2}).status_code == 200
    assert "p=2" in desk.get(PREDICTIONS).content.decode()


def test_how_models_do_is_listed_with_their_trouble(desk: Client, machine: Equipment) -> None:
    ModelHealth.objects.create(name="life", looked_at=NOON, answered_at=NOON)
    ModelHealth.objects.create(
        name="wear", looked_at=NOON, trouble="No version of wear speaks", not_answered={"1": "x"}
    )
    page = desk.get(HEALTH).content.decode()
    assert "answers" in page and "No version of wear speaks" in page
    assert desk.get(f"{HEALTH}wear/change/").status_code == 200
    assert desk.post(f"{HEALTH}wear/delete/", {"post": "yes"}).status_code == 403
