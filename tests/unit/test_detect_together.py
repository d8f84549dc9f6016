"""A detector that looks at a machine's sensors side by side, in the stage that judges."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from agents import detect
from agents.findings import Quality
from mlops.detectors.relation import Relation
from mlops.state import State, pack, unpack
from tests.unit import tables
from tests.unit.test_relation import S, broken, machine, readings

COLD = State(np.empty(0, np.int64), {})
IDS = [1, 2, 3, 4]


def run(columns, state=COLD, *, table=None, late=False, bad=None, frozen=None):
    n = len(columns)
    quality = np.zeros(n, np.uint8)
    if bad is not None:
        quality[bad] = Quality.BAD
    return detect.detect(
        columns=columns, table=tables.table(IDS) if table is None else table, quality=quality,
        reason=np.zeros(n, np.uint8), late=np.full(n, late), state=state, frozen=frozen, using={"relation": Relation()},
    )  # fmt: skip


def in_runs(columns, cuts, **options):
    """The same in runs, as they come in time: the last that was said of each anomaly, and the state after them."""
    order, state, found = np.lexsort((columns.sensor, columns.at)), COLD, {}
    for a, b in itertools.pairwise([0, *cuts, len(order)]):
        got = run(columns.take(np.sort(order[a:b])), state, **options)
        state = unpack(pack(got.state))
        for one in got.anomalies:
            before = found.get((one.sensor_id, one.started_at))
            peak = before is None or one.peak_score > before.peak_score
            found[one.sensor_id, one.started_at] = one if peak else replace(one, contributors=before.contributors)
    return found, state


@pytest.mark.parametrize("regime", [0, 500 * S])
@pytest.mark.parametrize("cuts", [[1], [1999, 2001, 2006, 2403], list(range(10, 3600, 7))])
def test_what_is_found_does_not_depend_on_how_a_machine_is_cut_into_runs(cuts: list[int], regime: int) -> None:
    columns, table = readings(broken()), tables.table(IDS, regime=regime)
    whole = run(columns, table=table)
    found, state = in_runs(columns, cuts, table=table)
    assert sorted(found) == sorted((one.sensor_id, one.started_at) for one in whole.anomalies)
    assert {key: one for key, one in found.items()} == {(one.sensor_id, one.started_at): one for one in whole.anomalies}
    assert pack(state) == pack(whole.state)
    assert whole.anomalies or regime


def test_one_fault_is_one_anomaly_of_one_sensor_with_the_shares_of_all() -> None:
    value = machine(4, 900)
    value[1, 600:] += 5.0
    (found,) = run(readings(value)).anomalies
    assert (found.sensor_id, found.detector, found.kind, found.ended_at) == (2, "relation", "RELATION_HIGH", None)
    assert found.contributors[0][0] == 2 and len(found.contributors) == 4
    assert sum(share for _, share in found.contributors) == pytest.approx(1.0)
    assert found.expected_high is not None and found.observed > found.expected_high


def test_a_run_with_one_of_the_sensors_is_judged_by_what_is_known_of_all() -> None:
    value = machine(4, 900)
    value[1, 600:] += 5.0
    columns = readings(value)
    state = run(columns.take(columns.at <= 800 * S)).state
    got = run(columns.take((columns.at > 800 * S) & (columns.sensor == 2)), state)
    (found,) = got.anomalies
    assert (found.sensor_id, found.readings > 200) == (2, True)
    assert got.state.sensor.tolist() == IDS
    rows = got.state.arrays["relation.learned.1.instants"]
    assert rows.tolist() == [899] * 4


def test_a_silent_sensor_of_the_machine_gets_no_state_and_a_deleted_one_is_in_nobodys_way() -> None:
    columns = readings(machine(4, 450)[:3])
    first = run(columns)
    assert first.state.sensor.tolist() == [1, 2, 3]
    more = readings(machine(4, 600)[:2, 450:], np.arange(451, 601) * S)
    after = run(more, first.state, table=tables.table([1, 2]))
    assert after.state.sensor.tolist() == [1, 2, 3]
    assert after.state.arrays["relation.learned.1.instants"].tolist() == [599, 599, 449]


def test_late_readings_are_not_judged_again_and_leave_no_trace() -> None:
    columns = readings(broken())
    state = run(columns.take(columns.at <= 700 * S)).state
    late = readings(np.full((4, 20), 99.0), np.arange(300, 320) * S + 1)
    got = run(late, state, late=True)
    assert not got.anomalies
    assert pack(got.state) == pack(state)


def test_bad_readings_are_no_part_of_an_instant() -> None:
    value = machine(4, 900)
    bad = readings(value)
    wrong = (bad.sensor == 3) & (bad.at > 600 * S)
    bad.value[wrong] = 1e6
    assert not run(bad, bad=wrong).anomalies
    assert run(bad).anomalies


def test_an_alarm_that_stands_freezes_what_is_known_of_the_machine() -> None:
    value = machine(4, 2000)
    value[1, 600:] += 5.0
    columns = readings(value)
    free, frozen = run(columns), run(columns, frozen=columns.at > 620 * S)
    assert frozen.anomalies[0].last_at >= 1990 * S
    for name in ("level", "covariance", "usual"):
        taught = run(columns.take(columns.at <= 621 * S)).state.arrays[f"relation.learned.1.{name}"]
        assert frozen.state.arrays[f"relation.learned.1.{name}"].tobytes() == taught.tobytes()
    assert free.anomalies[0].started_at == frozen.anomalies[0].started_at
