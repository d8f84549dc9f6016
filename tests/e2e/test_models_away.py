"""MLflow and the store of models stop while the service runs: it watches on, and models that spoke here speak."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from mlops.recipes import RECIPES
from tests import model_servers
from tests.bench import results
from tests.chaos import client
from tests.chaos.service import Service, session, until
from tests.model_servers import Server

NAME = "hydraulic-pump"
SITE, MACHINE, HIGH = "north", "m0", 100.0
LEASE_SECONDS = 45
PATIENCE = 120.0
KEYS = {"S3_ACCESS_KEY": "of-the-tests", "S3_SECRET_KEY": "of-the-tests"}
ALARMS = "SELECT count(*) FROM maintenance_alarm"
CHAMPIONS = "SELECT count(*) FROM mlops_deployment WHERE alias = 'CHAMPION' AND to_at IS NULL"

needs_data = pytest.mark.skipif(
    not (results.DATA / "hydsys").is_dir(), reason="the hydraulic rig's data is not at hand"
)


@pytest.fixture
def away() -> Iterator[ExitStack]:
    """What is closed in it stops; whatever is left stops at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def s3(tmp_path: Path, away: ExitStack) -> Server:
    server = away.enter_context(model_servers.s3(tmp_path / "s3.log"))
    keys = {"aws_access_key_id": KEYS["S3_ACCESS_KEY"], "aws_secret_access_key": KEYS["S3_SECRET_KEY"]}
    boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", **keys).create_bucket(Bucket="models")
    return server


@pytest.fixture
def service(tmp_path: Path, s3: Server, away: ExitStack) -> Iterator[Service]:
    stored = KEYS | {"S3_ENDPOINT_URL": s3.url, "ML_ARTIFACTS": "s3://models/plant"}
    made = Service(tmp_path / "home", lease_seconds=LEASE_SECONDS, environment=stored | {"ML_ANSWER_SECONDS": "60"})
    try:
        made.prepare()
        told = stored | {"DATABASE_URL": f"postgresql://postgres@/bellwether?host={made.sockets}"}
        mlflow = away.enter_context(model_servers.mlflow(tmp_path / "mlflow.log", told))
        made.environment |= {"MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_TRACKING_PASSWORD": model_servers.PASSWORD}
        yield made
    finally:
        made.stop()


@needs_data
@pytest.mark.timeout(600)
def test_detection_goes_on_without_mlflow_and_s3_and_models_that_spoke_speak(service: Service, away: ExitStack) -> None:
    passwords = service.set_up(machines=(MACHINE,), high=HIGH)
    service.run("manage.py", "train", NAME, "--seconds", "0", "--data", str(results.DATA))
    assert service.number(CHAMPIONS) == 1
    service.run("manage.py", "shell", "--no-imports", "-c", "from django.contrib.auth.models import User; "
                "User.objects.create_superuser('owner', '', 'owner')")  # fmt: skip
    service.start()
    before = predict(service)
    assert before["answer"]["degraded"] == ""

    away.close()  # both servers are gone, for good
    (worker,) = [pid for pid in service.processes("models@") if pid]
    os.kill(worker, signal.SIGKILL)  # and what the worker had in memory as well
    until(lambda: service.processes("models@") not in ([], [worker]), limit=PATIENCE)
    after = predict(service)
    assert after["answer"] == before["answer"]

    token = client.token(service.url, SITE, passwords[SITE])
    began = datetime.now(UTC) - timedelta(minutes=10)
    readings = [
        {"sensor": MACHINE, "measured_at": (began + timedelta(seconds=k)).isoformat(), "value": HIGH + 50}
        for k in range(60)
    ]
    taken = session().post(f"{service.url}/api/v1/data/ingest", json=readings, timeout=20,
                           headers={"Authorization": f"Bearer {token}"})  # fmt: skip
    assert taken.status_code == requests.codes.accepted
    until(lambda: service.number(ALARMS) == 1, limit=PATIENCE)

    asked = ask(service, "retrain", {"model": NAME, "seconds": 0})
    assert asked["status"] == "PENDING"
    reason = "SELECT count(*) FROM mlops_training WHERE id = %s AND attempts >= 1 AND status IN ('PENDING', 'FAILED')"
    until(lambda: service.number(reason, asked["id"]) == 1, limit=PATIENCE)
    assert service.number(CHAMPIONS) == 1


def predict(service: Service) -> dict[str, Any]:
    recipe = RECIPES[NAME]
    row = recipe.load(results.DATA).now[0]
    features = {
        one.name: {"unit": one.unit, "values": [float(value)]}
        for one, value in zip(recipe.signature.features, row, strict=True)
    }
    found = ask(service, "predict", {"model": NAME, "features": features})
    assert found["status"] == "DONE", found["reason"]
    return found


def ask(service: Service, where: str, body: dict[str, Any]) -> dict[str, Any]:
    token = client.token(service.url, "owner", "owner")
    answer = session().post(f"{service.url}/api/v1/ml/{where}/", json=body, timeout=90,
                            headers={"Authorization": f"Bearer {token}"})  # fmt: skip
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found
