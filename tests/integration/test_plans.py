"""Preventive plans on the real database: orders open in time, once, and plans move with the work."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import sweeper, validate
from agents.findings import Quality
from maintenance import meters, order_moves, order_steps, plan_dates, plan_work, plans
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.plan_models import Meter, Plan, PlanOccurrence
from mlops.state import State
from sensors import columns, roster
from sensors.models import Equipment, Event, Membership, Sensor, Site
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread

pytestmark = pytest.mark.django_db

COLD = State(np.empty(0, np.int64), {})
DAY = timedelta(days=1)
TODAY = NOON.date()  # 1 March 2026
ROME = ZoneInfo("Europe/Rome")
WEEKLY: dict[str, Any] = {"title": "Grease", "every": 1, "unit": "WEEK", "first_on": date(2026, 3, 9)}


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def machine(site: Site) -> Equipment:
    return factories.machine(site=site, criticality="HIGH")


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, username="anna")


def plan(machine: Equipment, actor: User, *, now: datetime = NOON, **fields: Any) -> Plan:
    said = {"site": machine.site, "machine": machine} | WEEKLY | fields
    return plans.add(Plan(**said), actor=actor, now=now)


def meter(machine: Equipment, actor: User, *, now: datetime = NOON, **fields: Any) -> Meter:
    return meters.add(
        Meter(**{"site": machine.site, "machine": machine, "name": "Hours"} | fields), actor=actor, now=now
    )


def sweep(now: datetime) -> None:
    for due in meters.due(now=now):
        meters.look(due, now=now)
    for due in plan_work.due(now=now):
        plan_work.look(due, now=now)


def orders() -> list[WorkOrder]:
    return list(WorkOrder.objects.order_by("id"))


def do(order: WorkOrder, actor: User, *, now: datetime) -> None:
    order_steps.assign(order.pk, actor=actor, assignee=actor, now=now)
    order_steps.start(order.pk, actor=actor, now=now)
    order_steps.complete(order.pk, actor=actor, findings="Greased", now=now)


def at(day: date, hour: int = 17) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=ROME)


# By the calendar


def test_an_order_is_opened_its_lead_time_before_it_is_due(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna, lead_days=3, description="Two strokes each", minutes=45)
    sweep(at(date(2026, 3, 6)) - timedelta(seconds=1))
    assert orders() == []
    sweep(at(date(2026, 3, 6)))
    (order,) = orders()
    assert (order.maintenance_type, order.title, order.description) == ("PREDETERMINED", "Grease", "Two strokes each")
    assert (order.planned_minutes, order.due_at, order.status) == (45, at(date(2026, 3, 9)), "OPEN")
    assert (order.priority, order.failure_mode, order.machine) == ("MEDIUM", "", machine)
    (opened,) = order.transitions.all()
    assert (opened.action, opened.key) == ("OPENED", f"plan/{made.pk}/1")
    told = Event.objects.filter(type__in=["plan.opened", "work_order.opened"]).order_by("id")
    assert list(told.values_list("type", flat=True)) == ["work_order.opened", "plan.opened"]


def test_no_order_is_opened_while_one_is_open_however_late(machine: Equipment, anna: User) -> None:
    plan(machine, anna, basis="DUE")
    for day in range(60):
        sweep(NOON + day * DAY)
    (order,) = orders()
    do(order, anna, now=at(date(2026, 4, 30)))
    row = Plan.objects.get()
    assert (row.number, row.due_on, row.look_at) == (2, date(2026, 5, 4), at(date(2026, 5, 4)))


@pytest.mark.parametrize(("basis", "due_on"), [("DUE", date(2026, 3, 16)), ("COMPLETION", date(2026, 3, 14))])
def test_a_plan_moves_when_its_order_was_done_early(machine: Equipment, anna: User, basis: str, due_on: date) -> None:
    plan(machine, anna, basis=basis, lead_days=3)
    sweep(at(date(2026, 3, 6)))
    do(orders()[0], anna, now=at(date(2026, 3, 7)))
    row = Plan.objects.get()
    assert (row.due_on, row.due_at) == (due_on, at(due_on))
    assert PlanOccurrence.objects.get().outcome == "DONE"


def test_a_plan_moves_when_the_work_was_done_early_without_an_order(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna)
    row = plans.record_done(made.pk, actor=anna, on=TODAY - DAY, comment="With the repair", now=NOON)
    assert (row.due_on, row.number) == (date(2026, 3, 7), 2)
    assert PlanOccurrence.objects.get().order is None
    for on in (TODAY - DAY, TODAY - 2 * DAY, TODAY + DAY):
        with pytest.raises(plans.NotThen):
            plans.record_done(made.pk, actor=anna, on=on, now=NOON)
    sweep(at(date(2026, 3, 7)))
    with pytest.raises(plans.OrderIsOpen, match=r"That is WO-\d+ Grease"):
        plans.record_done(made.pk, actor=anna, now=at(date(2026, 3, 8)))


def test_the_wall_clock_holds_through_a_change_of_clocks(machine: Equipment, anna: User) -> None:
    plan(machine, anna, every=1, unit="DAY", first_on=date(2026, 3, 28), due_time=time(2, 30), lead_days=1)
    due_at = []
    for day in (28, 29, 30):
        sweep(datetime(2026, 3, day, 0, 30, tzinfo=ROME))
        sweep(datetime(2026, 3, day, 4, tzinfo=ROME))
        due_at.append(orders()[-1].due_at)
        do(orders()[-1], anna, now=datetime(2026, 3, day, 4, tzinfo=ROME))
    assert [f"{one:%d %H:%M}" for one in due_at if one] == ["28 01:30", "29 01:30", "30 00:30"]


def test_a_cancelled_order_skips_its_time_and_the_plan_goes_on(machine: Equipment, anna: User) -> None:
    plan(machine, anna, lead_days=3)
    sweep(at(date(2026, 3, 6)))
    order_steps.cancel(orders()[0].pk, actor=anna, comment="Machine stands", now=at(date(2026, 3, 6), 18))
    row = Plan.objects.get()
    assert (row.due_on, PlanOccurrence.objects.get().outcome) == (date(2026, 3, 16), "SKIPPED")
    sweep(at(date(2026, 3, 7)))
    assert len(orders()) == 1


def test_a_reopened_order_takes_its_plan_back_unless_that_went_on(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna)
    sweep(at(date(2026, 3, 9)))
    (order,) = orders()
    do(order, anna, now=at(date(2026, 3, 9), 18))
    order_steps.reopen(order.pk, actor=anna, comment="Leaks", now=at(date(2026, 3, 10)))
    row = Plan.objects.get()
    assert (row.number, row.due_on, row.look_at) == (1, date(2026, 3, 9), None)
    sweep(at(date(2026, 3, 20)))
    assert len(orders()) == 1
    do(order, anna, now=at(date(2026, 3, 20)))
    plans.record_done(made.pk, actor=anna, on=date(2026, 3, 21), now=at(date(2026, 3, 21)))
    with pytest.raises(plan_work.MovedOn, match="went on since"):
        order_steps.reopen(order.pk, actor=anna, comment="Leaks", now=at(date(2026, 3, 22)))
    order.refresh_from_db()
    assert order.status == "COMPLETED"


def test_a_paused_plan_opens_nothing_and_makes_up_for_it_once(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna, basis="DUE")
    with pytest.raises(plans.NoReason):
        plans.pause(made.pk, actor=anna, reason=" ")
    plans.pause(made.pk, actor=anna, reason="Mothballed", now=NOON)
    with pytest.raises(plans.Paused):
        plans.pause(made.pk, actor=anna, reason="Again")
    for day in range(40):
        sweep(NOON + day * DAY)
    assert orders() == []
    plans.resume(made.pk, actor=anna, now=NOON + 40 * DAY)
    with pytest.raises(plans.NotPaused):
        plans.resume(made.pk, actor=anna)
    sweep(NOON + 40 * DAY)
    assert [order.due_at for order in orders()] == [at(date(2026, 3, 9))]


def test_a_change_counts_at_once_and_leaves_the_open_order_alone(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna)
    row = plans.change(made.pk, actor=anna, first_on=date(2026, 3, 2), now=NOON)
    assert row.look_at == at(date(2026, 3, 2))
    sweep(at(date(2026, 3, 2)))
    row = plans.change(made.pk, actor=anna, every=2, title="Oil", now=at(date(2026, 3, 3)))
    assert (row.due_on, row.look_at, orders()[0].title) == (date(2026, 3, 2), None, "Grease")
    do(orders()[0], anna, now=at(date(2026, 3, 3)))
    assert Plan.objects.get().due_on == date(2026, 3, 17)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("__all__", {"every": None, "first_on": None}),
        ("__all__", {"first_on": None}),
        ("every", {"every": 0}),
        ("season_last", {"season_first": "04-01"}),
        ("season_first", {"season_first": "02-29", "season_last": "05-01"}),
        ("season_first", {"season_first": "4-1", "season_last": "05-01"}),
        ("first_on", {"first_on": date(2999, 1, 1)}),
        ("minutes", {"minutes": 0}),
        ("title", {"title": ""}),
        ("__all__", {"kind": "CALIBRATION"}),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    machine: Equipment, anna: User, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(machine, anna, **wrong)
    assert set(refused.value.message_dict) == {field}
    assert not Plan.objects.exists()


# By a meter, and by whichever is first


def test_a_meter_calls_for_the_work_and_the_calendar_where_it_is_first(machine: Equipment, anna: User) -> None:
    hours = meter(machine, anna)
    meters.enter(hours.pk, actor=anna, value=1_000, at=NOON, now=NOON)
    plan(machine, anna, every=1, unit="MONTH", first_on=date(2026, 4, 1), meter=hours, meter_every=100, meter_lead=10)
    assert Plan.objects.get().target == 1_100
    meters.enter(hours.pk, actor=anna, value=1_089, now=NOON + 10 * DAY)
    sweep(NOON + 10 * DAY)
    assert orders() == []
    meters.enter(hours.pk, actor=anna, value=1_090, now=NOON + 11 * DAY)
    sweep(NOON + 11 * DAY)
    (first,) = orders()
    assert NOON + 11 * DAY < (first.due_at or NOON) < NOON + 13 * DAY
    meters.enter(hours.pk, actor=anna, value=1_200, now=NOON + 12 * DAY)
    sweep(NOON + 12 * DAY)
    assert len(orders()) == 1
    do(first, anna, now=NOON + 13 * DAY)
    row = Plan.objects.get()
    assert (row.target, row.due_on) == (1_300, date(2026, 4, 14))
    sweep(at(date(2026, 4, 14)))
    assert [order.due_at for order in orders()[1:]] == [at(date(2026, 4, 14))]


def test_what_a_meter_shows_never_goes_back_unless_it_was_replaced(machine: Equipment, anna: User) -> None:
    hours = meter(machine, anna)
    for day, value in ((0, 500.0), (1, 510.0)):
        meters.enter(hours.pk, actor=anna, value=value, now=NOON + day * DAY)
    with pytest.raises(meters.GoesBack, match="That was 510"):
        meters.enter(hours.pk, actor=anna, value=3, now=NOON + 2 * DAY)
    with pytest.raises(meters.OutOfOrder, match="2026-03-02"):
        meters.enter(hours.pk, actor=anna, value=520, at=NOON, now=NOON + 2 * DAY)
    with pytest.raises(meters.GoesBack):
        meters.enter(hours.pk, actor=anna, value=float("nan"), now=NOON + 2 * DAY)
    meters.enter(hours.pk, actor=anna, value=3, replaced=True, now=NOON + 2 * DAY)
    meters.enter(hours.pk, actor=anna, value=13, now=NOON + 3 * DAY)
    hours.refresh_from_db()
    assert (hours.total, hours.value) == (520, 13)
    assert hours.per_day == pytest.approx(20 / 3)


def test_first_of_both_counts_from_the_completion(machine: Equipment, anna: User) -> None:
    hours = meter(machine, anna)
    with pytest.raises(ValidationError, match="resets both"):
        plan(machine, anna, meter=hours, meter_every=100, basis="DUE")
    other = meter(factories.machine(site=machine.site), anna)
    with pytest.raises(ValidationError, match="another machine"):
        plan(machine, anna, meter=other, meter_every=100)


# Once


@pytest.mark.django_db(transaction=True)
def test_racing_sweeps_open_one_order() -> None:
    machine = factories.machine(site=factories.site())
    made = [plan(machine, factories.user(), first_on=TODAY) for _ in range(3)]
    gate = threading.Barrier(6)

    def race() -> None:
        gate.wait(10)
        ids = plan_work.due(now=NOON + DAY)
        random.shuffle(ids)
        for one in ids:
            plan_work.look(one, now=NOON + DAY)

    racing = [in_thread(race) for _ in range(6)]
    for thread, _ in racing:
        thread.join(30)
    assert [errors for _, errors in racing if errors] == []
    assert WorkOrder.objects.count() == 3
    keys = WorkOrderTransition.objects.values_list("key", flat=True)
    assert sorted(keys) == sorted(f"plan/{one.pk}/1" for one in made)


@pytest.mark.django_db(transaction=True)
def test_completing_twice_at_once_moves_the_plan_once() -> None:
    machine = factories.machine(site=factories.site())
    worker = factories.user(site=machine.site)
    plan(machine, worker, first_on=TODAY)
    sweep(NOON + DAY)
    (order,) = orders()
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    order_steps.start(order.pk, actor=worker, now=NOON + DAY)
    both = [
        in_thread(lambda: order_steps.complete(order.pk, actor=worker, findings="x", now=NOON + 2 * DAY)) for _ in "ab"
    ]
    for thread, _ in both:
        thread.join(30)
    refused = [error for _, errors in both for error in errors]
    assert [type(error) for error in refused] == [order_moves.NotPossible]
    assert (Plan.objects.get().number, PlanOccurrence.objects.count()) == (2, 1)


def test_who_dies_before_the_end_leaves_nothing_and_the_next_pass_does_it(
    machine: Equipment, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(machine, anna, first_on=TODAY)
    with monkeypatch.context() as dying, pytest.raises(MemoryError), transaction.atomic():
        dying.setattr(plans, "journaled", _dies)
        plan_work.look(made.pk, now=NOON + DAY)
    assert (orders(), PlanOccurrence.objects.count()) == ([], 0)
    sweep(NOON + DAY)
    assert len(orders()) == 1


def _dies(*_: object, **__: object) -> None:
    raise MemoryError


def test_the_database_itself_holds_one_order_to_an_occurrence(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna, first_on=TODAY)
    sweep(NOON + DAY)
    (order,) = orders()
    for number, other in ((1, {"outcome": "DONE", "ended_at": NOON, "counts_from_on": TODAY}), (2, {"order": order})):
        with pytest.raises(IntegrityError), transaction.atomic():
            PlanOccurrence.objects.create(plan=made, number=number, opened_at=NOON, **other)


def test_the_real_sweep_opens_orders(machine: Equipment, anna: User) -> None:
    plan(machine, anna, first_on=timezone.now().date() - 2 * DAY, now=timezone.now())
    sweeper.sweep()
    sweeper.sweep()
    assert [order.title for order in orders()] == ["Grease"]


# Calibration


@pytest.fixture
def sensor(machine: Equipment) -> Sensor:
    return factories.sensor(machine=machine)


def quality(sensor: Sensor, day: date) -> int:
    """What the stage makes of a reading at noon of a day."""
    instant = columns.from_instant(datetime.combine(day, time(12), tzinfo=UTC))
    ids = np.array([sensor.pk], np.int64)
    reading = columns.Columns(ids, np.array([instant]), np.array([5.0]), np.zeros(1, np.int32))
    return int(validate.validate(columns=reading, table=roster.table(ids), memory=COLD).quality[0])


def test_an_overdue_calibration_makes_readings_uncertain_until_it_is_done(
    machine: Equipment, sensor: Sensor, anna: User
) -> None:
    plan(machine, anna, kind="CALIBRATION", sensor=sensor, title="Calibrate", lead_days=2)
    sensor.refresh_from_db()
    assert sensor.calibration_due_on == date(2026, 3, 9)
    days = [date(2026, 3, 9), date(2026, 3, 10)]
    assert [quality(sensor, day) for day in days] == [Quality.GOOD, Quality.UNCERTAIN]
    sweep(at(date(2026, 3, 7)))
    order_steps.cancel(orders()[0].pk, actor=anna, comment="No time", now=at(date(2026, 3, 7)))
    assert quality(sensor, days[1]) == Quality.UNCERTAIN
    sweep(at(date(2026, 3, 14)))
    do(orders()[1], anna, now=at(date(2026, 3, 16)))
    assert [quality(sensor, date(2026, 3, day)) for day in (17, 23, 24)] == [0, 0, Quality.UNCERTAIN]


def test_a_sensor_is_calibrated_by_one_plan(machine: Equipment, sensor: Sensor, anna: User) -> None:
    of: dict[str, Any] = {"kind": "CALIBRATION", "sensor": sensor}
    first = plan(machine, anna, **of)
    with pytest.raises(ValidationError, match="Another plan calibrates"):
        plan(machine, anna, **of)
    plans.pause(first.pk, actor=anna, reason="Replaced by another plan", now=NOON)
    plan(machine, anna, **of)
    with pytest.raises(ValidationError, match="Another plan calibrates"):
        plans.resume(first.pk, actor=anna, now=NOON)
    hours = meter(machine, anna)
    with pytest.raises(ValidationError, match="not by a meter"):
        plan(machine, anna, **of, meter=hours, meter_every=5)


# What is to come


def test_the_next_ten_are_what_comes_if_each_is_done_in_time(machine: Equipment, anna: User) -> None:
    made = plan(machine, anna, season_first="04-01", season_last="10-31", unit="MONTH", every=2)
    row = Plan.objects.select_related("site", "meter").get(pk=made.pk)
    told = plan_dates.upcoming(row, now=NOON)
    came = []
    for _ in range(10):
        row.refresh_from_db()
        assert row.due_at is not None
        sweep(row.due_at)
        came.append(row.due_on)
        do(orders()[-1], anna, now=row.due_at)
    assert [one.due_on for one in told] == came
    assert {one.by for one in told} == {"calendar"}


def test_what_is_to_come_by_a_meter_follows_from_its_rate(machine: Equipment, anna: User) -> None:
    hours = meter(machine, anna)
    for day in (0, 10):
        meters.enter(hours.pk, actor=anna, value=100 + 5 * day, now=NOON + day * DAY)
    hours.refresh_from_db()
    shown = Plan(
        site=machine.site, machine=machine, title="Oil", every=2, unit="MONTH", first_on=date(2026, 3, 12),
        meter=hours, meter_every=100, meter_first=300,
    )  # fmt: skip
    told = plan_dates.upcoming(shown, now=NOON + 10 * DAY, most=3)
    assert [(one.by, one.due_on) for one in told] == [
        ("calendar", date(2026, 3, 12)), ("meter", date(2026, 4, 1)), ("meter", date(2026, 4, 21)),
    ]  # fmt: skip


def test_nobody_says_when_a_meter_that_hardly_moves_gets_there(machine: Equipment, anna: User) -> None:
    hours = meter(machine, anna)
    for day, value in ((0, 1.0), (10, 1.0 + 1e-12)):
        meters.enter(hours.pk, actor=anna, value=value, now=NOON + day * DAY)
    made = plan(machine, anna, every=None, first_on=None, meter=hours, meter_every=1e9)
    (one,) = plan_dates.upcoming(Plan.objects.get(pk=made.pk), now=NOON)
    assert (one.due_at, one.by, one.target) == (None, "meter", 1e9 + 1)


def test_a_look_that_opens_nothing_asks_little(machine: Equipment, anna: User) -> None:
    for _ in range(5):
        plan(machine, anna)
    with CaptureQueriesContext(connection) as asked:
        sweep(NOON)
    assert len(asked) == 2
