from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sensors import columns, inbox
from sensors.models import Batch, BatchPart, DiscoveredSensor, Site
from tests import factories

pytestmark = pytest.mark.django_db


def accept(site: Site, *items: Any) -> inbox.Accepted:
    return inbox.accept(site=site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON)


def reading(sensor: Any, minute: int = 0, value: Any = 1.0) -> dict[str, Any]:
    return {"sensor": sensor, "measured_at": f"2026-03-01T11:{minute:02}:00Z", "value": value}


def test_readings_become_one_waiting_part_for_each_lane() -> None:
    site = factories.site()
    sensors = [factories.sensor(machine=factories.machine(site=site)) for _ in range(3)]
    accepted = accept(site, *(reading(s.external_id) for s in sensors), reading(sensors[0].pk, minute=1))
    parts = list(BatchPart.objects.filter(batch=accepted.batch, state="WAITING"))
    assert accepted.lanes == tuple(sorted(p.lane for p in parts if p.lane is not None))
    assert sum(p.readings for p in parts) == 4
    assert sum(len(columns.unpack(p.columns)) for p in parts) == 4


def test_readings_of_an_unknown_sensor_are_held_and_counted() -> None:
    site = factories.site()
    accept(site, reading("new"), reading("new", 1), reading("other"))
    accept(site, reading("new", 2))
    assert dict(DiscoveredSensor.objects.values_list("external_id", "readings")) == {"new": 3, "other": 1}
    assert BatchPart.objects.filter(state="HELD", lane=None).count() == 3


def test_many_unknown_names_cost_few_queries() -> None:
    site = factories.site()
    with CaptureQueriesContext(connection) as queries:
        accept(site, *(reading(f"new-{n}") for n in range(500)))
    assert DiscoveredSensor.objects.count() == 500
    assert len(queries) <= 7


def test_a_body_of_nothing_but_bad_readings_is_refused_and_nothing_is_stored() -> None:
    with pytest.raises(inbox.NothingAccepted) as caught:
        accept(factories.site(), reading("a", value=None), 3)
    assert [r["reason"] for r in caught.value.results] == ["not-a-number", "not-an-object"]
    assert Batch.objects.count() == 0


def test_another_sites_sensor_is_not_reached_by_id_nor_by_name() -> None:
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    site = factories.site()
    with pytest.raises(inbox.NothingAccepted):
        accept(site, reading(other.pk))
    accept(site, reading(other.external_id))
    assert DiscoveredSensor.objects.get().site == site
    assert not BatchPart.objects.filter(state="WAITING").exists()


def test_accepting_costs_the_same_queries_whatever_the_number_of_readings() -> None:
    site = factories.site()
    sensors = [factories.sensor(machine=factories.machine(site=site)) for _ in range(8)]
    accept(site, reading(sensors[0].external_id))
    counts = []
    for used in (sensors[:1], sensors):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            accept(site, *(reading(s.external_id, m) for s in used for m in range(5)))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5
