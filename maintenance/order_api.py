"""Work orders over REST: requested, approved, planned, carried out and closed."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import failure_data, failure_modes, order_life, order_steps
from maintenance.api import Assignment, Comment, OptionalComment, example
from maintenance.approval_api import Aside, Changes, Deciding
from maintenance.effort_api import Costed
from maintenance.models import Priority, WorkOrder, WorkOrderTransition
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters
from sensors.bulk import in_bulk
from sensors.models import Equipment
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented


@example(
    machine=3, title="Guard of the coupling is loose", maintenance_type="CORRECTIVE_DEFERRED", priority="MEDIUM",
    due_at="2026-03-06T16:00:00Z",
)  # fmt: skip
class OrderRequest(serializers.Serializer[Any]):
    machine = serializers.IntegerField(help_text="Id of a machine.")
    title = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)
    maintenance_type = serializers.ChoiceField(WorkOrder.Type.choices, help_text="In the words of EN 13306.")
    priority = serializers.ChoiceField(
        Priority.choices, required=False, default="", allow_blank=True,
        help_text="Empty: by the machine's criticality, immediate or not, and the time to failure.",
    )  # fmt: skip
    hours_to_failure = serializers.FloatField(
        required=False, allow_null=True, default=None, min_value=0, help_text="The early bound, where it is known."
    )
    failure_mode = serializers.ChoiceField(
        failure_modes.CODES, required=False, default="", allow_blank=True, help_text="In the sense of ISO 14224."
    )
    due_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    expected_cost = serializers.DecimalField(
        12,
        2,
        min_value=0,
        required=False,
        allow_null=True,
        default=None,
        help_text="Beside the planned parts; where it is known.",
    )

    def validate_machine(self, key: int) -> Equipment:
        user = access.user_of(self.context["request"])
        found = access.scope(Equipment.objects.filter(level=Equipment.Level.MACHINE), user).filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError(f"There is no machine {key} in your sites.")
        policy.require(self.context["view"], found.site_id)
        return found


STEPS = (
    "approve", "assign", "cancel", "close", "complete", "defer", "hold", "modify", "plan", "reject", "reopen", "resume",
    "start",
)  # fmt: skip
"""What is done with an order; whether somebody may approve goes by their authority (``maintenance.approvers``)."""


@example(start="2026-03-03T07:00:00Z", minutes=90)
class Plan(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    minutes = serializers.IntegerField(min_value=1, max_value=60 * 24 * 90, help_text="How long it is thought to take.")
    comment = serializers.CharField(max_length=5_000, required=False, default="", allow_blank=True)


@example(verdict="REAL", found_mode="VIB", mechanism="2.4", cause="OPERATION", activity="REPLACE")
class Closing(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(
        WorkOrder.Verdict.choices, required=False, default="", allow_blank=True,
        help_text="What the anomalies behind it turned out to be; asked for where an alarm opened it.",
    )  # fmt: skip
    found_mode = serializers.ChoiceField(failure_modes.CODES, required=False, default="", allow_blank=True)
    mechanism = serializers.ChoiceField(
        list(failure_data.MECHANISMS.items()), required=False, default="", allow_blank=True
    )
    cause = serializers.ChoiceField(list(failure_data.CAUSES.items()), required=False, default="", allow_blank=True)
    detection_method = serializers.ChoiceField(
        list(failure_data.DETECTION_METHODS.items()), required=False, default="", allow_blank=True
    )
    activity = serializers.ChoiceField(
        list(failure_data.ACTIVITIES.items()), required=False, default="", allow_blank=True
    )
    comment = serializers.CharField(max_length=5_000, required=False, default="", allow_blank=True)


@example(findings="Bearing worn on the drive side; replaced, shaft aligned, vibration back to 2.1 mm/s.")
class Findings(serializers.Serializer[Any]):
    findings = serializers.CharField(max_length=20_000, help_text="What was found and done.")


class WorkOrderFilter(Filters):
    is_over = django_filters.BooleanFilter(method="over", label="Completed, closed or cancelled.")
    due_before = django_filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="lt")

    def over(self, rows: Any, name: str, wanted: bool) -> Any:
        over = {"status__in": sorted(order_life.OVER)}
        return rows.filter(**over) if wanted else rows.exclude(**over)

    class Meta:
        model = WorkOrder
        fields = ["site", "machine", "failure_mode", "maintenance_type", "priority", "status", "assigned_to", "alarm"]


@in_bulk(
    "work order", "work orders", tag="work-orders", takes="orders.request",
    example={"action": "plan", "items": [{"id": 12, "start": "2026-03-03T07:00:00Z", "minutes": 90}]},
    create=OrderRequest, approve=OptionalComment, assign=Assignment, cancel=Comment, close=Closing, complete=Findings,
    defer=Aside, hold=Comment, modify=Changes, plan=Plan, reject=Comment, reopen=Comment, resume=OptionalComment,
    start=None,
)  # fmt: skip
@documented("work-orders", "work order", "work orders")
class WorkOrders(Deciding, Costed):
    class WorkOrderOut(serializers.ModelSerializer[WorkOrder]):
        class WorkOrderStep(serializers.ModelSerializer[WorkOrderTransition]):
            class Meta:
                model = WorkOrderTransition
                fields = ["action", "from_status", "to_status", "at", "recorded_at", "actor", "comment"]

        transitions = WorkOrderStep(many=True)

        class Meta:
            model = WorkOrder
            fields = [
                "id", "site", "machine", "failure_mode", "maintenance_type", "priority", "status", "title",
                "description", "alarm", "occurrences", "requested_by", "assigned_to", "due_at", "expected_cost",
                "planned_start", "planned_minutes", "hold_reason", "findings", "verdict", "found_mode", "mechanism",
                "cause", "detection_method", "activity", "label", "opened_at", "started_at", "completed_at",
                "closed_at", "transitions",
            ]  # fmt: skip

    policy = READS | takes("orders.request", "create") | takes(READ, "costs") | takes("orders.act", *STEPS)
    queryset = WorkOrder.objects.prefetch_related("transitions")
    serializer_class = WorkOrderOut
    orderings = ("opened_at",)
    filterset_class = WorkOrderFilter

    @extend_schema(
        tags=["work-orders"], summary="Request work", request=OrderRequest, responses={201: WorkOrderOut},
        description="It waits for approval. A machine has one open order for a failure mode.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = OrderRequest(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        try:
            row = order_steps.request(said.pop("machine"), actor=access.user_of(request), **said)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return self.as_it_stands(row.pk, status=201)

    @extend_schema(
        tags=["work-orders"], summary="Plan a work order", request=Plan, responses={200: WorkOrderOut},
        description="When it is to begin, and how long it is thought to take.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def plan(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.plan, form=Plan)

    @extend_schema(
        tags=["work-orders"], summary="Hold a work order", request=Comment, responses={200: WorkOrderOut},
        description="The work waits for what the comment says; the machine is in service meanwhile.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def hold(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.hold, form=Comment)

    @extend_schema(
        tags=["work-orders"], summary="Resume a work order", request=OptionalComment, responses={200: WorkOrderOut},
        description="The work goes on, and the machine is out of service again.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.resume, form=OptionalComment)

    @extend_schema(
        tags=["work-orders"], summary="Close a work order", request=Closing, responses={200: WorkOrderOut},
        description="Puts on record what was found, in the vocabulary of ISO 14224. The verdict labels the window of "
        "the anomalies behind it, in the same transaction.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.close, form=Closing)

    @extend_schema(
        tags=["work-orders"], summary="Reopen a work order", request=Comment, responses={200: WorkOrderOut},
        description="It was not over after all. The comment says why.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.reopen, form=Comment)

    @extend_schema(
        tags=["work-orders"], summary="Assign a work order", request=Assignment, responses={200: WorkOrderOut},
        description="To somebody who may work in the site.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.assign, form=Assignment)

    @extend_schema(
        tags=["work-orders"], summary="Start a work order", request=None, responses={200: WorkOrderOut},
        description="Work begins; it must be assigned.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.start)

    @extend_schema(
        tags=["work-orders"], summary="Complete a work order", request=Findings, responses={200: WorkOrderOut},
        description="Says what was found and done.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.complete, form=Findings)

    @extend_schema(
        tags=["work-orders"], summary="Cancel a work order", request=Comment, responses={200: WorkOrderOut},
        description="With the reason as a comment.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return self.act(request, order_steps.cancel, form=Comment)
