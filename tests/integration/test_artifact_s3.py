"""Files of models in S3, spoken to over HTTP: moto's server, and servers that fail in each of their ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from pytest_django import Settings

from config import node
from mlops import artifact_s3, artifact_store
from tests import servers
from tests.model_servers import Server
from tests.servers import Answer, HttpSink

ROOT = Path(__file__).resolve().parents[2]
ROOT_URI = "s3://models/plant"
KEYS = {"aws_access_key_id": "ours", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def s3(settings: Settings, s3_server: Server) -> str:
    boto3.session.Session().client("s3", endpoint_url=s3_server.url, **KEYS).create_bucket(Bucket="models")
    at(settings, s3_server.url)
    return s3_server.url


def at(settings: Settings, endpoint: str) -> None:
    settings.ML_ARTIFACTS = ROOT_URI
    settings.S3_ENDPOINT_URL, settings.S3_REGION = endpoint, KEYS["region_name"]
    settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY = KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"]


def test_a_file_is_written_and_read_again(s3: str) -> None:
    where = artifact_store.below(f"{ROOT_URI}/7f", "life left.skops")
    artifact_store.put(where, b"first")
    artifact_store.put(where, b"second" * 100_000)
    assert artifact_store.get(where) == b"second" * 100_000
    raw = boto3.session.Session().client("s3", endpoint_url=s3, **KEYS)
    assert [one["Key"] for one in raw.list_objects_v2(Bucket="models")["Contents"]] == ["plant/7f/life left.skops"]


def test_what_is_not_there_is_missing(s3: str) -> None:
    with pytest.raises(artifact_store.Missing, match="s3://models/plant/nothing is not there"):
        artifact_store.get(f"{ROOT_URI}/nothing")


def test_what_is_too_large_is_not_read(s3: str) -> None:
    artifact_store.put(f"{ROOT_URI}/large", b"x" * 1_000_000)
    with pytest.raises(artifact_store.TooLarge, match="1000000 bytes, at most 999999"):
        artifact_store.get(f"{ROOT_URI}/large", most=999_999)
    assert len(artifact_store.get(f"{ROOT_URI}/large", most=1_000_000)) == 1_000_000


@pytest.mark.parametrize(
    "uri",
    [
        "s3://models/other/x", "s3://models/plant", "s3://models/plant/", "s3://models/plantation/x",
        "s3://elsewhere/plant/x", "s3://models/plant/../other/x", "s3://models/plant//x", "s3://models/plant/x?versionId=1",
        "s3://models@127.0.0.1/plant/x", "S3://models/plant/x", "file:///etc/hostname",
    ],
)  # fmt: skip
def test_another_bucket_or_prefix_is_never_asked_for(settings: Settings, uri: str) -> None:
    with HttpSink() as sink:
        at(settings, sink.url.removesuffix("/hook?plant=1"))
        with pytest.raises(artifact_store.Outside):
            artifact_store.get(uri)
        with pytest.raises(artifact_store.Outside):
            artifact_store.put(uri, b"x")
    assert sink.received == []


def test_a_bucket_that_is_not_there_is_refused(s3: str, settings: Settings) -> None:
    settings.ML_ARTIFACTS = "s3://nowhere"
    for ask in (lambda: artifact_store.get("s3://nowhere/x"), lambda: artifact_store.put("s3://nowhere/x", b"")):
        with pytest.raises(artifact_store.Refused, match="NoSuchBucket"):
            ask()


def said(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@pytest.mark.parametrize(
    ("answer", "expected", "asked"),
    [
        (Answer(403, body=said("AccessDenied")), artifact_store.Refused, 1),
        (Answer(403, body=said("SignatureDoesNotMatch")), artifact_store.Refused, 1),
        (Answer(404, body=said("NoSuchKey")), artifact_store.Missing, 1),
        (Answer(503, body=said("SlowDown")), artifact_store.Unreachable, 3),
        (Answer(500, body=said("InternalError")), artifact_store.Unreachable, 3),
        (Answer(cut=True), artifact_store.Unreachable, 3),
        (Answer(200, {"Content-Length": "100"}, b"half of it"), artifact_store.Unreachable, 1),
        (Answer(200, {}, b"of unknown length"), artifact_store.Refused, 1),
    ],
)
def test_what_s3_answers_is_told_apart(
    settings: Settings, answer: Answer, expected: type[artifact_store.ArtifactError], asked: int
) -> None:
    with HttpSink(answer) as sink:
        at(settings, f"http://127.0.0.1:{sink.port}")
        with pytest.raises(expected) as told:
            artifact_store.get(f"{ROOT_URI}/x")
    assert type(told.value) is expected
    assert told.value.transient == (expected is artifact_store.Unreachable)
    assert len(sink.received) == asked


def test_a_store_that_is_down_is_unreachable(settings: Settings) -> None:
    at(settings, f"http://127.0.0.1:{node.free_port(0)}")
    with pytest.raises(artifact_store.Unreachable):
        artifact_store.get(f"{ROOT_URI}/x")
    with pytest.raises(artifact_store.Unreachable):
        artifact_store.put(f"{ROOT_URI}/x", b"x")


def test_a_store_that_never_answers_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert artifact_s3.CONFIG.read_timeout * 3 + 3 <= settings.CELERY_TASK_SOFT_TIME_LIMIT  # two waits below 1 and 2 s
    monkeypatch.setattr(artifact_s3, "CONFIG", artifact_s3.CONFIG.merge(Config(read_timeout=0.2)))
    with servers.silent() as (port, connected):
        at(settings, f"http://127.0.0.1:{port}")
        with pytest.raises(artifact_store.Unreachable):
            artifact_store.get(f"{ROOT_URI}/x")
        assert len(connected) == 3


FORKED = """
import json, os, sys
import django
django.setup()
from mlops import artifact_s3, artifact_store
artifact_store.put("s3://models/plant/forked", b"whole")
mine = artifact_s3._client()
assert artifact_s3._client() is mine
told, tell = os.pipe()
if not (child := os.fork()):
    read = artifact_store.get("s3://models/plant/forked")
    os.write(tell, json.dumps([read.decode(), artifact_s3._client() is mine]).encode())
    os._exit(0)
os.waitpid(child, 0)
sys.stdout.write(os.read(told, 100).decode())
assert artifact_store.get("s3://models/plant/forked") == b"whole"
"""


def test_a_process_that_was_forked_off_has_a_client_of_its_own(s3: str) -> None:
    told = {
        "DJANGO_SETTINGS_MODULE": "config.settings", "ML_ARTIFACTS": ROOT_URI, "S3_ENDPOINT_URL": s3,
        "S3_ACCESS_KEY": KEYS["aws_access_key_id"], "S3_SECRET_KEY": KEYS["aws_secret_access_key"],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        cwd=ROOT, env=dict(os.environ) | told, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["whole", False]
