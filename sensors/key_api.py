"""Keys of programs and devices over REST: for who may change them in a site, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import access, keys
from sensors.api import Filters, Scoped
from sensors.identity_models import ApiKey
from sensors.models import Sensor
from sensors.problems import Problem
from sensors.schema import documented

TO = "keys.edit"
FIELDS = [
    "id", "site", "kind", "name", "prefix", "scopes", "sensors", "expires_at", "created_at", "used_at", "used_from",
    "previous_until", "revoked_at",
]  # fmt: skip
ONCE = "Shown this once: only a digest of it is kept."


class KeyFilter(Filters):
    class Meta:
        model = ApiKey
        fields = ["site", "kind"]


class KeyOut(serializers.ModelSerializer[ApiKey]):
    prefix = serializers.CharField(help_text="The secret begins with bw_ and this.")

    class Meta:
        model = ApiKey
        fields = FIELDS


class KeyWithSecret(KeyOut):
    secret = serializers.CharField(read_only=True, help_text=ONCE)

    class Meta(KeyOut.Meta):
        fields = [*FIELDS, "secret"]


class Sensors(serializers.Serializer[Any]):
    sensors = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=10_000,
        help_text="Of a device: ids of the sensors of the site that it may send for.",
    )  # fmt: skip

    @staticmethod
    def found(ids: list[int], site_id: int) -> list[Sensor]:
        """The sensors of the site with these ids. Raises ``ValidationError``: of another site's is told no more."""
        rows = list(Sensor.objects.filter(site_id=site_id, pk__in=ids))
        if missing := sorted(set(ids) - {row.pk for row in rows}):
            raise ValidationError({"sensors": f"There is no sensor {missing[0]} in this site."})
        return rows


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A program", {"site": 1, "kind": "PROGRAM", "name": "historian", "scopes": ["read", "readings.send"]},
            request_only=True,
        ),
        OpenApiExample(
            "A device", {"site": 1, "kind": "DEVICE", "name": "gateway 3", "sensors": [7, 8]}, request_only=True
        ),
    ]
)  # fmt: skip
class KeyIn(Sensors):
    site = serializers.IntegerField(help_text="Id of a site of yours.")
    kind = serializers.ChoiceField(ApiKey.Kind.choices, default=ApiKey.Kind.PROGRAM)
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(keys.GRANTABLE), required=False, help_text="Of a program: what it may do."
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Left out: never.")


class Rotation(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        min_value=0, max_value=int(keys.LONGEST_OVERLAP.total_seconds()), default=86_400,
        help_text="So long the secret of before holds too.",
    )  # fmt: skip


@contextmanager
def _told() -> Iterator[None]:
    """What is refused, in the form in which REST tells it."""
    try:
        yield
    except ValidationError as error:
        by_field = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        told = {("non_field_errors" if name == NON_FIELD_ERRORS else name): text for name, text in by_field.items()}
        raise serializers.ValidationError(told) from error


@documented("keys", "API key", "API keys")
class ApiKeys(Scoped):
    policy = {"list": TO, "retrieve": TO, "create": TO, "partial_update": TO, "rotate": TO, "revoke": TO}
    queryset = ApiKey.objects.prefetch_related("sensors")
    serializer_class = KeyOut
    filterset_class = KeyFilter

    def get_queryset(self) -> QuerySet[Any]:
        user = access.user_of(self.request)
        return super().get_queryset().filter(site__in=access.sites(user, to=TO))

    @extend_schema(
        tags=["keys"], summary="Make an API key", request=KeyIn, responses={201: KeyWithSecret},
        description="For a program, with the permissions that it needs, or for a device, with its sensors. The answer "
        "has the secret, which is not shown again. Takes who may change the site's keys.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        given = KeyIn(data=request.data)
        given.is_valid(raise_exception=True)
        asked: dict[str, Any] = given.validated_data
        user = access.user_of(request)
        site = access.sites(user).filter(pk=asked["site"]).first()
        if site is None:
            raise serializers.ValidationError({"site": f"There is no site {asked['site']} among yours."})
        access.require(user, site.pk, to=TO)
        with _told():
            key, secret = keys.create(
                site=site, name=asked["name"], kind=asked["kind"], scopes=asked.get("scopes", ()),
                sensors=Sensors.found(asked.get("sensors", []), site.pk), expires_at=asked.get("expires_at"),
                actor=user,
            )  # fmt: skip
        return _with_secret(key, secret, status=201)

    @extend_schema(
        tags=["keys"], summary="Bind a device's key to other sensors", request=Sensors, responses={200: KeyOut},
        description="From now on the device sends for these alone. Takes who may change the site's keys.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        key = self._held()
        given = Sensors(data=request.data)
        given.is_valid(raise_exception=True)
        if "sensors" in given.validated_data:
            with _told():
                found = Sensors.found(given.validated_data["sensors"], key.site_id)
                keys.change(key, sensors=found, actor=access.user_of(request))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        tags=["keys"], summary="Give a key a new secret", request=Rotation, responses={200: KeyWithSecret},
        description="The secret of before holds on for as long as is said, so that nothing stops in between.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        key = self._held()
        given = Rotation(data=request.data)
        given.is_valid(raise_exception=True)
        overlap = timedelta(seconds=given.validated_data["overlap_seconds"])
        with _told():
            secret = keys.rotate(key, overlap=overlap, actor=access.user_of(request))
        return _with_secret(self.get_object(), secret, status=200)

    @extend_schema(
        tags=["keys"], summary="Revoke a key", request=None, responses={200: KeyOut},
        description="It is refused from now on, everywhere, and cannot be taken up again.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        keys.revoke(self._held(), actor=access.user_of(request))
        return Response(self.get_serializer(self.get_object()).data)

    def _held(self) -> ApiKey:
        """The key of the request's address, which was not revoked before."""
        key: ApiKey = self.get_object()
        if key.revoked_at is not None:
            raise Problem("conflict", "The key was revoked; make a new one.")
        return key


def _with_secret(key: ApiKey, secret: str, *, status: int) -> Response:
    setattr(key, "secret", secret)  # noqa: B010 - the answer has it, the row does not
    return Response(KeyWithSecret(key).data, status=status, headers={"Cache-Control": "no-store"})
