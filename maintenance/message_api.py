"""Messages and each try to send them, over REST: for reading."""

from __future__ import annotations

import django_filters
from rest_framework import serializers

from maintenance.models import Attempt, Notification
from sensors.api import Filters, Scoped
from sensors.policy import READS
from sensors.schema import documented


class NotificationFilter(Filters):
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Notification
        fields = ["site", "channel", "event_type", "status", "urgency", "digest"]


@documented("notifications", "notification", "notifications")
class Notifications(Scoped):
    class NotificationOut(serializers.ModelSerializer[Notification]):
        class Try(serializers.ModelSerializer[Attempt]):
            class Meta:
                model = Attempt
                fields = ["attempt", "began_at", "ended_at", "outcome", "reference", "error"]

        tries = Try(many=True)

        class Meta:
            model = Notification
            fields = [
                "id", "site", "channel", "event_type", "subject_line", "payload", "key", "status", "urgency",
                "attempts", "due_at", "held_for", "digest", "sent_at", "provider_reference", "error", "created_at",
                "tries",
            ]  # fmt: skip

    policy = READS
    queryset = Notification.objects.prefetch_related("tries")
    serializer_class = NotificationOut
    filterset_class = NotificationFilter
