"""Triage on the real database: labels come in as people give them, and change what the next anomaly leads to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance import history, triage
from maintenance.models import Alarm, AlarmTransition, Anomaly, Decision, DetectorRecord, WorkOrder
from maintenance.triage import Facts, Stretch
from sensors import labels
from sensors.columns import SECOND_US, from_instant
from sensors.models import Equipment, Label, Membership, Sensor
from tests import factories, plant
from tests.client import JSON, client
from tests.integration.test_alarms import NOON, judge, see
from tests.integration.test_pipeline import START, flow

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

API = "/api/v1/"
DAY = 86_400
STEP = timedelta(minutes=10)


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site(), criticality="MEDIUM"))


@pytest.fixture
def http(sensor: Sensor) -> Client:
    return client(factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN))


def found(sensor: Sensor, *, run: int, at: int, **fields: Any) -> Anomaly:
    """An anomaly of a day of its own, judged as it stands and once it is over; as it is after that."""
    base = {"detector": "adaptive", "kind": "NOVEL_HIGH", "score": 0.99}
    anomaly_id = see(sensor, run=run, at=at, **{**base, **fields})
    judge(sensor, run=run, clock=at)
    see(sensor, run=run, at=at, ended=at + 60, **{**base, **fields})
    judge(sensor, run=run, clock=at + 60)
    return Anomaly.objects.get(pk=anomaly_id)


def label(http: Client, anomaly: Anomaly, kind: str) -> int:
    window = {"from_at": anomaly.started_at.isoformat(), "to_at": anomaly.last_at.isoformat()}
    made = http.post(f"{API}labels/", window | {"sensor": anomaly.sensor_id, "kind": kind}, JSON)
    assert made.status_code == 201, made.content
    return int(made.json()["id"])


def close(site: Any) -> None:
    Alarm.objects.filter(site=site).update(is_acknowledged=True)


def test_labels_make_the_next_anomaly_doubtful_and_other_labels_make_it_credible_again(
    sensor: Sensor, http: Client
) -> None:
    made = []
    for n in range(4):
        anomaly = found(sensor, run=n, at=2 * n * DAY)
        assert (anomaly.verdict, Alarm.objects.latest("id").priority) == ("CREDIBLE", "HIGH")
        close(sensor.site)
        made.append((anomaly, label(http, anomaly, "FALSE_ALARM")))

    doubted = found(sensor, run=5, at=8 * DAY)
    alarm = Alarm.objects.latest("id")
    assert (doubted.verdict, alarm.verdict, alarm.priority) == ("DOUBTFUL", "DOUBTFUL", "MEDIUM")
    assert [reason["name"] for reason in doubted.verdict_reasons] == ["often-false"]
    assert alarm.verdict_reasons == doubted.verdict_reasons
    assert Decision.objects.get(anomaly=doubted, action="DOUBTED").reason == "often-false"
    listed = http.get(f"{API}alarms/?verdict=DOUBTFUL").json()["results"]
    assert [row["id"] for row in listed] == [alarm.pk]
    assert "of 4 earlier ones that people judged 0 were real" in listed[0]["verdict_reasons"][0]["detail"]

    close(sensor.site)
    for anomaly, label_id in made:
        assert http.post(f"{API}labels/{label_id}/retract/", {}, JSON).status_code == 200
        label(http, anomaly, "FAULT")
    again = found(sensor, run=6, at=10 * DAY)
    assert (again.verdict, Alarm.objects.latest("id").priority) == ("CREDIBLE", "HIGH")
    assert [reason["name"] for reason in again.verdict_reasons] == ["often-real"]


def test_a_sensor_that_is_nearly_always_wrong_raises_no_alarm_until_another_one_agrees(sensor: Sensor) -> None:
    actor = factories.user()
    for n in range(16):
        see(sensor, run=n, at=2 * n * DAY, ended=2 * n * DAY + 60, detector="adaptive", kind="NOVEL_HIGH")
    labels.add(
        machine=sensor.machine, sensor=sensor, from_at=factories.NOON, to_at=factories.NOON + timedelta(days=31),
        kind="FALSE_ALARM", actor=actor,
    )  # fmt: skip
    Anomaly.objects.update(is_settled=True)
    at = 40 * DAY
    one = see(sensor, run=20, at=at, detector="adaptive", kind="NOVEL_HIGH", score=0.99)
    judge(sensor, run=20, clock=at)
    assert Decision.objects.get(anomaly_id=one).reason == "false-positive: nearly-always-false"
    assert not Alarm.objects.exists()
    assert not WorkOrder.objects.exists()
    assert Anomaly.objects.get(pk=one).verdict == "FALSE_POSITIVE"

    sibling = factories.sensor(machine=sensor.machine, kind="LEVEL")
    see(sibling, run=21, at=at + 120, detector="adaptive", kind="DEVIATION_LOW")
    see(sensor, run=21, at=at, last=at + 180, detector="adaptive", kind="NOVEL_HIGH", score=0.99)
    judge(sensor, run=21, clock=at + 180)
    alarm = Alarm.objects.get(sensor=sensor)
    assert (alarm.raised_at, alarm.verdict) == (factories.NOON + timedelta(seconds=at + 120), "DOUBTFUL")


def test_a_label_of_the_window_silences_a_critical_machine_and_nothing_else_does(sensor: Sensor) -> None:
    Equipment.objects.filter(pk=sensor.machine_id).update(criticality="CRITICAL")
    at = factories.NOON
    for kind, verdict in (("EXPECTED", "FALSE_POSITIVE"), ("FALSE_ALARM", "FALSE_POSITIVE"), ("FAULT", "CREDIBLE")):
        labels.add(
            machine=sensor.machine, sensor=None, from_at=at, to_at=at + timedelta(hours=1), kind=kind,
            actor=factories.user(),
        )  # fmt: skip
        run = (at - factories.NOON).days + 1
        anomaly = found(sensor, run=run, at=(at - factories.NOON) // timedelta(seconds=1), kind="LIMIT_HIGH_HIGH")
        assert anomaly.verdict == verdict
        assert anomaly.is_settled
        at += timedelta(days=2)
    assert Alarm.objects.count() == 1


def test_in_the_live_flow_an_expected_window_holds_the_alarm_back_and_the_page_says_so(client: Client) -> None:
    machine = factories.machine(site=factories.site(), criticality="HIGH")
    s = factories.sensor(machine=machine, high=30.0, period_seconds=600)
    labels.add(
        machine=machine, sensor=None, from_at=START, to_at=START + 20 * STEP, kind="EXPECTED", actor=factories.user()
    )
    values = [20.0 + n % 3 for n in range(12)] + [40.0] * 4
    send_values(s, values)
    assert not Alarm.objects.exists()
    anomaly = Anomaly.objects.get(detector="limits")
    assert anomaly.verdict == "FALSE_POSITIVE"
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    page = client.get(reverse("admin:maintenance_anomaly_change", args=[anomaly.pk])).content.decode()
    assert "it began in a window that is labelled so" in page
    assert "false-positive: expected" in page
    for query, count in (({"verdict__exact": "FALSE_POSITIVE"}, 1), ({"verdict__exact": "DOUBTFUL"}, 0)):
        listed = client.get(reverse("admin:maintenance_anomaly_changelist"), query)
        assert len(listed.context["cl"].result_list) == count
    send_values(s, [40.0] * 8, first=len(values))
    assert Alarm.objects.get().raised_at == START + 20 * STEP + timedelta(microseconds=1)


def send_values(s: Sensor, values: list[float], *, first: int = 0) -> None:
    flow(
        s.site,
        [
            {"sensor": s.pk, "measured_at": (START + (first + n) * STEP).isoformat(), "value": value}
            for n, value in enumerate(values)
        ],
    )


def test_a_faulty_instrument_makes_the_live_flow_doubt_what_follows() -> None:
    machine = factories.machine(site=factories.site(), criticality="HIGH")
    s = factories.sensor(machine=machine, high=30.0, physical_high=90.0)
    send_values(s, [20.0, 99.0, 21.0, 40.0, 41.0])
    alarm = Alarm.objects.get()
    assert (alarm.priority, alarm.verdict) == ("LOW", "DOUBTFUL")
    assert [reason["name"] for reason in alarm.verdict_reasons] == ["instrument-fault"]


def test_however_readings_are_cut_into_runs_the_verdicts_and_the_alarms_are_the_same() -> None:
    values = [20.0, 99.0, 21.0, 40.0, *[20.0] * 16, *[40.0] * 8, *[20.0] * 16, 40.0, *[20.0] * 14]
    outcomes = []
    for cut in (len(values), 7, 1):
        machine = factories.machine(site=factories.site(), criticality="HIGH")
        s = factories.sensor(machine=machine, high=30.0, physical_high=90.0)
        window = {"from_at": START + 20 * STEP, "to_at": START + 23 * STEP}
        labels.add(machine=machine, sensor=None, kind="EXPECTED", actor=factories.user(), **window)
        for first in range(0, len(values), cut):
            send_values(s, values[first : first + cut], first=first)
        live = Anomaly.objects.filter(sensor=s, retrospective=False).order_by("nature", "started_at")
        steps = AlarmTransition.objects.filter(alarm__machine=machine).order_by("id")
        outcomes.append(
            (
                [(row.started_at, row.verdict, [r["name"] for r in row.verdict_reasons]) for row in live],
                list(steps.values_list("action", "at")),
                list(Alarm.objects.filter(machine=machine).values_list("priority", "verdict", "is_active")),
            )
        )
    assert outcomes[0] == outcomes[1] == outcomes[2]
    verdicts = [verdict for _, verdict, _ in outcomes[0][0]]
    assert {"DOUBTFUL", "CREDIBLE"} <= set(verdicts)
    assert (START + 23 * STEP + timedelta(microseconds=1)) in [at for _, at in outcomes[0][1]]


def test_facts_are_of_the_same_sensor_detector_and_live_stream_and_of_what_went_before(sensor: Sensor) -> None:
    sibling = factories.sensor(machine=sensor.machine)
    kind = {"detector": "adaptive", "kind": "NOVEL_HIGH"}
    week = [see(sensor, run=1, at=at, ended=at + 60, **kind) for at in (-8 * DAY, -2 * DAY, -DAY, 7_200)]
    see(sensor, run=1, at=-3 * DAY, ended=-3 * DAY + 60)  # another detector
    see(sensor, run=1, at=-4 * DAY, ended=-4 * DAY + 60, retrospective=True, **kind)
    see(sibling, run=1, at=-5 * DAY, ended=-5 * DAY + 60, **kind)
    for nature, at, ended in (("SPIKE", -3_600, -3_500), ("GAP", -DAY - 60, -DAY), ("STUCK", -60, None)):
        see(sensor, run=1, at=at, ended=ended, kind=nature, nature="INSTRUMENT", detector="validate")
    see(sibling, run=1, at=30, **kind)
    one = see(sensor, run=1, at=0, last=60, **kind)
    for of, said in ((week[0], "FAULT"), (week[1], "FALSE_ALARM"), (week[2], "EXPECTED"), (one, "EXPECTED")):
        row = Anomaly.objects.get(pk=of)
        labels.add(
            machine=sensor.machine, sensor=sensor, from_at=row.started_at, to_at=row.last_at, kind=said,
            actor=factories.user(),
        )  # fmt: skip
    assert history.facts([one]) == {
        one: Facts(
            onsets=(NOON - DAY * SECOND_US, NOON - 2 * DAY * SECOND_US),
            real=1,
            false=1,
            labels=(("EXPECTED", NOON + 60 * SECOND_US),),
            faults=(
                Stretch("SPIKE", NOON - 3_600 * SECOND_US, NOON - 3_500 * SECOND_US),
                Stretch("STUCK", NOON - 60 * SECOND_US, None),
            ),
            neighbour_at=NOON + 30 * SECOND_US,
        )
    }


def test_a_neighbour_that_somebody_called_false_agrees_with_nothing(sensor: Sensor) -> None:
    sibling = factories.sensor(machine=sensor.machine)
    one, other = see(sensor, run=1, at=0), see(sibling, run=1, at=10)
    assert history.facts([one])[one].neighbour_at == NOON + 10 * SECOND_US
    row = Anomaly.objects.get(pk=other)
    labels.add(
        machine=sensor.machine, sensor=sibling, from_at=row.started_at, to_at=row.last_at, kind="FALSE_ALARM",
        actor=factories.user(),
    )  # fmt: skip
    assert history.facts([one])[one].neighbour_at is None


def test_a_label_that_was_retracted_or_is_of_another_sensor_counts_for_nothing(sensor: Sensor) -> None:
    one = see(sensor, run=1, at=0)
    sibling = factories.sensor(machine=sensor.machine)
    actor, noon = factories.user(), factories.NOON
    window = {"machine": sensor.machine, "from_at": noon, "to_at": noon, "kind": "FALSE_ALARM", "actor": actor}
    row, _ = labels.add(sensor=sensor, **window)
    labels.add(sensor=sibling, **window)
    assert len(history.facts([one])[one].labels) == 1
    labels.retract(row.pk, actor=actor)
    assert history.facts([one]) == {one: triage.NOTHING}


def test_facts_are_one_question_whatever_the_number_and_read_from_indexes(sensor: Sensor) -> None:
    crowd = [sensor, *(factories.sensor(machine=factories.machine(site=sensor.site)) for _ in range(19))]
    ids = [see(s, run=1, at=n * DAY, detector="adaptive", kind="NOVEL_HIGH") for s in crowd for n in range(20)]
    with CaptureQueriesContext(connection) as queries:
        assert set(history.facts(ids)) == set(ids)
    assert len(queries) == 1
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_anomaly; ANALYZE sensors_label; SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {history.FACTS}", [ids[-1:]])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    for index in ("anomaly_once", "anomaly_of_machine", "label_of_machine"):
        assert index in plan
    assert "Seq Scan" not in plan


# The record


def record(sensor: Sensor) -> DetectorRecord:
    return DetectorRecord.objects.get(sensor=sensor, detector="adaptive")


def counts(sensor: Sensor) -> tuple[int, int, int, int]:
    row = record(sensor)
    return row.real, row.false, row.expected, row.unknown


def test_a_label_that_is_added_or_retracted_is_in_the_record_at_once(sensor: Sensor, http: Client) -> None:
    made = [found(sensor, run=n, at=2 * n * DAY) for n in range(5)]
    assert (counts(sensor), record(sensor).precision) == ((0, 0, 0, 5), None)
    said = ("FAULT", "FALSE_ALARM", "FALSE_ALARM", "EXPECTED")
    ids = [label(http, one, kind) for one, kind in zip(made, said, strict=False)]
    assert counts(sensor) == (1, 2, 1, 1)
    assert record(sensor).precision == pytest.approx(1 / 3)
    http.post(f"{API}labels/{ids[1]}/retract/", {}, JSON)
    assert counts(sensor) == (1, 1, 1, 2)
    labels.add(
        machine=sensor.machine, sensor=None, from_at=made[0].started_at, to_at=made[4].last_at, kind="FALSE_ALARM",
        actor=factories.user(),
    )  # fmt: skip
    assert counts(sensor) == (1, 4, 0, 0)  # a fault before a false alarm before expected, each anomaly once
    (row,) = http.get(f"{API}detector-records/?sensor={sensor.pk}").json()["results"]
    assert (row["real"], row["false"], row["precision"]) == (1, 4, 0.2)
    assert row["precision_interval"] == pytest.approx(triage.wilson(1, 4))


def test_the_record_agrees_with_what_triage_counts(sensor: Sensor, http: Client) -> None:
    made = [found(sensor, run=n, at=2 * n * DAY) for n in range(6)]
    for one, kind in zip(made, ("FAULT", "FALSE_ALARM", "FALSE_ALARM", "EXPECTED", "FALSE_ALARM"), strict=False):
        label(http, one, kind)
    known = history.facts([made[5].pk])[made[5].pk]
    assert (known.real, known.false) == counts(sensor)[:2]


def test_false_alarms_a_week_are_of_the_days_that_were_read(sensor: Sensor, http: Client) -> None:
    found(sensor, run=1, at=0)
    assert (record(sensor).days, record(sensor).false_per_week) == (0, None)
    plant.readings(sensor, [20.0] * 24 * 3)  # from noon on: four days
    label(http, Anomaly.objects.get(), "FALSE_ALARM")
    assert (record(sensor).days, record(sensor).false_per_week) == (4, 7 / 4)


def test_what_was_found_in_late_data_and_faults_of_instruments_are_in_no_record(sensor: Sensor) -> None:
    see(sensor, run=1, at=0, detector="adaptive", retrospective=True)
    see(sensor, run=1, at=0, kind="STUCK", nature="INSTRUMENT", detector="validate")
    assert not DetectorRecord.objects.exists()


def test_the_page_of_records_is_ordered_filtered_and_says_what_is_not_there(client: Client, sensor: Sensor) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    page = reverse("admin:maintenance_detectorrecord_changelist")
    assert "Nothing abnormal was found yet." in client.get(page).content.decode()
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    see(sensor, run=1, at=0, detector="adaptive")
    for n in range(2):
        see(other, run=1, at=n, detector="limits")
    listed = client.get(page)
    assert [row.anomalies for row in listed.context["cl"].result_list] == [2, 1]
    assert "Nothing abnormal" not in listed.content.decode()
    columns = [name for name in listed.context["cl"].list_display if name != "action_checkbox"]
    for n in range(len(columns)):
        assert client.get(page, {"o": f"-{n + 1}"}).status_code == 200
    for query, count in (({"site": sensor.site_id}, 1), ({"detector": "limits"}, 1), ({"detector": "none"}, 0)):
        assert len(client.get(page, query).context["cl"].result_list) == count
    with CaptureQueriesContext(connection) as queries:
        client.get(page)
    assert len(queries) <= 10


def test_a_record_of_another_site_is_not_there(sensor: Sensor) -> None:
    see(sensor, run=1, at=0, detector="adaptive")
    pk = DetectorRecord.objects.get().pk
    stranger = client(factories.user(site=factories.site()))
    assert stranger.get(f"{API}detector-records/{pk}/").status_code == 404
    assert stranger.get(f"{API}detector-records/").json()["results"] == []
    viewer = client(factories.user(site=sensor.site, role=Membership.Role.VIEWER))
    assert viewer.get(f"{API}detector-records/{pk}/").json()["sensor"] == sensor.pk
    assert viewer.post(f"{API}detector-records/", {}, JSON).status_code == 405


def test_the_record_of_one_sensor_is_read_from_indexes(sensor: Sensor) -> None:
    for n in range(300):
        see(sensor, run=1, at=n * DAY, detector="adaptive")
    at = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
    Label.objects.bulk_create(
        Label(
            site=sensor.site, machine=sensor.machine, sensor=sensor, kind="FAULT", from_at=at + n * STEP,
            to_at=at + n * STEP,
        )
        for n in range(300)
    )  # fmt: skip
    rows = DetectorRecord.objects.filter(sensor=sensor)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_anomaly; ANALYZE sensors_label; SET LOCAL enable_seqscan = off")
    plan = rows.explain()
    assert "Seq Scan on maintenance_anomaly" not in plan
    assert from_instant(rows.get().last_at) == NOON + 299 * DAY * SECOND_US
