"""Labels and regimes: kept once, retracted and never deleted, told in the journal, held to their machine and site."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from sensors import labels, regimes, roster
from sensors.columns import Columns, from_instant
from sensors.models import Event, Label, Regime, Sensor
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def tina(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, username="tina")


def add(sensor: Sensor, actor: User, /, **said: Any) -> tuple[Label, bool]:
    usual = {"machine": sensor.machine, "sensor": sensor, "from_at": NOON, "to_at": NOON + HOUR, "kind": "FAULT"}
    return labels.add(**usual | said, actor=actor)


def declare(sensor: Sensor, actor: User, /, **said: Any) -> tuple[Regime, bool]:
    usual = {"machine": sensor.machine, "sensor": sensor, "since": NOON, "reason": "New impeller"}
    return regimes.declare(**usual | said, actor=actor)


def test_a_label_is_kept_with_who_and_when_and_told_in_the_journal(sensor: Sensor, tina: User) -> None:
    row, is_new = add(sensor, tina, failure_mode="VIB", note="Bearing worn")
    assert is_new
    assert (row.site, row.created_by, row.retracted_at) == (sensor.site, tina, None)
    assert row.created_at is not None
    event = Event.objects.get(subject=f"label/{row.pk}")
    assert (event.type, event.actor, event.site) == ("label.added", "tina", sensor.site)
    assert (event.data["kind"], event.data["failure_mode"], event.data["note"]) == ("FAULT", "VIB", "Bearing worn")


def test_the_same_label_twice_is_one(sensor: Sensor, tina: User) -> None:
    for of in (sensor, None):
        first, _ = add(sensor, tina, sensor=of)
        assert add(sensor, tina, sensor=of) == (first, False)
    assert (Label.objects.count(), Event.objects.count()) == (2, 2)


def test_a_window_has_one_label_until_that_is_retracted(sensor: Sensor, tina: User) -> None:
    first, _ = add(sensor, tina)
    with pytest.raises(labels.AlreadyLabelled, match="FAULT of"):
        add(sensor, tina, kind="EXPECTED")
    labels.retract(first.pk, actor=tina)
    assert add(sensor, tina, kind="EXPECTED")[1]
    first.refresh_from_db()
    assert (first.retracted_by, Label.objects.count()) == (tina, 2)
    with pytest.raises(labels.AlreadyRetracted, match="retracted before"):
        labels.retract(first.pk, actor=tina)
    kinds = Event.objects.filter(subject=f"label/{first.pk}").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["label.added", "label.retracted"]


WRONG = [
    ({"to_at": NOON - HOUR}, "to_at"),
    ({"kind": "EXPECTED", "failure_mode": "VIB"}, "failure_mode"),
    ({"failure_mode": "vib"}, "failure_mode"),
    ({"kind": "OTHER"}, "kind"),
]


@pytest.mark.parametrize(("said", "field"), WRONG)
def test_a_label_that_makes_no_sense_is_refused(sensor: Sensor, tina: User, said: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        add(sensor, tina, **said)
    assert set(refused.value.message_dict) == {field}
    assert not Event.objects.exists()


def test_a_label_is_of_a_machine_and_of_its_own_sensors(sensor: Sensor, tina: User) -> None:
    other = factories.sensor(machine=factories.machine(site=sensor.site))
    with pytest.raises(ValidationError, match="not one of this machine"):
        add(sensor, tina, sensor=other)
    part = factories.machine(site=sensor.site, level="COMPONENT", parent=sensor.machine)
    with pytest.raises(ValidationError, match="Choose a machine"):
        add(sensor, tina, machine=part, sensor=None)
    assert add(sensor, tina, sensor=factories.sensor(machine=part))[1]  # of a component of the machine


BROKEN: list[dict[str, Any]] = [
    {"to_at": NOON - HOUR}, {"kind": "OTHER"}, {"kind": "EXPECTED", "failure_mode": "VIB"}, {"sensor": "other"},
    {"site": "other"},
]  # fmt: skip


@pytest.mark.parametrize("fields", BROKEN, ids=str)
def test_the_database_holds_what_a_label_must_be(sensor: Sensor, fields: dict[str, Any]) -> None:
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    others = {"sensor": other, "site": other.site}
    fields = {name: others[name] if value == "other" else value for name, value in fields.items()}
    usual = {"site": sensor.site, "machine": sensor.machine, "sensor": sensor, "kind": "FAULT"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Label.objects.create(**usual | {"from_at": NOON, "to_at": NOON + HOUR} | fields)
    made = Label.objects.create(**usual, from_at=NOON, to_at=NOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        Label.objects.create(**usual, from_at=NOON, to_at=NOON)
    assert Label.objects.get() == made


def test_a_regime_is_declared_once_and_retracted_once(sensor: Sensor, tina: User) -> None:
    row, is_new = declare(sensor, tina)
    assert (is_new, declare(sensor, tina, reason="Said again")) == (True, (row, False))
    regimes.retract(row.pk, actor=tina)
    with pytest.raises(regimes.AlreadyRetracted):
        regimes.retract(row.pk, actor=tina)
    assert list(Event.objects.order_by("id").values_list("type", "actor", "subject")) == [
        ("regime.declared", "tina", f"regime/{row.pk}"), ("regime.retracted", "tina", f"regime/{row.pk}"),
    ]  # fmt: skip
    with pytest.raises(ValidationError, match="reason"):
        declare(sensor, tina, reason="")


def test_the_stages_see_the_newest_regime_and_the_last_fault_of_sensor_or_machine(sensor: Sensor, tina: User) -> None:
    sibling = factories.sensor(machine=sensor.machine)

    def seen() -> dict[int, tuple[int, int]]:
        table = roster.table(np.array([sensor.pk]))
        return dict(
            zip(table.sensor.tolist(), zip(table.regime.tolist(), table.fault_until.tolist(), strict=True), strict=True)
        )

    assert seen() == {sensor.pk: (0, 0), sibling.pk: (0, 0)}
    own, _ = declare(sensor, tina, since=NOON + HOUR)
    declare(sensor, tina, sensor=None)
    add(sensor, tina)
    add(sensor, tina, to_at=NOON + 9 * HOUR, kind="EXPECTED")
    add(sensor, tina, sensor=None, to_at=NOON + HOUR / 2)
    noon, hour = from_instant(NOON), 3_600_000_000
    assert seen() == {sensor.pk: (noon + hour, noon + hour), sibling.pk: (noon, noon + hour // 2)}
    regimes.retract(own.pk, actor=tina)
    labels.retract(Label.objects.get(sensor=sensor, kind="FAULT").pk, actor=tina)
    assert seen() == {sensor.pk: (noon, noon + hour // 2), sibling.pk: (noon, noon + hour // 2)}


def readings(sensor: Sensor, *instants: datetime) -> Columns:
    n = len(instants)
    at = np.array([from_instant(instant) for instant in instants])
    return Columns(np.full(n, sensor.pk), at, np.zeros(n), np.arange(n, dtype=np.int32))


def test_which_readings_lie_in_a_fault_is_asked_once_and_only_where_one_may(
    sensor: Sensor, tina: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sibling = factories.sensor(machine=sensor.machine)
    add(sensor, tina, sensor=None)
    add(sensor, tina, from_at=NOON + 3 * HOUR, to_at=NOON + 4 * HOUR)
    add(sensor, tina, from_at=NOON + 3 * HOUR, to_at=NOON + 9 * HOUR, kind="FALSE_ALARM")
    instants = [NOON - HOUR, NOON, NOON + HOUR, NOON + 2 * HOUR, NOON + 4 * HOUR, NOON + 5 * HOUR]
    for of, inside in ((sensor, [0, 1, 1, 0, 1, 0]), (sibling, [0, 1, 1, 0, 0, 0])):
        table = roster.table(np.array([of.pk]))
        until = np.repeat(table.fault_until[table.sensor == of.pk], 6)
        machine = np.full(6, of.machine_id)
        with django_assert_num_queries(1):
            got = labels.in_fault(readings(of, *instants), machine=machine, until=until)
        assert got.tolist() == [bool(flag) for flag in inside]
        with django_assert_num_queries(0):
            assert not labels.in_fault(readings(of, instants[-1]), machine=machine[:1], until=until[:1]).any()


@pytest.mark.django_db(transaction=True)
def test_whatever_people_say_counts_for_the_next_run_of_every_process(sensor: Sensor, tina: User) -> None:
    ids = np.array([sensor.pk])
    assert roster.table(ids).regime.tolist() == [0]
    row, _ = declare(sensor, tina)
    assert roster.table(ids).regime.tolist() == [from_instant(NOON)]
    regimes.retract(row.pk, actor=tina)
    assert roster.table(ids).regime.tolist() == [0]
    label, _ = add(sensor, tina)
    assert roster.table(ids).fault_until.tolist() == [from_instant(NOON + HOUR)]
    labels.retract(label.pk, actor=tina)
    assert roster.table(ids).fault_until.tolist() == [0]


def test_a_moved_sensor_takes_what_was_said_of_it_along(sensor: Sensor, tina: User) -> None:
    row, _ = declare(sensor, tina)
    other = factories.machine(site=sensor.site)
    Sensor.objects.filter(pk=sensor.pk).update(machine=other, equipment=other)
    row.refresh_from_db()
    assert row.machine == other


PLANS = [
    ("label_fault", Label.objects.filter(labels.FAULTS, machine_id=7, to_at__gte=NOON, from_at__lte=NOON).order_by()),
    ("label_of_machine", Label.objects.filter(machine_id=7, from_at__lt=NOON).order_by("-from_at")),
    ("label_of_site", Label.objects.filter(site_id=7).order_by("-from_at", "-id")[:50]),
    ("regime_of_machine", Regime.objects.filter(machine_id=7).order_by("-since")[:1]),
    ("regime_of_site", Regime.objects.filter(site_id=7).order_by("-since", "-id")[:50]),
]


@pytest.mark.parametrize(("index", "rows"), PLANS, ids=[name for name, _ in PLANS])
def test_every_question_has_its_index(index: str, rows: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    assert index in rows.explain()
