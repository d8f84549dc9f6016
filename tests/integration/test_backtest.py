"""Backtests: what they come to is what the flow itself comes to with the same readings, and what would have been."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from agents.backtests import history, proposal, work
from agents.backtests.figures import Period
from agents.backtests.history import Asked, Target
from agents.backtests.machine import Replay, Side
from maintenance.models import Alarm, AlarmTransition, Anomaly, Decision, WorkOrder, WorkOrderTransition
from mlops.detectors import DETECTORS
from sensors import columns, compaction, labels, series, store
from sensors.columns import DAY_US, SECOND_US, from_instant, to_instant
from sensors.models import Equipment, Label, Sensor
from tests import factories
from tests.integration.test_pipeline import START, flow

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

STEP = timedelta(minutes=10)
DAY = 144
EACH = 60


def when(n: int, step: timedelta = STEP) -> datetime:
    return START + n * step


def put(sensor: Sensor, values: Sequence[float], *, first: int = 0, step: timedelta = STEP) -> None:
    """Readings as if they had come long ago: nothing was judged."""
    n = len(values)
    at = from_instant(START) + np.arange(first, first + n, dtype=np.int64) * (step // timedelta(microseconds=1))
    taken = columns.Columns(np.full(n, sensor.pk), at, np.asarray(values, np.float64), np.zeros(n, np.int32))
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=np.zeros(n, np.uint8), reason=np.zeros(n, np.uint8))


def backtest(
    target: Target, *, end: datetime, start: datetime = START, back: int = 0, slice_us: int = DAY_US, **given: Any
) -> dict[str, Any]:
    proposed = proposal.read(given, present=target.limits)
    asked = Asked(target, Period(from_instant(start), from_instant(end)), back * DAY_US, proposed)
    return work.run(asked, tell=lambda done, total: None, slice_us=slice_us)


def of(row: Sensor | Equipment) -> Target:
    return Target(row.site, row.machine, row) if isinstance(row, Sensor) else Target(row.site, row)


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site(), criticality="CRITICAL")


def noise(n: int, *, seed: int = 8) -> Any:
    return np.random.default_rng(seed).normal(size=n).round(3)


def eventful(machine: Equipment) -> tuple[list[Sensor], list[Any]]:
    """Two sensors with everything: beyond limits and back, a shift, a gap, what cannot be, standing still."""
    one = factories.sensor(
        machine=machine, high=26.0, high_high=60.0, deadband=0.5, on_delay_seconds=600, off_delay_seconds=1_200,
        period_seconds=600, physical_high=1_000.0, max_rate=1.0,
    )  # fmt: skip
    two = factories.sensor(machine=machine, kind="VIBRATION", low=10.0, period_seconds=600)
    first, second = 20.0 + noise(4 * DAY), 20.0 + noise(4 * DAY, seed=9)
    for start, length, value in (
        (150, 8, 30.0),
        (175, 1, 40.0),
        (190, 3, 70.0),
        (230, 2, 2_000.0),
        (234, 8, 31.0),
        (300, 60, 24.5),
    ):
        first[start : start + length] = value + noise(length, seed=start) / 10
    first[420:500] = 21.5
    second[200:204] = 5.0
    second[260:330] = np.nan  # a gap
    second[400:] += 40.0
    return [one, two], [first, second]


def stored(machine: Equipment) -> dict[str, list[Any]]:
    of_machine = {"machine": machine}
    grown = ("sensor_id", "nature", "detector", "kind", "failure_mode", "started_at", "ended_at", "last_at", "readings",
             "peak_score", "peak_at", "is_settled", "verdict")  # fmt: skip
    return {
        "anomalies": sorted(Anomaly.objects.filter(**of_machine).values_list(*grown), key=repr),
        "turns": list(
            AlarmTransition.objects.filter(alarm__machine=machine).order_by("alarm__failure_mode", "pk")
            .values_list("alarm__failure_mode", "action", "at")
        ),
        "orders": sorted(
            WorkOrderTransition.objects.filter(order__machine=machine, action__in=["OPENED", "OCCURRED"])
            .values_list("at", "action")
        ),
    }  # fmt: skip


def booked(side: Side) -> dict[str, list[Any]]:
    rows = [(row, row.sighting) for row in side.book.rows.values()]
    turns = []
    for one in side.book.activations:
        began = ("OPENED" if not any(mode == one.failure_mode for mode, *_ in turns) else "REOPENED", one.raised_at)
        ended = () if one.returned_at is None else (("RETURNED", one.returned_at),)
        turns += [(one.failure_mode, action, to_instant(at)) for action, at in (began, *ended)]
    return {
        "anomalies": sorted(
            (
                (s.sensor_id, s.nature, s.detector, s.kind, row.failure_mode, to_instant(s.started_at),
                 None if s.ended_at is None else to_instant(s.ended_at), to_instant(s.last_at), s.readings,
                 s.peak_score, to_instant(s.peak_at), side.book.is_settled(row), row.verdict)
                for row, s in rows
            ),
            key=repr,
        ),
        "turns": sorted(turns, key=lambda turn: turn[0]),
        "orders": sorted((to_instant(at), "OPENED" if new else "OCCURRED") for at, new in side.book.orders),
    }  # fmt: skip


def without_priorities(result: Any) -> Any:
    """Some ends are known only later, and what came on meanwhile has raised the alarm: that hangs on the slices."""
    if isinstance(result, dict):
        return {k: without_priorities(v) for k, v in result.items() if k not in ("priority", "by_priority")}
    return [without_priorities(one) for one in result] if isinstance(result, list) else result


def judged_anew(machine: Equipment, sensors: list[Sensor], *, length: int) -> Side:
    table, known = history.of_machine(machine, sensors)
    side = Side(work.machine.Setup(table, known, work.detectors.DETECTORS))
    replay, part = Replay([side]), history.span(sensors)
    assert part is not None
    for piece in history.slices(part, length=length):
        readings = series.raw([s.pk for s in sensors], start=piece.start, end=piece.end)
        if len(readings):
            replay.take(readings, np.zeros(len(readings), np.bool_))
    return side


def test_judged_anew_readings_give_what_the_flow_gave_to_the_last_field(machine: Equipment) -> None:
    sensors, values = eventful(machine)
    for first in range(0, 4 * DAY, EACH):
        flow(
            machine.site,
            [
                {"sensor": s.pk, "measured_at": when(n).isoformat(), "value": float(v[n])}
                for n in range(first, min(first + EACH, 4 * DAY))
                for s, v in zip(sensors, values, strict=True)
                if not np.isnan(v[n])
            ],
        )
    there = stored(machine)
    kinds = {row[3] for row in there["anomalies"]}
    assert {"LIMIT_HIGH", "LIMIT_LOW", "PHYSICAL_LIMIT", "GAP", "STUCK"} <= kinds
    assert {"adaptive", "limits", "relation", "validate"} == {row[2] for row in there["anomalies"]}
    assert {"CREDIBLE", "DOUBTFUL"} <= {row[-1] for row in there["anomalies"]}
    there["turns"] = [turn for turn in there["turns"] if turn[1] != "RAISED"]
    assert len(there["turns"]) >= 4
    for length in (DAY_US, 7 * 3_600 * SECOND_US):
        assert booked(judged_anew(machine, sensors, length=length)) == there

    result = backtest(of(machine), end=when(4 * DAY))
    assert result["present"] == result["live"]
    assert result["present"]["alarms"] == len([turn for turn in there["turns"] if turn[1] != "RETURNED"])
    for s in sensors:
        alone = backtest(of(s), end=when(4 * DAY))
        here, there_too = (alone[side]["by_detector"] for side in ("present", "live"))
        assert here | {"relation": 0} == there_too | {"relation": 0}  # that takes the other sensors
        assert alone["present"]["instrument_anomalies"] == alone["live"]["instrument_anomalies"] > 0


def test_nothing_of_the_result_hangs_on_how_the_readings_are_sliced(machine: Equipment) -> None:
    sensors, values = eventful(machine)
    for s, v in zip(sensors, values, strict=True):
        put(s, np.nan_to_num(v, nan=20.0))
    results = [
        backtest(of(machine), end=when(4 * DAY), start=when(DAY), back=1, slice_us=length, false_alarms_per_week=20)
        for length in (DAY_US, 5_400 * SECOND_US, 30 * DAY_US)
    ]
    assert results[0]["present"] != results[0]["proposed"]
    one, *others = [without_priorities(result) for result in results]
    assert all(other == one for other in others)


def test_a_limit_that_would_have_fired_is_seen_and_nothing_live_is_touched(machine: Equipment) -> None:
    s = factories.sensor(machine=machine)
    put(s, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    result = backtest(of(s), end=when(DAY), high=25.0, detectors=["limits"])
    assert result["readings"] == 96
    assert (result["present"]["alarms"], result["live"]["alarms"]) == (0, 0)
    one = result["proposed"]["listed"]
    assert [(a["kind"], a["raised_at"], a["returned_at"]) for a in one] == [
        ("LIMIT_HIGH", when(50).isoformat(), when(56).isoformat())
    ]
    assert (result["proposed"]["orders_opened"], result["proposed"]["alarm_seconds"]) == (1, 3_600)
    assert result["proposed"]["alarm_share"] == round(1 / 24, 6)
    shipped = {name: detector.version for name, detector in DETECTORS.items()}
    assert result["detectors"] == {"present": shipped, "proposed": {"limits": shipped["limits"]}}
    for model in (Anomaly, Alarm, WorkOrder, Decision):
        assert not model.objects.exists()
    s.refresh_from_db()
    assert s.high is None


def test_delays_and_a_limit_that_is_taken_away_count(machine: Equipment) -> None:
    s = factories.sensor(machine=machine, high=25.0)
    put(s, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    alarms = {
        name: backtest(of(s), end=when(DAY), detectors=["limits"], **given)["proposed"]["alarms"]
        for name, given in {
            "same": {"deadband": 0},
            "away": {"high": None},
            "short": {"on_delay_seconds": 1_200},
            "long": {"on_delay_seconds": 7_200},
        }.items()
    }
    assert alarms == {"same": 1, "away": 0, "short": 1, "long": 0}


def test_chatter_and_fleeting_alarms_are_counted(machine: Equipment) -> None:
    s = factories.sensor(machine=machine, high=25.0)
    burst = ([30.0] + [20.0] * 14) * 4
    put(s, [20.0] * 200 + burst + [20.0] * 200 + [30.0] * 120 + [20.0] * 30, step=timedelta(seconds=1))
    result = backtest(of(s), end=when(DAY), off_delay_seconds=60, detectors=["limits"])
    present, proposed = result["present"], result["proposed"]
    assert (present["alarms"], present["chattering"], present["fleeting"]) == (5, 4, 4)
    assert (proposed["alarms"], proposed["chattering"], proposed["fleeting"]) == (2, 0, 0)
    assert (present["orders_opened"], present["order_occurrences"]) == (1, 4)


def test_what_came_before_the_period_teaches_and_is_not_counted(machine: Equipment) -> None:
    s = factories.sensor(machine=machine, high=25.0)
    put(s, np.concatenate([20.0 + noise(2 * DAY), np.full(DAY, 30.0), 20.0 + noise(DAY, seed=3)]))
    cold, warm = (
        backtest(of(s), start=when(2 * DAY + 12), end=when(4 * DAY), back=days, detectors=["limits"]) for days in (0, 2)
    )
    assert (cold["taught"], warm["taught"]) == (0, 2 * DAY)
    cold, warm = cold["proposed"], warm["proposed"]
    assert (cold["alarms"], warm["alarms"]) == (1, 0)  # with what came before it had begun before the period
    assert warm["alarm_seconds"] == (DAY - 12) * 600
    assert cold["alarm_seconds"] == warm["alarm_seconds"]


def test_alarms_are_held_against_labels(machine: Equipment) -> None:
    s, other = factories.sensor(machine=machine, high=25.0), factories.sensor(machine=machine)
    values = np.full(2 * DAY, 20.0)
    for n in (20, 60, 100, 140):
        values[n : n + 3] = 30.0
    put(s, values)
    put(other, [1.0] * DAY)
    actor = factories.user()

    def say(kind: str, first: int, last: int, sensor: Sensor | None = None) -> Any:
        return labels.add(
            machine=machine, sensor=sensor, from_at=when(first), to_at=when(last), kind=kind, actor=actor
        )[0]  # fmt: skip

    say("FAULT", 15, 21, other)  # a fault is the machine's, whichever sensor tells of it
    say("FAULT", 200, 210)
    say("EXPECTED", 58, 70)
    say("EXPECTED", 98, 110, other)  # of another sensor
    say("FALSE_ALARM", 142, 142)
    taken_back = say("FAULT", 95, 105)
    labels.retract(taken_back.pk, actor=actor)
    figures = backtest(of(machine), end=when(2 * DAY), detectors=["limits"])["proposed"]
    counted = (
        "alarms",
        "faults_found",
        "faults_missed",
        "in_faults",
        "in_expected",
        "in_false_alarms",
        "outside_labels",
    )
    assert {name: figures[name] for name in counted} == {
        "alarms": 4, "faults_found": 1, "faults_missed": 1, "in_faults": 1, "in_expected": 1, "in_false_alarms": 1,
        "outside_labels": 1,
    }  # fmt: skip
    assert [one["from_at"] for one in figures["missed"]] == [when(200).isoformat()]
    assert backtest(of(s), end=when(2 * DAY), detectors=["limits"])["proposed"]["faults_missed"] == 1


def test_what_people_said_afterwards_does_not_help_the_detector_and_what_they_knew_does(machine: Equipment) -> None:
    s = factories.sensor(machine=machine)
    put(s, np.concatenate([20.0 + noise(2 * DAY), 60.0 + noise(4 * DAY, seed=4), 20.0 + noise(DAY, seed=5)]))
    plain = backtest(of(s), end=when(7 * DAY))["present"]
    label, _ = labels.add(machine=machine, sensor=s, from_at=when(2 * DAY), to_at=when(6 * DAY - 1), kind="FAULT",
                          actor=factories.user())  # fmt: skip
    afterwards = backtest(of(s), end=when(7 * DAY))["present"]
    assert plain["listed"]
    assert afterwards["listed"] == plain["listed"]
    assert afterwards["faults_found"] == 1
    Label.objects.filter(pk=label.pk).update(created_at=when(2 * DAY))
    known = backtest(of(s), end=when(7 * DAY))["present"]
    assert known["alarm_seconds"] > 4 * 86_400 > plain["alarm_seconds"]


def test_what_was_expected_beforehand_raises_no_alarm_and_what_was_called_so_later_did(machine: Equipment) -> None:
    s = factories.sensor(machine=machine, high=25.0)
    put(s, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    label, _ = labels.add(machine=machine, sensor=s, from_at=when(48), to_at=when(60), kind="EXPECTED",
                          actor=factories.user())  # fmt: skip
    alarms = []
    for made_at in (when(400), when(40)):
        Label.objects.filter(pk=label.pk).update(created_at=made_at)
        alarms.append(backtest(of(s), end=when(DAY), detectors=["limits"])["proposed"]["alarms"])
    assert alarms == [1, 0]


def test_readings_in_blocks_and_in_chunks_are_the_same_to_it(machine: Equipment) -> None:
    s = factories.sensor(machine=machine, high=25.0)
    put(s, np.where(np.arange(3 * DAY) % 100 < 5, 30.0, 20.0 + noise(3 * DAY)))
    loose = backtest(of(s), end=when(3 * DAY))
    compaction.compact(before=when(2 * DAY).date())
    assert backtest(of(s), end=when(3 * DAY)) == loose
    assert loose["present"]["alarms"] == 5


def test_a_site_is_the_sum_of_its_machines_and_of_no_others(machine: Equipment) -> None:
    second = factories.machine(site=machine.site)
    for n, m in enumerate((machine, second, factories.machine(site=factories.site()))):
        put(factories.sensor(machine=m, high=25.0), [20.0] * 30 + [30.0] * (n + 1) + [20.0] * 30)
    whole = backtest(Target(machine.site), end=when(DAY))
    parts = [backtest(of(m), end=when(DAY)) for m in (machine, second)]
    assert (whole["machines"], whole["readings"]) == (2, 61 + 62)
    for name in ("alarms", "alarm_seconds", "orders_opened"):
        assert whole["present"][name] == sum(part["present"][name] for part in parts)
    assert whole["present"]["alarms"] == 2


# The command


def command(*words: object) -> str:
    out = io.StringIO()
    call_command("backtest", *map(str, words), "--quiet", stdout=out)
    return out.getvalue()


def test_the_command_writes_a_table_and_json(machine: Equipment) -> None:
    s = factories.sensor(machine=machine)
    put(s, [20.0] * 50 + [30.0] * 6 + [20.0] * 40)
    period = ("--from", "2026-02-01", "--to", "2026-02-02T00:00:00+00:00")
    text = command("--sensor", s.external_id, *period, "--high", 25, "--detectors", "limits")
    assert "proposed   high 25, detectors limits" in text
    assert [line.split()[-3:] for line in text.splitlines() if line.startswith("Alarms (")] == [["0", "1", "0"]]
    assert "2026-02-01T08:20:00+00:00 to 2026-02-01T09:20:00+00:00  HIGH" in text
    result = json.loads(command("--machine", machine.pk, *period, "--on-delay", 60, "--json"))
    assert (result["readings"], result["present"]["alarms"]) == (96, 0)
    assert "proposed" not in json.loads(command("--site", machine.site.slug, *period, "--json"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sensor", "nobody"), "There is no sensor 'nobody'"),
        (("--machine", "0"), "There is no machine '0'"),
        (("--site", "nowhere"), "There is no site 'nowhere'"),
        (("--to", "2026-02-01"), "--to: The period is empty"),
        (("--to", "soon"), "--to 'soon' is no instant"),
        (("--to", "2026-02-30"), "--to '2026-02-30' is no instant"),
        (("--from", "0001-01-01"), "--from: The period begins before 1971"),
        (("--from", "0001-01-01T00:00:00+14:00"), "out of range"),
        (("--from", "2026-03-01", "--to", "2026-03-02"), "no readings in the period; its first is of 2026-02-01 00:00"),
        (("--look-back", "-1"), "--look-back: It must be 0 to"),
        (("--look-back", "nan"), "--look-back: It must be 0 to"),
        (("--high", "tall"), "--high: A finite number"),
        (("--high", "nan"), "--high: A finite number"),
        (("--high", "9"), "--high: low (10) must be below high (9)"),
        (("--deadband", "-1"), "--deadband: It must be 0 or more"),
        (("--on-delay", "1.5"), "--on-delay: Whole seconds"),
        (("--false-alarms-per-week", "0"), "--false-alarms-per-week: It must be more than 0"),
        (("--detectors", "oracle"), "--detectors: Name one or more of limits, rate, zones, adaptive, relation"),
    ],
)
def test_the_command_says_what_is_wrong(machine: Equipment, words: tuple[str, ...], told: str) -> None:
    s = factories.sensor(machine=machine, low=10.0)
    put(s, [20.0] * 10)
    given = {"--from": "2026-02-01", "--to": "2026-02-02"} | dict(zip(words[::2], words[1::2], strict=True))
    if not given.keys() & {"--sensor", "--machine", "--site"}:
        given["--sensor"] = str(s.pk)
    with pytest.raises(CommandError) as error:
        command(*(word for pair in given.items() for word in pair))
    assert told in str(error.value)


def test_a_limit_is_not_proposed_for_more_than_a_sensor(machine: Equipment) -> None:
    with pytest.raises(CommandError, match="--high: A limit is proposed for one sensor"):
        command("--machine", machine.pk, "--from", "2026-02-01", "--to", "2026-02-02", "--high", 3)
    with pytest.raises(CommandError, match="has no readings"):
        command("--machine", machine.pk, "--from", "2026-02-01", "--to", "2026-02-02")
