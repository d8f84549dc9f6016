"""The book of trainings in MLflow: the only module that talks to it, for the process that trains alone.

MLflow keeps what people look up and compare; it opens nothing that was trained. Files go into the run's place by
``artifact_store``, so that whoever loads them needs no MLflow. What counts is our own ledger, which MLflow mirrors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

from django.conf import settings

from mlops import artifact_store, mlflow_switches

os.environ |= mlflow_switches.SAFE | mlflow_switches.CLIENT

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException

TRAINING, FILES = "training", "files_sha256"
"""The tags by which what is told of a training is found again."""

UNWANTED = re.compile(r"[^\w\-. :/]")
"""What names of parameters, metrics and tags must not hold."""

LONGEST_PARAM, LONGEST_TAG = 6_000, 8_000

THERE_ALREADY, RUNNING = "RESOURCE_ALREADY_EXISTS", "RUNNING"
SERVER_ERROR, TOO_MANY = 500, 429


class RegistryError(Exception):
    """MLflow did not do what it was asked for; the message has its words. ``transient``: later it may."""

    transient: ClassVar[bool] = False


class Unreachable(RegistryError):
    """The server or the store of files does not answer, or fails; or somebody else makes the same at this moment."""

    transient = True


class Refused(RegistryError):
    """The server or the store says no, and would say it again; or there is no server."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a training stands in MLflow. ``place``: URI of the folder that holds its files, in a folder or in S3."""

    run_id: str
    version: int
    place: str

    def uri(self, name: str) -> str:
        """What ``artifact_store.get`` takes for a file by its name."""
        return artifact_store.below(self.place, name)


def record(
    *,
    experiment: str,
    name: str,
    training: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
) -> Recorded:
    """Tell MLflow of a training and make a version of the registered model ``name``, with the files by their names.

    Asked again for the same ``training`` (its id: letters, digits, hyphens) with the same files, also after it broke
    off anywhere, there is one version. With other files, of another try, there is another: nothing that was written is
    written over. Parameters are cut at 6,000 characters and tags of runs at 8,000; those of the version may have
    100,000.

    Raises ``RegistryError``, also where the store of files fails.
    """
    tags = {_name(key): value for key, value in tags.items()} | {TRAINING: training, FILES: _digest(files)}
    with _asking() as client:
        known = _known(client, name=name, training=training, digest=tags[FILES])
        if known is not None:
            _end(client, known)
            return known
        run = _begin(client, experiment=experiment, training=training, tags=tags)
        client.log_batch(
            run.info.run_id,
            params=[Param(_name(key), str(value)[:LONGEST_PARAM]) for key, value in params.items()],
            metrics=[Metric(_name(key), value, run.info.start_time, 0) for key, value in metrics.items()],
        )
        place = run.info.artifact_uri
        for file, data in files.items():
            artifact_store.put(artifact_store.below(place, file), data)
        _ensure_model(client, name)
        made = client.create_model_version(name, source=place, run_id=run.info.run_id, tags=tags, await_creation_for=0)
        client.set_terminated(run.info.run_id)
        return Recorded(run.info.run_id, int(made.version), place)


def set_alias(*, name: str, alias: str, version: int) -> None:
    """``alias`` names this version of the model, and no other. Raises ``RegistryError``."""
    with _asking() as client:
        client.set_registered_model_alias(name, alias, str(version))


def drop_alias(*, name: str, alias: str) -> None:
    """``alias`` names no version; also if it named none. Raises ``RegistryError``."""
    with _asking() as client:
        client.delete_registered_model_alias(name, alias)


@contextmanager
def _asking() -> Iterator[MlflowClient]:
    uri = settings.MLFLOW_TRACKING_URI
    if uri is None:
        raise Refused("No MLflow server: MLFLOW_TRACKING_URI is not set, and MLFLOW_PORT is 0.")
    if settings.MLFLOW_TRACKING_PASSWORD:
        os.environ["MLFLOW_TRACKING_USERNAME"] = settings.MLFLOW_TRACKING_USERNAME
        os.environ["MLFLOW_TRACKING_PASSWORD"] = settings.MLFLOW_TRACKING_PASSWORD
    try:
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        status = ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, SERVER_ERROR)
        later = status >= SERVER_ERROR or status == TOO_MANY or error.error_code == THERE_ALREADY
        raise (Unreachable if later else Refused)(f"{uri}: {error.message}") from error
    except artifact_store.ArtifactError as error:
        raise (Unreachable if error.transient else Refused)(str(error)) from error


def _name(key: str) -> str:
    return UNWANTED.sub("_", key)


def _digest(files: Mapping[str, bytes]) -> str:
    each = [f"{name} {sha256(data).hexdigest()}" for name, data in sorted(files.items())]
    return sha256("\n".join(each).encode()).hexdigest()


def _known(client: MlflowClient, *, name: str, training: str, digest: str) -> Recorded | None:
    of_these = f"tags.`{TRAINING}` = '{training}' AND tags.`{FILES}` = '{digest}'"
    found = client.search_model_versions(f"name = '{name}' AND {of_these}")
    known = [Recorded(str(one.run_id), int(one.version), str(one.source)) for one in found]
    return min(known, key=lambda one: one.version, default=None)


def _end(client: MlflowClient, recorded: Recorded) -> None:
    """It may have broken off between the version and the end of its run."""
    if client.get_run(recorded.run_id).info.status == RUNNING:
        client.set_terminated(recorded.run_id)


def _begin(client: MlflowClient, *, experiment: str, training: str, tags: Mapping[str, str]) -> Run:
    """A new run. One of the same training that broke off is called failed: what it was told may be of another try."""
    home = _ensure_experiment(client, experiment)
    for run in client.search_runs([home], f"tags.`{TRAINING}` = '{training}' AND attributes.status = '{RUNNING}'"):
        client.set_terminated(run.info.run_id, "FAILED")
    return client.create_run(home, tags={key: text[:LONGEST_TAG] for key, text in tags.items()}, run_name=training)


def _ensure_experiment(client: MlflowClient, name: str) -> str:
    """Its id. Its runs keep their files in ML_ARTIFACTS; one from before that was changed stays as it is."""
    for wanted in (name, f"{name} in {settings.ML_ARTIFACTS}"):
        found = _experiment(client, wanted)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        if found.artifact_location == settings.ML_ARTIFACTS:
            return str(found.experiment_id)
    raise Refused(f"Experiment {name!r} keeps its files in {found.artifact_location}, not in {settings.ML_ARTIFACTS}.")


def _experiment(client: MlflowClient, name: str) -> Experiment:
    if known := client.get_experiment_by_name(name):
        return known
    return client.get_experiment(client.create_experiment(name, artifact_location=settings.ML_ARTIFACTS))


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != THERE_ALREADY:
            raise
