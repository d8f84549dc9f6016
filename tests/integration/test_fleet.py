import pytest

from tests import factories

pytestmark = pytest.mark.django_db


def test_a_machine_is_its_own_machine_and_has_a_lane() -> None:
    machine = factories.machine(site=factories.site())
    assert machine.machine == machine
    assert machine.lane is not None


def test_a_sensor_on_a_component_belongs_to_the_machine_above() -> None:
    machine = factories.machine(site=factories.site())
    component = factories.machine(site=machine.site, level="COMPONENT", parent=machine)
    assert factories.sensor(machine=component).machine == machine
