"""Maintenance windows on the real database: they hide the alarms of their machines, and bring them back."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from agents import shelves, sweeper
from maintenance import suppressions, windows
from maintenance.models import Alarm, Channel, MaintenanceWindow, Suppression
from sensors.models import Equipment, Event, Membership, Site
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_alarms import actions, judge, see
from tests.integration.test_suppressions import sent, state

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MORNING = NOON - 3 * HOUR  # of a Sunday; 10:00 in Rome
USUAL: dict[str, Any] = {"reason": "Cleaning", "first_on": date(2026, 3, 1), "starts": time(14), "minutes": 120}
BEGIN, END = NOON + HOUR, NOON + 3 * HOUR
"""Of the usual one, in Rome."""


@pytest.fixture
def site() -> Site:
    made = factories.site(time_zone="Europe/Rome")
    Channel.objects.create(site=made, kind="CONSOLE", name="log")
    return made


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, username="anna")


def window(site: Site, actor: User, *, now: datetime = MORNING, **fields: Any) -> MaintenanceWindow:
    return windows.add(MaintenanceWindow(**{"site": site} | USUAL | fields), actor=actor, now=now)


def raised(machine: Equipment) -> Alarm:
    sensor = factories.sensor(machine=machine)
    see(sensor, run=sensor.pk, at=0)
    judge(sensor, run=sensor.pk, clock=0)
    return Alarm.objects.get(machine=machine)


def sweep(at: datetime) -> None:
    """What a pass of the sweep does, at an instant."""
    for due in suppressions.due(now=at):
        suppressions.expire(due, now=at)
    for due in windows.due(now=at):
        windows.look(due, now=at)


def hidden_machines() -> list[int]:
    standing = Suppression.objects.filter(ended_at=None, kind="BY_DESIGN")
    return sorted(standing.values_list("machine_id", flat=True))


# Hidden, and back


def test_a_window_hides_the_alarms_of_its_machine_and_brings_them_back(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    alarm = raised(machine)
    made = window(site, anna, equipment=machine)
    sweep(MORNING)
    assert state(alarm) == "UNACK"
    sweep(BEGIN)
    row = Suppression.objects.get()
    assert (row.kind, row.window, row.machine, row.from_at, row.until) == ("BY_DESIGN", made, machine, BEGIN, END)
    assert (row.reason, row.created_by) == ("Maintenance window: Cleaning", anna)
    assert state(alarm) == "DSUPR"
    sweep(END - MINUTE)
    assert state(alarm) == "DSUPR"
    sweep(END)
    assert (state(alarm), actions()) == ("UNACK", ["OPENED", "SUPPRESSED", "UNSUPPRESSED"])
    assert sent() == ["alarm.unsuppressed"]
    sweep(END + HOUR)
    made.refresh_from_db()
    assert (made.look_at, Suppression.objects.count()) == (None, 1)


def test_a_window_that_comes_again_hides_on_each_of_its_days_at_the_sites_own_time(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    window(site, anna, equipment=machine, first_on=date(2026, 3, 27), weekdays=[5, 7], last_on=date(2026, 4, 5))
    at = datetime(2026, 3, 26, tzinfo=UTC)
    while at < datetime(2026, 4, 8, tzinfo=UTC):
        sweep(at)
        at += HOUR
    begins = list(Suppression.objects.order_by("from_at").values_list("from_at", flat=True))
    assert [f"{begin:%m-%d %H:%M}" for begin in begins] == ["03-27 13:00", "03-29 12:00", "04-03 12:00", "04-05 12:00"]
    assert {row.ended_at - row.from_at for row in Suppression.objects.all() if row.ended_at} == {2 * HOUR}
    assert hidden_machines() == []


def test_a_window_of_a_line_or_a_site_is_of_all_machines_in_it(site: Site, anna: User) -> None:
    hall = factories.machine(site=site, level="LINE")
    line = factories.machine(site=site, level="LINE", parent=hall)
    inside = [factories.machine(site=site, parent=parent).pk for parent in (hall, line)]
    outside = factories.machine(site=site).pk
    factories.machine(site=factories.site())
    one = window(site, anna, equipment=hall)
    sweep(BEGIN)
    assert hidden_machines() == inside
    windows.cancel(one.pk, actor=anna, reason="Called off", now=BEGIN + MINUTE)
    sweep(BEGIN + MINUTE)
    assert hidden_machines() == []
    window(site, anna, now=BEGIN + 2 * MINUTE)
    sweep(BEGIN + 2 * MINUTE)
    assert hidden_machines() == [*inside, outside]


def test_two_windows_at_once_show_the_alarm_when_the_second_ends(site: Site, anna: User) -> None:
    alarm = raised(factories.machine(site=site))
    window(site, anna)
    window(site, anna, equipment=alarm.machine, minutes=180)
    sweep(BEGIN)
    sweep(END)
    assert (state(alarm), sent()) == ("DSUPR", [])
    sweep(END + HOUR)
    assert (state(alarm), sent()) == ("UNACK", ["alarm.unsuppressed"])


def test_the_real_sweep_looks_at_windows(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    local = datetime.now(ZoneInfo("Europe/Rome")) - 10 * MINUTE
    windows.add(
        MaintenanceWindow(site=site, reason="Now", first_on=local.date(), starts=local.time(), minutes=60), actor=anna
    )
    sweeper.sweep()
    assert hidden_machines() == [machine.pk]
    assert list(Event.objects.filter(type__startswith="maintenance").values_list("type", "actor")) == [
        ("maintenance_window.added", "anna")
    ]


# However often it is looked at, and whatever comes between


def test_looking_again_changes_nothing(site: Site, anna: User) -> None:
    alarm = raised(factories.machine(site=site))
    made = window(site, anna)
    sweep(BEGIN)
    before = list(Suppression.objects.values()), actions(), Event.objects.count()
    for minutes in (0, 1, 20):
        MaintenanceWindow.objects.update(look_at=BEGIN)
        assert windows.look(made.pk, now=BEGIN + minutes * MINUTE) == 0
    assert (list(Suppression.objects.values()), actions(), Event.objects.count()) == before
    assert state(alarm) == "DSUPR"


def test_what_was_over_before_anybody_came_hides_nothing_but_is_known(site: Site, anna: User) -> None:
    alarm = raised(factories.machine(site=site))
    window(site, anna, weekdays=[1, 7], last_on=date(2026, 3, 8))
    sweep(MORNING)
    sweep(BEGIN + 8 * DAY)
    rows = Suppression.objects.order_by("from_at")
    assert [(row.from_at, row.ended_at, row.end_reason) for row in rows] == [
        (BEGIN + n * DAY, END + n * DAY, suppressions.MISSED) for n in (0, 1, 7)
    ]
    assert (state(alarm), actions(), sent()) == ("UNACK", ["OPENED"], [])


def test_a_machine_that_comes_to_stand_in_the_line_is_hidden_before_long(site: Site, anna: User) -> None:
    line = factories.machine(site=site, level="LINE")
    window(site, anna, equipment=line)
    sweep(BEGIN)
    late = factories.machine(site=site, parent=line)
    sweep(BEGIN + windows.AGAIN)
    assert hidden_machines() == [late.pk]
    Equipment.objects.filter(pk=late.pk).update(parent=None)
    sweep(BEGIN + 2 * windows.AGAIN)
    assert (hidden_machines(), Suppression.objects.get().end_reason) == ([], "The window was changed.")


def test_the_sites_time_zone_is_looked_up_anew(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    window(site, anna)
    sweep(MORNING)
    Site.objects.update(time_zone="Europe/Athens")
    sweep(MORNING + windows.AGAIN)
    sweep(BEGIN - HOUR)
    assert hidden_machines() == [machine.pk]


@pytest.mark.parametrize("seed", range(4))
def test_at_every_pass_is_hidden_what_a_plain_reckoning_says(site: Site, anna: User, seed: int) -> None:
    chance = random.Random(seed)
    machines = [factories.machine(site=site) for _ in range(2)]
    Site.objects.update(time_zone="UTC")
    site.refresh_from_db()
    made = [
        window(
            site, anna, equipment=where, starts=time(chance.randrange(10, 22)), minutes=chance.randrange(30, 900, 30),
            weekdays=[1, 3, 7], last_on=date(2026, 3, 12),
        )
        for where in (machines[0], machines[1], None)
    ]  # fmt: skip
    at = MORNING
    for _ in range(40):
        at += chance.choice([1, 10, 60, 200, 700]) * MINUTE
        one = chance.choice(made)
        if chance.random() < 0.15 and at.date() < date(2026, 3, 10):
            said = {"starts": time(chance.randrange(10, 22)), "minutes": chance.randrange(30, 900, 30)}
            windows.change(one.pk, actor=anna, now=at, **said)
        elif chance.random() < 0.03 and one.cancelled_at is None:
            windows.cancel(one.pk, actor=anna, reason="x", now=at)
            made.remove(one)
            made = made or [window(site, anna, now=at, first_on=date(2026, 3, 20))]
        sweep(at)
        reckoned = {
            machine.pk for row in MaintenanceWindow.objects.all() for machine in machines if says(row, machine, at)
        }
        assert set(hidden_machines()) == reckoned
    assert Suppression.objects.filter(ended_at__gt=at).count() == 0


def says(row: MaintenanceWindow, machine: Equipment, at: datetime) -> bool:
    """Whether a window in UTC hides a machine now, day by day."""
    if row.cancelled_at or row.equipment_id not in (None, machine.pk):
        return False
    last = row.last_on or row.first_on
    days = [row.first_on + n * DAY for n in range((last - row.first_on).days + 1)]
    begins = [datetime.combine(d, row.starts, UTC) for d in days if not row.weekdays or d.isoweekday() in row.weekdays]
    return any(begin <= at < begin + row.minutes * MINUTE for begin in begins)


# Changed and cancelled


def test_a_running_window_is_made_longer_and_shorter(site: Site, anna: User) -> None:
    alarm = raised(factories.machine(site=site))
    made = window(site, anna)
    sweep(BEGIN)
    windows.change(made.pk, actor=anna, now=END - MINUTE, minutes=180, reason="Takes longer")
    sweep(END - MINUTE)
    assert Suppression.objects.get().until == END + HOUR
    sweep(END)
    assert (state(alarm), actions()) == ("DSUPR", ["OPENED", "SUPPRESSED"])
    windows.change(made.pk, actor=anna, now=END + MINUTE, starts=time(20))
    sweep(END + MINUTE)
    assert (state(alarm), Suppression.objects.get().end_reason) == ("UNACK", "The window was changed.")
    sweep(BEGIN + 6 * HOUR)
    assert state(alarm) == "DSUPR"


def test_a_cancelled_window_shows_its_alarms_and_comes_no_more(site: Site, anna: User) -> None:
    alarm = raised(factories.machine(site=site))
    made = window(site, anna, weekdays=[1, 7], last_on=date(2026, 3, 8))
    sweep(BEGIN)
    with pytest.raises(windows.NoReason):
        windows.cancel(made.pk, actor=anna, reason=" ")
    windows.cancel(made.pk, actor=anna, reason="Strike", now=BEGIN + HOUR)
    sweep(BEGIN + HOUR)
    row = Suppression.objects.get()
    assert (row.ended_at, row.ended_by, row.end_reason) == (BEGIN + HOUR, anna, "The window was cancelled: Strike")
    assert (state(alarm), sent()) == ("UNACK", ["alarm.unsuppressed"])
    sweep(BEGIN + DAY)
    made.refresh_from_db()
    assert (made.look_at, Suppression.objects.count()) == (None, 1)
    for act in (windows.change, windows.cancel):
        with pytest.raises(windows.Cancelled):
            act(made.pk, actor=anna, reason="x")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("first_on", {"first_on": date(2026, 2, 28)}),
        ("last_on", {"weekdays": [7]}),
        ("last_on", {"weekdays": [7], "last_on": date(2026, 2, 1)}),
        ("last_on", {"weekdays": [7], "last_on": date(2027, 3, 9)}),
        ("last_on", {"weekdays": [1], "last_on": date(2026, 3, 1)}),
        ("last_on", {"last_on": date(2026, 3, 8)}),
        ("weekdays", {"weekdays": [0]}),
        ("weekdays", {"weekdays": [7, 7], "last_on": date(2026, 3, 8)}),
        ("weekdays", {"weekdays": "7"}),
        ("minutes", {"minutes": 0}),
        ("minutes", {"minutes": 28 * 24 * 60 + 1}),
        ("minutes", {"minutes": 22 * 60 + 1, "weekdays": [6, 7], "last_on": date(2026, 3, 8)}),
        ("reason", {"reason": ""}),
        ("first_on", {"first_on": date(2200, 1, 1)}),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_its_field(
    site: Site, anna: User, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        window(site, anna, **wrong)
    assert list(refused.value.message_dict) == [field]


def test_a_window_is_of_a_machine_or_a_line_of_its_site_in_a_zone_that_exists(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    part = factories.machine(site=site, level="COMPONENT", parent=machine)
    for wrong in (part, factories.machine(site=factories.site())):
        with pytest.raises(ValidationError) as refused:
            window(site, anna, equipment=wrong)
        assert list(refused.value.message_dict) == ["equipment"]
    site.time_zone = "Mars/Olympus"
    with pytest.raises(ValidationError, match="Mars/Olympus"):
        window(site, anna)


@pytest.mark.parametrize(
    "wrong",
    [{"reason": ""}, {"minutes": 0}, {"weekdays": [8]}, {"weekdays": [7]}, {"last_on": date(2026, 3, 8)},
     {"weekdays": [7], "last_on": date(2026, 2, 28)}],
)  # fmt: skip
def test_the_database_refuses_what_has_no_end(site: Site, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="window_"), transaction.atomic():
        MaintenanceWindow.objects.create(**{"site": site} | USUAL | wrong)


# Races and deaths


@pytest.mark.django_db(transaction=True)
def test_a_sweep_that_dies_between_two_machines_leaves_the_rest_to_the_next(site: Site, anna: User) -> None:
    first, second = (factories.machine(site=site) for _ in range(2))
    alarms = [raised(first), raised(second)]
    made = window(site, anna)
    other = connection.copy()
    other.set_autocommit(False)
    with closing(other), other.cursor() as holder, connection.cursor() as cursor:
        holder.execute(f"SELECT 1 FROM {windows.EQUIPMENT} WHERE id = %s FOR UPDATE", [second.pk])
        cursor.execute("SET lock_timeout = '50ms'")
        try:
            with pytest.raises(OperationalError):
                windows.look(made.pk, now=BEGIN)
        finally:
            cursor.execute("RESET lock_timeout")
    assert [state(alarm) for alarm in alarms] == ["DSUPR", "UNACK"]
    sweep(BEGIN + MINUTE)
    assert [state(alarm) for alarm in alarms] == ["DSUPR", "DSUPR"]
    assert (Suppression.objects.count(), sorted(actions())) == (2, ["OPENED"] * 2 + ["SUPPRESSED"] * 2)


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_that_look_at_once_hide_once(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    made = window(site, anna)
    done: list[int] = []
    with transaction.atomic():
        done.append(windows.look(made.pk, now=BEGIN))
        thread, errors = in_thread(lambda: done.append(windows.look(made.pk, now=BEGIN)))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, done, hidden_machines()) == ([], [1, 0], [machine.pk])


@pytest.mark.django_db(transaction=True)
def test_a_window_that_is_cancelled_while_a_sweep_is_about_to_begin_it_hides_nothing(site: Site, anna: User) -> None:
    factories.machine(site=site)
    made = window(site, anna)
    with transaction.atomic():
        windows.cancel(made.pk, actor=anna, reason="Strike", now=BEGIN)
        thread, errors = in_thread(lambda: windows.look(made.pk, now=BEGIN))
        wait_until_blocked(thread)
    thread.join(10)
    sweep(BEGIN + MINUTE)
    made.refresh_from_db()
    assert (errors, Suppression.objects.count(), made.look_at) == ([], 0, None)


def test_many_machines_are_hidden_over_several_passes(site: Site, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MOST", 2)
    machines = sorted(factories.machine(site=site).pk for _ in range(5))
    made = window(site, anna)
    for passes, count in ((1, 2), (2, 4), (3, 5)):
        sweep(BEGIN)
        assert hidden_machines() == machines[:count], passes
    windows.cancel(made.pk, actor=anna, reason="Strike", now=BEGIN)
    for count in (3, 1, 0):
        sweep(BEGIN)
        assert len(hidden_machines()) == count


def test_a_window_that_cannot_be_looked_at_holds_up_no_other(site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    broken = window(site, anna)
    window(site, anna)
    MaintenanceWindow.objects.filter(pk=broken.pk).update(first_on=date(9999, 12, 31), last_on=None)
    MaintenanceWindow.objects.update(look_at=MORNING)
    MaintenanceWindow.objects.exclude(pk=broken.pk).update(first_on=date.today() - DAY, minutes=28 * 24 * 60)
    shelves.look()
    assert hidden_machines() == [machine.pk]


def test_a_pass_without_anything_due_asks_one_short_question(site: Site, anna: User) -> None:
    window(site, anna)
    with CaptureQueriesContext(connection) as queries:
        assert windows.due(now=MORNING - HOUR) == []
    assert len(queries) == 1
