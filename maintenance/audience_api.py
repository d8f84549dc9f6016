"""Who is told of what, and how, over REST: persons, channels, subscriptions. A secret is taken, never shown."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import messages, targets
from maintenance.api import example
from maintenance.message_api import Notifications
from maintenance.models import Channel, Reader, Subscription
from maintenance.owned_api import Mine, Owned, written
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters
from sensors.models import Equipment, Site
from sensors.policy import edited_by, takes
from sensors.problems import Problem
from sensors.schema import documented

SITE = "Id of a site of yours; it stays the same."
PERSON = [
    "site", "user", "time_zone", "quiet_from", "quiet_until", "critical_at_once", "limit_messages", "limit_minutes",
]  # fmt: skip
CHANNEL = [
    "site", "name", "kind", "target", "lowest_priority", "reader", "language", "digest_minutes", "owner", "is_enabled",
]  # fmt: skip
SUBSCRIPTION = ["site", "reader", "channel", "equipment", "lowest_priority", "kinds"]


class Member(serializers.PrimaryKeyRelatedField[User]):
    """The id of somebody who is a member of a site of one's own."""

    def get_queryset(self) -> QuerySet[User]:
        mine = access.sites(access.user_of(self.context["request"]))
        return User.objects.filter(memberships__site__in=mine).distinct()


@example(
    site=1, user=7, time_zone="Europe/Lisbon", quiet_from="22:00", quiet_until="07:00", critical_at_once=True,
    limit_messages=20, limit_minutes=60,
)  # fmt: skip
class PersonIn(serializers.ModelSerializer[Reader]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text=SITE)
    user = Member(queryset=User.objects.all(), help_text="Id of a member of the site; it stays the same.")

    class Meta:
        model = Reader
        fields = PERSON
        validators: list[Any] = []


class PersonOut(serializers.ModelSerializer[Reader]):
    name = serializers.CharField(source="user.get_username")

    class Meta:
        model = Reader
        fields = ["id", *PERSON, "name", "created_at"]


class PersonFilter(Filters):
    class Meta:
        model = Reader
        fields = ["site", "user"]


@written(
    "notifications", "a person", form=PersonIn, shown=PersonOut,
    add="Somebody who gets messages of a site, and when and how many they want.",
    change="Everybody may change their own; that of others:",
    delete="With what they subscribed; not while a shift or a step of a chain names them.",
)  # fmt: skip
@documented("notifications", "person who gets messages", "persons who get messages")
class Readers(Owned):
    policy = edited_by("notices.edit")
    own = ("partial_update",)
    queryset = Reader.objects.select_related("user")
    serializer_class = PersonOut
    filterset_class = PersonFilter
    form = PersonIn
    fixed = ("site", "user")

    def require(self, request: Request, row: Reader) -> None:
        """A person is a member of the site if the row was found."""
        if row.user_id != access.user_of(request).pk:
            super().require(request, row)


@example(
    site=1, name="Control room", kind="WEBHOOK", target="https://hooks.example.com/plant", secret="…",
    lowest_priority="MEDIUM", language="en", digest_minutes=0,
)  # fmt: skip
class ChannelIn(serializers.ModelSerializer[Channel]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text=SITE)
    reader = Mine(queryset=Reader.objects.all(), required=False, allow_null=True, help_text="Whose address it is.")
    owner = Member(queryset=User.objects.all(), required=False, allow_null=True, help_text="Else whoever adds it.")
    secret = serializers.CharField(
        write_only=True, required=False, allow_blank=True, max_length=1_000,
        help_text="Taken, never shown: signs a webhook's body; of a service its whole address. Empty: stays as it is.",
    )  # fmt: skip

    class Meta:
        model = Channel
        fields = [*CHANNEL, "secret"]
        validators: list[Any] = []

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        return said if said.get("secret") else {name: value for name, value in said.items() if name != "secret"}


class ChannelOut(serializers.ModelSerializer[Channel]):
    secret_is_set = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields = [
            "id", *CHANNEL, "secret_is_set", "disabled_reason", "failures", "silent_until", "created_at",
        ]  # fmt: skip

    def get_secret_is_set(self, row: Channel) -> bool:
        return bool(row.secret)


class ChannelFilter(Filters):
    class Meta:
        model = Channel
        fields = ["site", "kind", "reader", "is_enabled"]


@written(
    "notifications", "a channel", form=ChannelIn, shown=ChannelOut,
    add="Where messages go. A webhook's address has to be a public one by https, unless the operator allowed its "
    "network; names are looked up and judged when something is sent.",
    change="One that is enabled anew starts afresh.", delete="With its messages; not while a step of a chain names it.",
)  # fmt: skip
@documented("notifications", "channel", "channels")
class Channels(Owned):
    policy = edited_by("notices.edit") | takes("notices.act", "test")
    queryset = Channel.objects.all()
    serializer_class = ChannelOut
    filterset_class = ChannelFilter
    form = ChannelIn

    @extend_schema(
        tags=["notifications"], summary="Send a test", request=None,
        responses={202: Notifications.NotificationOut},
        description="A message that says it is a test, at any hour; what becomes of it stands in its row.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        row, user = self.get_object(), access.user_of(request)
        policy.require(self, row.site_id)
        try:
            sent = targets.test(row, actor=user)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return Response(Notifications.NotificationOut(sent).data, status=202)


@example(site=1, reader=4, equipment=3, lowest_priority="MEDIUM", kinds=["alarm.opened", "alarm.raised"])
class SubscriptionIn(serializers.ModelSerializer[Subscription]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text=SITE)
    reader = Mine(queryset=Reader.objects.all(), required=False, allow_null=True, help_text="A person, or a channel.")
    channel = Mine(queryset=Channel.objects.all(), required=False, allow_null=True)
    equipment = Mine(
        queryset=Equipment.objects.all(), required=False, allow_null=True,
        help_text="A machine, or a line with all that stands in it; without: the whole site.",
    )  # fmt: skip
    kinds = serializers.ListField(
        child=serializers.ChoiceField(messages.KINDS), required=False, help_text="Of event; none: all."
    )

    class Meta:
        model = Subscription
        fields = SUBSCRIPTION
        validators: list[Any] = []


class SubscriptionOut(serializers.ModelSerializer[Subscription]):
    kinds = serializers.ListField(child=serializers.CharField(), help_text="Of event; none: all.")

    class Meta:
        model = Subscription
        fields = ["id", *SUBSCRIPTION, "created_at"]


class SubscriptionFilter(Filters):
    class Meta:
        model = Subscription
        fields = ["site", "reader", "channel", "equipment"]


@written(
    "notifications", "a subscription", form=SubscriptionIn, shown=SubscriptionOut,
    add="What a person or a channel is to be told of, one of the two.",
)  # fmt: skip
@documented("notifications", "subscription", "subscriptions")
class Subscriptions(Owned):
    policy = edited_by("notices.edit")
    queryset = Subscription.objects.all()
    serializer_class = SubscriptionOut
    filterset_class = SubscriptionFilter
    form = SubscriptionIn
