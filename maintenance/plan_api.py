"""Preventive plans over REST: added, changed, previewed, paused, resumed, recorded as done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import plan_dates, plans
from maintenance.api import Acting, example
from maintenance.owned_api import Mine
from maintenance.plan_models import Meter, Plan, PlanOccurrence
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters
from sensors.models import Equipment, Sensor, Site
from sensors.paging import ByIdPagination
from sensors.permissions import READ
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

"""Of what became of a plan, and of a meter's readings, in one answer."""
OPEN = PlanOccurrence.objects.filter(plan=OuterRef("pk"), outcome="").values("order_id")[:1]


class Writing(Acting):
    """Rows that administrators of a site add and change."""

    form: Any
    change_form: Any

    def said(self, request: Request, *, row: Any = None) -> dict[str, Any]:
        """What a body says, for somebody who may say it."""
        form = self.form if row is None else self.change_form
        body = form(data=request.data, partial=row is not None, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        found = dict(body.validated_data)
        site_id = found["site"].pk if row is None else row.site_id
        policy.require(self, site_id)
        return found

    def write(self, change: Callable[[], Any]) -> Any:
        """The row as the list shows it, after a change."""
        try:
            row = change()
        except ValidationError as error:
            told = error.message_dict if hasattr(error, "error_dict") else error.messages
            raise serializers.ValidationError(told) from error
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data

    def editable(self, request: Request) -> Any:
        row = self.get_object()
        policy.require(self, row.site_id)
        return row


class PlanFilter(Filters):
    paused = django_filters.BooleanFilter(field_name="paused_at", lookup_expr="isnull", exclude=True)
    overdue = django_filters.BooleanFilter(method="is_overdue", label="Its day is over, or its meter got there.")
    due_before = django_filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="lt")

    def is_overdue(self, rows: Any, name: str, wanted: bool) -> Any:
        over = plans.overdue(now=timezone.now())
        return rows.filter(over) if wanted else rows.exclude(pk__in=Plan.objects.filter(over).values("pk"))

    class Meta:
        model = Plan
        fields = ["site", "machine", "sensor", "meter", "kind", "basis"]


class PlanChange(serializers.ModelSerializer[Plan]):
    meter = Mine(queryset=Meter.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Plan
        fields = list(plans.SAID)
        validators: list[Any] = []


@example(
    site=1, machine=3, title="Change the oil", minutes=90, every=6, unit="MONTH", first_on="2026-09-01",
    basis="COMPLETION", lead_days=14, meter=2, meter_every=500, meter_lead=20,
)  # fmt: skip
class PlanIn(PlanChange):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    machine = Mine(queryset=Equipment.objects.all(), help_text="Id of a machine; it stays the same.")
    sensor = Mine(queryset=Sensor.objects.all(), required=False, allow_null=True, help_text="Which is calibrated.")

    class Meta(PlanChange.Meta):
        fields = ["site", "machine", "kind", "sensor", *PlanChange.Meta.fields]


class UpcomingOut(serializers.Serializer[Any]):
    due_on = serializers.DateField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True, help_text="null: by a meter, and nobody can say when.")
    opens_at = serializers.DateTimeField(allow_null=True, help_text="When the order is opened.")
    target = serializers.FloatField(allow_null=True, help_text="The meter's total.")
    by = serializers.ChoiceField(["calendar", "meter"], help_text="Which of them is first.")


class OccurrenceOfPlan(serializers.ModelSerializer[PlanOccurrence]):
    class Meta:
        model = PlanOccurrence
        fields = [
            "number", "order", "due_on", "target", "opened_at", "outcome", "ended_at", "counts_from_on",
            "counts_from_total", "by", "comment",
        ]  # fmt: skip


@example(on="2026-03-20", comment="Done with the repair of the seal.")
class WasDone(serializers.Serializer[Any]):
    on = serializers.DateField(
        required=False, allow_null=True, default=None, help_text="In the site's time; else today."
    )
    comment = serializers.CharField(max_length=5_000)


@example(reason="Mothballed until the autumn.")
class PauseReason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2_000)


class NewestDue(ByIdPagination):
    ordering = "-number"


@documented("work-orders", "preventive plan", "preventive plans")
class Plans(Writing):
    class PlanOut(serializers.ModelSerializer[Plan]):
        open_order = serializers.IntegerField(allow_null=True, help_text="Id of the work order that is open.")

        class Meta:
            model = Plan
            fields = [
                "id", "site", "machine", "kind", "sensor", *plans.SAID, "number", "due_on", "due_at", "target",
                "open_order", "paused_at", "paused_by", "pause_reason", "created_by", "created_at",
            ]  # fmt: skip

    policy = READS | takes(READ, "occurrences", "upcoming")
    policy |= takes("plans.edit", "create", "partial_update", "pause", "resume", "record_done", "preview")
    queryset = Plan.objects.select_related("site", "meter").annotate(open_order=Subquery(OPEN))
    serializer_class = PlanOut
    filterset_class = PlanFilter
    form, change_form = PlanIn, PlanChange

    @extend_schema(
        tags=["work-orders"], summary="Add a preventive plan", request=PlanIn, responses={201: PlanOut},
        description="By the calendar, by a meter, or by whichever is first.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        said = self.said(request)
        return Response(self.write(lambda: plans.add(Plan(**said), actor=access.user_of(request))), status=201)

    @extend_schema(
        tags=["work-orders"], summary="Change a preventive plan", request=PlanChange(partial=True),
        responses={200: PlanOut}, description="What is left out stays, and so does an order that is open.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.editable(request)
        said = self.said(request, row=row)
        return Response(self.write(lambda: plans.change(row.pk, actor=access.user_of(request), **said)))

    @extend_schema(
        tags=["work-orders"], summary="What would come of a plan", request=PlanIn,
        responses={200: UpcomingOut(many=True)}, filters=False,
        description="The next ten, each thought to be done when it is due. Nothing is stored.",
    )  # fmt: skip
    @action(detail=False, methods=["post"], pagination_class=None)
    def preview(self, request: Request) -> Response:
        row, now = Plan(**self.said(request)), timezone.now()
        try:
            plans.check(row, now=now)
        except ValidationError as error:
            raise serializers.ValidationError(getattr(error, "message_dict", error.messages)) from error
        return Response(UpcomingOut(plan_dates.upcoming(row, now=now), many=True).data)

    @extend_schema(
        tags=["work-orders"], summary="What comes of a plan", responses={200: UpcomingOut(many=True)}, filters=False,
        description="The next ten, each thought to be done when it is due; the first is the one that is open.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], pagination_class=None)
    def upcoming(self, request: Request, pk: str) -> Response:
        return Response(UpcomingOut(plan_dates.upcoming(self.get_object(), now=timezone.now()), many=True).data)

    @extend_schema(
        tags=["work-orders"], summary="What became of a plan", responses={200: OccurrenceOfPlan(many=True)},
        filters=False, description="The times it was due, newest first.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], pagination_class=NewestDue, filterset_class=None)
    def occurrences(self, request: Request, pk: str) -> Response:
        rows = self.paginate_queryset(self.get_object().occurrences.all())
        return self.get_paginated_response(OccurrenceOfPlan(rows, many=True).data)

    @extend_schema(
        tags=["work-orders"], summary="Record work that was done", request=WasDone, responses={200: PlanOut},
        description="Without an order of the plan, such as early and with other work: the plan moves.",
    )  # fmt: skip
    @action(detail=True, methods=["post"], url_path="record-done")
    def record_done(self, request: Request, pk: str) -> Response:
        return self.act(request, plans.record_done, form=WasDone)

    @extend_schema(
        tags=["work-orders"], summary="Pause a plan", request=PauseReason, responses={200: PlanOut},
        description="It opens no order until it is resumed.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        self.editable(request)
        return self.act(request, plans.pause, form=PauseReason)

    @extend_schema(
        tags=["work-orders"], summary="Resume a plan", request=None, responses={200: PlanOut},
        description="What became due meanwhile is due at once, as one order.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        row = self.editable(request)
        return Response(self.write(lambda: plans.resume(row.pk, actor=access.user_of(request))))
