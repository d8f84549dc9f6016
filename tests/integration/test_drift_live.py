"""Readings held against what a model learned from: over REST, and by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client
from pytest_django import Settings

from agents import sweeper
from agents.doorbell import Bell
from agents.questions import api as questions_api
from mlops import artifact_store, ledger, loader, names
from mlops.drift.reference import Reference
from mlops.learning import artifact, frozen
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import ModelVersion, Question
from sensors.columns import DAY_US, Float64
from sensors.models import Membership
from tests import factories, made_models
from tests.client import JSON, client, problem
from tests.integration.test_ledger import NAME, registered
from tests.made_models import SIGNATURE, Line, Wear
from tests.unit.test_frozen import asked

pytestmark = pytest.mark.django_db

HOUR_US = DAY_US // 24


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
    """Of the made machines: windows of 20 rows."""
    return frozen.reference_of(Wear().split(Wear().load(Path()))[0], SIGNATURE)


def champion(reference: Reference | None) -> ModelVersion:
    version = registered()
    data = artifact.pack(Line(1 / 3, 0.25), SIGNATURE, reference)
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
