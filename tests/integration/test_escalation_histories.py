"""Random histories on the real database: no active, unacknowledged, shown alarm without an escalation where one is due.

The plant of the histories of alarms, with maintenance windows, advisories that rise, and a chain that runs out;
what people try and may not is refused, and nothing here minds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agents import escalate
from maintenance import escalations, hidden, windows
from maintenance.definition_models import AlarmDefinition
from maintenance.escalation_models import Chain, ChainStep, Escalation
from maintenance.models import Alarm, AlarmTransition, Channel, MaintenanceWindow, Suppression
from maintenance.refusals import Refused
from tests.integration.test_alarm_histories import MILD, SEVERE, Plant, minutes
from tests.integration.test_alarms import judge, see

MINUTE = timedelta(minutes=1)
BEGINS = {
    "OPENED", "REOPENED", "RAISED", "RE_ALARMED", "UNACKNOWLEDGED", "UNSHELVED", "UNSUPPRESSED", "BACK_IN_SERVICE",
}  # fmt: skip
"""After what an alarm may need somebody, written out."""


class Escalating(Plant):
    """A plant whose chain calls a log twice and then another one, and has run out after 36 minutes."""

    def __init__(self, *, latching: bool) -> None:
        super().__init__(latching=latching)
        site = self.sensor.site
        AlarmDefinition.objects.create(site=site, anomaly_kind="DEVIATION_LOW", priority="ADVISORY")
        chain = Chain.objects.create(site=site, name="Night", lowest_priority="LOW")
        for number, (after, times) in enumerate(((5, 2), (30, 1))):
            log = Channel.objects.create(site=site, kind="CONSOLE", name=f"log {number}")
            ChainStep.objects.create(
                chain=chain, position=number, channel=log, after_minutes=after, times=times, every_minutes=1
            )
        self.kind = "LIMIT_LOW"

    def attempt(self, allowed: bool, act: Callable[[int], object]) -> bool:
        alarm_id = self.alarm_id()
        if alarm_id is None:
            return False
        try:
            act(alarm_id)
        except Refused:
            return False
        return True

    def decide(self, *, ended: int | None = None) -> None:
        self.run += 1
        see(
            self.sensor, run=self.run, at=self.since, last=ended or self.seconds(), ended=ended, score=self.score,
            kind=self.kind,
        )  # fmt: skip
        judge(self.sensor, run=self.run, clock=self.seconds(), now=self.now)

    def begin(self, kind: str) -> None:
        if not self.standing:
            self.since, self.score, self.standing, self.kind = self.seconds(), MILD, True, kind
            self.decide()

    def rise(self) -> None:
        """What was an advisory is a limit now, and worse."""
        if self.standing:
            self.kind, self.score = "LIMIT_LOW_LOW", SEVERE
            self.decide()

    def pass_time(self, minutes: int) -> None:
        super().pass_time(minutes)
        self.look_at_windows()

    def look_at_windows(self) -> None:
        for one in windows.due(now=self.now):
            windows.look(one, now=self.now)

    def window(self, lasts: int) -> None:
        if not MaintenanceWindow.objects.filter(site=self.sensor.site, cancelled_at=None, look_at__isnull=False):
            new = MaintenanceWindow(
                site=self.sensor.site, equipment=self.sensor.machine, reason="Cleaning", first_on=self.now.date(),
                starts=self.now.time(), minutes=lasts,
            )  # fmt: skip
            windows.add(new, actor=self.person, now=self.now)
            self.look_at_windows()

    def cancel_window(self) -> None:
        for row in MaintenanceWindow.objects.filter(site=self.sensor.site, cancelled_at=None):
            windows.cancel(row.pk, actor=self.person, reason="why", now=self.now)
        self.look_at_windows()

    def stop(self) -> None:
        self.attempt(True, lambda key: escalations.stop_of_alarm(key, actor=self.person, reason="why"))

    def check(self) -> None:
        """The sweep looks, and then each alarm that needs somebody has an escalation that runs, or one that ran out or
        was stopped after the last thing that began its need; no other alarm has one that runs."""
        escalate.look(now=self.now)
        for alarm in hidden.with_state(Alarm.objects.filter(machine=self.sensor.machine)):
            newest = Escalation.objects.filter(alarm=alarm).order_by("-id").first()
            if alarm.state != "UNACK":
                assert newest is None or newest.ended_at is not None
                continue
            assert alarm.priority != "ADVISORY"
            assert newest is not None
            steps = AlarmTransition.objects.filter(alarm=alarm, action__in=BEGINS)
            begun = steps.order_by("-id").values_list("id", flat=True)[0]
            assert newest.looked_until >= begun
            assert newest.ended in ("", "RAN_OUT", "STOPPED")
            if newest.ended_at is None:
                assert newest.due_at is not None
                assert newest.due_at > self.now


steps = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(["LIMIT_LOW", "LIMIT_LOW", "DEVIATION_LOW"])),
    st.tuples(
        st.sampled_from(
            ["rise", "normal", "acknowledge", "unacknowledge", "unshelve", "start_work", "stop", "cancel_window"]
        )
    ),
    st.tuples(st.just("shelve"), minutes, st.booleans(), st.booleans()),
    st.tuples(st.just("end_work"), st.booleans()),
    st.tuples(st.just("window"), st.sampled_from([10, 90])),
    st.tuples(st.just("pass_time"), st.sampled_from([6, 40, 300])),
)


class AnyHistory(TestCase):
    @example(False, [("stop",), ("pass_time", 300)])
    @example(True, [("acknowledge",), ("normal",), ("acknowledge",), ("begin", "DEVIATION_LOW"), ("rise",)])
    @example(False, [("window", 10), ("shelve", 30, False, False), ("pass_time", 40), ("pass_time", 40)])
    @settings(max_examples=10, deadline=None)
    @given(st.booleans(), st.lists(steps, max_size=20))
    def test_no_alarm_that_needs_somebody_is_without_an_escalation(
        self, latching: bool, history: list[tuple[object, ...]]
    ) -> None:
        plant = Escalating(latching=latching)
        plant.begin("LIMIT_LOW")
        plant.check()
        for name, *more in history:
            plant.pass_time(1)
            plant.check()
            getattr(plant, str(name))(*more)
            plant.check()
        plant.end_work(True)
        plant.cancel_window()
        plant.pass_time(2_000)
        plant.check()
        assert not Suppression.objects.filter(machine=plant.sensor.machine, ended_at=None).exists()
