"""Anomalies and alarms over REST."""

from __future__ import annotations

from typing import Any

import django_filters
from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import alarms, hidden, suppressions
from maintenance.alarm_life import ADVISORY, State, Suppression
from maintenance.definition_api import Guidance
from maintenance.escalation_view import Running, with_running
from maintenance.models import Alarm, AlarmTransition, Anomaly
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.bulk import in_bulk
from sensors.policy import READS
from sensors.problems import Problem
from sensors.schema import documented


class ReasonOut(serializers.Serializer[Any]):
    """Why triage thinks so."""

    name = serializers.CharField()
    points = serializers.IntegerField(help_text="For doubt; negative: for belief; 0: it decides alone.")
    detail = serializers.CharField()


class AnomalyFilter(Filters):
    started_after = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    started_before = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")

    class Meta:
        model = Anomaly
        fields = ["site", "machine", "sensor", "nature", "kind", "detector", "failure_mode", "retrospective", "verdict"]


@documented("anomalies", "anomaly", "anomalies")
class Anomalies(Scoped):
    class AnomalyOut(serializers.ModelSerializer[Anomaly]):
        verdict_reasons = ReasonOut(many=True)

        class Meta:
            model = Anomaly
            fields = [
                "id", "site", "machine", "sensor", "nature", "kind", "failure_mode", "detector", "detector_version",
                "started_at", "last_at", "ended_at", "readings", "peak_score", "peak_at", "observed", "expected_low",
                "expected_high", "window_from", "window_to", "contributors", "retrospective", "verdict",
                "verdict_reasons", "detail", "created_at",
            ]  # fmt: skip

    policy = READS
    queryset = Anomaly.objects.all()
    serializer_class = AnomalyOut
    orderings = ("started_at", "last_at")
    filterset_class = AnomalyFilter


class Acting(Scoped):
    """Rows on which people of a site act."""

    def act(self, request: Request, what: Any, *, form: type[serializers.Serializer[Any]] | None = None) -> Response:
        """Do something to the row, if it is there and the role allows it; answer with how it stands after.

        ``form``: what the body has to say, handed on as arguments.
        """
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        arguments: dict[str, Any] = {}
        if form is not None:
            body = form(data=request.data, context={"site_id": row.site_id})
            body.is_valid(raise_exception=True)
            arguments = dict(body.validated_data)
        try:
            what(row.pk, actor=user, **arguments)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return self.as_it_stands(row.pk)


def example(**body: Any) -> Any:
    """How a body may look, for the OpenAPI description."""
    return extend_schema_serializer(examples=[OpenApiExample("Example", body, request_only=True)])


@example(comment="The suction strainer is blocked; the spare one is being fetched.")
class Comment(serializers.Serializer[Any]):
    comment = serializers.CharField(max_length=5000)


@example(comment="Seen, on my way.")
class OptionalComment(serializers.Serializer[Any]):
    comment = serializers.CharField(max_length=5000, required=False, default="", allow_blank=True)


@example(assignee="maria")
class Assignment(serializers.Serializer[Any]):
    takes = "orders.act"
    assignee = serializers.CharField(max_length=150, help_text="User name of somebody who works in the site.")

    def validate_assignee(self, name: str) -> User:
        assignee = User.objects.filter(username=name, is_active=True).first()
        if assignee is None or not access.may(assignee, self.context["site_id"], to=self.takes):
            raise serializers.ValidationError(f"Nobody who works in this site has the user name {name!r}.")
        return assignee


@example(assignee="maria", comment="You know the pump.")
class AlarmAssignment(Assignment):
    takes = "alarms.act"
    comment = serializers.CharField(max_length=5000, required=False, default="", allow_blank=True)


@example(reason="Cable of the flow sensor is loose; electrician is called.", until="2026-03-01T18:00:00Z")
class Shelf(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=5000)
    until = serializers.DateTimeField(help_text="When it ends at the latest; policy caps how far that may lie ahead.")
    one_shot = serializers.BooleanField(
        required=False, default=False, help_text="Ends as soon as the alarm has returned to normal."
    )
    whole_machine = serializers.BooleanField(
        required=False, default=False, help_text="Hides the alarms of all failure modes of the machine."
    )


class AlarmFilter(Filters):
    is_open = django_filters.BooleanFilter()
    advisory = django_filters.BooleanFilter(method="asks_nothing", label="Whether it is an advisory, and no alarm.")
    state = django_filters.ChoiceFilter(choices=[(s.value, s.value) for s in State], method="in_state")

    def in_state(self, rows: QuerySet[Any], name: str, state: str) -> QuerySet[Any]:
        return hidden.in_state(rows, state)

    def asks_nothing(self, rows: QuerySet[Any], name: str, advisory: bool) -> QuerySet[Any]:
        return rows.filter(priority=ADVISORY) if advisory else rows.exclude(priority=ADVISORY)

    class Meta:
        model = Alarm
        fields = [
            "site",
            "machine",
            "failure_mode",
            "priority",
            "verdict",
            "is_active",
            "is_acknowledged",
            "definition",
        ]


@in_bulk(
    "alarm", "alarms", tag="alarms", takes="alarms.act",
    example={"action": "acknowledge", "items": [{"id": 17, "comment": "Seen, on my way."}, {"id": 18}]},
    acknowledge=OptionalComment, assign=AlarmAssignment, comment=Comment, shelve=Shelf, unacknowledge=Comment,
    unshelve=OptionalComment,
)  # fmt: skip
@documented("alarms", "alarm", "alarms")
class Alarms(Acting):
    class AlarmOut(serializers.ModelSerializer[Alarm]):
        class AlarmStep(serializers.ModelSerializer[AlarmTransition]):
            class Meta:
                model = AlarmTransition
                fields = ["action", "at", "recorded_at", "actor", "reason", "comment", "suppression"]

        transitions = AlarmStep(many=True)
        definition = Guidance(allow_null=True)
        escalation = Running(allow_null=True)
        verdict_reasons = ReasonOut(many=True)
        state = serializers.ChoiceField([s.value for s in State], help_text="By its ISA-18.2 name.")
        suppression = serializers.ChoiceField(
            [s.value for s in Suppression], allow_blank=True, help_text="Why it is hidden; empty where it is not."
        )

        class Meta:
            model = Alarm
            fields = [
                "id", "site", "machine", "sensor", "failure_mode", "priority", "is_active", "is_acknowledged",
                "is_open", "state", "suppression", "raised_at", "returned_at", "occurrences", "peak_score", "verdict",
                "verdict_reasons", "acknowledged_by", "acknowledged_at", "assigned_to", "definition", "escalation",
                "re_alarm_at", "re_alarms", "transitions",
            ]  # fmt: skip

    policy = READS | dict.fromkeys(
        ("acknowledge", "assign", "comment", "shelve", "unacknowledge", "unshelve"), "alarms.act"
    )
    queryset = with_running(
        hidden.with_state(Alarm.objects.select_related("definition").prefetch_related("transitions"))
    )
    serializer_class = AlarmOut
    orderings = ("raised_at",)
    filterset_class = AlarmFilter

    @extend_schema(
        tags=["alarms"], summary="Acknowledge an alarm", request=OptionalComment, responses={200: AlarmOut},
        description="Says that somebody has seen it. Not possible twice.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        return self.act(request, alarms.acknowledge, form=OptionalComment)

    @extend_schema(
        tags=["alarms"], summary="Comment on an alarm", request=Comment, responses={200: AlarmOut},
        description="Adds to its history and changes nothing else.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def comment(self, request: Request, pk: str) -> Response:
        return self.act(request, alarms.comment, form=Comment)

    @extend_schema(
        tags=["alarms"], summary="Take back an acknowledgement", request=Comment, responses={200: AlarmOut},
        description="Of an active alarm: it has to be acknowledged anew. Says why.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def unacknowledge(self, request: Request, pk: str) -> Response:
        return self.act(request, alarms.unacknowledge, form=Comment)

    @extend_schema(
        tags=["alarms"], summary="Assign an alarm", request=AlarmAssignment, responses={200: AlarmOut},
        description="To somebody who may work in the site, while it is open.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        return self.act(request, alarms.assign, form=AlarmAssignment)

    @extend_schema(
        tags=["alarms"], summary="Shelve an alarm", request=Shelf, responses={200: AlarmOut},
        description="Hides the alarms of its machine and failure mode for a time: they go on being evaluated, but "
        "nobody is told and no work order is opened. What is still active at the end has to be seen anew.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def shelve(self, request: Request, pk: str) -> Response:
        return self.act(request, suppressions.shelve, form=Shelf)

    @extend_schema(
        tags=["alarms"], summary="Unshelve an alarm", request=OptionalComment, responses={200: AlarmOut},
        description="Ends every shelving that hides it, that of its whole machine too.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def unshelve(self, request: Request, pk: str) -> Response:
        return self.act(request, suppressions.unshelve_alarm, form=OptionalComment)
