import numpy as np

from agents import detect
from agents.findings import Quality, Reason
from mlops.state import State, pack, unpack
from tests.unit import tables

S = 1_000_000
COLD = State(np.empty(0, np.int64), {})


def run(at, value, state=COLD, *, bad=(), late=(), out_of_order=(), **settings):
    n = len(at)
    quality, reason, is_late = np.zeros(n, np.uint8), np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    quality[list(bad)], is_late[list(late)] = Quality.BAD, True
    reason[list(out_of_order)] = Reason.OUT_OF_ORDER
    return detect.detect(
        columns=tables.columns(at, value), table=tables.table([1, 2], **settings),
        quality=quality, reason=reason, late=is_late, state=state,
    )  # fmt: skip


def test_an_anomaly_keeps_its_identity_across_runs_until_it_ends():
    one = run([S, 2 * S], [1, 9], high=5)
    two = run([3 * S], [9], unpack(pack(one.state)), high=5)
    three = run(np.arange(4, 30) * S, np.ones(26), two.state, high=5)
    found = [r.anomalies[0] for r in (one, two, three)]
    assert [a.started_at for a in found] == [2 * S] * 3
    assert [a.readings for a in found] == [1, 2, 2]
    assert [a.ended_at for a in found] == [None, None, 4 * S]
    assert found[0].kind == "LIMIT_HIGH" and found[0].contributors == ((1, 1.0),)


def test_bad_readings_are_not_judged():
    assert not run([S, 2 * S], [9, 9], high=5, bad=(0, 1)).anomalies


def test_late_readings_are_judged_in_retrospect_and_leave_no_trace():
    before = run([50 * S], [1], high=5)
    after = run([S, 2 * S], [9, 9], before.state, high=5, late=(0,), out_of_order=(1,))
    assert [(a.retrospective, a.started_at, a.ended_at) for a in after.anomalies] == [(True, S, 2 * S)]
    assert pack(after.state) == pack(before.state)


def test_late_readings_neither_end_nor_grow_a_live_anomaly():
    live = run([50 * S], [9], high=5)
    after = run(np.arange(20) * S, np.ones(20), live.state, high=5, late=range(20))
    assert not after.anomalies
    assert pack(after.state) == pack(live.state)


def test_the_same_run_twice_says_the_same():
    rng = np.random.default_rng(1)
    at, value = np.arange(400) * S, rng.normal(size=400)
    value[300:310] = 50
    one, two = run(at, value), run(at, value)
    assert one.anomalies == two.anomalies and pack(one.state) == pack(two.state)
    assert [a.detector for a in one.anomalies] == ["adaptive"]
    assert one.anomalies[0].window_from <= one.anomalies[0].started_at
