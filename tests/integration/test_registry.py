"""Trainings in MLflow: a real server, its database in Postgres, files in a folder and in S3."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from pytest_django import Settings

from config import addresses, node
from mlops import artifact_store, registry
from tests import model_servers, servers
from tests.integration.test_artifact_s3 import at, s3  # noqa: F401  (a fixture)
from tests.model_servers import Server

FILES = {"model.skops": b"skops", "card.md": b"# What it is for", "calibration.png": b"\x89PNG"}


@pytest.fixture
def client(settings: Settings, mlflow_server: Server, tmp_path: Path) -> MlflowClient:
    settings.MLFLOW_TRACKING_URI, settings.MLFLOW_TRACKING_PASSWORD = mlflow_server.url, model_servers.PASSWORD
    settings.ML_ARTIFACTS = addresses.artifacts(str(tmp_path / "our models"))
    return MlflowClient(mlflow_server.url, mlflow_server.url)


def training(**changes: Any) -> dict[str, Any]:
    """What ``record`` takes: of a model and an experiment that no other test has, nor one that ran before."""
    number = uuid4().hex[:12]
    return {
        "experiment": f"life-{number}",
        "name": f"fan-life-{number}",
        "training": f"7f3c-{number}",
        "params": {"depth": 6, "loss": "pinball", "seed": None, "features": "s2 " * 3_000},
        "metrics": {"rmse": 13.25, "coverage, 80 %": 0.9, "lift": math.inf},
        "tags": {"data": "sha256:ab12", "code": "0.1.0", "signature": json.dumps({"features": ["s2"] * 3_000})},
        "files": FILES,
    } | changes


def test_a_training_is_a_run_and_a_version_with_all_that_was_told_of_it(client: MlflowClient) -> None:
    told = training()
    made = registry.record(**told)
    run, version = client.get_run(made.run_id), client.get_model_version(told["name"], str(made.version))
    assert made.version == 1
    assert run.info.status == "FINISHED"
    assert run.data.params == {"depth": "6", "loss": "pinball", "seed": "None", "features": ("s2 " * 3_000)[:6_000]}
    assert run.data.metrics == {"rmse": 13.25, "coverage_ 80 _": 0.9, "lift": sys.float_info.max}
    assert run.data.tags.items() >= {"data": "sha256:ab12", "code": "0.1.0", "training": told["training"]}.items()
    assert version.tags.items() >= (told["tags"] | {"training": told["training"]}).items()
    assert (version.run_id, version.source, version.status) == (made.run_id, made.place, "READY")
    assert {one.path for one in client.list_artifacts(made.run_id)} == set(FILES)


def test_the_files_are_read_without_mlflow(client: MlflowClient, settings: Settings) -> None:
    made = registry.record(**training())
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{node.free_port(0)}"
    assert made.place.startswith(f"{settings.ML_ARTIFACTS}/")
    assert {name: artifact_store.get(made.uri(name)) for name in FILES} == FILES


def test_asked_twice_there_is_one_version(client: MlflowClient) -> None:
    told = training()
    assert registry.record(**told) == registry.record(**told | {"metrics": {"rmse": 1.0}, "params": {"depth": 7}})
    assert len(client.search_model_versions(f"name = '{told['name']}'")) == 1
    assert len(client.search_runs([client.get_experiment_by_name(told["experiment"]).experiment_id])) == 1


def test_another_try_with_other_files_writes_nothing_over(client: MlflowClient) -> None:
    told = training()
    first = registry.record(**told)
    second = registry.record(**told | {"files": {"model.skops": b"other"}})
    assert (first.version, second.version) == (1, 2)
    assert [artifact_store.get(made.uri("model.skops")) for made in (first, second)] == [b"skops", b"other"]


def test_the_next_training_is_the_next_version(client: MlflowClient) -> None:
    told = training()
    first, second = registry.record(**told), registry.record(**told | {"training": "another"})
    assert (first.version, second.version) == (1, 2)
    assert first.place != second.place


def test_what_broke_off_before_its_version_is_done_anew(client: MlflowClient, settings: Settings) -> None:
    told = training()
    settings.ML_ARTIFACT_MAX_BYTES = 3
    with pytest.raises(registry.Refused, match="at most 3"):
        registry.record(**told)
    settings.ML_ARTIFACT_MAX_BYTES = 1_000
    made = registry.record(**told | {"params": {"depth": 7}})
    runs = client.search_runs([client.get_experiment_by_name(told["experiment"]).experiment_id])
    assert {run.info.run_id == made.run_id: run.info.status for run in runs} == {True: "FINISHED", False: "FAILED"}
    assert made.version == 1


def test_what_broke_off_behind_its_version_is_ended(client: MlflowClient) -> None:
    told = training()
    made = registry.record(**told)
    client.update_run(made.run_id, status="RUNNING")
    assert registry.record(**told) == made
    assert client.get_run(made.run_id).info.status == "FINISHED"


def test_an_experiment_that_somebody_deleted_comes_back(client: MlflowClient) -> None:
    told = training()
    registry.record(**told)
    client.delete_experiment(client.get_experiment_by_name(told["experiment"]).experiment_id)
    assert registry.record(**told | {"training": "another"}).version == 2


def test_an_alias_names_one_version_and_is_dropped(client: MlflowClient) -> None:
    told = training()
    registry.record(**told)
    registry.record(**told | {"training": "another"})
    for version in (1, 2, 2):
        registry.set_alias(name=told["name"], alias="champion", version=version)
        assert int(client.get_model_version_by_alias(told["name"], "champion").version) == version
    for _ in range(2):
        registry.drop_alias(name=told["name"], alias="champion")
    assert client.get_registered_model(told["name"]).aliases == {}


def test_files_go_to_s3_where_that_is_the_place(client: MlflowClient, settings: Settings, s3: str) -> None:  # noqa: F811
    told = training()
    made = registry.record(**told)
    assert made.place.startswith("s3://models/plant/")
    assert {name: artifact_store.get(made.uri(name)) for name in FILES} == FILES


def test_where_the_place_changed_the_next_training_is_in_the_new_one(
    client: MlflowClient, settings: Settings, tmp_path: Path
) -> None:
    told = training()
    old = registry.record(**told)
    settings.ML_ARTIFACTS = addresses.artifacts(str(tmp_path / "moved"))
    new = registry.record(**told | {"training": "another"})
    assert new.version == 2
    assert artifact_store.get(new.uri("model.skops")) == b"skops"
    with pytest.raises(artifact_store.Outside):
        artifact_store.get(old.uri("model.skops"))


def test_a_training_whose_files_found_no_store_is_recorded_later(
    client: MlflowClient, settings: Settings, s3_server: Server, tmp_path: Path
) -> None:
    told, port = training(), node.free_port(0)
    at(settings, f"http://127.0.0.1:{port}")
    with pytest.raises(registry.Unreachable):
        registry.record(**told)
    at(settings, s3_server.url)
    assert registry.record(**told).version == 1


def test_a_server_that_is_down_is_unreachable(client: MlflowClient, settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{node.free_port(0)}"
    for ask in (
        lambda: registry.record(**training()),
        lambda: registry.set_alias(name="x", alias="champion", version=1),
        lambda: registry.drop_alias(name="x", alias="champion"),
    ):
        with pytest.raises(registry.Unreachable) as told:
            ask()
        assert told.value.transient


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_fails_is_unreachable(client: MlflowClient, settings: Settings, status: int) -> None:
    with servers.HttpSink(servers.Answer(status)) as sink:
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{sink.port}"
        with pytest.raises(registry.Unreachable):
            registry.record(**training())
    assert len(sink.received) == 1  # it is not sent again below us


def test_a_server_that_never_answers_is_given_up(
    client: MlflowClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with servers.silent() as (port, connected):
        settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{port}"
        begun = time.monotonic()
        with pytest.raises(registry.Unreachable):
            registry.record(**training())
        assert time.monotonic() - begun < 5
    assert len(connected) == 1


def test_what_the_server_refuses_is_not_tried_again(client: MlflowClient, settings: Settings) -> None:
    with pytest.raises(registry.Refused) as told:
        registry.record(**training(name="no/such:name"))
    assert not told.value.transient
    with pytest.raises(registry.Refused):
        registry.set_alias(name="nobody", alias="champion", version=1)
    settings.MLFLOW_TRACKING_PASSWORD = "guessed"
    with pytest.raises(registry.Refused):
        registry.record(**training())


def test_without_a_server_it_is_said_what_to_set(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = None
    with pytest.raises(registry.Refused, match="MLFLOW_PORT"):
        registry.record(**training())
