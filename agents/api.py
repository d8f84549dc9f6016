"""The way in."""

from __future__ import annotations

from typing import Any, cast

import orjson
import structlog
from django.http import HttpResponse
from django.http.request import RawPostDataException
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from agents import doorbell, intake
from sensors import access, callers, codec, correlation, directory, idempotency, inbox, keys
from sensors.contract import Contract
from sensors.permissions import SEND
from sensors.policy import by_method
from sensors.problems import Problem

log = structlog.get_logger(__name__)

TRIES = 3


class RawJSON(BaseParser):
    """Leaves the body alone: the codec reads it in one pass."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, bytes]:
        return {"body": stream.read()}


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}]})
class NameOrId(serializers.CharField):
    """Text is a name, a number is an id."""


class Ingest(Contract):
    """Readings in. Its idempotency keys are kept with what was stored (``sensors.inbox``)."""

    policy = by_method(post=SEND)
    looks_up = True

    authentication_classes = [callers.Remembered]
    parser_classes = [RawJSON]
    takes_keys = False
    limit = "ingest"
    _is_admitted = False

    class ReadingIn(serializers.Serializer[Any]):
        sensor = NameOrId(help_text="The sensor's name in the site as text, or its id as a number.")
        measured_at = serializers.DateTimeField(help_text="ISO 8601 with an offset.")
        value = serializers.FloatField(help_text="Finite, in the sensor's unit.")

    class SeriesIn(serializers.Serializer[Any]):
        """Readings of one sensor: as many instants as values, in the same order."""

        sensor = NameOrId(help_text="The sensor's name in the site as text, or its id as a number.")
        measured_at = serializers.ListField(child=serializers.DateTimeField(), help_text="ISO 8601 with an offset.")
        values = serializers.ListField(child=serializers.FloatField(), help_text="Finite, in the sensor's unit.")

    class IngestAnswer(serializers.Serializer[Any]):
        class ItemResult(serializers.Serializer[Any]):
            pointer = serializers.CharField(help_text="JSON pointer into the body.")
            status = serializers.ChoiceField(["held", "duplicate", "rejected"])
            reason = serializers.CharField()
            detail = serializers.CharField()

        batch = serializers.UUIDField()
        status_url = serializers.CharField()
        received_at = serializers.DateTimeField()
        items = serializers.IntegerField()
        accepted = serializers.IntegerField()
        held = serializers.IntegerField(help_text="Of sensors not known yet; kept until they are adopted.")
        duplicates = serializers.IntegerField(help_text="Twice in the body.")
        rejected = serializers.IntegerField()
        results = ItemResult(many=True, help_text="Every item that was not simply accepted.")

    @extend_schema(
        operation_id="data_ingest",
        tags=["data"],
        summary="Send readings",
        description="A list of readings, or an object with the list under `readings`; many readings of one sensor are "
        "shorter, and cheaper to take, as a series, alone or as an item of the list. `Content-Encoding: gzip` is "
        "accepted. 202 means that what was accepted and held is stored durably. What turns out to be a duplicate of a "
        "stored reading is told by the batch. 429 and 503 mean later: send the same request again "
        "after the seconds of `Retry-After`; what was stored before is not stored twice.",
        parameters=[
            OpenApiParameter("site", str, description="Slug; needed only if you may send to several sites."),
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="The same key with the same body gives the first answer again, marked by the header "
                "`Idempotent-Replayed`; with another body it is refused. Keys are kept as long as their batch.",
            ),
        ],
        request=PolymorphicProxySerializer(
            "ReadingOrSeries", [ReadingIn, SeriesIn], resource_type_field_name=None, many=True
        ),
        examples=[
            OpenApiExample(
                "A reading",
                {"sensor": "pump-7/flow", "measured_at": "2026-03-01T12:00:00Z", "value": 21.5},
                request_only=True,
            ),
            OpenApiExample(
                "A series",
                {
                    "sensor": "pump-7/flow",
                    "measured_at": ["2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"],
                    "values": [21.5, 21.7],
                },
                request_only=True,
            ),
        ],
        responses={202: IngestAnswer},
        auth=[{"jwtAuth": []}, {"apiKey": []}],  # type: ignore[list-item]  # the types name strings, the package takes requirements
    )
    def post(self, request: Request) -> HttpResponse:
        body = _body(request)
        for _ in range(TRIES):
            try:
                return self._take(request, body)
            except inbox.Outdated:
                log.info("agents.api.outdated")
            except Problem:
                if directory.holds(_number(request)):
                    raise
            # Accounts or roles have changed since they were read: the answer has to rest on what holds now.
            request.user, request.auth = callers.caller(request)
        raise Problem("unavailable", "Accounts are being changed at this moment.", retry_after=1)

    def _admit(self, arriving: inbox.Arriving) -> None:
        """Once for each request, however often it is looked at: it uses up a quota."""
        if not self._is_admitted:
            intake.admit(arriving)
            self._is_admitted = True

    def _take(self, request: Request, body: bytes) -> HttpResponse:
        user = access.user_of(request)
        try:
            taken = inbox.accept(
                site=access.site_for_ingest(user, request.query_params.get("site")),
                user=user,
                body=body,
                received_at=timezone.now(),
                correlation_id=correlation.current(),
                idempotency_key=idempotency.key_of(request),
                access=_number(request),
                admit=self._admit,
                only=keys.sensors_of(user),
            )
        except codec.Malformed as error:
            raise Problem("malformed", str(error)) from error
        except codec.TooManyReadings as error:
            raise Problem("too-large", str(error)) from error
        except inbox.KeyInFlight as error:
            raise Problem("conflict", str(error), retry_after=1) from error
        except inbox.KeyReused as error:
            raise Problem("unprocessable", str(error)) from error
        except inbox.NothingAccepted as error:
            errors = [{"detail": r["detail"], "pointer": r["pointer"], "reason": r["reason"]} for r in error.results]
            raise Problem("unprocessable", str(error), errors=errors) from error
        doorbell.ringer.tell(taken.lanes)
        batch = taken.batch
        if not taken.replayed:
            intake.count(batch)
        answer = {name: getattr(batch, name) for name in ("items", "accepted", "held", "duplicates", "rejected")}
        answer |= {"batch": batch.pk, "received_at": batch.received_at, "results": batch.results}
        answer |= {"status_url": f"{request.scheme}://{request.get_host()}/api/v1/batches/{batch.pk}/"}
        headers = {idempotency.REPLAYED: "true"} if taken.replayed else None
        return HttpResponse(
            orjson.dumps(answer, option=orjson.OPT_UTC_Z), status=202, content_type="application/json", headers=headers
        )

    def handle_exception(self, exc: Exception) -> Response:
        intake.count_failure(exc)
        return super().handle_exception(exc)


def _number(request: Request) -> int:
    """Under which the client's account was read (``callers.Remembered``)."""
    number: Any = request.auth
    return int(number)


def _body(request: Request) -> bytes:
    """The body, unpacked, within the limit. Raises ``Problem``."""
    try:
        return cast(dict[str, bytes], request.data).get("body", b"")
    except RawPostDataException as error:
        raise Problem("malformed", "The body could not be read.") from error
