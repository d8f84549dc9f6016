"""Safety permits and files at work orders, over REST."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import attachments, media_types, permits
from maintenance.api import example
from maintenance.attachment_models import Attachment
from maintenance.checklist_models import PermitKind
from maintenance.entry_api import TAG, AtOrder, Entries, entering, withdrawing
from maintenance.permit_models import Permit
from sensors.api import Filters
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.schema import documented


@example(
    order=12, kind="LOCK_OUT", valid_until="2026-03-03T16:00:00Z", conditions="Breaker Q7 locked, key 4 in the box."
)
class PermitIn(AtOrder):
    kind = serializers.ChoiceField(PermitKind.choices)
    valid_from = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Empty: now.")
    valid_until = serializers.DateTimeField()
    conditions = serializers.CharField(max_length=5_000, required=False, default="", allow_blank=True)


@example(reason="Gas alarm in the hall.")
class Revocation(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1_000)


class PermitOut(serializers.ModelSerializer[Permit]):
    class Meta:
        model = Permit
        fields = [
            "id", "site", "order", "kind", "conditions", "valid_from", "valid_until", "issued_by", "issued_at",
            "revoked_by", "revoked_at", "revoke_reason",
        ]  # fmt: skip


class PermitFilter(Filters):
    holds = django_filters.BooleanFilter(method="hold_now", label="Whether it holds now.")
    ends_before = django_filters.IsoDateTimeFilter(field_name="valid_until", lookup_expr="lt")

    def hold_now(self, found: Any, name: str, wanted: bool) -> Any:
        now = permits.valid(timezone.now())
        return found.filter(now) if wanted else found.exclude(now)

    class Meta:
        model = Permit
        fields = ["site", "order", "kind"]


@documented(TAG, "safety permit", "safety permits")
class Permits(Entries):
    policy = READS | takes("permits.issue", "create", "revoke")
    site_path = "site"
    queryset = Permit.objects.all()
    serializer_class = PermitOut
    filterset_class = PermitFilter

    @entering(
        "a safety permit", form=PermitIn, shown=PermitOut,
        description="Not by the order's assignee. Work that needs a permit does not begin without a valid one.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.enter(request, PermitIn, lambda order, **said: permits.issue(order.pk, **said))

    @extend_schema(
        tags=[TAG], summary="Revoke a safety permit", request=Revocation, responses={200: PermitOut},
        description="It holds no longer.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        return self.changed(request, permits.revoke, Revocation)


class AttachmentIn(AtOrder):
    file = serializers.FileField(help_text="JPEG, PNG, WebP, PDF or plain text, by its content.")


class AttachmentOut(serializers.ModelSerializer[Attachment]):
    class Meta:
        model = Attachment
        fields = ["id", "site", "order", "name", "media_type", "size", "sha256", "added_by", "added_at"]


@documented(TAG, "file at a work order", "files at work orders")
class Attachments(Entries):
    class AttachmentFilter(Filters):
        class Meta:
            model = Attachment
            fields = ["site", "order", "media_type"]

    policy = READS | takes("orders.act", "create", "destroy") | takes(READ, "content")
    site_path = "site"
    queryset = Attachment.objects.all()
    serializer_class = AttachmentOut
    filterset_class = AttachmentFilter
    parser_classes = (MultiPartParser,)

    @entering(
        "a file at a work order", form={"multipart/form-data": AttachmentIn}, shown=AttachmentOut,
        description="What it is goes by its content. Not once the order is closed.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.enter(request, AttachmentIn, lambda order, **said: attachments.add(order.pk, **said))

    @extend_schema(
        tags=[TAG], summary="The file itself", description="Pictures are shown, all else is for saving.",
        responses={
            (200, kind): OpenApiResponse(OpenApiTypes.BINARY, "The file")
            for kind in media_types.ENDINGS
        },
    )  # fmt: skip
    @action(detail=True, methods=["get"], filterset_class=None)
    def content(self, request: Request, pk: str) -> FileResponse:
        return attachments.handed_out(self.get_object())

    @withdrawing("a file", description="For good: by whoever added it or an administrator, until the order is closed.")
    def destroy(self, request: Request, pk: str) -> Response:
        self.act(request, attachments.remove)
        return Response(status=204)
