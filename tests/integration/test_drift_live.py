"""Readings held against what a model learned from: over REST, and by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from pytest_django import Settings

from agents import drift, jobs, sweeper
from agents.doorbell import Bell
from agents.models import JobRun, Run
from agents.questions import api as questions_api
from maintenance.models import Alarm, Anomaly, Notification, Suppression
from mlops import artifact_store, drift_checks, ledger, loader, names
from mlops.drift.reference import Reference
from mlops.drift_models import DriftCheck
from mlops.learning import artifact, frozen
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import ModelPolicy, ModelVersion, Question, Training
from sensors import columns, store
from sensors.columns import DAY_US, SECOND_US, Float64, to_instant
from sensors.models import Equipment, Membership, Sensor
from tests import factories, made_models
from tests.client import JSON, client, problem
from tests.factories import NOON
from tests.integration.test_ledger import NAME, registered
from tests.made_models import SIGNATURE, Line, Wear
from tests.unit.test_frozen import asked

pytestmark = pytest.mark.django_db

HOUR_US, MINUTE_US = DAY_US // 24, 60 * SECOND_US
MINUTELY = replace(SIGNATURE, period_us=MINUTE_US)


@pytest.fixture(autouse=True)
def made(redis_empty: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    monkeypatch.setitem(names.NAMES, NAME, "made")
    monkeypatch.setitem(KINDS, "made-line", made_models.from_parts)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as soon as somebody waits."""
    wait = questions_api.wait_for

    def answered(row: Question) -> Question:
        sweeper.work_off([Bell("answer", row.pk)])
        return wait(row)

    monkeypatch.setattr(questions_api, "wait_for", answered)


@pytest.fixture
def http() -> Client:
    return client(factories.user(site=factories.site(), role=Membership.Role.TECHNICIAN))


def learned() -> Reference:
    """Of made machines: 60 windows of 20 rows."""
    many = Wear(machines=20, rows=90)
    return frozen.reference_of(many.split(many.load(Path()))[0], SIGNATURE)


def champion(reference: Reference | None) -> ModelVersion:
    version = registered()
    data = artifact.pack(Line(1 / 3, 0.25), MINUTELY, reference)
    version.uri = f"{loader.settings.ML_ARTIFACTS}/{version.version}/model.skops"
    version.sha256, version.size = artifact.digest(data), len(data)
    version.signature = {"features": [{"name": "load", "unit": "kN"}, {"name": "heat", "unit": "°C"}], "least": 30}
    version.save(update_fields=["uri", "sha256", "size", "signature"])
    artifact_store.put(version.uri, data)
    ledger.promote(version, actor="ann", reason="test")
    return version


def held() -> Float64:
    """Rows of the same machines that were not learned from."""
    return Wear().split(Wear().load(Path()))[1].now[:24]


def ask(http: Client, value: Float64, **changes: Any) -> Any:
    load, heat = (column.tolist() for column in value.T)
    features = {"load": {"unit": "kN", "values": load}, "heat": {"unit": "°C", "values": heat}}
    return http.post("/api/v1/ml/check_drift/", {"model": NAME, "features": features} | changes, JSON)


# Over REST


def test_rows_like_those_that_were_learned_from_are_no_drift(http: Client, worker: None) -> None:
    version = champion(learned())
    found = ask(http, held()).json()
    assert (found["status"], found["kind"], found["reason"]) == ("DONE", "DRIFT", "")
    answer = found["answer"]
    assert (answer["model"], answer["version"], answer["degraded"]) == (NAME, version.version, "")
    assert (answer["verdict"], answer["rows"], answer["reason"]) == ("AS_BEFORE", 20, "none of 2 features drifted")
    assert [one["feature"] for one in answer["features"]] == ["load", "heat"]
    assert all(one["q"] >= one["p"] > 0.05 and one["effect"] >= 0 for one in answer["features"])
    assert http.get(found["status_url"]).json()["answer"] == answer


def test_rows_that_are_shifted_are_a_drift_of_that_feature_with_its_size_and_the_reason(
    http: Client, worker: None
) -> None:
    champion(learned())
    answer = ask(http, held() + np.array([0.0, 15.0])).json()["answer"]
    load, heat = answer["features"]
    assert (answer["verdict"], load["drifted"], heat["drifted"]) == ("DRIFTED", False, True)
    assert answer["reason"] == "1 of 2 features drifted: heat"
    assert heat["q"] < 0.01 and 2 < heat["effect"] < 5 and 2 < heat["shift"] < 5
    assert "above the reference" in heat["words"]


def test_too_few_rows_are_not_judged_and_none_are_invented(http: Client, worker: None) -> None:
    champion(learned())
    answer = ask(http, held()[:5]).json()["answer"]
    assert (answer["verdict"], answer["rows"]) == ("NOT_JUDGED", 5)
    assert answer["features"][0]["q"] is None
    assert "not judged: 5 readings, and a window of the reference has 20" in answer["features"][0]["words"]


def test_a_model_without_a_reference_says_so(http: Client, worker: None) -> None:
    champion(None)
    found = ask(http, held()).json()
    assert (found["status"], found["answer"]) == ("FAILED", None)
    assert f"Version 1 of {NAME} has no reference" in found["reason"]


def test_where_the_hour_counts_it_has_to_be_said_when_rows_were_measured(http: Client, worker: None) -> None:
    hour = np.arange(24 * 30)
    day = np.where(hour % 24 < 8, 0.0, 50.0)[:, None] + np.random.default_rng(1).normal(0, 1, (len(hour), 2))
    champion(frozen.reference_of(asked(day, first=frozen.CLOCK_SINCE_US, period=HOUR_US), SIGNATURE))
    assert "depends on the hour" in ask(http, day[:22]).json()["reason"]

    def verdict(begin: datetime) -> str:
        at = [(begin + timedelta(hours=hour)).isoformat() for hour in range(22)]
        return str(ask(http, day[:22], measured_at=at).json()["answer"]["verdict"])

    midnight = datetime(2000, 3, 1, tzinfo=UTC)
    assert (verdict(midnight), verdict(midnight + timedelta(hours=12))) == ("AS_BEFORE", "DRIFTED")


@pytest.mark.parametrize(
    ("measured_at", "said"),
    [
        (["2026-01-01T00:00:00Z"], "1 instants; it takes one for each value"),
        (["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"], "ascend"),
        (["yesterday", "today"], "Datetime"),
    ],
)
def test_instants_that_do_not_fit_are_a_clear_error(http: Client, measured_at: list[str], said: str) -> None:
    champion(learned())
    answer = problem(ask(http, held()[:2], measured_at=measured_at), status=400, name="invalid")
    assert said in answer["errors"][0]["detail"]


def test_features_that_do_not_fit_the_model_are_refused_as_by_predict(http: Client) -> None:
    champion(learned())
    features = {"load": {"unit": "lbf", "values": [1, 2]}}
    answer = problem(ask(http, held(), features=features), status=400, name="invalid")
    assert [one["pointer"] for one in answer["errors"]] == ["#/features/heat", "#/features/load/unit"]
    viewer = client(factories.user(site=factories.site(), role=Membership.Role.VIEWER))
    problem(ask(viewer, held()), status=403, name="forbidden")


# By themselves

ROWS = 40
"""Of a check: two windows of ``learned()``."""
HOTTER = np.array([0.0, 20.0])


def press(**fields: Any) -> Equipment:
    machine = factories.machine(
        **{"site": factories.site(), "equipment_class": "PRESS", "criticality": "CRITICAL"} | fields
    )
    for feature, unit in (("load", "kN"), ("heat", "°C")):
        factories.sensor(machine=machine, feature=feature, unit=unit)
    return machine


def usual(seed: int = 5) -> Float64:
    lot = np.random.default_rng(seed)
    return np.column_stack([lot.uniform(1, 9, ROWS), lot.normal(60, 5, ROWS)])


def measured(machine: Equipment, value: Float64, *, minute: int = 0) -> None:
    """A row each minute, from so many minutes after noon on."""
    at = columns.from_instant(NOON) + (minute + np.arange(len(value), dtype=np.int64)) * MINUTE_US
    nothing = np.zeros(len(at), np.uint8)
    for sensor in Sensor.objects.filter(machine=machine):
        mine = value[:, 0 if sensor.feature == "load" else 1]
        taken = columns.Columns(np.full(len(at), sensor.pk), at, mine, np.arange(len(at), dtype=np.int32))
        store.make_partitions(store.days_of(taken))
        store.insert(taken, quality=nothing, reason=nothing)


def checks() -> list[tuple[int, int, str, bool]]:
    """From and to in minutes after noon, verdict, and whether it has an anomaly."""
    return [
        ((row.from_at - NOON) // timedelta(minutes=1), (row.to_at - NOON) // timedelta(minutes=1), row.verdict,
         row.anomaly_id is not None)
        for row in DriftCheck.objects.order_by("machine_id", "from_at")
    ]  # fmt: skip


@pytest.fixture
def long_ago() -> None:
    """The model was last trained so long ago that it may be trained again."""
    champion(learned())
    Training.objects.update(created_at=NOON - timedelta(days=400))


def test_readings_as_they_were_are_a_row_and_nothing_else(long_ago: None) -> None:
    machine = press()
    measured(machine, usual())
    assert drift.look_round() == []
    [row] = DriftCheck.objects.all()
    assert checks() == [(0, ROWS - 1, "AS_BEFORE", False)]
    assert (row.machine, row.name, row.version, row.reason) == (machine, NAME, 1, "none of 2 features drifted")
    assert (row.retraining, Anomaly.objects.count(), Training.objects.count()) == ("", 0, 1)


def test_a_drift_is_a_row_an_anomaly_and_a_training_that_is_asked_for(long_ago: None) -> None:
    machine = press()
    measured(machine, usual() + HOTTER)
    [bell] = drift.look_round()
    training = Training.objects.get(cause="DRIFT")
    assert (bell, training.status) == (Bell("train", training.pk), "PENDING")
    [row], [anomaly] = DriftCheck.objects.all(), Anomaly.objects.all()
    assert (row.verdict, row.anomaly_id) == ("DRIFTED", anomaly.pk)
    assert row.retraining == f"Training {training.pk} was asked for."
    heat = Sensor.objects.get(machine=machine, feature="heat")
    assert (anomaly.sensor, anomaly.machine, anomaly.nature) == (heat, machine, "MACHINE")
    assert (anomaly.detector, anomaly.kind, anomaly.detector_version) == ("drift", "DRIFT", f"{NAME} 1")
    assert anomaly.contributors == [[heat.pk, 1.0]]
    assert (anomaly.started_at, anomaly.ended_at) == (row.from_at, row.to_at)
    assert (anomaly.window_from, anomaly.window_to, anomaly.readings) == (row.from_at, row.to_at, ROWS)
    assert "heat: level is" in anomaly.detail and anomaly.peak_score > 0.99


def test_a_window_that_is_off_alone_is_no_drift(long_ago: None) -> None:
    off = np.repeat([[0.0], [1.0]], ROWS // 2, axis=0) * HOTTER
    measured(press(), usual() + off)
    assert drift.look_round() == []
    assert checks() == [(0, ROWS - 1, "AS_BEFORE", False)]
    [row] = DriftCheck.objects.all()
    assert row.features[1]["words"].endswith("but not in the window before: it may be chance")
    assert not Anomaly.objects.exists()


def test_a_drift_is_noted_even_on_a_critical_machine_and_nobody_is_called(long_ago: None) -> None:
    site = factories.site()
    factories.user(site=site, role=Membership.Role.TECHNICIAN)
    measured(press(site=site), usual() + HOTTER)
    drift.look_round()
    run = Run.objects.get()
    sweeper.work_off([Bell("ingest", run.lane)])
    run.refresh_from_db()
    assert run.status == Run.Status.DONE
    [alarm] = Alarm.objects.all()
    assert (alarm.priority, alarm.is_acknowledged) == ("ADVISORY", True)
    assert not Notification.objects.exists()


def test_however_often_it_is_looked_at_a_window_is_one_row_one_anomaly_and_one_training(long_ago: None) -> None:
    measured(press(), usual() + HOTTER)
    for _ in range(3):
        drift.look_round()
    assert checks() == [(0, ROWS - 1, "DRIFTED", True)]
    assert (Anomaly.objects.count(), Training.objects.filter(cause="DRIFT").count()) == (1, 1)


def test_a_drift_that_lasts_is_one_anomaly_that_grows_and_asks_once_within_the_cooldown(long_ago: None) -> None:
    machine = press()
    measured(machine, usual() + HOTTER)
    drift.look_round()
    measured(machine, usual(6) + HOTTER * 1.5, minute=ROWS)
    assert drift.look_round() == []
    assert checks() == [(0, ROWS - 1, "DRIFTED", True), (ROWS, 2 * ROWS - 1, "DRIFTED", True)]
    first, second = DriftCheck.objects.order_by("id")
    [anomaly] = Anomaly.objects.all()
    assert (anomaly.started_at, anomaly.ended_at, anomaly.window_to) == (first.from_at, second.to_at, second.to_at)
    assert second.anomaly_id == anomaly.pk
    assert second.retraining == f"Not asked for: {NAME} was trained less than 24 h ago."
    assert Training.objects.filter(cause="DRIFT").count() == 1


def test_what_drifts_again_after_it_was_as_before_is_another_anomaly(long_ago: None) -> None:
    machine = press()
    for number, off in enumerate((1, 0, 1)):
        measured(machine, usual(number) + off * HOTTER, minute=number * ROWS)
        drift.look_round()
    assert [one[2] for one in checks()] == ["DRIFTED", "AS_BEFORE", "DRIFTED"]
    assert [row.started_at for row in Anomaly.objects.order_by("id")] == [NOON, NOON + timedelta(minutes=2 * ROWS)]


def test_the_budget_of_a_month_refuses_and_the_row_says_so(long_ago: None) -> None:
    ModelPolicy.objects.update_or_create(name=NAME, defaults={"cooldown_hours": 0, "most_a_month": 0})
    measured(press(), usual() + HOTTER)
    assert drift.look_round() == []
    assert "0 times within 30 days" in DriftCheck.objects.get().retraining


def test_less_than_a_window_of_new_rows_waits_and_old_rows_are_never_looked_at_twice(long_ago: None) -> None:
    machine = press()
    measured(machine, usual()[: ROWS - 1])
    drift.look_round()
    assert checks() == []
    measured(machine, usual(), minute=ROWS - 1)
    drift.look_round()
    measured(machine, usual()[:5], minute=2 * ROWS - 1)
    drift.look_round()
    assert checks() == [(ROWS - 1, 2 * ROWS - 2, "AS_BEFORE", False)]


def test_each_machine_that_fits_is_looked_at_and_another_version_looks_for_itself(long_ago: None) -> None:
    for machine in (press(), press()):
        measured(machine, usual())
    measured(press(equipment_class="PUMP"), usual())
    drift.look_round()
    champion(learned())
    drift.look_round()
    found = DriftCheck.objects.order_by("machine_id", "version").values_list("version", flat=True)
    assert list(found) == [1, 2, 1, 2]


def test_a_model_without_a_reference_is_passed_over() -> None:
    champion(None)
    measured(press(), usual())
    assert drift.look_round() == []
    assert checks() == []


def test_what_was_measured_while_the_machine_was_out_of_service_is_not_judged(long_ago: None) -> None:
    machine = press()
    Suppression.objects.create(
        site=machine.site,
        machine=machine,
        kind="OUT_OF_SERVICE",
        from_at=NOON,
        until=NOON + timedelta(days=1),
        reason="repair",
    )
    measured(machine, usual() + HOTTER)
    drift.look_round()
    assert checks() == [(0, ROWS - 1, "NOT_JUDGED", False)]
    assert not Anomaly.objects.exists()


def test_the_job_is_done_once_an_hour(long_ago: None) -> None:
    machine = press()
    measured(machine, usual())
    assert jobs.run("drift", drift.look_round) == "done"
    measured(machine, usual(6), minute=ROWS)
    assert jobs.run("drift", drift.look_round) == "already-done"
    assert len(checks()) == 1
    assert JobRun.objects.get(job="drift").outcome == "DONE"


def test_checks_that_found_nothing_are_forgotten_and_drifts_are_kept(long_ago: None) -> None:
    for machine, off in ((press(), 0), (press(), 1)):
        measured(machine, usual() + off * HOTTER)
    drift.look_round()
    assert drift_checks.forget(before=NOON - timedelta(days=9)) == 0
    assert drift_checks.forget(before=to_instant(2**52)) == 1
    assert [one[2] for one in checks()] == ["DRIFTED"]


def test_checks_are_read_by_members_of_the_site_over_rest_and_on_a_page(long_ago: None) -> None:
    site = factories.site()
    measured(press(site=site), usual() + HOTTER)
    measured(press(), usual())
    drift.look_round()
    [mine], [other] = DriftCheck.objects.filter(machine__site=site), DriftCheck.objects.exclude(machine__site=site)
    viewer = factories.user(site=site, role=Membership.Role.VIEWER, is_staff=True)
    http = client(viewer)
    [told] = http.get("/api/v1/ml/drift-checks/").json()["results"]
    assert (told["id"], told["verdict"], told["anomaly_id"]) == (mine.pk, "DRIFTED", mine.anomaly_id)
    assert [one["drifted"] for one in told["features"]] == [False, True]
    assert http.get("/api/v1/ml/drift-checks/", {"verdict": "AS_BEFORE"}).json()["results"] == []
    assert http.get(f"/api/v1/ml/drift-checks/{other.pk}/").status_code == 404
    desk = Client()
    desk.force_login(viewer)
    page = desk.get("/admin/mlops/driftcheck/").content.decode()
    assert mine.machine.tag in page and other.machine.tag not in page and f"{NAME} 1" in page
    page = desk.get(f"/admin/mlops/driftcheck/{mine.pk}/change/").content.decode()
    assert "level is" in page and f"anomaly {mine.anomaly_id}" in page and "was asked for" in page
    assert desk.post(f"/admin/mlops/driftcheck/{mine.pk}/delete/", {"post": "yes"}).status_code == 403
