"""Approval over REST: what waits, what was decided, and what people decide, one by one or many at once."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import approvals, approvers, part_costs
from maintenance.api import Acting, Comment, OptionalComment, example
from maintenance.approval_models import ApprovalDecision, ApprovalWait
from maintenance.models import Priority, WorkOrder
from maintenance.refusals import Refused
from sensors import access
from sensors.api import Filters, Scoped
from sensors.paging import ByIdPagination
from sensors.policy import READS, takes
from sensors.schema import documented

MOST = 200
"""Orders decided on in one request."""


@example(until="2026-03-09T06:00:00Z", comment="The budget of the quarter is decided on Friday.")
class Aside(Comment):
    until = serializers.DateTimeField(help_text="It is asked for anew then.")


@example(priority="LOW", due_at="2026-04-01T16:00:00Z", comment="It can wait for the spring stop.")
class Changes(serializers.Serializer[Any]):
    """What is left out stays."""

    priority = serializers.ChoiceField(Priority.choices, required=False)
    maintenance_type = serializers.ChoiceField(WorkOrder.Type.choices, required=False)
    due_at = serializers.DateTimeField(required=False, allow_null=True)
    expected_cost = serializers.DecimalField(12, 2, min_value=0, required=False, allow_null=True)
    description = serializers.CharField(max_length=20_000, required=False, allow_blank=True)
    comment = serializers.CharField(max_length=5_000, required=False, default="", allow_blank=True)


TAKES = "Takes an administrator of the site, or somebody to whom one delegated it."


class Deciding(Acting):
    """What is done with an order that was requested."""

    @extend_schema(
        tags=["work-orders"], summary="Approve a request", request=OptionalComment, description=TAKES,
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        return self.act(request, approvals.approve, form=OptionalComment)

    @extend_schema(
        tags=["work-orders"], summary="Reject a request", request=Comment,
        description=f"{TAKES} The comment says why.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self.act(request, approvals.reject, form=Comment)

    @extend_schema(
        tags=["work-orders"], summary="Set a request aside", request=Aside,
        description=f"Nobody is asked and no time runs until then. {TAKES}",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def defer(self, request: Request, pk: str) -> Response:
        return self.act(request, approvals.defer, form=Aside)

    @extend_schema(
        tags=["work-orders"], summary="Change a request", request=Changes,
        description=f"It goes on waiting, by the policy that holds for it then. {TAKES}",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def modify(self, request: Request, pk: str) -> Response:
        return self.act(request, approvals.modify, form=Changes)


class WaitFilter(Filters):
    overdue = django_filters.BooleanFilter(method="late", label="Its time is up, or was.")
    deferred = django_filters.BooleanFilter(
        field_name="deferred_until", lookup_expr="isnull", exclude=True, label="Set aside."
    )
    mine = django_filters.BooleanFilter(method="for_me", label="Whoever asks may decide on it and is asked.")

    def late(self, rows: QuerySet[ApprovalWait], name: str, wanted: bool) -> QuerySet[ApprovalWait]:
        up = Q(is_left=True) | Q(reminded__gt=0) | Q(until__isnull=False, until__lte=timezone.now())
        overdue = up & Q(deferred_until=None)
        return rows.filter(overdue) if wanted else rows.exclude(overdue)

    def for_me(self, rows: QuerySet[ApprovalWait], name: str, wanted: bool) -> QuerySet[ApprovalWait]:
        mine = approvers.of_person(access.user_of(self.request), now=timezone.now())
        return rows.filter(mine) if wanted else rows.exclude(mine)

    class Meta:
        model = ApprovalWait
        fields = ["site", "order", "policy", "asked"]


@example(orders=[17, 18], decision="REJECT", comment="The machine is scrapped in May.")
class Bulk(serializers.Serializer[Any]):
    orders = serializers.ListField(child=serializers.IntegerField(), min_length=1, max_length=MOST)
    decision = serializers.ChoiceField(["APPROVE", "REJECT", "DEFER"])
    comment = serializers.CharField(
        max_length=5_000, required=False, default="", allow_blank=True, help_text="Asked for unless it is approved."
    )
    until = serializers.DateTimeField(required=False, help_text="Of what is set aside.")

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        if (said["decision"] == "DEFER") != ("until" in said):
            raise serializers.ValidationError({"until": "Say it exactly where the orders are set aside."})
        return said


class Done(serializers.Serializer[Any]):
    order = serializers.IntegerField()
    done = serializers.BooleanField()
    detail = serializers.CharField(help_text="Why not; empty where it was done.")


class OldestFirst(ByIdPagination):
    ordering = ("since", "id")


@documented("work-orders", "order that waits for approval", "orders that wait for approval, the oldest first")
class Waits(Scoped):
    class ApprovalWaitOut(serializers.ModelSerializer[ApprovalWait]):
        title = serializers.CharField(source="order.title")
        priority = serializers.ChoiceField(Priority.choices, source="order.priority")
        cost = serializers.DecimalField(
            16, 2, allow_null=True, help_text="Expected in all, planned parts included; null: not known."
        )
        is_overdue = serializers.SerializerMethodField()

        class Meta:
            model = ApprovalWait
            fields = [
                "id", "site", "order", "title", "priority", "cost", "since", "policy", "policy_revision", "asked",
                "until", "reminded", "is_overdue", "deferred_until", "deferred_by", "defer_reason",
            ]  # fmt: skip

        def get_is_overdue(self, row: ApprovalWait) -> bool:
            return row.is_overdue(timezone.now())

    policy = READS | takes("orders.act", "decide")
    queryset = ApprovalWait.objects.select_related("order").annotate(cost=part_costs.in_all("order"))
    serializer_class = ApprovalWaitOut
    filterset_class = WaitFilter
    pagination_class = OldestFirst

    @extend_schema(
        tags=["work-orders"], summary="Decide on many requests", request=Bulk,
        responses={200: Done(many=True)}, filters=False,
        description=f"At most {MOST}, each by itself: what is refused of one holds up no other, and is said. {TAKES}",
    )  # fmt: skip
    @action(detail=False, methods=["post"], pagination_class=None, filterset_class=None)
    def decide(self, request: Request) -> Response:
        body = Bulk(data=request.data)
        body.is_valid(raise_exception=True)
        said, user = body.validated_data, access.user_of(request)
        seen = set(access.scope(WorkOrder.objects.filter(pk__in=said["orders"]), user).values_list("pk", flat=True))
        told = [
            _decide(key, said, user) if key in seen else "There is no such order in your sites."
            for key in said["orders"]
        ]
        rows = zip(said["orders"], told, strict=True)
        return Response([{"order": key, "done": not why, "detail": why} for key, why in rows])


def _decide(order_id: int, said: dict[str, Any], user: Any) -> str:
    """Why it was refused; empty where it was done."""
    try:
        if said["decision"] == "APPROVE":
            approvals.approve(order_id, actor=user, comment=said["comment"])
        elif said["decision"] == "REJECT":
            approvals.reject(order_id, actor=user, comment=said["comment"])
        else:
            approvals.defer(order_id, actor=user, comment=said["comment"], until=said["until"])
    except Refused as refusal:
        return str(refusal)
    return ""


class DecisionFilter(Filters):
    class Meta:
        model = ApprovalDecision
        fields = ["site", "order", "what", "by_agent", "is_trial", "policy", "actor"]


@documented("work-orders", "decision about an order", "decisions about orders, by people and by policies")
class Decisions(Scoped):
    class ApprovalDecisionOut(serializers.ModelSerializer[ApprovalDecision]):
        policy_said = serializers.JSONField(help_text="The policy as it was; null where a person decided.")
        facts = serializers.JSONField(help_text="The order, as far as it mattered.")

        class Meta:
            model = ApprovalDecision
            fields = [
                "id", "site", "order", "what", "is_trial", "by_agent", "policy", "policy_revision", "policy_said",
                "actor", "for_whom", "asked", "until", "reason", "facts", "at",
            ]  # fmt: skip

    policy = READS
    queryset = ApprovalDecision.objects.all()
    serializer_class = ApprovalDecisionOut
    filterset_class = DecisionFilter
