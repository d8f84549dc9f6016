"""What the state of a machine hides, through the whole flow: off, start-up, and back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import shelves, stages, sweeper
from agents.models import Run
from maintenance import hidden, operating, operating_book, operating_hides, suppressions
from maintenance.models import Alarm, AlarmTransition, Anomaly, Channel, Notification, Suppression, WorkOrder
from maintenance.operating_life import State, Word, Words
from maintenance.operating_models import OperatingState
from mlops.detectors import events
from sensors import columns, inbox, roster
from sensors.columns import from_instant
from sensors.models import Equipment, Event, Membership, Sensor
from sensors.operating_models import OperatingRule
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_alarms import judge, see
from tests.integration.test_suppressions import state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SPIN, STILL, FLOWS, DRY = 90.0, 0.0, 20.0, 1.0
TOLD = ("alarm.opened", "alarm.reopened", "alarm.unsuppressed", "alarm.returned")


@pytest.fixture
def machine() -> Equipment:
    made = factories.machine(site=factories.site(), criticality="CRITICAL")
    Channel.objects.create(site=made.site, kind="CONSOLE", name="log")
    return made


@pytest.fixture
def speed(machine: Equipment) -> Sensor:
    return factories.sensor(machine=machine, kind="SPEED")


@pytest.fixture
def flow(machine: Equipment) -> Sensor:
    return factories.sensor(machine=machine, kind="FLOW", low=5.0)


@pytest.fixture
def anna(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=Membership.Role.ADMIN, username="anna")


def rule(anna: User, **said: Any) -> OperatingRule:
    """Off below 10, running from 50, five minutes of start-up; all is hidden in both."""
    usual: dict[str, Any] = {"off_below": 10.0, "running_above": 50.0, "startup_seconds": 300}
    usual |= {"off_hides": ["ALL"], "startup_hides": ["ALL"]}
    made = OperatingRule(**usual | said)
    made.site = made.machine.site if made.machine else anna.sites.get()
    return operating_book.save(made, actor=anna)


def feed(*series: tuple[Sensor, dict[float, float]]) -> None:
    """One batch, and all that the flow makes of it. By minute after noon, the value."""
    items = [
        {"sensor": sensor.pk, "measured_at": (NOON + minute * MINUTE).isoformat(), "value": value}
        for sensor, values in series
        for minute, value in values.items()
    ]
    site = series[0][0].site
    inbox.accept(site=site, user=None, body=json.dumps(items).encode(), received_at=timezone.now())
    sweeper.work_off(sweeper.due())


def both(speed: Sensor, flow: Sensor, *readings: tuple[float, float, float], in_one: bool) -> None:
    """Minute, speed and flow, in one batch or in one for every four instants."""
    size = len(readings) if in_one else 4
    for start in range(0, len(readings), size):
        part = readings[start : start + size]
        feed((speed, {m: v for m, v, _ in part}), (flow, {m: v for m, _, v in part}))


def normal(since: float) -> list[tuple[float, float, float]]:
    """What takes an anomaly to be over: twelve normal readings in a row, here within two minutes."""
    return [(since + n / 6, SPIN, FLOWS) for n in range(events.QUIET)]


def told() -> list[str]:
    """What people were told of alarms, in order, runs and sweep together."""
    shelves.tell()
    kinds = Notification.objects.order_by("id").values_list("event_type", flat=True)
    return [kind for kind in kinds if kind in TOLD]


def known(machine: Equipment) -> OperatingState:
    return OperatingState.objects.get(machine=machine)


def sweep(at: datetime) -> None:
    for one in operating.due(now=at):
        operating.look(one, now=at)
    for one in suppressions.due(now=at):
        suppressions.expire(one, now=at)


# Off, start-up, and back


@pytest.mark.parametrize("in_one", [True, False])
def test_what_comes_while_it_is_off_and_ends_before_it_has_started_up_is_recorded_and_told_to_nobody(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User, in_one: bool
) -> None:
    rule(anna, machine=machine, sensor=speed)
    both(
        speed, flow, (0, SPIN, FLOWS), (10, STILL, FLOWS), (11, STILL, DRY), (20, SPIN, DRY), *normal(21),
        (25, SPIN, FLOWS), in_one=in_one,
    )  # fmt: skip
    assert Anomaly.objects.filter(kind="LIMIT_LOW").count() == 1
    assert list(AlarmTransition.objects.filter(action__in=["OPENED", "RETURNED"]).values_list("suppression")) == [
        ("BY_DESIGN",), ("BY_DESIGN",),
    ]  # fmt: skip
    sweep(timezone.now() + HOUR)
    assert (told(), WorkOrder.objects.count()) == ([], 0)
    row = Suppression.objects.get()
    assert (row.kind, row.from_at, row.over_at, row.ended_at) == (
        "BY_DESIGN", NOON + 10 * MINUTE, NOON + 25 * MINUTE, NOON + 25 * MINUTE,
    )  # fmt: skip
    states = Event.objects.filter(type="machine.state_changed").order_by("id").values_list("data__state", "occurred_at")
    assert list(states) == [
        ("RUNNING", NOON), ("OFF", NOON + 10 * MINUTE), ("STARTING", NOON + 20 * MINUTE),
        ("RUNNING", NOON + 25 * MINUTE),
    ]  # fmt: skip


@pytest.mark.parametrize("in_one", [True, False])
def test_what_is_still_active_when_it_has_started_up_is_told_once(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User, in_one: bool
) -> None:
    rule(anna, machine=machine, sensor=speed)
    both(
        speed, flow, (0, SPIN, FLOWS), (10, STILL, FLOWS), (11, STILL, DRY), (20, SPIN, DRY), (24, SPIN, DRY),
        (25, SPIN, DRY), in_one=in_one,
    )  # fmt: skip
    alarm = Alarm.objects.get()
    assert (state(alarm), told()) == ("UNACK", ["alarm.unsuppressed"])
    both(speed, flow, (26, SPIN, DRY), in_one=True)
    assert WorkOrder.objects.get().priority == "HIGH"
    sweep(timezone.now() + HOUR)
    assert told() == ["alarm.unsuppressed"]


@pytest.mark.parametrize("in_one", [True, False])
def test_the_alarm_of_what_stopped_the_machine_is_told(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User, in_one: bool
) -> None:
    rule(anna, machine=machine, sensor=speed)
    both(speed, flow, (0, SPIN, FLOWS), (8, SPIN, DRY), (10, STILL, DRY), (11, STILL, DRY), in_one=in_one)
    assert told() == ["alarm.opened"]
    assert (state(Alarm.objects.get()), WorkOrder.objects.count()) == ("DSUPR", 1)


def test_what_comes_after_the_start_up_is_told_as_ever(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    both(speed, flow, (0, SPIN, FLOWS), (10, STILL, FLOWS), (20, SPIN, FLOWS), (30, SPIN, DRY), in_one=True)
    assert (state(Alarm.objects.get()), told()) == ("UNACK", ["alarm.opened"])
    sweep(timezone.now() + HOUR)
    assert told() == ["alarm.opened"]


def test_the_readings_of_another_device_that_come_when_all_is_over_are_judged_as_of_then(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    feed((flow, {-5: FLOWS}))
    feed((speed, {0: SPIN, 10: STILL, 20: SPIN, 40: SPIN}))
    sweep(timezone.now() + HOUR)
    assert Suppression.objects.get().ended_at == NOON + 25 * MINUTE
    feed((flow, {5: FLOWS, 11: DRY} | {minute: FLOWS for minute, *_ in normal(22)}))
    assert (Alarm.objects.count(), told()) == (1, [])
    feed((flow, {31: DRY, 32: DRY}))
    assert (Alarm.objects.count(), told()) == (1, ["alarm.reopened"])


def test_what_began_then_and_was_not_over_by_the_end_is_told_though_it_is_known_only_now(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    feed((flow, {-5: FLOWS}))
    feed((speed, {0: SPIN, 10: STILL, 20: SPIN, 40: SPIN}))
    sweep(timezone.now() + HOUR)
    feed((flow, {5: FLOWS, 11: DRY, 24: DRY, 30: DRY}))
    assert (state(Alarm.objects.get()), told()) == ("UNACK", ["alarm.opened"])


def test_only_the_failure_modes_that_the_rule_names_are_hidden(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed, off_hides=["LOO", "VIB"], startup_hides=["VIB"])
    hot = factories.sensor(machine=machine, kind="TEMPERATURE", high=80.0)
    feed((speed, {0: SPIN, 10: STILL}), (flow, {0: FLOWS, 11: DRY}), (hot, {0: 20.0, 11: 90.0}))
    by_mode = {alarm.failure_mode: state(alarm) for alarm in Alarm.objects.all()}
    assert by_mode == {"LOO": "DSUPR", "OHE": "UNACK"}
    assert told() == ["alarm.opened"]
    feed((speed, {20: SPIN}), (flow, {20: DRY, 21: DRY}))
    assert {row.failure_mode: row.ended_at is None for row in Suppression.objects.all()} == {"LOO": False, "VIB": True}
    assert told() == ["alarm.opened", "alarm.unsuppressed"]


def test_what_is_measured_while_it_is_off_teaches_nothing(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    feed((speed, {0: SPIN, 10: STILL, 20: SPIN}), (flow, {0: FLOWS}))
    at = [from_instant(NOON + minute * MINUTE) for minute in (9, 10, 24, 26)]
    ids = [flow.pk] * 4
    read = columns.Columns(*map(columns.np.array, (ids, at, [1.0] * 4, range(4))))
    frozen = stages._not_as_usual(read, machine=columns.np.array([machine.pk] * 4))
    assert frozen.tolist() == [False, True, True, False]


def test_a_fault_of_an_instrument_while_it_is_off_calls_for_no_order_unless_it_lasts(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    Sensor.objects.filter(pk=flow.pk).update(physical_low=0.0)
    feed((speed, {0: SPIN, 10: STILL}), (flow, {0: FLOWS}))
    feed((flow, {11: -5.0, 12: -5.0, 13: -5.0} | {minute: FLOWS for minute, *_ in normal(14)}))
    assert (Anomaly.objects.filter(nature="INSTRUMENT").count(), WorkOrder.objects.count()) == (1, 0)
    feed((flow, {17: -5.0, 18: -5.0, 19: -5.0}))
    assert WorkOrder.objects.count() == 0
    feed((speed, {20: SPIN, 26: SPIN}), (flow, {26: -5.0}))
    assert WorkOrder.objects.get().maintenance_type == "INSTRUMENTATION"


# Late, by class, with no rule


def test_a_late_reading_says_nothing_of_the_machine(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    feed((speed, {0: SPIN, 20: SPIN}))
    feed((speed, {2: STILL, 18: STILL}))
    assert (known(machine).state, Suppression.objects.count()) == ("RUNNING", 0)


def test_a_rule_of_a_class_reads_the_only_sensor_of_its_kind_and_a_machines_own_outranks_it(anna: User) -> None:
    site = anna.sites.get()
    one, two, own = (factories.machine(site=site, equipment_class="pump ") for _ in range(3))
    speeds = [factories.sensor(machine=m, kind="SPEED") for m in (one, two, two, own)]
    current = factories.sensor(machine=own, kind="CURRENT")
    rule(anna, equipment_class="Pump", sensor_kind="SPEED")
    rule(anna, machine=own, sensor=current, off_below=1.0, running_above=2.0)
    table = roster.table(columns.np.array(sorted(s.pk for s in [*speeds, current])))
    shown = {
        int(s): (o, r) for s, o, r in zip(table.sensor, table.off_below, table.running_above, strict=True) if o > 0
    }
    assert shown == {speeds[0].pk: (10.0, 50.0), current.pk: (1.0, 2.0)}
    assert operating.rule_of(one) == OperatingRule.objects.get(equipment_class="PUMP")


def test_a_change_of_a_rule_is_seen_by_the_next_run(machine: Equipment, speed: Sensor, anna: User) -> None:
    made = rule(anna, machine=machine, sensor=speed)
    ids = columns.np.array([speed.pk])
    assert roster.table(ids).off_below.tolist() == [10.0]
    made.off_below = 5.0
    operating_book.save(made, actor=anna)
    assert roster.table(ids).off_below.tolist() == [5.0]
    operating_book.delete(made, actor=anna)
    assert columns.np.isnan(roster.table(ids).off_below).all()


def test_sites_without_rules_ask_nothing_and_the_others_once_a_run(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    def asked(minute: float) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            feed((speed, {minute: SPIN}), (flow, {minute: FLOWS}))
        return [query["sql"] for query in queries if "operatingstate" in query["sql"]]

    feed((speed, {0: SPIN}), (flow, {0: FLOWS}))
    assert asked(1) == []
    rule(anna, machine=machine, sensor=speed)
    feed((speed, {2: SPIN}))
    assert len(asked(3)) == 1


# Nothing is hidden without an end


def words(*changes: tuple[State, float], last: float) -> Words:
    at = [Word(one, from_instant(NOON + minute * MINUTE)) for one, minute in changes]
    return Words(tuple(at), from_instant(NOON + last * MINUTE))


def hear(machine: Equipment, *changes: tuple[State, float], last: float, now: datetime) -> int:
    with transaction.atomic():
        return operating.hear({machine.pk: words(*changes, last=last)}, now=now)


def test_when_nobody_says_any_longer_that_it_is_off_its_alarms_are_shown(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed, holds_minutes=20)
    hear(machine, (State.OFF, 0), last=0, now=NOON)
    see(flow, run=1, at=60)
    judge(flow, run=1, clock=60)
    assert hear(machine, (State.OFF, 4), last=4, now=NOON + 4 * MINUTE) == 0
    assert hear(machine, (State.OFF, 15), last=15, now=NOON + 15 * MINUTE) == 1
    sweep(NOON + 34 * MINUTE)
    assert (state(Alarm.objects.get()), told()) == ("DSUPR", [])
    sweep(NOON + 35 * MINUTE)
    assert (state(Alarm.objects.get()), told()) == ("UNACK", ["alarm.unsuppressed"])
    assert (known(machine).state, known(machine).source) == ("UNKNOWN", operating.SILENT)
    assert Suppression.objects.get().end_reason == operating.SILENT
    hear(machine, (State.OFF, 50), last=50, now=NOON + 50 * MINUTE)
    assert (known(machine).state, state(Alarm.objects.get())) == ("OFF", "DSUPR")


def test_however_long_it_is_off_nothing_is_hidden_for_longer_than_the_rule_allows(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed, holds_minutes=60, most_hours=2)
    for minute in range(0, 240, 10):
        hear(machine, (State.OFF, minute), last=minute, now=NOON + minute * MINUTE)
        sweep(NOON + minute * MINUTE)
        assert Suppression.objects.filter(ended_at=None).exists() == (minute < 120)
    assert (known(machine).state, Suppression.objects.count()) == ("OFF", 1)


def test_when_no_reading_comes_after_it_began_to_run_the_clock_ends_the_start_up(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed)
    hear(machine, (State.OFF, 0), last=0, now=NOON)
    see(flow, run=1, at=60)
    judge(flow, run=1, clock=60)
    hear(machine, (State.RUNNING, 10), last=10, now=NOON + 10 * MINUTE)
    sweep(NOON + 14 * MINUTE)
    assert (known(machine).state, state(Alarm.objects.get())) == ("STARTING", "DSUPR")
    sweep(NOON + 15 * MINUTE)
    sweep(NOON + 15 * MINUTE + operating_hides.GRACE)
    assert (known(machine).state, state(Alarm.objects.get())) == ("RUNNING", "UNACK")
    assert told() == ["alarm.unsuppressed"]


def test_a_run_that_dies_before_its_end_changes_nothing_and_is_done_again(
    machine: Equipment, speed: Sensor, flow: Sensor, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(anna, machine=machine, sensor=speed)
    feed((speed, {0: SPIN}), (flow, {0: FLOWS}))
    with monkeypatch.context() as patch:
        patch.setattr(operating_hides, "end_passed", _dies)
        both(speed, flow, (10, STILL, FLOWS), (11, STILL, DRY), (20, SPIN, DRY), (30, SPIN, DRY), in_one=True)
    assert (Run.objects.exclude(status="DONE").count(), Alarm.objects.count()) == (1, 0)
    Run.objects.filter(status="ACTIVE").update(due_at=timezone.now(), ring_after=timezone.now(), lease_until=None)
    sweeper.work_off(sweeper.due())
    assert (state(Alarm.objects.get()), told()) == ("UNACK", ["alarm.unsuppressed"])


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_that_look_at_once_and_a_person_who_tells_meanwhile_tell_once(
    machine: Equipment, flow: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, off_below=None, running_above=None, holds_minutes=10)
    see(flow, run=1, at=0)
    judge(flow, run=1, clock=0)
    row = operating.tell(machine, "OFF", actor=anna, now=NOON)
    done: list[bool] = []
    with transaction.atomic():
        done.append(operating.look(row.pk, now=NOON + HOUR))
        looks, errors = in_thread(lambda: done.append(operating.look(row.pk, now=NOON + HOUR)))
        tells, others = in_thread(lambda: operating.tell(machine, "RUNNING", actor=anna, now=NOON + HOUR))
        wait_until_blocked(looks)
    looks.join(10)
    tells.join(10)
    assert (errors, others, done) == ([], [], [True, False])
    assert (known(machine).state, state(Alarm.objects.get()), told()) == ("RUNNING", "UNACK", ["alarm.unsuppressed"])


def _dies(*_: object) -> None:
    raise ConnectionError


def test_the_database_refuses_a_state_that_hides_without_an_end(machine: Equipment) -> None:
    of = {"site": machine.site, "machine": machine}
    with pytest.raises(IntegrityError, match="operating_state_has_an_end"), transaction.atomic():
        OperatingState.objects.create(**of, state="OFF", since=NOON)
    row = OperatingState.objects.create(**of)
    for wrong in ({"kind": "SHELVED", "until": NOON + HOUR}, {"kind": "BY_DESIGN"}):
        with pytest.raises(IntegrityError, match="suppression_"), transaction.atomic():
            Suppression.objects.create(**of, operating=row, reason="x", from_at=NOON, **wrong)


# Told by people and control systems


def test_what_people_tell_hides_and_shows(machine: Equipment, flow: Sensor, anna: User) -> None:
    rule(anna, machine=machine, off_below=None, running_above=None, holds_minutes=30)
    see(flow, run=1, at=0)
    judge(flow, run=1, clock=0)
    operating.tell(machine, "OFF", actor=anna, reason="Shift is over", now=NOON + MINUTE)
    row = Suppression.objects.get()
    assert (row.created_by, row.reason) == (anna, "The machine is off or starts up (anna: Shift is over)")
    assert state(Alarm.objects.get()) == "DSUPR"
    operating.tell(machine, "OFF", actor=anna, now=NOON + 25 * MINUTE)
    sweep(NOON + 54 * MINUTE)
    assert (Suppression.objects.count(), state(Alarm.objects.get())) == (1, "DSUPR")
    operating.tell(machine, "RUNNING", actor=anna, at=NOON + 53 * MINUTE, now=NOON + 54 * MINUTE)
    assert (known(machine).state, known(machine).starts_until) == ("STARTING", NOON + 58 * MINUTE)
    sweep(NOON + 58 * MINUTE)
    sweep(NOON + 58 * MINUTE + operating_hides.GRACE)
    assert (known(machine).state, state(Alarm.objects.get())) == ("RUNNING", "UNACK")


def test_a_person_goes_before_a_sensor_until_that_says_something_new(
    machine: Equipment, speed: Sensor, anna: User
) -> None:
    rule(anna, machine=machine, sensor=speed, startup_seconds=0, startup_hides=[])
    hear(machine, (State.OFF, 0), last=0, now=NOON)
    operating.tell(machine, "RUNNING", actor=anna, now=NOON + MINUTE)
    hear(machine, (State.OFF, 2), last=2, now=NOON + 2 * MINUTE)
    assert known(machine).state == "RUNNING"
    hear(machine, (State.RUNNING, 3), (State.OFF, 4), last=4, now=NOON + 4 * MINUTE)
    assert known(machine).state == "OFF"


def test_what_cannot_be_known_or_is_known_better_is_refused(machine: Equipment, anna: User) -> None:
    with pytest.raises(operating.NoRule):
        operating.tell(machine, "OFF", actor=anna)
    rule(anna, machine=machine, off_below=None, running_above=None)
    with pytest.raises(operating.FromAhead):
        operating.tell(machine, "OFF", actor=anna, at=NOON + HOUR, now=NOON)
    operating.tell(machine, "OFF", actor=anna, now=NOON)
    with pytest.raises(operating.OlderThanKnown, match="off since 2026-03-01 12:00:00"):
        operating.tell(machine, "RUNNING", actor=anna, at=NOON - HOUR, now=NOON)


# Rules


def test_a_rule_that_is_changed_or_taken_away_hides_what_it_says_now(
    machine: Equipment, flow: Sensor, anna: User
) -> None:
    made = rule(anna, machine=machine, off_below=None, running_above=None, off_hides=["LOO", "VIB"])
    now = timezone.now()
    see(flow, run=1, at=0)
    judge(flow, run=1, clock=0)
    operating.tell(machine, "OFF", actor=anna, now=now)
    made.off_hides = ["VIB", "NOI"]
    operating_book.save(made, actor=anna)
    shelves.look()
    stands = {row.failure_mode: row.end_reason for row in Suppression.objects.all()}
    assert stands == {"LOO": operating.CHANGED, "VIB": "", "NOI": ""}
    assert (state(Alarm.objects.get()), told()) == ("UNACK", ["alarm.unsuppressed"])
    operating_book.delete(made, actor=anna)
    shelves.look()
    assert not Suppression.objects.filter(ended_at=None).exists()
    assert (known(machine).state, known(machine).source) == ("UNKNOWN", operating.TAKEN_AWAY)
    rules = Event.objects.filter(type__startswith="operating_rule").order_by("id").values_list("type", "actor")
    assert list(rules) == [(f"operating_rule.{what}", "anna") for what in ("added", "changed", "deleted")]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("off_hides", {"off_hides": ["ALL", "VIB"]}),
        ("off_hides", {"off_hides": ["XXX"]}),
        ("off_hides", {"off_hides": ["VIB", "VIB"]}),
        ("startup_hides", {"startup_hides": "VIB"}),
        ("sensor_kind", {"sensor": None, "sensor_kind": "SMELL"}),
        ("most_hours", {"most_hours": 745}),
        ("holds_minutes", {"most_hours": 1, "holds_minutes": 61}),
        ("startup_seconds", {"startup_seconds": 86_401}),
        ("__all__", {"sensor": None}),
        ("__all__", {"running_above": 9.0}),
        ("__all__", {"off_below": None}),
        ("__all__", {"sensor_kind": "SPEED"}),
        ("__all__", {"equipment_class": "PUMP"}),
        ("__all__", {"off_hides": [], "startup_hides": []}),
        ("__all__", {"startup_seconds": 0}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_field(
    machine: Equipment, speed: Sensor, anna: User, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        rule(anna, **{"machine": machine, "sensor": speed} | wrong)
    assert list(refused.value.message_dict) == [field]


def test_a_rule_is_of_a_machine_of_its_site_and_its_own_sensor(machine: Equipment, speed: Sensor, anna: User) -> None:
    other = factories.sensor(machine=factories.machine(site=machine.site))
    part = factories.machine(site=machine.site, level="COMPONENT", parent=machine)
    for field, wrong in (("sensor", {"sensor": other}), ("machine", {"machine": part})):
        with pytest.raises(ValidationError) as refused:
            rule(anna, **{"machine": machine, "sensor": speed, **wrong})
        assert field in refused.value.message_dict


def test_an_hour_of_readings_says_the_same_however_it_is_cut(anna: User) -> None:
    """Machines with the same history, each cut into batches of its own: the same states, the same hidden."""
    site = anna.sites.get()
    times = [n / 3 for n in range(90)]
    readings = [(m, STILL if 6 <= m < 12 or 20 <= m < 22 else SPIN, DRY if 8 <= m < 13 else FLOWS) for m in times]
    found = set()
    for size in (4, 13, 90):
        machine = factories.machine(site=site, criticality="CRITICAL")
        speed, flow = (
            factories.sensor(machine=machine, kind=kind, low=low) for kind, low in (("SPEED", None), ("FLOW", 5.0))
        )
        rule(anna, machine=machine, sensor=speed)
        for start in range(0, 90, size):
            both(speed, flow, *readings[start : start + size], in_one=True)
        states = Event.objects.filter(type="machine.state_changed", data__machine=machine.pk).order_by("occurred_at")
        hiding = Suppression.objects.filter(machine=machine).order_by("from_at").values_list("from_at", "over_at")
        steps = AlarmTransition.objects.filter(alarm__machine=machine, action__in=["OPENED", "RETURNED"])
        found.add((
            tuple(states.exclude(data__state="RUNNING").values_list("data__state", "occurred_at")), tuple(hiding),
            tuple(steps.order_by("id").values_list("action", "at", "suppression")),
        ))  # fmt: skip
    assert len(found) == 1
    assert told() == []
    assert hidden.standing([machine.pk]) == {} or known(machine).state == "STARTING"
