"""Stages that fail for real: a fault put before one of ours, and readings that meet it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from agents import pipeline
from agents.models import Run
from agents.stages import Finish, Units
from sensors import inbox
from sensors.models import Sensor, Site
from tests import factories

START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
Step = Callable[[Run, int, Units], Finish]
OURS = dict(pipeline.STEPS)


def sensors(count: int, *, site: Site | None = None, first_lane: int = 0) -> list[Sensor]:
    """Of as many machines in lanes of their own, so that each of them gets a run of its own."""
    site = site or factories.site()
    made = []
    for lane in range(first_lane, first_lane + count):
        machine = factories.machine(site=site)
        type(machine).objects.filter(pk=machine.pk).update(lane=lane)
        made.append(factories.sensor(machine=machine))
    return made


def send(sensor: Sensor, values: list[float], *, first: int = 0) -> int:
    """One request of readings a minute apart; the lane it waits in."""
    items = [
        {"sensor": sensor.pk, "measured_at": (START + timedelta(minutes=first + n)).isoformat(), "value": value}
        for n, value in enumerate(values)
    ]
    body = json.dumps(items).encode()
    return inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON).lanes[0]


@contextmanager
def stage(name: str, step: Step) -> Iterator[None]:
    """Another step in the place of ours, in this process and in its children."""
    pipeline.STEPS[name] = step
    try:
        yield
    finally:
        pipeline.STEPS[name] = OURS[name]


def before(name: str, fault: Callable[[], object]) -> Step:
    """The stage of that name with a fault before it."""

    def step(run: Run, attempt: int, only: Units) -> Finish:
        fault()
        return OURS[name](run, attempt, only)

    return step


def in_its_lane(name: str, fault: Callable[[], object]) -> Step:
    """The stage of that name with a fault before it that is over when quarantine tries the run: it comes and goes."""

    def step(run: Run, attempt: int, only: Units) -> Finish:
        if run.status == Run.Status.ACTIVE:
            fault()
        return OURS[name](run, attempt, only)

    return step
