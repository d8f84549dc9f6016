"""The schedule over REST: schedules asked for, looked at, published; their visits pinned and moved."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.schedule import steps
from agents.schedule.difference import Kind
from maintenance import schedules
from maintenance.api import example
from maintenance.audience_api import Member
from maintenance.owned_api import Mine
from maintenance.refusals import Refused
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Site
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented


@example(site=1, days=14)
class ScheduleRequest(serializers.Serializer[Any]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours.")
    days = serializers.IntegerField(required=False, default=14, min_value=1, max_value=60)


@example(person=7, start="2026-03-03T07:00:00Z")
class VisitMove(serializers.Serializer[Any]):
    person = Member(queryset=User.objects.all(), help_text="Id of who is to do it.")
    start = serializers.DateTimeField(help_text="When it is to begin.")


class ToldOut(serializers.Serializer[Any]):
    person = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class ChangeOut(serializers.Serializer[Any]):
    order = serializers.IntegerField()
    kind = serializers.ChoiceField([str(kind) for kind in Kind])
    before = ToldOut(allow_null=True)
    after = ToldOut(allow_null=True)


class VisitOut(serializers.ModelSerializer[ScheduleVisit]):
    class Meta:
        model = ScheduleVisit
        fields = ["id", "schedule", "order", "person", "start_at", "end_at", "is_pinned"]


SHOWN = [
    "id", "site", "status", "days", "requested_by", "requested_at", "begins_at", "made_at", "method", "cost", "bound",
    "gap", "changed", "seconds", "left_out", "reason", "published_by", "published_at",
]  # fmt: skip


class ScheduleOut(serializers.ModelSerializer[Schedule]):
    gap = serializers.FloatField(allow_null=True, read_only=True, help_text="Of the cost, too much at most.")
    changed = serializers.IntegerField(
        read_only=True,
        help_text="How often people moved a visit or took one out; cost, bound and gap are those of before.",
    )
    left_out = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of orders without a place.")

    class Meta:
        model = Schedule
        fields = SHOWN


class ScheduleDetail(ScheduleOut):
    visits = VisitOut(many=True)
    changes = serializers.SerializerMethodField(help_text="Of a proposal: beside what the orders say.")

    class Meta:
        model = Schedule
        fields = [*SHOWN, "visits", "changes"]

    @extend_schema_field(ChangeOut(many=True))
    def get_changes(self, schedule: Schedule) -> Any:
        return ChangeOut(steps.changes(schedule), many=True).data


class Edited(Scoped):
    """Rows that administrators of the site change."""

    def change(self, request: Request, what: Any, *, form: type[serializers.Serializer[Any]] | None = None) -> None:
        row, user, said = self.get_object(), access.user_of(request), {}
        policy.require(self, self.site_of(row))
        if form is not None:
            body = form(data=request.data, context=self.get_serializer_context())
            body.is_valid(raise_exception=True)
            said = dict(body.validated_data)
        try:
            what(row.pk, actor=user, **said)
        except Refused as error:
            raise Problem("conflict", str(error)) from error

    def site_of(self, row: Any) -> int:
        return int(row.site_id)


@documented("schedule", "schedule", "schedules of who does which order when")
class Schedules(Edited):
    class ScheduleFilter(Filters):
        class Meta:
            model = Schedule
            fields = ["site", "status"]

    policy = READS | takes("schedule.edit", "create", "discard", "publish")
    queryset = Schedule.objects.select_related("site")
    serializer_class = ScheduleDetail
    filterset_class = ScheduleFilter

    def get_queryset(self) -> Any:
        rows = schedules.with_changes(super().get_queryset())
        return rows if self.action == "list" else rows.prefetch_related("visits")

    def get_serializer_class(self) -> Any:
        return ScheduleOut if self.action == "list" else ScheduleDetail

    @extend_schema(responses={200: ScheduleOut(many=True)})
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        tags=["schedule"], summary="Ask for a schedule", request=ScheduleRequest, responses={202: ScheduleDetail},
        description="The agent makes it within minutes; one of a site is asked for at a time.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = ScheduleRequest(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        user, site = access.user_of(request), body.validated_data["site"]
        policy.require(self, site.pk)
        try:
            schedule = steps.request(site, actor=user, days=body.validated_data["days"])
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return Response(self._shown(schedule.pk), status=202)

    @extend_schema(
        tags=["schedule"], summary="Publish a schedule", request=None, responses={200: ScheduleDetail},
        description="Plans and assigns its orders, all of them or none: not where one was changed since, or the "
        "schedule can no longer be carried out.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, pk: str) -> Response:
        self.change(request, steps.publish)
        return Response(self._shown(pk))

    @extend_schema(
        tags=["schedule"], summary="Discard a schedule", request=None, responses={200: ScheduleDetail},
        description="Nothing comes of the proposal.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        self.change(request, steps.discard)
        return Response(self._shown(pk))

    def _shown(self, key: Any) -> Any:
        return ScheduleDetail(self.get_queryset().get(pk=key)).data


@documented("schedule", "visit", "visits of schedules")
class ScheduleVisits(Edited):
    class VisitFilter(Filters):
        class Meta:
            model = ScheduleVisit
            fields = ["schedule", "order", "person", "is_pinned"]

    policy = READS | {
        "destroy": "schedule.edit",
        "move": "schedule.edit",
        "pin": "schedule.edit",
        "unpin": "schedule.edit",
    }
    site_path = "schedule__site"
    queryset = ScheduleVisit.objects.select_related("schedule")
    serializer_class = VisitOut
    filterset_class = VisitFilter

    def site_of(self, row: Any) -> int:
        return int(row.schedule.site_id)

    @extend_schema(
        tags=["schedule"], summary="Pin a visit", request=None, responses={200: VisitOut},
        description="Later schedules keep it as it is.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def pin(self, request: Request, pk: str) -> Response:
        self.change(request, steps.pin)
        return Response(VisitOut(self.get_object()).data)

    @extend_schema(
        tags=["schedule"], summary="Unpin a visit", request=None, responses={200: VisitOut},
        description="Later schedules may do it otherwise.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def unpin(self, request: Request, pk: str) -> Response:
        self.change(request, steps.unpin)
        return Response(VisitOut(self.get_object()).data)

    @extend_schema(
        tags=["schedule"], summary="Move a visit", request=VisitMove, responses={200: VisitOut},
        description="Somebody else, or another time; it is pinned. Refused where that cannot be done.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        self.change(request, steps.move, form=VisitMove)
        return Response(VisitOut(self.get_object()).data)

    @extend_schema(
        tags=["schedule"], summary="Take an order out of a schedule", responses={204: None},
        description="The order stays as it is; the next schedule may have it again.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        self.change(request, steps.take_out)
        return Response(status=204)
