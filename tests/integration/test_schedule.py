"""The schedule of a site: read from its tables, proposed, pinned, overridden, published, made anew after a change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from agents.schedule import agent, load, steps
from agents.schedule.difference import Kind
from agents.schedule.problem import Busy, Limits
from maintenance import order_steps, plan_work, plans, schedules
from maintenance.effort_models import LabourRate
from maintenance.models import WorkOrder
from maintenance.part_models import OrderPart, Part, Store
from maintenance.people_models import (
    Absence,
    Holiday,
    MachineHours,
    OrderTiming,
    RequiredSkill,
    Skill,
    Travel,
    Worker,
    WorkerSkill,
    WorkingHours,
)
from maintenance.plan_models import Plan
from maintenance.refusals import Refused
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors.models import Event, Membership, Site
from tests import factories

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)
"""An hour before work begins in Rome at eight."""
HOUR = timedelta(hours=1)
FAST = Limits(1.0, workers=1)


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def boss(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, password=None)


def worker(site: Site, name: str, *, starts: int = 8, **fields: Any) -> Worker:
    user = factories.user(site=site, role=Membership.Role.TECHNICIAN, username=name, password=None)
    made = Worker.objects.create(site=site, user=user, **fields)
    WorkingHours.objects.create(worker=made, first_on=date(2026, 1, 5), starts=time(starts), ends=time(starts + 8))
    return made


@pytest.fixture
def anna(site: Site) -> Worker:
    return worker(site, "anna")


def order(site: Site, **fields: Any) -> WorkOrder:
    said = {"site": site, "title": "Pump", "maintenance_type": "CORRECTIVE_DEFERRED", "priority": "MEDIUM",
            "opened_at": MONDAY - HOUR, "planned_minutes": 60}  # fmt: skip
    return WorkOrder.objects.create(
        **said | {"machine": fields.pop("machine", None) or factories.machine(site=site)} | fields
    )


def made(site: Site, *, now: datetime = MONDAY, days: int = 7) -> Schedule:
    schedule = agent.perform(steps.request(site, actor=None, days=days).pk, limits=FAST, now=now)
    assert schedule is not None
    return schedule


def visit(schedule: Schedule, one: WorkOrder) -> ScheduleVisit:
    return schedule.visits.get(order=one)


def rome(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour - 1, minute, tzinfo=UTC)


# What is read


def test_orders_are_proposed_in_working_hours_less_holidays_and_absences(site: Site, anna: Worker) -> None:
    Holiday.objects.create(site=site, on=date(2026, 3, 2), name="Patron saint")
    Absence.objects.create(worker=anna, from_at=rome(3, 0 + 1), until_at=rome(3, 12))
    one = order(site)
    assert (visit(made(site), one).start_at, visit(made(site), one).end_at) == (rome(3, 12), rome(3, 13))


def test_a_skill_is_asked_for_by_mode_type_or_order_and_expires_with_its_last_day(site: Site, anna: Worker) -> None:
    skill = Skill.objects.create(site=site, code="hv", name="High voltage")
    kinds = [order(site), order(site, maintenance_type="INSPECTION"), order(site, failure_mode="VIB"), order(site)]
    RequiredSkill.objects.create(site=site, skill=skill, maintenance_type="INSPECTION")
    RequiredSkill.objects.create(site=site, skill=skill, failure_mode="VIB")
    RequiredSkill.objects.create(site=site, skill=skill, order=kinds[3])
    assert made(site).left_out == [one.pk for one in kinds[1:]]
    held = WorkerSkill.objects.create(worker=anna, skill=skill, expires_on=date(2026, 3, 1))
    assert made(site).left_out == [one.pk for one in kinds[1:]]
    held.expires_on = date(2026, 3, 2)
    held.save()
    assert made(site).left_out == []


def test_parts_machine_hours_and_the_early_bound_are_kept_to(site: Site, anna: Worker) -> None:
    line = factories.machine(site=site, level="LINE")
    late, standing, soon = order(site), order(site, machine=factories.machine(site=site, parent=line)), order(site)
    OrderTiming.objects.create(order=late, parts_from=rome(4, 10, 30))
    OrderTiming.objects.create(order=soon, fails_from=rome(3, 9), lead_minutes=24 * 60)
    MachineHours.objects.create(
        site=site, equipment=line, first_on=date(2026, 3, 5), days=1, starts=time(13), ends=time(15)
    )
    schedule = made(site)
    assert visit(schedule, late).start_at == rome(4, 10, 30)
    assert visit(schedule, standing).start_at == rome(5, 13)
    assert visit(schedule, soon).start_at == rome(2, 8)
    found = load.read(site, now=MONDAY, days=7)
    assert {one.id: one.due for one in found.instance.orders}[soon.pk] == found.minute(rome(2, 9))


def test_an_order_waits_for_the_parts_it_is_short_of(site: Site, anna: Worker) -> None:
    store = Store.objects.create(site=site, name="Main")

    def short(number: str, days: int | None, **timing: Any) -> WorkOrder:
        part = Part.objects.create(site=site, number=number, name="Seal", lead_time_days=days)
        one = order(site)
        OrderPart.objects.create(order=one, part=part, store=store, wanted=2, reserved=1)
        OrderTiming.objects.create(order=one, **timing)
        return one

    lead, nobody = short("P-1", 2), short("P-2", None)
    ordered, promised = short("P-3", 60, parts_from=rome(3, 10)), short("P-4", 3, parts_from=MONDAY - HOUR)
    all_there = order(site)
    OrderPart.objects.create(order=all_there, part=Part.objects.get(number="P-2"), store=store, wanted=1, reserved=1)
    schedule = made(site)
    assert visit(schedule, all_there).start_at == rome(2, 8)
    assert visit(schedule, lead).start_at == rome(4, 8)
    assert visit(schedule, ordered).start_at == rome(3, 10)
    assert visit(schedule, promised).start_at == rome(5, 8)
    assert schedule.left_out == [nobody.pk]
    assert schedule.reason == f"Nobody knows when their parts are there: WO-{nobody.pk}"


def test_an_order_of_a_preventive_plan_is_scheduled_for_its_minutes(site: Site, anna: Worker, boss: User) -> None:
    plan = Plan(site=site, machine=factories.machine(site=site), title="Oil", minutes=95, every=1, unit="MONTH",
                first_on=date(2026, 3, 4), lead_days=5)  # fmt: skip
    plans.add(plan, actor=boss, now=MONDAY)
    order_id = plan_work.look(plan.pk, now=MONDAY)
    assert order_id is not None
    one = visit(made(site), WorkOrder.objects.get(pk=order_id))
    assert (one.start_at, one.end_at) == (rome(2, 8), rome(2, 9, 35))


def test_what_people_do_elsewhere_keeps_them_busy_and_the_way_there_takes_its_time(site: Site, anna: Worker) -> None:
    other = factories.site(time_zone="Europe/Rome")
    Membership.objects.create(site=other, user=anna.user, role=Membership.Role.TECHNICIAN)
    Travel.objects.create(site=site, to_site=other, minutes=45)
    order(other, status="ASSIGNED", assigned_to=anna.user, planned_start=rome(2, 8))
    one = order(site)
    assert visit(made(site), one).start_at == rome(2, 9, 45)


def test_who_is_at_work_on_a_machine_is_busy_and_so_is_the_machine(site: Site, anna: Worker) -> None:
    under_way = order(site, status="IN_PROGRESS", assigned_to=anna.user, started_at=MONDAY, planned_minutes=120)
    found = load.read(site, now=MONDAY, days=7).instance
    assert found.busy == (Busy(-1, 119, site.pk, anna.user_id, under_way.machine_id),)


def test_what_was_given_to_somebody_by_hand_stays_theirs(site: Site, anna: Worker) -> None:
    cheap = worker(site, "bruno")
    for somebody, cost in ((anna, 90), (cheap, 30)):
        LabourRate.objects.create(site=site, worker=somebody.user, hourly_cost=cost)
    theirs = order(site, status="ASSIGNED", assigned_to=anna.user)
    free = order(site)
    schedule = made(site)
    assert visit(schedule, theirs).person_id == anna.user_id
    assert visit(schedule, free).person_id == cheap.user_id


def test_a_person_of_whom_no_rate_is_known_is_taken_to_be_as_dear_as_the_dearest(site: Site, anna: Worker) -> None:
    bruno, carla = worker(site, "bruno"), worker(site, "carla")
    LabourRate.objects.create(site=site, worker=anna.user, hourly_cost=30)
    LabourRate.objects.create(site=site, worker=bruno.user, hourly_cost="44.50")
    LabourRate.objects.create(site=factories.site(), worker=carla.user, hourly_cost=10)
    found = {one.id: one.hourly for one in load.read(site, now=MONDAY, days=7).instance.persons}
    assert found == {anna.user_id: 30, bruno.user_id: 44, carla.user_id: 44}


def test_viewers_leavers_and_people_of_other_sites_get_no_work(site: Site, anna: Worker) -> None:
    stranger = worker(factories.site(), "carla")
    left, viewer = worker(site, "dora"), worker(site, "elio")
    User.objects.filter(pk=left.user_id).update(is_active=False)
    Membership.objects.filter(user=viewer.user).update(role=Membership.Role.VIEWER)
    found = {one.id for one in load.read(site, now=MONDAY, days=7).instance.persons}
    assert found == {anna.user_id}
    assert stranger.user_id not in found


def test_reading_asks_the_database_the_same_number_of_times_whatever_there_is(site: Site, anna: Worker) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            load.read(site, now=MONDAY, days=7)
        return len(found)

    order(site)
    few = queries()
    for n in range(4):
        order(site)
        worker(site, f"more-{n}")
    assert queries() == few <= 20


# What people do with it


def test_publishing_schedules_and_assigns_the_orders(site: Site, anna: Worker, boss: User) -> None:
    one, two = order(site, priority="HIGH"), order(site)
    schedule = steps.publish(made(site).pk, actor=boss, now=MONDAY)
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.status, one.assigned_to, one.planned_start) == ("ASSIGNED", anna.user, rome(2, 8))
    assert two.planned_start == rome(2, 9)
    assert schedule.status == "PUBLISHED"
    assert [step.action for step in one.transitions.all()] == ["PLANNED", "ASSIGNED"]
    kinds = Event.objects.filter(subject=f"schedule/{schedule.pk}").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["schedule.requested", "schedule.proposed", "schedule.published"]


def test_what_was_changed_meanwhile_is_refused_and_nothing_is_done(site: Site, anna: Worker, boss: User) -> None:
    one, two = order(site), order(site)
    schedule = made(site)
    order_steps.plan(one.pk, actor=boss, start=rome(6, 9), minutes=60)
    with pytest.raises(schedules.ChangedMeanwhile, match=f"WO-{one.pk}"):
        steps.publish(schedule.pk, actor=boss, now=MONDAY)
    two.refresh_from_db()
    assert (two.status, Schedule.objects.get(pk=schedule.pk).status) == ("OPEN", "PROPOSED")


def test_what_was_changed_while_the_solver_worked_is_refused_too(
    site: Site, anna: Worker, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, solve = order(site), agent._solve
    bruno = worker(site, "bruno")

    def plan_meanwhile(*given: Any) -> Any:
        order_steps.plan(one.pk, actor=boss, start=rome(3, 9), minutes=60)
        order_steps.assign(one.pk, actor=boss, assignee=bruno.user)
        return solve(*given)

    monkeypatch.setattr(agent, "_solve", plan_meanwhile)
    schedule = made(site)
    with pytest.raises(schedules.ChangedMeanwhile, match=f"WO-{one.pk}"):
        steps.publish(schedule.pk, actor=boss, now=MONDAY)
    one.refresh_from_db()
    assert (one.assigned_to, one.planned_start) == (bruno.user, rome(3, 9))


def test_a_schedule_that_can_no_longer_be_carried_out_is_refused(site: Site, anna: Worker, boss: User) -> None:
    one = order(site)
    schedule = made(site)
    Absence.objects.create(worker=anna, from_at=MONDAY, until_at=rome(2, 12))
    with pytest.raises(steps.CannotBeDone, match=f"WO-{one.pk}: It is not within a shift"):
        steps.publish(schedule.pk, actor=boss, now=MONDAY)


def test_a_pinned_visit_stays_in_the_next_schedule_until_it_cannot(site: Site, anna: Worker, boss: User) -> None:
    one = order(site)
    steps.move(visit(made(site), one).pk, actor=boss, person=anna.user, start=rome(4, 10), now=MONDAY)
    again = made(site)
    assert (visit(again, one).start_at, visit(again, one).is_pinned) == (rome(4, 10), True)
    Absence.objects.create(worker=anna, from_at=rome(4, 8), until_at=rome(4, 12))
    last = made(site)
    assert (visit(last, one).start_at, visit(last, one).is_pinned) == (rome(2, 8), False)
    assert f"WO-{one.pk}" in last.reason


def test_a_pin_gives_way_to_a_newer_plan_by_hand(site: Site, anna: Worker, boss: User) -> None:
    one = order(site)
    proposal = made(site)
    steps.move(visit(proposal, one).pk, actor=boss, person=anna.user, start=rome(4, 10), now=MONDAY)
    steps.publish(proposal.pk, actor=boss, now=MONDAY)
    again = made(site)
    assert visit(again, one).is_pinned
    order_steps.plan(one.pk, actor=boss, start=rome(5, 9), minutes=60)
    assert not visit(made(site), one).is_pinned  # the pin was in the proposal
    Schedule.objects.filter(status="PROPOSED").update(status="DISCARDED")
    last = visit(made(site), one)  # the pin is in the published one
    assert not last.is_pinned
    assert last.start_at != rome(4, 10)


def test_an_override_that_cannot_be_done_is_refused(site: Site, anna: Worker, boss: User) -> None:
    one, two = order(site, priority="HIGH"), order(site)
    schedule = made(site)
    for start in (rome(2, 9, 30), rome(2, 20)):
        with pytest.raises(steps.CannotBeDone):
            steps.move(visit(schedule, one).pk, actor=boss, person=anna.user, start=start, now=MONDAY)
    assert visit(schedule, one).start_at == rome(2, 8)
    assert visit(schedule, two).is_pinned is False


def test_the_difference_to_the_published_schedule_is_told(site: Site, anna: Worker, boss: User) -> None:
    one, two, three = order(site, priority="HIGH"), order(site), order(site)
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    order_steps.cancel(two.pk, actor=boss, comment="Not needed.")
    fresh = order(site)
    bruno = worker(site, "bruno")
    Absence.objects.create(worker=anna, from_at=rome(2, 10), until_at=rome(6, 16))
    found = {change.order: change for change in steps.changes(made(site))}
    assert {key: change.kind for key, change in found.items()} == {
        one.pk: Kind.SAME, three.pk: Kind.GIVEN, fresh.pk: Kind.NEW,
    }  # fmt: skip
    after = found[three.pk].after
    assert after is not None
    assert after.person == bruno.user_id


def test_the_difference_is_to_what_people_were_told_by_hand_too(site: Site, anna: Worker, boss: User) -> None:
    one, two, far = order(site), order(site), order(site)
    published = steps.publish(made(site).pk, actor=boss, now=MONDAY)
    assert steps.changes(published) == []
    bruno, late = worker(site, "bruno"), order(site)
    for moved, person, start in ((one, bruno, rome(3, 9)), (late, anna, rome(3, 11))):
        order_steps.plan(moved.pk, actor=boss, start=start, minutes=60)
        order_steps.assign(moved.pk, actor=boss, assignee=person.user)
    WorkOrder.objects.filter(pk=two.pk).update(status="IN_PROGRESS", started_at=MONDAY)
    WorkOrder.objects.filter(pk=far.pk).update(planned_start=datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    proposal = made(site)

    def kinds() -> dict[int, Kind]:
        return {change.order: change.kind for change in steps.changes(proposal)}

    steps.move(visit(proposal, one).pk, actor=boss, person=bruno.user, start=rome(3, 9), now=MONDAY)
    steps.move(visit(proposal, late).pk, actor=boss, person=anna.user, start=rome(3, 11), now=MONDAY)
    assert kinds() == {one.pk: Kind.SAME, late.pk: Kind.SAME, far.pk: kinds()[far.pk]}
    assert kinds()[far.pk] != Kind.NEW
    steps.move(visit(proposal, one).pk, actor=boss, person=anna.user, start=rome(2, 16) - 2 * HOUR, now=MONDAY)
    assert kinds()[one.pk] == Kind.GIVEN


def test_orders_that_stay_out_of_a_schedule_are_done_when_people_were_told(
    site: Site, anna: Worker, boss: User
) -> None:
    one, two = order(site, priority="HIGH"), order(site)
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    schedule = made(site)
    steps.take_out(visit(schedule, one).pk, actor=boss)
    steps_of_two = visit(schedule, two)
    with pytest.raises(steps.CannotBeDone, match="cannot be at both"):
        steps.move(steps_of_two.pk, actor=boss, person=anna.user, start=rome(2, 8), now=MONDAY)
    assert Schedule.objects.get(pk=schedule.pk).left_out == [one.pk]


def test_only_a_proposal_is_changed_published_or_discarded(site: Site, anna: Worker, boss: User) -> None:
    one = order(site)
    schedule = steps.publish(made(site).pk, actor=boss, now=MONDAY)
    for act in (
        lambda: steps.publish(schedule.pk, actor=boss, now=MONDAY), lambda: steps.discard(schedule.pk, actor=boss),
        lambda: steps.pin(visit(schedule, one).pk, actor=boss),
        lambda: steps.take_out(visit(schedule, one).pk, actor=boss),
    ):  # fmt: skip
        with pytest.raises(schedules.NotAProposal):
            act()
    other = made(site)
    assert steps.discard(other.pk, actor=boss).status == "DISCARDED"


def test_one_schedule_of_a_site_is_asked_for_at_a_time(site: Site) -> None:
    steps.request(site, actor=None)
    with pytest.raises(schedules.OneWaits):
        steps.request(site, actor=None)


# What the agent does by itself


def test_a_schedule_is_asked_for_where_something_changed_and_not_again(site: Site, anna: Worker, boss: User) -> None:
    order(site)
    assert agent.ask_where_changed(now=MONDAY) == []  # nothing is published
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    assert agent.ask_where_changed(now=MONDAY) == []
    Absence.objects.create(worker=anna, from_at=MONDAY, until_at=rome(2, 12))
    assert len(agent.ask_where_changed(now=MONDAY)) == 1
    assert agent.ask_where_changed(now=MONDAY) == []
    assert len(agent.perform_waiting(limits=FAST)) == 1
    assert agent.ask_where_changed(now=MONDAY) == []


def test_an_order_that_came_since_asks_for_a_schedule(site: Site, anna: Worker, boss: User) -> None:
    order(site)
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    order(site)
    assert len(agent.ask_where_changed(now=MONDAY)) == 1


def test_an_order_that_is_opened_again_or_planned_by_hand_asks_for_a_schedule(
    site: Site, anna: Worker, boss: User
) -> None:
    one, two = order(site), order(site)
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    assert agent.ask_where_changed(now=MONDAY) == []
    order_steps.start(one.pk, actor=anna.user)
    order_steps.complete(one.pk, actor=anna.user, findings="Seal worn.")
    assert agent.ask_where_changed(now=MONDAY) == []
    order_steps.reopen(one.pk, actor=boss, comment="It leaks again.")
    asked = agent.ask_where_changed(now=MONDAY)
    assert len(asked) == 1
    proposal = agent.perform(asked[0], limits=FAST, now=MONDAY)
    assert proposal is not None
    steps.publish(proposal.pk, actor=boss, now=MONDAY)
    assert agent.ask_where_changed(now=MONDAY) == []
    order_steps.plan(two.pk, actor=boss, start=rome(5, 9), minutes=60)
    assert len(agent.ask_where_changed(now=MONDAY)) == 1


@pytest.mark.parametrize("end", ["DISCARDED", "FAILED"])
def test_after_a_schedule_of_which_nothing_came_only_what_changed_since_asks_for_one(
    site: Site, anna: Worker, boss: User, end: str
) -> None:
    order(site)
    steps.publish(made(site).pk, actor=boss, now=MONDAY)
    came = order(site)
    asked = agent.ask_where_changed(now=MONDAY)
    if end == "FAILED":
        with pytest.raises(TypeError):
            agent.perform(asked[0], limits=Limits("long"), now=MONDAY)  # type: ignore[arg-type]
    else:
        agent.perform(asked[0], limits=FAST, now=MONDAY)
        assert agent.ask_where_changed(now=MONDAY) == []  # it stands as a proposal
        steps.discard(asked[0], actor=boss)
    assert Schedule.objects.get(pk=asked[0]).status == end
    assert agent.ask_where_changed(now=MONDAY) == []
    order_steps.plan(came.pk, actor=boss, start=rome(3, 9), minutes=60)
    assert len(agent.ask_where_changed(now=MONDAY)) == 1


def test_a_fault_of_the_solver_is_told_by_the_schedule(site: Site, anna: Worker) -> None:
    order(site)
    schedule = steps.request(site, actor=None)
    with pytest.raises(TypeError):
        agent.perform(schedule.pk, limits=Limits("long"), now=MONDAY)  # type: ignore[arg-type]
    schedule.refresh_from_db()
    assert (schedule.status, schedule.reason[:10]) == ("FAILED", "TypeError:")


def test_one_that_somebody_makes_is_left_to_them_until_they_are_overdue(site: Site, anna: Worker) -> None:
    asked = steps.request(site, actor=None)
    assert agent.look_round() == [asked.pk]
    assert schedules.begin(asked.pk, lease=timedelta(seconds=agent.LONGEST_SECONDS))
    assert agent.perform(asked.pk, limits=FAST) is None
    assert agent.look_round() == []
    Schedule.objects.update(begun_at=Now() - timedelta(seconds=agent.LONGEST_SECONDS + 1))
    assert agent.look_round() == [asked.pk]
    assert agent.perform(asked.pk, limits=FAST) is not None
    assert agent.perform(asked.pk, limits=FAST) is None


def test_one_whose_workers_die_is_given_up(site: Site, anna: Worker) -> None:
    asked = steps.request(site, actor=None)
    for attempt in range(agent.ATTEMPTS):
        assert schedules.begin(asked.pk, lease=timedelta(0)), attempt
    Schedule.objects.update(begun_at=None)
    assert agent.perform(asked.pk, limits=FAST) is None
    asked.refresh_from_db()
    assert (asked.status, asked.reason[:24]) == ("FAILED", "3 attempts began and did")


def test_the_command_makes_a_proposal_and_tells_what_it_changes(site: Site, anna: Worker) -> None:
    order(site)
    said = StringIO()
    call_command("schedule", site=site.slug, seconds=1.0, stdout=said)
    assert "1 orders, 0 left out" in said.getvalue()
    assert "Beside what people were told: 1 new" in said.getvalue()
    steps.request(site, actor=None)
    call_command("schedule", seconds=1.0, stdout=said)
    assert "Made 1 schedule." in said.getvalue()
    with pytest.raises(CommandError, match="no site"):
        call_command("schedule", site="nowhere")


# Side by side


@pytest.fixture
def committed() -> Iterator[None]:
    yield
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_two_sites_that_publish_at_once_do_not_book_a_person_twice(committed: None) -> None:
    sites = [factories.site(time_zone="Europe/Rome") for _ in range(2)]
    anna = worker(sites[0], "anna")
    Membership.objects.create(site=sites[1], user=anna.user, role=Membership.Role.TECHNICIAN)
    boss = factories.user(is_superuser=True, password=None)
    proposals = [(order(one), made(one))[1] for one in sites]
    both, refused = Barrier(2), []

    def publish(schedule: Schedule) -> None:
        try:
            both.wait(10)
            steps.publish(schedule.pk, actor=boss, now=MONDAY)
        except Refused as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [Thread(target=publish, args=(schedule,)) for schedule in proposals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(refused) == 1
    assert "cannot be at both" in refused[0]
    with transaction.atomic():
        assert WorkOrder.objects.filter(assigned_to=anna.user).count() == 1
