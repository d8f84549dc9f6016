"""Webhooks and their deliveries over REST, for a site's administrators. A secret is shown when it is made, and never
again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import webhook_filter, webhooks
from maintenance.api import example
from maintenance.owned_api import Mine, Owned, written
from maintenance.refusals import Refused
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from sensors import access
from sensors.api import Filters, Scoped
from sensors.models import Equipment, Site
from sensors.policy import READS, edited_by, takes
from sensors.problems import Problem
from sensors.schema import documented

FIELDS = ["site", "name", "url", "types", "lowest_priority", "equipment"]
TYPES = "Types of events, such as work_order.opened, or families, such as alarm.*."
TAG = "webhooks"


@example(
    site=1, name="ERP", url="https://erp.example.com/bellwether", types=["alarm.*", "work_order.opened"],
    lowest_priority="MEDIUM", equipment=None,
)  # fmt: skip
class WebhookIn(serializers.ModelSerializer[Webhook]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    equipment = Mine(
        queryset=Equipment.objects.all(), required=False, allow_null=True,
        help_text="A line with all machines that stand in it, or one machine; null: the whole site.",
    )  # fmt: skip
    types = serializers.ListField(
        child=serializers.ChoiceField(webhook_filter.CHOICES), allow_empty=False, help_text=TYPES
    )

    class Meta:
        model = Webhook
        fields = FIELDS
        validators: list[Any] = []


class WebhookOut(serializers.ModelSerializer[Webhook]):
    types = serializers.ListField(child=serializers.CharField(), help_text=TYPES)
    waiting = serializers.SerializerMethodField(help_text="Deliveries that are still to be sent.")

    class Meta:
        model = Webhook
        fields = [
            "id", *FIELDS, "status", "reason", "failures", "rests_until", "rate_per_minute", "waiting",
            "previous_until", "verified_at", "created_by", "created_at",
        ]  # fmt: skip

    def get_waiting(self, row: Webhook) -> int:
        return row.deliveries.filter(status=WebhookDelivery.Status.PENDING).count()


class WebhookMade(WebhookOut):
    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]


class WebhookFilter(Filters):
    class Meta:
        model = Webhook
        fields = ["site", "status"]


class TryOut(serializers.ModelSerializer[WebhookTry]):
    class Meta:
        model = WebhookTry
        fields = ["attempt", "began_at", "milliseconds", "answered", "answer", "error"]


class DeliveryOut(serializers.ModelSerializer[WebhookDelivery]):
    type = serializers.SerializerMethodField()
    subject = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "webhook", "event", "type", "subject", "status", "reason", "attempts", "due_at", "created_at",
            "finished_at",
        ]  # fmt: skip

    def get_type(self, row: WebhookDelivery) -> str:
        return "test" if row.event is None else row.event.type

    def get_subject(self, row: WebhookDelivery) -> str:
        return f"webhook/{row.webhook_id}" if row.event is None else row.event.subject


class DeliveryWithTries(DeliveryOut):
    tries = TryOut(many=True, help_text="The newest first.")

    class Meta(DeliveryOut.Meta):
        fields = [*DeliveryOut.Meta.fields, "tries"]


@example(overlap_hours=24)
class WebhookRotation(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(
        required=False, default=24, min_value=0, max_value=webhooks.MOST_OVERLAP_HOURS,
        help_text="So long the old secret signs beside the new one.",
    )  # fmt: skip


@example(begin="2026-03-01T00:00:00Z", end="2026-03-02T00:00:00Z")
class Span(serializers.Serializer[Any]):
    begin = serializers.DateTimeField(help_text="Events recorded from here on ...")
    end = serializers.DateTimeField(help_text="... and before this.")


class Replayed(serializers.Serializer[Any]):
    events = serializers.IntegerField()


CHANGES = "webhooks.edit"


class Administered(Scoped):
    """What only the administrators of a site see of it: an address may hold a secret, and so may an answer."""

    def get_queryset(self) -> QuerySet[Any]:
        mine = access.sites(access.user_of(self.request), to=CHANGES)
        return super().get_queryset().filter(**{f"{self.site_path}__in": mine})

    def settled(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Refused as error:
            raise Problem("conflict", str(error)) from error


def _asked(summary: str, description: str, answer: Any, *, body: Any = None, status: int = 200) -> Any:
    return extend_schema(
        tags=[TAG], summary=summary, description=f"{description} Takes an administrator of the site.", request=body,
        responses={status: answer},
    )  # fmt: skip


@written(
    TAG, "a webhook", form=WebhookIn, shown=WebhookOut,
    add="It is asked whether it agrees (OPTIONS, see docs/webhooks.md); nothing is sent before. The secret that signs "
    "is shown in this answer alone.",
    change="Another address has to agree anew.", delete="With its deliveries.",
)  # fmt: skip
@documented(TAG, "webhook", "webhooks: addresses that a site's events are sent to")
class Webhooks(Administered, Owned):
    policy = edited_by(CHANGES) | takes(
        CHANGES, *READS, "verify", "pause", "resume", "test", "rotate", "replay"
    )  # fmt: skip
    queryset = Webhook.objects.all()
    serializer_class = WebhookOut
    filterset_class = WebhookFilter
    form = WebhookIn

    @extend_schema(responses={201: WebhookMade})
    def create(self, request: Request) -> Response:
        answer = super().create(request)
        row = Webhook.objects.get(pk=answer.data["id"])
        return Response(WebhookMade(row, context=self.get_serializer_context()).data, status=201)

    @_asked("Ask a webhook whether it agrees", "Once more, now.", WebhookOut, status=202)
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        return self._moved(request, webhooks.verify, status=202)

    @_asked("Pause a webhook", "What happens meanwhile waits in the journal.", WebhookOut)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        return self._moved(request, webhooks.pause)

    @_asked("Resume a paused webhook", "What has happened meanwhile is sent, as far as it is kept.", WebhookOut)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        return self._moved(request, webhooks.resume)

    def _moved(self, request: Request, move: Callable[..., Webhook], *, status: int = 200) -> Response:
        row, actor = self.get_object(), access.user_of(request)
        done = self.settled(lambda: move(row.pk, actor=actor))
        return Response(self.get_serializer(done).data, status=status)

    @_asked("Send a test to a webhook", "An event of the type bellwether.test.", DeliveryOut, status=202)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        row, actor = self.get_object(), access.user_of(request)
        made = self.settled(lambda: webhooks.test(row.pk, actor=actor))
        return Response(DeliveryOut(made, context=self.get_serializer_context()).data, status=202)

    @_asked("Give a webhook a new secret", "It is shown in this answer alone.", WebhookMade, body=WebhookRotation)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        row, body = self.get_object(), WebhookRotation(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(hours=body.validated_data["overlap_hours"])
        done = webhooks.rotate(row.pk, overlap=overlap, actor=access.user_of(request))
        return Response(WebhookMade(done, context=self.get_serializer_context()).data)

    @_asked(
        "Send a webhook the events of a time again",
        f"Those that it wants by its filters, at most {webhooks.MOST_REPLAYED:,}; also from before it was added.",
        Replayed, body=Span, status=202,
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        row, body = self.get_object(), Span(data=request.data)
        body.is_valid(raise_exception=True)
        actor = access.user_of(request)
        count = self.settled(lambda: webhooks.replay_between(row.pk, **body.validated_data, actor=actor))
        return Response({"events": count}, status=202)


class DeliveryFilter(Filters):
    class Meta:
        model = WebhookDelivery
        fields = ["webhook", "event", "status"]


@documented(TAG, "delivery", "deliveries: events that were sent or are to be sent")
class WebhookDeliveries(Administered):
    policy = takes(CHANGES, "list", "retrieve", "replay")
    site_path = "webhook__site"
    queryset = WebhookDelivery.objects.select_related("event")
    serializer_class = DeliveryOut
    filterset_class = DeliveryFilter

    @extend_schema(
        tags=[TAG], summary="One delivery", description="With each attempt and the beginning of what was answered.",
        responses={200: DeliveryWithTries},
    )  # fmt: skip
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(DeliveryWithTries(self.get_object(), context=self.get_serializer_context()).data)

    @_asked("Send a delivery again", "Not one that has not been sent yet.", DeliveryOut, status=202)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        row, actor = self.get_object(), access.user_of(request)
        again = self.settled(lambda: webhooks.replay(row.pk, actor=actor))
        return Response(self.get_serializer(again).data, status=202)
