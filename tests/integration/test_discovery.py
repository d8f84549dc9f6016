"""A sensor that made itself known is adopted, and nothing of what it sent is lost."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from sensors import columns, discovery, inbox
from sensors.models import BatchPart, DiscoveredSensor, Equipment, Sensor, Site
from tests import factories

pytestmark = pytest.mark.django_db


def send(site: Site, *, name: str = "new.flow", values: tuple[float, ...] = (1.0, 2.0)) -> None:
    body = [
        {"sensor": name, "measured_at": f"2022-03-01T0{hour}:00:00Z", "value": value}
        for hour, value in enumerate(values)
    ]
    inbox.accept(site=site, user=None, body=orjson.dumps(body), received_at=timezone.now())


def adopt(found: DiscoveredSensor, **fields: Any) -> discovery.Adopted:
    given = {"kind": Sensor.Kind.FLOW, "unit": "l/s"} | fields
    return discovery.adopt(found.pk, **given)


def test_held_readings_wait_in_the_machines_lane_under_the_sensors_id() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    send(site, values=(3.0,))
    found = DiscoveredSensor.objects.get(site=site)

    adopted = adopt(found, equipment=machine)

    assert adopted.lanes == (machine.lane,)
    parts = list(BatchPart.objects.filter(discovered=found).order_by("pk"))
    assert [(part.state, part.lane) for part in parts] == [("WAITING", machine.lane)] * 2
    unpacked = columns.concatenate([columns.unpack(bytes(part.columns)) for part in parts])
    assert unpacked.sensor.tolist() == [adopted.sensor.pk] * 3
    assert unpacked.value.tolist() == [1.0, 2.0, 3.0]
    found.refresh_from_db()
    assert found.sensor == adopted.sensor


def test_the_sensor_has_the_name_it_sent_under_and_the_machine_of_its_equipment() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    sensor = adopt(DiscoveredSensor.objects.get(), equipment=machine, name="Inlet flow").sensor
    assert (sensor.external_id, sensor.name, sensor.machine, sensor.unit) == ("new.flow", "Inlet flow", machine, "l/s")


def test_a_new_machine_comes_with_the_adoption() -> None:
    site = factories.site()
    send(site)
    new = Equipment(site=site, tag="P-9", name="P-9", level=Equipment.Level.MACHINE)
    assert adopt(DiscoveredSensor.objects.get(), equipment=new).sensor.machine.tag == "P-9"


def test_it_is_adopted_once() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    adopt(DiscoveredSensor.objects.get(), equipment=machine)
    with pytest.raises(discovery.AlreadyAdopted, match="adopted before"):
        adopt(DiscoveredSensor.objects.get(), equipment=machine)
    assert Sensor.objects.count() == 1


def test_another_sites_machine_is_refused_and_nothing_changes() -> None:
    site = factories.site()
    send(site)
    elsewhere = factories.machine(site=factories.site())
    with pytest.raises(discovery.WrongSite):
        adopt(DiscoveredSensor.objects.get(), equipment=elsewhere)
    assert not Sensor.objects.exists()
    assert set(BatchPart.objects.values_list("state", flat=True)) == {"HELD"}


def test_what_does_not_validate_leaves_no_machine_behind() -> None:
    site = factories.site()
    send(site)
    new = Equipment(site=site, tag="P-9", name="P-9", level=Equipment.Level.MACHINE)
    with pytest.raises(ValidationError):
        adopt(DiscoveredSensor.objects.get(), equipment=new, kind="NO_SUCH")
    assert not Equipment.objects.exists()


def test_a_sensor_made_by_hand_meanwhile_gets_the_readings() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    by_hand = factories.sensor(machine=machine, external_id="new.flow")
    assert adopt(DiscoveredSensor.objects.get(), equipment=machine).sensor == by_hand


def test_a_damaged_part_is_set_aside_with_its_reason_and_the_others_go_on() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    send(site)
    damaged = BatchPart.objects.order_by("pk")[0]
    BatchPart.objects.filter(pk=damaged.pk).update(columns=b"rubbish")
    adopt(DiscoveredSensor.objects.get(), equipment=machine)
    damaged.refresh_from_db()
    assert damaged.state == "SET_ASIDE"
    assert "cannot be read" in damaged.error
    assert BatchPart.objects.filter(state="WAITING").count() == 1


def test_what_was_held_while_it_was_being_adopted_is_let_go_afterwards() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    send(site)
    found = DiscoveredSensor.objects.get()
    adopted = adopt(found, equipment=machine)
    late = BatchPart.objects.get()
    straggler = BatchPart.objects.create(
        batch=late.batch, discovered=found, state="HELD", readings=late.readings, columns=bytes(late.columns)
    )

    assert discovery.let_go_of_stragglers() == (machine.lane,)
    straggler.refresh_from_db()
    assert straggler.state == "WAITING"
    assert set(columns.unpack(bytes(straggler.columns)).sensor) == {adopted.sensor.pk}
    assert discovery.let_go_of_stragglers() == ()
