"""Files of trained models in S3, or in a store that speaks like it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
)
from django.conf import settings

from mlops.artifact_store import Missing, Refused, TooLarge, Unreachable

NOT_FOUND, TOO_MANY, SERVER_ERROR = 404, 429, 500
BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests"}

CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,  # from one packet to the next; three tries are over before a task's own time is
    retries={"mode": "adaptive", "total_max_attempts": 3},
    max_pool_connections=50,
    # Checksums only where S3 asks for one: not every store that speaks like it knows the newer ones.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class Bucket:
    """The bucket and prefix that ``ML_ARTIFACTS`` names."""

    def read(self, uri: str, below: str, *, most: int) -> bytes:
        with _told(uri):
            answer = _client().get_object(**_named(below))
            with closing(answer["Body"]) as body:
                length = answer.get("ContentLength")
                if length is None:
                    raise Refused(f"{uri}: S3 does not say how large it is.")
                if length > most:
                    raise TooLarge(f"{uri}: {length} bytes, at most {most}.")
                data: bytes = body.read()
        return data

    def write(self, uri: str, below: str, data: bytes) -> None:
        with _told(uri):
            _client().put_object(**_named(below), Body=data)


def _named(below: str) -> dict[str, str]:
    bucket, _, prefix = settings.ML_ARTIFACTS.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": f"{prefix}/{below}" if prefix else below}


def _client() -> Any:
    return _made(
        os.getpid(), settings.S3_ENDPOINT_URL, settings.S3_REGION, settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY
    )


@lru_cache(maxsize=1)
def _made(process: int, endpoint: str | None, region: str, access_key: str | None, secret_key: str | None) -> Any:
    """One for each process: connections must not be shared with a process that was forked off.

    Without keys boto3 looks for them itself: in its own variables and files, and in the machine's role.
    """
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=CONFIG,
    )


@contextmanager
def _told(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if said in BUSY or status == TOO_MANY or status >= SERVER_ERROR:
            raise Unreachable(f"{uri}: S3 answers {status} {said}.") from error
        if status == NOT_FOUND and said != "NoSuchBucket":
            raise Missing(f"{uri} is not there.") from error
        raise Refused(f"{uri}: S3 answers {status} {said}.") from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise Unreachable(f"{uri}: {error}") from error
    except BotoCoreError as error:
        raise Refused(f"{uri}: {error}") from error
