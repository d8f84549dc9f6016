"""Random histories of a machine that stops and starts, against a small model of what is hidden and what is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agents import decide
from maintenance import alarm_life, alarms, hidden, operating, operating_book, operating_hides, suppressions
from maintenance.models import Alarm, AlarmTransition, Suppression
from maintenance.operating_life import State, Word, Words
from sensors.columns import from_instant
from sensors.operating_models import OperatingRule
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarms import see

MINUTE = timedelta(minutes=1)
HOLDS, MOST, STARTUP = 60 * MINUTE, 180 * MINUTE, 10 * MINUTE
MODE = "LOO"
Hides = dict[State, list[str]]


@dataclass
class Model:
    """What should be. ``rows``: since when each mode is hidden at a stretch, by the clock."""

    hides: Hides
    state: State = State.UNKNOWN
    confirmed: datetime = NOON
    until: datetime = NOON
    says: State | None = None
    rows: dict[str, datetime] = field(default_factory=dict)
    active: bool = False
    told: int = 0

    @property
    def hidden(self) -> bool:
        return "ALL" in self.rows or MODE in self.rows

    def enter(self, state: State, now: datetime) -> None:
        was_hidden = self.hidden
        self.state, self.confirmed, self.until = state, now, now + STARTUP
        self.rows = {mode: self.rows.get(mode, now) for mode in self.hides.get(state, [])}
        self.shown(was_hidden)

    def shown(self, was_hidden: bool) -> None:
        self.told += was_hidden and not self.hidden and self.active

    def word(self, state: State, now: datetime) -> None:
        if state is State.RUNNING:
            if self.state is State.OFF:
                self.enter(State.STARTING, now)
            elif self.state is State.UNKNOWN:
                self.enter(State.RUNNING, now)
        elif self.state is not State.OFF:
            self.enter(State.OFF, now)

    def read(self, state: State, now: datetime) -> None:
        if state is not self.says:
            self.word(state, now)
        elif self.state is State.OFF is state and now >= self.confirmed + HOLDS / operating.RENEWED:
            self.confirmed = now
        self.says = state

    def time(self, now: datetime) -> None:
        if self.state is State.STARTING and self.until <= now:
            self.enter(State.RUNNING, now)
        if self.state is State.OFF and self.confirmed + HOLDS <= now:
            self.enter(State.UNKNOWN, now)
            self.says = None
        if self.state is State.OFF:
            was_hidden = self.hidden
            self.rows = {mode: began for mode, began in self.rows.items() if now < began + MOST}
            self.shown(was_hidden)


class Plant:
    """A machine that stops and starts, and the model beside it."""

    def __init__(self, hides: Hides) -> None:
        self.sensor = factories.sensor(machine=factories.machine(site=factories.site()))
        self.machine = self.sensor.machine
        self.person = factories.user(is_superuser=True)
        shown_by = factories.sensor(machine=self.machine, kind="SPEED")
        operating_book.save(
            OperatingRule(
                site=self.machine.site, machine=self.machine, sensor=shown_by, off_below=1, running_above=2,
                startup_seconds=600, off_hides=hides[State.OFF], startup_hides=hides[State.STARTING],
                holds_minutes=60, most_hours=3,
            ),
            actor=self.person,
        )  # fmt: skip
        self.model, self.now, self.run = Model(hides), NOON, 0
        self.value, self.speaks = State.RUNNING, True
        self.standing: int | None = None

    def seconds(self) -> int:
        return int((self.now - NOON).total_seconds())

    def pass_time(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        if self.speaks:
            at = from_instant(self.now)
            with transaction.atomic():
                operating.hear({self.machine.pk: Words((Word(self.value, at),), at)}, now=self.now)
            self.model.read(self.value, self.now)
        self.sweep()
        self.model.time(self.now)

    def sweep(self) -> None:
        for now in (self.now, self.now + operating_hides.GRACE):
            for one in operating.due(now=now):
                operating.look(one, now=now)
            for one in suppressions.due(now=now):
                suppressions.expire(one, now=now)

    def reads(self, value: State) -> None:
        self.value, self.speaks = value, True
        self.pass_time(1)

    def falls_silent(self) -> None:
        self.speaks = False

    def tell(self, state: State) -> None:
        operating.tell(self.machine, state, actor=self.person, now=self.now)
        if self.model.state is State.OFF is state:
            self.model.confirmed = self.now
        self.model.word(state, self.now)
        self.sweep()

    def decide(self, *, ended: int | None = None) -> None:
        self.run += 1
        assert self.standing is not None
        see(self.sensor, run=self.run, at=self.standing, last=ended or self.seconds(), ended=ended)
        clocks = {self.machine.pk: from_instant(self.now)}
        with transaction.atomic():
            found = alarms.situations(clocks, clocks=clocks, lock=True)
            alarms.apply(decide.decide(found), run_id=self.run, now=self.now)
            operating_hides.end_passed(found, now=self.now)

    def abnormal(self) -> None:
        if self.standing is None:
            self.standing = self.seconds()
            self.model.active = True
            self.model.told += not self.model.hidden
            self.decide()

    def normal(self) -> None:
        if self.standing is not None:
            self.decide(ended=self.seconds())
            self.standing, self.model.active = None, False

    def check(self) -> None:
        rows = Suppression.objects.filter(machine=self.machine, ended_at=None)
        assert {row.failure_mode or "ALL" for row in rows} == set(self.model.rows)
        assert not rows.filter(Q(until=None) | Q(until__lte=self.now)).exists()
        assert operating.OperatingState.objects.get(machine=self.machine).state == self.model.state
        mine = AlarmTransition.objects.filter(alarm__machine=self.machine, suppression="")
        shown = Q(action__in=list(alarm_life.SHOWS.values()), to_tell=True) | Q(action__in=["OPENED", "REOPENED"])
        assert mine.filter(shown).count() == self.model.told
        for alarm in hidden.with_state(Alarm.objects.filter(machine=self.machine)):
            assert alarm.is_active == self.model.active
            assert (alarm.state == "DSUPR") == self.model.hidden


modes = st.sampled_from([["ALL"], [MODE], ["VIB"], []])
steps = st.one_of(
    st.tuples(st.just("reads"), st.sampled_from([State.OFF, State.RUNNING])),
    st.tuples(st.just("tell"), st.sampled_from([State.OFF, State.RUNNING])),
    st.tuples(st.sampled_from(["abnormal", "normal", "falls_silent"])),
    st.tuples(st.just("pass_time"), st.sampled_from([4, 9, 50, 200])),
)


class AnyHistory(TestCase):
    @settings(max_examples=15, deadline=None)
    @given(modes, modes, st.lists(steps, max_size=20))
    def test_nothing_is_hidden_without_an_end_and_what_is_active_then_is_told_once(
        self, off: list[str], startup: list[str], history: list[tuple[object, ...]]
    ) -> None:
        plant = Plant({State.OFF: off or ["ALL"], State.STARTING: startup})
        plant.pass_time(1)
        for name, *more in history:
            plant.pass_time(1)
            getattr(plant, str(name))(*more)
            plant.check()
        plant.falls_silent()
        plant.pass_time(1_000)
        plant.check()
        assert plant.model.rows == {}
        for alarm in hidden.with_state(Alarm.objects.filter(machine=plant.machine, is_active=True)):
            assert alarm.state == "UNACK"
