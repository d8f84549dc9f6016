import itertools

import numpy as np

from agents import detect
from agents.findings import Quality, Reason
from mlops.state import State, completed, pack, unpack
from tests.unit import tables
from tests.unit.test_detectors import FOLLOWS

S = 1_000_000
COLD = State(np.empty(0, np.int64), {})


def run(at, value, state=COLD, *, bad=(), late=(), out_of_order=(), frozen=(), **settings):
    n = len(at)
    quality, reason, is_late = np.zeros(n, np.uint8), np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    quality[list(bad)], is_late[list(late)] = Quality.BAD, True
    reason[list(out_of_order)] = Reason.OUT_OF_ORDER
    still = np.isin(np.arange(n), frozen)
    return detect.detect(
        columns=tables.columns(at, value), table=tables.table([1, 2], **settings),
        quality=quality, reason=reason, late=is_late, state=state, frozen=still,
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


# What people know

SHIFTED = 60.0


def shifted(n=400, at=200):
    value = np.random.default_rng(2).normal(size=n)
    value[at:] += SHIFTED
    return np.arange(1, n + 1) * 60 * S, value


def by(detector, detected):
    return [a for a in detected.anomalies if a.detector == detector]


def test_a_regime_makes_a_new_level_normal_after_the_warm_up_and_ends_what_was_open():
    at, value = shifted()
    before = run(at[:250], value[:250], frozen=range(200, 250))
    (open_one,) = by("adaptive", before)
    assert open_one.ended_at is None
    after = run(at[250:], value[250:], before.state, regime=at[200])
    assert [(a.started_at, a.ended_at) for a in by("adaptive", after)] == [(open_one.started_at, at[249])]


def test_a_regime_that_begins_later_ends_what_was_open_when_it_begins():
    at, value = shifted()
    before = run(at[:250], value[:250], frozen=range(200, 250))
    after = run(at[250:], value[250:], before.state, frozen=range(50), regime=at[299] + 1)
    assert {(a.started_at, a.ended_at) for a in by("adaptive", after)} >= {(at[200], at[299] + 1)}
    assert {a.started_at for a in by("adaptive", after)} == {at[200]}


def test_where_a_regime_begins_within_a_run_does_not_depend_on_how_the_readings_are_cut():
    at, value = shifted(500, 100)
    whole = run(at, value, regime=at[300])
    for cuts in ([300], [299, 301], [7, 123, 305, 444]):
        state, last = COLD, {}
        edges = [0, *cuts, 500]
        for a, b in itertools.pairwise(edges):
            got = run(at[a:b], value[a:b], state, regime=at[300])
            state = unpack(pack(got.state))
            last |= {(x.detector, x.started_at): x for x in got.anomalies}
        assert pack(state) == pack(whole.state)
        assert last == {(x.detector, x.started_at): x for x in whole.anomalies}


def test_what_was_learned_in_a_regime_stays_when_it_goes_on_or_is_retracted():
    at, value = shifted()
    one = run(at[:250], value[:250], regime=at[200])
    assert one.state.arrays[detect.SINCE].tolist() == [at[200]]
    for regime in (at[200], 0, at[100]):
        two = run(at[250:], value[250:], one.state, regime=regime)
        assert two.state.arrays["adaptive.learned.3.seen"].tolist() == [200]
        assert two.state.arrays[detect.SINCE].tolist() == [at[200]]


def test_a_regime_without_readings_in_order_changes_nothing():
    at, value = shifted()
    one = run(at[:250], value[:250])
    late = run(at[240:245], value[240:245], one.state, regime=at[200], late=range(5))
    assert pack(late.state) == pack(one.state)
    assert not by("adaptive", late)  # of the new regime nothing is known yet


def test_late_readings_meet_the_knowledge_of_their_own_regime_or_none():
    at, value = shifted()
    one = run(at, value, regime=at[200])
    strange = np.array([500.0])
    inside = run(at[300:301], strange, one.state, regime=at[200], late=(0,))
    assert [a.retrospective for a in by("adaptive", inside)] == [True]
    assert not by("adaptive", run(at[100:101], strange, one.state, regime=at[200], late=(0,)))
    assert [a.kind for a in run(at[100:101], strange, one.state, regime=at[200], late=(0,), high=5).anomalies] == [
        "LIMIT_HIGH"
    ]


def test_what_is_beyond_a_limit_in_a_new_regime_is_found_anew():
    one = run([S, 2 * S], [1, 9], high=5)
    two = run([3 * S, 4 * S], [9, 9], one.state, high=5, regime=3 * S)
    assert [(a.started_at, a.ended_at) for a in two.anomalies] == [(2 * S, 3 * S), (3 * S, None)]


def test_frozen_readings_are_judged_and_teach_nothing():
    at, value = shifted(2000, 200)
    taught = run(at[:200], value[:200])
    frozen = run(at[200:], value[200:], taught.state, frozen=range(1800))
    each = [n.split(".") for n in taught.state.arrays if ".learned." in n and not n.startswith("relation")]
    learned = [".".join(parts) for parts in each if parts[3] not in FOLLOWS[parts[0]]]
    assert all(taught.state.arrays[n].tobytes() == frozen.state.arrays[n].tobytes() for n in learned)
    (found,) = by("adaptive", frozen)
    assert (found.started_at, found.readings, found.ended_at) == (at[200], 1800, None)


def test_readings_before_and_after_a_frozen_stretch_teach_as_if_it_were_not_there():
    at, value = shifted(480, 160)
    window = range(160, 320)
    cut = run(at, value, frozen=window)
    state = COLD
    for part, still in ((slice(0, 160), False), (slice(160, 320), True), (slice(320, 480), False)):
        state = run(at[part], value[part], state, frozen=range(160) if still else ()).state
    assert pack(cut.state) == pack(state)
    assert cut.state.arrays["adaptive.learned.3.learned"].tolist() == [320]


def test_a_state_of_a_version_without_regimes_goes_on_where_it_was():
    at, value = shifted(100, 100)
    one = run(at[:60], value[:60]).state
    old = State(one.sensor, {n: a for n, a in one.arrays.items() if n != detect.SINCE})
    assert pack(run(at[60:], value[60:], old).state) == pack(run(at, value).state)
    assert pack(completed(old, detect.ADDED)) == pack(
        State(one.sensor, {detect.SINCE: one.arrays[detect.SINCE], **old.arrays})
    )
