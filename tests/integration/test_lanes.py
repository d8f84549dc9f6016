"""Neighbouring lanes share a run; no two active runs share a lane."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from agents import hearsay, lanes, pipeline, stages, sweeper
from agents.doorbell import Bell
from agents.models import Run
from sensors import inbox
from sensors.models import LANES, BatchPart, Sensor, Site
from tests import factories

pytestmark = pytest.mark.django_db


def sensor(lane: int, site: Site) -> Sensor:
    return factories.sensor(machine=factories.machine(site=site, lane=lane))


def send(*sensors: Sensor) -> None:
    at = (factories.NOON - timedelta(minutes=5)).isoformat()
    body = [{"sensor": one.external_id, "measured_at": at, "value": 1.0} for one in sensors]
    inbox.accept(site=sensors[0].site, user=None, body=json.dumps(body).encode(), received_at=factories.NOON)


def test_what_waits_in_neighbouring_lanes_goes_in_one_run(settings: Settings) -> None:
    settings.RUN_LANES = 16
    site = factories.site()
    send(sensor(0, site), sensor(5, site), sensor(15, site), sensor(16, site))
    assert pipeline.idle_lanes_with_work() == [0, 16]
    sweeper.work_off(Bell("ingest", lane) for lane in (0, 16))
    assert list(Run.objects.order_by("id").values_list("lane", "lanes", "readings", "status")) == [
        (0, 16, 3, "DONE"),
        (16, 16, 1, "DONE"),
    ]
    assert pipeline.idle_lanes_with_work() == []


def test_the_bells_of_one_run_are_one(settings: Settings) -> None:
    settings.RUN_LANES = 16
    assert lanes.firsts([0, 3, 15, 16, 63]) == [0, 16, 48]
    assert lanes.span(63) == (48, 16)
    settings.RUN_LANES = 48
    assert lanes.span(63) == (48, LANES - 48)


@pytest.mark.parametrize(
    ("most", "waiting", "many", "rests"),
    [
        (50_000, pipeline.CROWD, pipeline.MANY, True), (50_000, pipeline.CROWD - 1, pipeline.MANY, False),
        (50_000, 2, 2, True), (50_000, 2, 3, False), (1, pipeline.CROWD, 1, False),
    ],
)  # fmt: skip
def test_lanes_rest_between_runs_only_while_a_crowd_waits_that_a_run_takes(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, most: int, waiting: int, many: int, *, rests: bool
) -> None:
    monkeypatch.setattr(pipeline, "MANY", many)
    settings.RUN_MAX_READINGS = most
    one = sensor(0, factories.site())
    send(one)
    bells = pipeline.begin(0).bells
    assert hearsay.lanes_told_of([0]) == {0}
    while bells[0].queue != "ingest":
        if bells[0].queue == "notify":
            for _ in range(waiting):
                send(one)
        bells = pipeline.perform(bells[0].queue.upper(), bells[0].id).bells
    assert [bell.id for bell in bells] == [0]
    assert 0 <= bells[0].rest <= pipeline.MOST_REST
    assert (bells[0].rest > 0) is rests
    assert hearsay.lanes_told_of([0]) == set()


def test_a_run_takes_only_so_many_parts_and_the_next_one_the_rest(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(stages, "MOST_PARTS", 2)
    one = sensor(0, factories.site())
    for _ in range(3):
        send(one)
    sweeper.work_off([Bell("ingest", 0)])
    assert list(Run.objects.order_by("id").values_list("readings", "status")) == [(2, "DONE"), (1, "DONE")]


def test_no_two_active_runs_have_a_lane_in_common() -> None:
    Run.objects.create(lane=8, lanes=8)
    Run.objects.create(lane=0, lanes=8)
    Run.objects.create(lane=16)
    Run.objects.create(lane=10, lanes=2, status=Run.Status.REPLAY)
    with pytest.raises(IntegrityError, match="run_lanes_apart"), transaction.atomic():
        Run.objects.create(lane=15, lanes=2)


@pytest.mark.parametrize(("lane", "count"), [(0, 0), (63, 2), (0, LANES + 1)])
def test_a_run_goes_down_lanes_that_there_are(lane: int, count: int) -> None:
    with pytest.raises(IntegrityError, match="run_lane"), transaction.atomic():
        Run.objects.create(lane=lane, lanes=count)


def test_a_run_begun_with_another_width_is_not_overtaken(settings: Settings) -> None:
    """Whoever changes the setting need not drain the lanes."""
    settings.RUN_LANES = 16
    site = factories.site()
    send(sensor(5, site))
    wide = Run.objects.create(lane=0, lanes=64, stage=Run.Stage.DETECT)
    assert pipeline.idle_lanes_with_work() == []
    assert pipeline.begin(5).result == "stale"
    Run.objects.filter(pk=wide.pk).update(status=Run.Status.DONE)
    assert pipeline.begin(5).result == "done"


def test_nothing_new_begins_in_a_lane_that_a_replay_waits_for(settings: Settings) -> None:
    """Else it would wait for ever where something is always under way in one of its lanes."""
    settings.RUN_LANES = 8
    site = factories.site()
    send(sensor(0, site), sensor(8, site))
    busy = Run.objects.create(lane=0, lanes=8, stage=Run.Stage.NOTIFY)
    replay = Run.objects.create(lane=0, lanes=16, stage=Run.Stage.NOTIFY, status=Run.Status.REPLAY)
    assert pipeline.begin(8).result == "stale"
    assert BatchPart.objects.filter(state="WAITING").count() == 2
    assert Bell("ingest", 0) in pipeline.perform(Run.Stage.NOTIFY, busy.pk).bells
    sweeper.work_off([Bell("ingest", 0)])
    assert Run.objects.get(pk=replay.pk).status == "DONE"
    assert not BatchPart.objects.filter(state="WAITING").exists()


def test_a_lane_that_is_held_up_does_not_hold_up_its_neighbours(settings: Settings) -> None:
    settings.RUN_LANES = 16
    site = factories.site()
    held_up = Run.objects.create(lane=5, stage=Run.Stage.DETECT)
    send(sensor(2, site), sensor(5, site), sensor(9, site))
    sweeper.work_off(Bell("ingest", lane) for lane in pipeline.idle_lanes_with_work() * 2)
    assert list(Run.objects.exclude(pk=held_up.pk).order_by("id").values_list("lane", "lanes", "status")) == [
        (0, 5, "DONE"),
        (6, 10, "DONE"),
    ]
    assert BatchPart.objects.get(state="WAITING").lane == 5


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [(16, 16)]),
        ([(16, 16)], []),
        ([(0, 64)], []),
        ([(20, 1), (22, 2)], [(16, 4), (21, 1), (24, 8)]),
        ([(10, 8), (30, 9)], [(18, 12)]),
        ([(40, 2)], [(16, 16)]),
        ([(0, 8)], [(16, 16)]),
    ],
)
def test_what_is_free_lies_beside_what_is_taken(taken: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert lanes.free(16, 16, taken=taken) == left
