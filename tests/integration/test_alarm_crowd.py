"""Many decide on one machine while people work on its alarm: real transactions on connections of their own."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from agents import decide
from maintenance import alarm_life, alarms, suppressions
from maintenance.models import Alarm, AlarmTransition, Decision, Suppression, WorkOrder
from maintenance.refusals import Refused
from sensors.columns import SECOND_US
from sensors.models import Sensor
from tests import factories
from tests.integration.test_alarm_histories import replayed
from tests.integration.test_alarm_locks import in_thread
from tests.integration.test_alarms import NOON, judge, see

THREADS, ROUNDS = 16, 4
FINDINGS = THREADS * ROUNDS
PEOPLE = 4
APART = 100  # seconds between two findings
SEVERE = 0.99

pytestmark = pytest.mark.django_db(transaction=True)


class Crowd:
    """Threads that each find something abnormal and decide on it, in event time one after the other."""

    def __init__(self) -> None:
        machine = factories.machine(site=factories.site())
        self.sensors = [factories.sensor(machine=machine) for _ in range(THREADS)]
        self.machine_id = machine.pk
        self.person = factories.user(is_superuser=True)
        self.numbers, self.in_order = count(1), threading.Lock()
        self.over = threading.Event()
        self.done: list[str] = []

    def find(self, sensor: Sensor) -> None:
        for _ in range(ROUNDS):
            with self.in_order:  # as in the flow: what is found is committed in the order of event time
                n = next(self.numbers)
                see(sensor, run=n, at=n * APART, ended=n * APART + 10, score=SEVERE)
            clocks: dict[int, int | None] = {self.machine_id: NOON + (n * APART + 50) * SECOND_US}
            with transaction.atomic():
                alarms.apply(decide.decide(alarms.situations(clocks, clocks=clocks, lock=True)), run_id=n)

    def meddle(self, seed: int) -> None:
        """What a person tries while there is something to decide; some is refused, because somebody was faster."""
        chance = random.Random(seed)
        acts: dict[str, Callable[[int], object]] = {
            "ACKNOWLEDGED": lambda key: alarms.acknowledge(key, actor=self.person),
            "UNACKNOWLEDGED": lambda key: alarms.unacknowledge(key, actor=self.person, comment="x"),
            "COMMENTED": lambda key: alarms.comment(key, actor=self.person, comment="x"),
            "shelve": lambda key: suppressions.shelve(
                key, actor=self.person, reason="x", until=timezone.now() + timedelta(hours=1)
            ),
            "unshelve": lambda key: suppressions.unshelve_alarm(key, actor=self.person),
        }
        while not self.over.is_set():
            key = Alarm.objects.order_by("-id").values_list("id", flat=True).first()
            name = chance.choice(list(acts))
            if key is None:
                continue
            try:
                acts[name](key)
            except Refused:
                continue
            self.done.append(name)

    def work(self, *, people: int) -> list[BaseException]:
        """All at once; what went wrong, a deadlock among it."""
        others = [in_thread(partial(self.meddle, seed)) for seed in range(people)]
        finders = [in_thread(partial(self.find, sensor)) for sensor in self.sensors]
        for thread, _ in finders:
            thread.join(100)
        self.over.set()
        for thread, _ in others:
            thread.join(10)
        assert not any(thread.is_alive() for thread, _ in [*finders, *others])
        judge(self.sensors[0], run=FINDINGS + 1, clock=(FINDINGS + 1) * APART)
        return [error for _, errors in [*finders, *others] for error in errors]


def test_a_crowd_of_decisions_gives_one_alarm_one_order_and_every_occurrence() -> None:
    assert Crowd().work(people=0) == []
    alarm, order = Alarm.objects.get(), WorkOrder.objects.get()
    assert (alarm.occurrences, order.occurrences) == (FINDINGS, FINDINGS)
    assert (alarm.is_active, alarm.is_acknowledged) == (False, False)


def test_people_among_a_crowd_lose_nothing_and_nothing_is_lost_by_them() -> None:
    crowd = Crowd()
    assert crowd.work(people=PEOPLE) == []
    assert Alarm.objects.aggregate(total=Sum("occurrences"))["total"] == FINDINGS
    assert Decision.objects.filter(action__in=["OPENED", "REOPENED"]).count() == FINDINGS
    assert Decision.objects.filter(key__endswith="/order").count() == FINDINGS
    assert WorkOrder.objects.count() <= 1
    for alarm in Alarm.objects.all():
        assert replayed(alarm) is alarm_life.state_of(active=alarm.is_active, acknowledged=alarm.is_acknowledged)
    for name in ("ACKNOWLEDGED", "UNACKNOWLEDGED", "COMMENTED"):
        assert AlarmTransition.objects.filter(action=name).count() == crowd.done.count(name)
    assert Suppression.objects.count() == crowd.done.count("shelve")
    assert Suppression.objects.exclude(ended_at=None).count() >= crowd.done.count("unshelve")
    assert len(crowd.done) > PEOPLE
