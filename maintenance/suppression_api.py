"""What hides alarms, over REST."""

from __future__ import annotations

import django_filters
from rest_framework import serializers

from maintenance.models import Suppression
from sensors.api import Filters, Scoped
from sensors.policy import READS
from sensors.schema import documented


class SuppressionFilter(Filters):
    standing = django_filters.BooleanFilter(
        field_name="ended_at", lookup_expr="isnull", label="Whether it hides alarms now."
    )

    class Meta:
        model = Suppression
        fields = [
            "site", "machine", "failure_mode", "kind", "work_order", "window", "operating", "parent_rule",
            "parent_alarm", "created_by",
        ]  # fmt: skip


@documented("alarms", "suppression", "suppressions: what hides alarms, and what did")
class Suppressions(Scoped):
    class SuppressionOut(serializers.ModelSerializer[Suppression]):
        class Meta:
            model = Suppression
            fields = [
                "id", "site", "machine", "failure_mode", "kind", "one_shot", "reason", "from_at", "until", "work_order",
                "window", "operating", "parent_rule", "parent_alarm", "over_at", "notice_at", "created_by", "ended_at",
                "ended_by", "end_reason",
            ]  # fmt: skip

    policy = READS
    queryset = Suppression.objects.all()
    serializer_class = SuppressionOut
    filterset_class = SuppressionFilter
