"""What was learned goes into the database and comes back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import transaction

from mlops import machine_states
from mlops.models import MachineState
from mlops.state import State
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def machines() -> list[int]:
    site = factories.site()
    return [factories.machine(site=site).pk for _ in range(3)]


def state(*sensors: int, seed: int = 1, width: int = 700) -> State:
    """More of each sensor than Postgres keeps in a row."""
    values = np.random.default_rng(seed).standard_normal((len(sensors), width))
    return State(np.array(sensors, np.int64), {"values": values, "count": np.arange(len(sensors), dtype=np.int32)})


def same(one: State, other: State) -> bool:
    return (one.sensor == other.sensor).all() and all(
        one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in {*one.arrays, *other.arrays}
    )


def test_it_comes_back_as_it_was(machines: list[int]) -> None:
    given = state(1, 2, 3, 4)
    machine_states.save(
        given, machine_of={1: machines[0], 2: machines[1], 3: machines[0], 4: machines[1]}, part="learned", run_id=7
    )
    found, seen = machine_states.load(machines, part="learned")
    assert same(found, given)
    assert seen == {machines[0]: 7, machines[1]: 7}
    assert machine_states.load(machines[:1], part="learned")[0].sensor.tolist() == [1, 3]
    assert machine_states.load([], part="learned")[1] == {}


def test_each_part_is_kept_for_itself(machines: list[int]) -> None:
    memory, learned = state(1, seed=1), state(1, seed=2)
    machine_states.save(memory, machine_of={1: machines[0]}, part="memory", run_id=8)
    found, seen = machine_states.load(machines, part="learned")
    assert (len(found.sensor), seen) == (0, {machines[0]: 0})
    machine_states.save(learned, machine_of={1: machines[0]}, part="learned", run_id=7)
    assert same(machine_states.load(machines, part="memory")[0], memory)
    assert same(machine_states.load(machines, part="learned")[0], learned)
    assert MachineState.objects.values_list("memory_run_id", "learned_run_id").get() == (8, 7)


def test_the_newest_counts_also_within_a_transaction_and_the_run_never_goes_back(machines: list[int]) -> None:
    first, second, third = (state(1, seed=seed) for seed in range(3))
    with transaction.atomic():
        machine_states.save(first, machine_of={1: machines[0]}, part="learned", run_id=5)
        machine_states.save(second, machine_of={1: machines[0]}, part="learned", run_id=6)
    assert same(machine_states.load(machines, part="learned")[0], second)
    machine_states.save(third, machine_of={1: machines[0]}, part="learned", run_id=4)
    found, seen = machine_states.load(machines, part="learned")
    assert same(found, third)
    assert seen == {machines[0]: 6}


def test_what_is_rolled_back_was_not_learned(machines: list[int]) -> None:
    machine_states.save(state(1), machine_of={1: machines[0]}, part="learned", run_id=5)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        machine_states.save(state(1, seed=9), machine_of={1: machines[0]}, part="learned", run_id=6)
        raise ZeroDivisionError
    found, seen = machine_states.load(machines, part="learned")
    assert same(found, state(1))
    assert seen == {machines[0]: 5}


def test_sensors_of_no_machine_are_left_out(machines: list[int]) -> None:
    machine_states.save(state(1, 2), machine_of={2: machines[0]}, part="learned", run_id=5)
    assert machine_states.load(machines, part="learned")[0].sensor.tolist() == [2]
    machine_states.save(state(1), machine_of={}, part="learned", run_id=6)
    assert machine_states.load(machines, part="learned")[1] == {machines[0]: 5}


def test_what_cannot_be_read_starts_cold_and_the_others_do_not(machines: list[int]) -> None:
    machine_states.save(state(1, 2), machine_of={1: machines[0], 2: machines[1]}, part="learned", run_id=5)
    MachineState.objects.filter(machine_id=machines[0]).update(learned=b"not a state")
    assert machine_states.load(machines, part="learned")[0].sensor.tolist() == [2]
