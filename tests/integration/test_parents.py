"""One alarm for what follows from it: a parent's alarm hides those of the machines below, through the whole flow."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import deliver, shelves, sweeper
from maintenance import owned, parents, suppressions
from maintenance.models import Alarm, Channel, Notification, Suppression, WorkOrder
from maintenance.parent_models import ParentRule
from mlops.detectors import events
from sensors import fleet, inbox
from sensors.models import Equipment, Event, Sensor, Site
from tests import factories
from tests.client import client as rest
from tests.factories import NOON
from tests.integration.test_suppressions import state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WELL, SICK = 20.0, 1.0
URL = "/api/v1/parent-rules/"


@pytest.fixture
def site() -> Site:
    made = factories.site()
    Channel.objects.create(site=made, kind="CONSOLE", name="log")
    return made


def line(site: Site, tag: str = "L1", parent: Equipment | None = None) -> Equipment:
    return fleet.save_equipment(Equipment(site=site, tag=tag, name=tag, level="LINE", parent=parent))


def sensor(site: Site, stands_in: Equipment | None = None, **fields: Any) -> Sensor:
    return factories.sensor(machine=factories.machine(site=site, parent=stands_in), low=5.0, **fields)


def lay(drive: Sensor, below: Equipment, **fields: Any) -> ParentRule:
    row = ParentRule(site=drive.site, machine=drive.machine, equipment=below, **{"hides": ["ALL"]} | fields)
    return owned.add(row, actor=factories.user(site=drive.site))


def feed(*series: tuple[Sensor, dict[float, float]]) -> None:
    """One batch, and all that the flow makes of it. By minute after noon, the value."""
    items = [
        {"sensor": one.pk, "measured_at": (NOON + minute * MINUTE).isoformat(), "value": value}
        for one, values in series
        for minute, value in values.items()
    ]
    inbox.accept(site=series[0][0].site, user=None, body=json.dumps(items).encode(), received_at=timezone.now())
    sweeper.work_off(sweeper.due())


def normal(since: float) -> dict[float, float]:
    """What takes an anomaly to be over."""
    return {since + n / 6: WELL for n in range(events.QUIET)}


def sweep(now: datetime | None = None) -> None:
    for rule_id in parents.due():
        parents.look(rule_id, now=now)
    for one in suppressions.due(now=now):
        suppressions.expire(one, now=now)


def told(of: Sensor) -> list[str]:
    """What people were told of a machine's alarms, in order, runs and sweep together, once all of it went out."""
    shelves.tell()
    for waiting in Notification.objects.filter(status="PENDING").values_list("pk", flat=True):
        deliver.deliver(waiting)
    rows = Notification.objects.filter(payload__machine__id=of.machine_id, event_type__startswith="alarm.")
    return list(rows.filter(status="SENT").order_by("id").values_list("event_type", flat=True))


def test_while_the_parents_alarm_is_active_those_below_are_recorded_and_told_to_nobody(site: Site) -> None:
    below = line(site)
    drive, pump, deep = sensor(site), sensor(site, below), sensor(site, line(site, "L1.1", below))
    beside = sensor(site)
    rule = lay(drive, below)
    feed((drive, {0: SICK}))
    sweep()
    feed((pump, {1: SICK}), (deep, {1: SICK}), (beside, {1: SICK}))
    assert told(drive) == told(beside) == ["alarm.opened"]
    assert told(pump) == told(deep) == []
    alarm = Alarm.objects.get(machine=pump.machine)
    assert state(alarm) == "DSUPR"
    assert alarm.is_active
    assert not WorkOrder.objects.filter(machine=pump.machine).exists()
    rows = Suppression.objects.filter(parent_rule=rule)
    assert {row.machine_id for row in rows} == {pump.machine_id, deep.machine_id}
    for row in rows:
        assert (row.kind, row.from_at, row.parent_alarm) == (
            "BY_DESIGN",
            NOON,
            Alarm.objects.get(machine=drive.machine),
        )
        assert row.until is not None
        assert row.until <= timezone.now() + 24 * HOUR
        assert "It follows from" in row.reason


def test_when_it_is_over_what_still_stands_is_unacknowledged_and_told_once(site: Site) -> None:
    below = line(site)
    drive, pump, well = sensor(site), sensor(site, below), sensor(site, below)
    lay(drive, below)
    feed((drive, {0: SICK}))
    sweep()
    feed((pump, {1: SICK}), (well, {1: SICK}))
    feed((well, normal(2)))  # returns while it is hidden: nobody is ever told
    feed((drive, normal(5)))
    assert not Alarm.objects.get(machine=drive.machine).is_active
    sweep()
    assert told(pump) == []  # its readings up to the return are not seen yet
    feed((pump, {9: SICK}))
    sweep()
    assert told(pump) == ["alarm.unsuppressed"]
    assert told(well) == []
    assert state(Alarm.objects.get(machine=pump.machine)) == "UNACK"
    sweep(timezone.now() + MINUTE)
    sweep(timezone.now() + 2 * MINUTE)
    assert told(pump) == ["alarm.unsuppressed"]
    assert not Suppression.objects.filter(ended_at=None).exists()
    ended = Suppression.objects.get(machine=pump.machine)
    assert ended.end_reason == "The alarm that it follows from is over."
    assert ended.ended_at == ended.over_at


def test_what_was_active_before_is_told_and_what_comes_after_its_end_too_in_whatever_order_readings_come(
    site: Site,
) -> None:
    below = line(site)
    drive, before, after = sensor(site), sensor(site, below), sensor(site, below)
    lay(drive, below)
    feed((drive, {5: SICK}))
    sweep()
    feed((before, {3: SICK}))  # known later, but it was there first
    assert told(before) == ["alarm.opened"]
    feed((drive, normal(10)))
    sweep()
    feed((after, {30: SICK}))
    assert told(after) == ["alarm.opened"]


def test_the_clock_ends_it_where_no_reading_comes_and_the_rules_hours_in_any_case(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    lay(drive, below, most_hours=2)
    feed((drive, {0: SICK}))
    sweep()
    feed((pump, {1: SICK}))
    now = timezone.now()
    sweep(now + HOUR)
    assert told(pump) == []
    sweep(now + 2 * HOUR + MINUTE)
    assert told(pump) == ["alarm.unsuppressed"]
    sweep(now + 3 * HOUR)
    assert not Suppression.objects.filter(ended_at=None).exists()  # the same alarm hides nothing anew
    feed((drive, normal(5)))
    feed((drive, {20: SICK}))
    sweep()
    assert Suppression.objects.filter(machine=pump.machine, ended_at=None).count() == 1
    feed((drive, normal(25)))
    sweep()
    sweep(timezone.now() + MINUTE)
    assert not Suppression.objects.filter(ended_at=None).exists()


def test_a_parent_that_chatters_hides_no_longer_than_one_that_stands(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    rule = lay(drive, below, most_hours=1)
    feed((drive, {0: SICK}))
    now = timezone.now()
    sweep(now)
    feed((pump, {1: SICK}))
    for minute in (25, 50, 75):  # it returned and was active again between one pass and the next
        assert told(pump) == []
        feed((drive, normal(minute)))
        feed((drive, {minute + 5: SICK}))
        sweep(now + minute * MINUTE)
    assert told(pump) == ["alarm.unsuppressed"]
    assert state(Alarm.objects.get(machine=pump.machine)) == "UNACK"
    assert parents.look(rule.pk, now=now + 80 * MINUTE) == 0  # nor is it tried in every pass
    assert not Suppression.objects.filter(machine=pump.machine, ended_at=None).exists()


def test_only_the_modes_of_the_rule_count_and_advisories_hide_nothing(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    lay(drive, below, failure_mode="VIB")
    feed((drive, {0: SICK}))
    sweep()
    assert not Suppression.objects.exists()
    lay(drive, below, hides=["VIB"])
    sweep()
    assert Suppression.objects.get().failure_mode == "VIB"
    feed((pump, {1: SICK}))
    assert told(pump) == ["alarm.opened"]


def test_two_that_hide_each_other_hide_one_side_only(site: Site) -> None:
    one_line, other_line = line(site, "A"), line(site, "B")
    one, other = sensor(site, one_line), sensor(site, other_line)
    lay(one, other_line)
    lay(other, one_line)
    feed((one, {0: SICK}), (other, {0: SICK}))
    sweep()
    sweep()
    hidden = Suppression.objects.get()
    assert hidden.machine_id in (one.machine_id, other.machine_id)


def test_a_rule_that_is_disabled_hides_no_longer_and_a_machine_that_moves_neither(site: Site) -> None:
    below = line(site)
    drive, pump, moves = sensor(site), sensor(site, below), sensor(site, below)
    rule = lay(drive, below)
    feed((drive, {0: SICK}))
    sweep()
    feed((pump, {1: SICK}), (moves, {1: SICK}))
    machine = moves.machine
    machine.parent = line(site, "L2")
    fleet.save_equipment(machine)
    sweep()
    assert (told(moves), told(pump)) == (["alarm.unsuppressed"], [])
    owned.change(rule, {"is_enabled": False}, actor=factories.user(site=site))
    sweep()
    assert told(pump) == ["alarm.unsuppressed"]
    assert parents.due() == []
    with pytest.raises(owned.InUse):
        owned.delete(rule, actor=factories.user(site=site))
    kinds = Event.objects.filter(type__startswith="parent_rule.").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["parent_rule.added", "parent_rule.changed"]


def test_however_many_are_hidden_each_is_looked_at_and_every_rule(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parents, "MOST", 2)
    below = line(site)
    drive, *_, moves = sensor(site), *(sensor(site, below) for _ in range(4))
    rules = [lay(drive, below), lay(drive, below, failure_mode="VIB")]
    feed((drive, {0: SICK}))
    assert [parents.look(rules[0].pk) for _ in range(3)] == [2, 2, 0]
    machine = moves.machine
    machine.parent = line(site, "L2")
    fleet.save_equipment(machine)
    assert parents.look(rules[0].pk) == 1
    assert not Suppression.objects.filter(machine=machine, ended_at=None).exists()
    monkeypatch.setattr(parents, "MOST", 1)
    assert parents.due() == [rule.pk for rule in rules]


def test_what_another_sweep_begins_meanwhile_stays(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    rule, seen = lay(drive, below), []

    def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
        """Once one sweep has seen no active alarm, there is one, and another sweep hides what follows from it."""
        done = execute(sql, *rest)
        if not seen and sql.startswith("SELECT") and f'FROM "{Alarm._meta.db_table}"' in sql:
            seen.append(sql)
            feed((drive, {0: SICK}))
            assert parents.look(rule.pk) == 1
        return done

    with connection.execute_wrapper(meanwhile):
        assert parents.look(rule.pk) == 0
    assert seen
    assert Suppression.objects.get(machine=pump.machine, ended_at=None).over_at is None


def test_looking_again_changes_nothing_and_costs_the_same_whatever_is_below(site: Site) -> None:
    below = line(site)
    drive = sensor(site)
    rule, counted = lay(drive, below), []
    feed((drive, {0: SICK}))
    for more in (2, 8):
        for _ in range(more):
            sensor(site, below)
        assert parents.look(rule.pk) == more
        with CaptureQueriesContext(connection) as queries:
            assert parents.look(rule.pk) == 0
        counted.append(len(queries))
    assert counted[0] == counted[1]
    with CaptureQueriesContext(connection) as queries:
        parents.due()
    assert len(queries) == 1


def test_the_database_knows_that_it_has_an_end_and_a_cause(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    rule = lay(drive, below)
    of: dict[str, Any] = {"site": site, "machine": pump.machine, "kind": "BY_DESIGN", "reason": "x", "from_at": NOON}
    with pytest.raises(IntegrityError), transaction.atomic():
        Suppression.objects.create(**of, parent_rule=rule, until=NOON + HOUR)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"hides": []}, "hides"), ({"hides": ["NONE"]}, "hides"), ({"most_hours": 10_000}, "most_hours"),
     ({"failure_mode": "???"}, "failure_mode"), ({"most_hours": 0}, "most_hours")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(site: Site, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(owned.Invalid) as told:
        lay(sensor(site), line(site), **wrong)
    assert field in told.value.errors
    with pytest.raises(owned.Invalid):
        drive = sensor(site)
        lay(drive, drive.machine)
    with pytest.raises(owned.Invalid):
        lay(sensor(site), line(factories.site()))


# Pages and REST


def test_an_administrator_lays_one_down_and_it_is_shown_with_what_it_hides(site: Site) -> None:
    below = line(site)
    drive, pump = sensor(site), sensor(site, below)
    admin = Client()
    admin.force_login(factories.user(site=site, role="ADMIN", is_staff=True))
    listing = reverse("admin:maintenance_parentrule_changelist")
    assert "Nothing is laid down" in admin.get(listing).content.decode()
    form = {
        "site": site.pk, "machine": drive.machine_id, "equipment": below.pk, "failure_mode": "", "hides": ["ALL"],
        "most_hours": 24, "is_enabled": "on",
    }  # fmt: skip
    answer = admin.post(reverse("admin:maintenance_parentrule_add"), form)
    assert answer.status_code == 302, answer.content.decode()
    rule = ParentRule.objects.get()
    assert str(drive.machine) in admin.get(listing).content.decode()
    feed((drive, {0: SICK}))
    sweep()
    hidden = Suppression.objects.get(machine=pump.machine)
    page = admin.get(reverse("admin:maintenance_suppression_change", args=[hidden.pk])).content.decode()
    assert reverse("admin:maintenance_alarm_change", args=[hidden.parent_alarm_id]) in page
    assert "It follows from" in admin.get(reverse("admin:maintenance_suppression_changelist")).content.decode()
    change = reverse("admin:maintenance_parentrule_change", args=[rule.pk])
    assert admin.post(change, {"hides": ["ALL"], "most_hours": 5}).status_code == 302
    sweep()
    assert not Suppression.objects.filter(ended_at=None).exists()
    tina = Client()
    tina.force_login(factories.user(site=site, role="TECHNICIAN", is_staff=True))
    assert tina.post(reverse("admin:maintenance_parentrule_add"), form).status_code == 403


def test_over_rest(site: Site) -> None:
    below = line(site)
    drive = sensor(site)
    body = {"site": site.pk, "machine": drive.machine_id, "equipment": below.pk, "hides": ["ALL"]}
    admin = rest(factories.user(site=site))
    made = admin.post(URL, body, content_type="application/json")
    assert made.status_code == 201, made.json()
    one = f"{URL}{made.json()['id']}/"
    changed = admin.patch(one, {"most_hours": 3, "machine": 0}, content_type="application/json")
    assert changed.status_code == 400
    changed = admin.patch(one, {"most_hours": 3}, content_type="application/json").json()
    assert (changed["most_hours"], changed["machine"]) == (3, drive.machine_id)
    tina = rest(factories.user(site=site, role="TECHNICIAN"))
    assert tina.patch(one, {"most_hours": 4}, content_type="application/json").status_code == 403
    assert rest(factories.user(site=factories.site())).get(one).status_code == 404
    assert admin.delete(one).status_code == 204
