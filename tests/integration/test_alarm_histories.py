"""Random histories of one alarm, against a small and obvious model of what its three facts should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import alarm_life, alarms, hidden, order_steps, re_alarms, suppressions
from maintenance.alarm_life import Action, State
from maintenance.definition_models import AlarmDefinition
from maintenance.models import Alarm, AlarmTransition, Suppression, WorkOrder
from maintenance.refusals import Refused
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarms import judge, see

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SEVERE, MILD = 0.99, 0.6


@dataclass
class Model:
    """What should be. ``shelves``: end and whether it is one-shot, by failure mode (empty: all of the machine).

    ``again``: when it is told again, of an alarm that is told again after an hour, twice at most.
    """

    latching: bool = False
    again: datetime | None = None
    repeats: int = 0
    retold: int = 0

    active: bool = False
    acknowledged: bool = True
    severe: bool = False
    known: bool = False
    work: bool = False
    shelves: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    told: int = 0

    @property
    def state(self) -> str:
        if not self.active and self.acknowledged:
            return "NORM"
        if self.work or self.shelves:
            return "OOSRV" if self.work else "SHLVD"
        return ("ACKED" if self.acknowledged else "UNACK") if self.active else "RTNUN"

    @property
    def hidden(self) -> bool:
        return self.work or bool(self.shelves)

    def begin(self, now: datetime) -> None:
        """It is told of: an hour from now it is told again."""
        if not self.hidden:
            self.again, self.repeats = now + HOUR, 0

    def shown(self, now: datetime) -> None:
        """Something that hid the alarm has ended."""
        if self.active and not self.hidden:
            self.acknowledged = False
            self.told += 1
            self.begin(now)

    def abnormal(self, severe: bool, now: datetime) -> None:
        is_open = self.active or not self.acknowledged
        self.severe = severe or (self.severe and is_open)
        self.active, self.acknowledged, self.known = True, False, True
        self.begin(now)

    def worse(self, now: datetime) -> None:
        if not self.severe:
            self.severe, self.acknowledged = True, False
            self.begin(now)

    def normal(self, mode: str) -> None:
        self.active, self.again = False, None
        if self.latching:
            self.acknowledged = False
        if self.shelves.get(mode, (NOON, False))[1]:
            del self.shelves[mode]

    def time(self, now: datetime) -> None:
        for mode, (until, _) in sorted(self.shelves.items(), key=lambda item: item[1][0]):
            if until <= now:
                del self.shelves[mode]
                self.shown(now)
        if self.again is not None and self.again <= now:
            self.acknowledged, self.repeats, self.retold = False, self.repeats + 1, self.retold + 1
            self.again = now + HOUR if self.repeats < 2 else None


class Plant:
    """A machine whose alarm people and time work on, and the model beside it."""

    def __init__(self, *, latching: bool) -> None:
        self.sensor = factories.sensor(machine=factories.machine(site=factories.site()))
        self.person = factories.user(is_superuser=True)
        AlarmDefinition.objects.create(
            site=self.sensor.site, latching=latching, re_alarm_seconds=3_600, re_alarm_count=2, response="Look"
        )
        self.model, self.now, self.run = Model(latching=latching), NOON, 0
        self.since, self.score = 0, MILD
        self.standing = False

    def seconds(self) -> int:
        return int((self.now - NOON).total_seconds())

    def pass_time(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        for one in suppressions.ending_soon(now=self.now):
            suppressions.say_soon(one, now=self.now)
        for one in suppressions.due(now=self.now):
            suppressions.expire(one, now=self.now)
        for one in re_alarms.due(now=self.now):
            re_alarms.tell_again(one, now=self.now)
        self.model.time(self.now)

    def alarm_id(self) -> int | None:
        return Alarm.objects.filter(machine=self.sensor.machine).values_list("id", flat=True).order_by("-id").first()

    def decide(self, *, ended: int | None = None) -> None:
        self.run += 1
        last = ended or self.seconds()
        see(self.sensor, run=self.run, at=self.since, last=last, ended=ended, score=self.score)
        judge(self.sensor, run=self.run, clock=self.seconds(), now=self.now)

    def abnormal(self, severe: bool) -> None:
        if not self.standing:
            self.since, self.score, self.standing = self.seconds(), SEVERE if severe else MILD, True
            self.decide()
            self.model.abnormal(severe, self.now)

    def worsen(self) -> None:
        if self.standing:
            self.score = SEVERE
            self.decide()
            self.model.worse(self.now)

    def normal(self) -> None:
        if self.standing:
            self.standing = False
            self.decide(ended=self.seconds())
            self.model.normal("LOO")

    def attempt(self, allowed: bool, act: Callable[[int], object]) -> bool:
        """Do what a person tries; it is refused exactly where the model does not allow it."""
        alarm_id = self.alarm_id()
        if alarm_id is None:
            return False
        try:
            act(alarm_id)
        except Refused:
            assert not allowed
            return False
        assert allowed
        return True

    def acknowledge(self) -> None:
        if self.attempt(
            not self.model.acknowledged, lambda key: alarms.acknowledge(key, actor=self.person, now=self.now)
        ):
            self.model.acknowledged = True
            if self.model.again is not None:
                self.model.again = self.now + HOUR

    def unacknowledge(self) -> None:
        if self.attempt(
            self.model.active and self.model.acknowledged,
            lambda key: alarms.unacknowledge(key, actor=self.person, comment="why", now=self.now),
        ):
            self.model.acknowledged = False

    def shelve(self, minutes: int, one_shot: bool, whole: bool) -> None:
        mode, until = "" if whole else "LOO", self.now + minutes * MINUTE
        sensible = 0 < minutes <= 1_440 and not (one_shot and (whole or not self.model.active))
        if self.attempt(
            sensible and mode not in self.model.shelves,
            lambda key: suppressions.shelve(
                key, actor=self.person, reason="why", until=until, one_shot=one_shot, whole_machine=whole, now=self.now
            ),
        ):
            self.model.shelves[mode], self.model.again = (until, one_shot), None

    def unshelve(self) -> None:
        if self.attempt(
            bool(self.model.shelves), lambda key: suppressions.unshelve_alarm(key, actor=self.person, now=self.now)
        ):
            self.model.shelves.clear()
            self.model.shown(self.now)

    def start_work(self) -> None:
        if not self.model.work:
            order = WorkOrder.objects.create(
                site=self.sensor.site, machine=self.sensor.machine, failure_mode="VIB", priority="LOW", title="Look",
                maintenance_type="CORRECTIVE_DEFERRED", opened_at=NOON,
            )  # fmt: skip
            order_steps.assign(order.pk, actor=self.person, assignee=self.person)
            order_steps.start(order.pk, actor=self.person, now=self.now)
            self.model.work, self.model.again = True, None

    def end_work(self, well: bool) -> None:
        if self.model.work:
            order = WorkOrder.objects.get(machine=self.sensor.machine, status="IN_PROGRESS")
            if well:
                order_steps.complete(order.pk, actor=self.person, findings="done", now=self.now)
            else:
                order_steps.cancel(order.pk, actor=self.person, comment="why", now=self.now)
            self.model.work = False
            self.model.shown(self.now)

    def check(self) -> None:
        alarm_id = self.alarm_id()
        if alarm_id is not None:
            alarm = hidden.with_state(Alarm.objects.all()).get(pk=alarm_id)
            assert (alarm.is_active, alarm.is_acknowledged) == (self.model.active, self.model.acknowledged)
            assert (alarm.re_alarm_at, alarm.is_open and alarm.re_alarms) == (
                self.model.again,
                alarm.is_open and self.model.repeats,
            )
            assert hidden.with_state(Alarm.objects.filter(pk=alarm_id)).values_list("state", flat=True).get() == (
                self.model.state
            )
        mine = AlarmTransition.objects.filter(alarm__machine=self.sensor.machine)
        shown = mine.filter(action__in=list(alarm_life.SHOWS.values()), to_tell=True)
        assert shown.count() == self.model.told
        assert mine.filter(action="RE_ALARMED", to_tell=True).count() == self.model.retold
        endless = Suppression.objects.filter(machine=self.sensor.machine, ended_at=None).exclude(
            Q(until__gt=self.now) | Q(work_order__status="IN_PROGRESS")
        )
        assert not endless.exists()


KNOWN = {action.value for action in Action}
SHOWS = {action.value for action in alarm_life.SHOWS.values()}


def replayed(alarm: Alarm) -> State:
    """Where the recorded history leads by the transition table. Raises ``IllegalTransition`` where it cannot be."""
    state = State.NORMAL
    for step in alarm.transitions.order_by("id"):
        if step.action in KNOWN and not (step.action in SHOWS and step.suppression):
            latching = alarm.definition is not None and alarm.definition.latching
            state = alarm_life.after(state, Action(step.action), latching=latching)
    return state


minutes = st.sampled_from([0, 5, 30, 240, 1_440, 1_441])
steps = st.one_of(
    st.tuples(st.just("abnormal"), st.booleans()),
    st.tuples(st.sampled_from(["worsen", "normal", "acknowledge", "unacknowledge", "unshelve", "start_work"])),
    st.tuples(st.just("shelve"), minutes, st.booleans(), st.booleans()),
    st.tuples(st.just("end_work"), st.booleans()),
    st.tuples(st.just("pass_time"), st.sampled_from([1, 20, 300])),
)


class AnyHistory(TestCase):
    @settings(max_examples=12, deadline=None)
    @given(st.booleans(), st.lists(steps, max_size=20))
    def test_the_alarm_is_what_the_model_says_and_nothing_is_hidden_without_an_end(
        self, latching: bool, history: list[tuple[object, ...]]
    ) -> None:
        plant = Plant(latching=latching)
        plant.abnormal(False)
        for name, *more in history:
            plant.pass_time(1)
            getattr(plant, str(name))(*more)
            plant.check()
        plant.pass_time(2_000)
        plant.end_work(True)
        plant.check()
        assert not Suppression.objects.filter(machine=plant.sensor.machine, ended_at=None).exists()
        for alarm in Alarm.objects.filter(machine=plant.sensor.machine):
            facts = alarm_life.state_of(active=alarm.is_active, acknowledged=alarm.is_acknowledged)
            assert replayed(alarm) is facts
