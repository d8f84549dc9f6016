"""Models end to end: trained through MLflow, promoted by the gate, asked over REST, rolled back."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from agents import failpoints, sweeper
from agents.doorbell import Bell
from agents.questions import api as questions_api
from agents.trainings import jobs, requests
from config import node
from mlops import artifact_store, ledger, loader, mirror, names, registry
from mlops.learning.contract import Learned
from mlops.learning.contract import Settings as LearningSettings
from mlops.learning.examples import Examples
from mlops.learning.kinds import KINDS
from mlops.loader import Shelf
from mlops.models import Deployment, ModelPolicy, ModelVersion, Question, Training
from mlops.recipes import RECIPES
from sensors.models import Membership
from tests import factories, made_models, model_servers, workers
from tests.client import JSON, client, problem
from tests.made_models import NAME, Wear
from tests.model_servers import Server

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made(
    mlflow_server: Server, redis_empty: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MLFLOW_TRACKING_URI, settings.MLFLOW_TRACKING_PASSWORD = mlflow_server.url, model_servers.PASSWORD
    settings.ML_ARTIFACTS = (tmp_path / "artifacts").as_uri()
    settings.ML_CACHE_DIR = tmp_path / "cache"
    monkeypatch.setattr(loader, "shelf", Shelf(most_bytes=10**6, seconds=60))
    monkeypatch.setitem(RECIPES, NAME, Wear())
    monkeypatch.setitem(names.NAMES, NAME, "made")
    monkeypatch.setitem(KINDS, "made-line", made_models.from_parts)
    # MLflow keeps what earlier tests told it, and so must have never heard of the ids of this one's trainings.
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('mlops_training', 'id'), %s)", [secrets.randbits(40)])


def train(**options: Any) -> ModelVersion:
    row = requests.ask(NAME, cause="PERSON", options=options)
    assert jobs.perform(row.pk) == "done"
    return ModelVersion.objects.get(training=row)


@pytest.fixture
def http() -> Client:
    return client(factories.user(site=factories.site(), role=Membership.Role.TECHNICIAN))


@pytest.fixture
def owner() -> Client:
    return client(factories.user(is_superuser=True))


def test_a_training_makes_a_version_that_speaks_and_mlflow_follows() -> None:
    version = train()
    row = Training.objects.get()
    assert (row.status, row.done_share, row.step, row.reason) == ("DONE", 1.0, "", "")
    assert (version.objections, version.kind, version.version) == ([], "made-line", 1)
    assert version.figures["rmse"][0] < version.baselines["mean"]["rmse"][0]
    assert "Nothing speaks against it" in version.card
    assert ledger.champion(NAME) == version
    assert loader.champion(NAME).degraded == ""
    assert mirror.follow() == 1
    with registry._asking() as mlflow:
        assert mlflow.get_model_version_by_alias(NAME, "champion").version == str(version.mlflow_version)
        assert mlflow.get_run(version.run_id).data.metrics["rmse"] == version.figures["rmse"][0]
    assert mirror.follow() == 0


def test_one_that_is_no_better_answers_in_the_shadow_and_one_that_is_replaces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RECIPES, NAME, Wear(bias=2.0))
    first = train()
    again = train(seed=2)
    assert (ledger.champion(NAME), ledger.challenger(NAME)) == (first, again)
    assert any("champion 1" in text for text in again.objections)
    monkeypatch.setitem(RECIPES, NAME, Wear())
    better = train()
    assert (ledger.champion(NAME), ledger.challenger(NAME)) == (better, again)


def test_the_run_of_a_training_has_its_pictures_and_the_card_names_them() -> None:
    version = train()
    with registry._asking() as mlflow:
        files = {one.path for one in mlflow.list_artifacts(version.run_id)}
    assert files == {"model.skops", "card.md", "predicted.png", "residuals.png", "importance.png"}
    place = version.uri.removesuffix("model.skops")
    for name in files - {"model.skops", "card.md"}:
        assert artifact_store.get(f"{place}{name}").startswith(b"\x89PNG")
        assert f"]({name})" in version.card


class RollsBack(Wear):
    """While it is taught somebody rolls the model back."""

    def fit(self, examples: Examples, settings: LearningSettings, *, seed: int) -> Learned:
        ledger.rollback(NAME, actor="bob", reason="it cries wolf")
        return Wear.fit(self, examples, settings, seed=seed)


def test_a_version_that_was_measured_beside_one_that_was_rolled_back_meanwhile_does_not_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RECIPES, NAME, Wear(bias=2.0))
    first = train()
    monkeypatch.setitem(RECIPES, NAME, Wear(bias=1.0))
    second = train()
    assert ledger.champion(NAME) == second
    monkeypatch.setitem(RECIPES, NAME, RollsBack())
    third = train()
    assert third.objections == []
    assert (ledger.champion(NAME), ledger.challenger(NAME)) == (first, third)
    entry = Deployment.objects.get(version=third)
    assert entry.reason.startswith(f"Not compared with {first}, which speaks now: when it was measured {second} spoke.")


def test_a_training_whose_data_is_not_there_fails_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, NAME, Wear(machines=0))
    row = requests.ask(NAME, cause="PERSON")
    assert jobs.perform(row.pk) == "failed"
    row.refresh_from_db()
    assert "made.csv is not at hand" in row.reason
    requests.again(row.pk)
    monkeypatch.setitem(RECIPES, NAME, Wear())
    assert jobs.perform(row.pk) == "done"


def test_while_mlflow_is_away_a_training_is_tried_again_and_then_fails(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{node.free_port(0)}"
    row = requests.ask(NAME, cause="PERSON")
    assert jobs.perform(row.pk) == "retry"
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("PENDING", 1)
    assert ModelVersion.objects.count() == 0


def test_a_model_is_trained_once_at_a_time_and_not_too_often_by_itself() -> None:
    requests.ask(NAME, cause="PERSON")
    with pytest.raises(requests.Refused, match="trained already"):
        requests.ask(NAME, cause="PERSON")
    Training.objects.update(status="DONE", finished_at=timezone.now())
    with pytest.raises(requests.Refused, match="less than 24 h ago"):
        requests.ask(NAME, cause="DRIFT")
    ModelPolicy.objects.update(cooldown_hours=0, most_a_month=1, retrain_days=0)
    assert requests.due(now=timezone.now()) == [NAME]
    [asked] = jobs.look_round()
    Training.objects.filter(pk=asked).update(status="DONE", finished_at=timezone.now())
    with pytest.raises(requests.Refused, match="1 times within 30 days"):
        requests.ask(NAME, cause="SCHEDULE")
    assert jobs.look_round() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", failpoints.TRAINING_POINTS)
def test_a_worker_that_dies_in_a_training_leaves_one_champion(point: str) -> None:
    first = train()
    Deployment.objects.update(gate={})
    RECIPES[NAME] = Wear(bias=-0.4)
    row = requests.ask(NAME, cause="PERSON", options={"settings": {"shrink": 0.0}})
    assert workers.work([Bell("train", row.pk)], environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
    assert ledger.champion(NAME) == first
    row.refresh_from_db()
    assert (row.status in Training.UNFINISHED, row.attempts) == (True, 1)
    workers.recover()
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("DONE", 2)
    assert Deployment.objects.filter(alias="CHAMPION", to_at__isnull=True).count() == 1
    assert ModelVersion.objects.filter(training=row).count() == 1


# Over REST

ROW = {"load": {"unit": "kN", "values": [3.0, 4.0]}, "heat": {"unit": "°C", "values": [60.0, None]}}


def ask(http: Client, where: str = "predict", **changes: Any) -> Any:
    """The answer, which a worker gives while it is waited for."""
    return http.post(f"/api/v1/ml/{where}/", {"model": NAME, "features": ROW} | changes, JSON)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers as soon as somebody waits."""
    wait = questions_api.wait_for

    def answered(row: Question) -> Question:
        sweeper.work_off([Bell("answer", row.pk)])
        return wait(row)

    monkeypatch.setattr(questions_api, "wait_for", answered)


def test_a_model_is_asked_and_says_which_version_spoke(http: Client, worker: None) -> None:
    version = train()
    answer = ask(http, each=True)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["answer"]["version"], found["answer"]["rows"]) == ("DONE", version.version, [1, 2])
    speaker = loader.champion(NAME)
    line: Any = speaker.learned
    assert found["answer"]["outputs"] == {
        "wear": {"unit": "mm", "values": [line.slope * 3 + line.offset, line.slope * 4 + line.offset]}
    }
    assert "contributions" not in found["answer"]


def test_an_answer_is_explained_by_its_features(http: Client, worker: None) -> None:
    train()
    answer = http.post("/api/v1/ml/predict/?explain=true", {"model": NAME, "features": ROW}, JSON).json()["answer"]
    [told] = answer["contributions"]
    assert (told["row"], [one["feature"] for one in told["features"]]) == (2, ["load", "heat"])
    assert told["features"][1]["contribution"] in (0.0, None)


def test_a_question_with_a_key_is_asked_once_and_its_answer_is_at_its_address(http: Client, worker: None) -> None:
    train()
    body, key = {"model": NAME, "features": ROW}, {"Idempotency-Key": "q-1"}
    first, again = (http.post("/api/v1/ml/predict/", body, JSON, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    sweeper.work_off([Bell("answer", Question.objects.get().pk)])
    assert http.get(first.json()["status_url"]).json()["status"] == "DONE"


def test_an_answer_that_takes_long_is_at_an_address_of_its_own(http: Client, settings: Settings) -> None:
    settings.ML_ANSWER_SECONDS = 0
    train()
    asked = ask(http)
    assert (asked.status_code, asked.json()["status"]) == (202, "PENDING")
    sweeper.work_off([Bell("answer", Question.objects.get().pk)])
    assert http.get(asked.json()["status_url"]).json()["status"] == "DONE"
    other = client(factories.user(site=factories.site(), role=Membership.Role.ADMIN))
    assert other.get(asked.json()["status_url"]).status_code == 404


@pytest.mark.parametrize(
    ("features", "pointer"),
    [
        ({"load": ROW["load"]}, "#/features/heat"),
        (ROW | {"speed": {"unit": "rpm", "values": [1, 2]}}, "#/features/speed"),
        (ROW | {"load": {"unit": "lbf", "values": [1, 2]}}, "#/features/load/unit"),
        (ROW | {"load": {"unit": "kN", "values": [1]}}, "#/features/load"),
    ],
)
def test_features_that_do_not_fit_are_a_clear_error(http: Client, features: dict[str, Any], pointer: str) -> None:
    train()
    answer = problem(ask(http, features=features), status=400, name="invalid")
    assert pointer in [one["pointer"] for one in answer["errors"]]
    assert Question.objects.count() == 0


def test_only_a_model_that_speaks_is_asked_and_where_its_kind_is(http: Client) -> None:
    assert "speaks" in problem(ask(http), status=400, name="invalid")["errors"][0]["detail"]
    train()
    problem(ask(http, where="forecast"), status=400, name="invalid")
    problem(ask(http, where="detect_anomaly"), status=400, name="invalid")
    viewer = client(factories.user(site=factories.site(), role=Membership.Role.VIEWER))
    problem(ask(viewer), status=403, name="forbidden")


def test_what_is_asked_over_rest_is_trained_and_looked_at(owner: Client, http: Client) -> None:
    made = owner.post("/api/v1/ml/retrain/", {"model": NAME, "seconds": 0, "seed": 3}, JSON)
    assert made.status_code == 202
    sweeper.work_off([Bell("train", made.json()["id"])])
    done = owner.get(made.json()["status_url"]).json()
    assert (done["status"], done["version"], done["options"]) == ("DONE", 1, {"seconds": 0.0, "seed": 3})
    problem(http.post("/api/v1/ml/retrain/", {"model": NAME}, JSON), status=403, name="forbidden")
    problem(owner.post("/api/v1/ml/retrain/", {"model": "nobody"}, JSON), status=400, name="invalid")
    problem(owner.post("/api/v1/ml/retrain/", {"model": NAME, "seed": -1}, JSON), status=400, name="invalid")


def test_models_versions_and_the_ledger_are_read_by_members_and_changed_by_the_owner(
    owner: Client, http: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, NAME, Wear(bias=2.0))
    train()
    monkeypatch.setitem(RECIPES, NAME, Wear())
    train()
    [model] = http.get("/api/v1/ml/models/").json()["results"]
    assert (model["name"], model["champion"], model["challenger"]) == (NAME, 2, None)
    versions = http.get(f"/api/v1/ml/models/{NAME}/versions/").json()["results"]
    assert [one["version"] for one in versions] == [2, 1]
    change = {"reason": "it cries wolf"}
    problem(http.post(f"/api/v1/ml/models/{NAME}/rollback/", change, JSON), status=403, name="forbidden")
    back = owner.post(f"/api/v1/ml/models/{NAME}/rollback/", change, JSON)
    assert (back.status_code, back.json()["version"], back.json()["action"]) == (200, 1, "ROLLED_BACK")
    promoted = owner.post(f"/api/v1/ml/models/{NAME}/promote/", {"version": 2, "reason": "it does not"}, JSON)
    assert promoted.json()["version"] == 2
    problem(
        owner.post(f"/api/v1/ml/models/{NAME}/promote/", {"version": 2, "reason": "x"}, JSON),
        status=409,
        name="conflict",
    )
    problem(
        owner.post(f"/api/v1/ml/models/{NAME}/promote/", {"version": 9, "reason": "x"}, JSON),
        status=400,
        name="invalid",
    )
    entries = http.get("/api/v1/ml/deployments/", {"name": NAME, "alias": "CHAMPION"}).json()["results"]
    assert [(one["version"], one["to_at"] is None) for one in entries] == [
        (2, True),
        (1, False),
        (2, False),
        (1, False),
    ]
    then = entries[2]["from_at"]
    [live] = http.get("/api/v1/ml/deployments/", {"name": NAME, "at": then}).json()["results"]
    assert live["id"] == entries[2]["id"]


def test_lists_of_models_cost_the_same_however_many_there_are(http: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            http.get("/api/v1/ml/models/")
        return len(queries)

    train()
    few = cost()
    for number in range(5):
        ledger.policy(f"model-{number}")
    assert cost() == few
