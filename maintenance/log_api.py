"""The maintenance log over REST: read, searched and added to."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import log
from maintenance.api import example
from maintenance.models import LogLine
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.bulk import in_bulk
from sensors.models import Equipment
from sensors.paging import ByIdPagination
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented


class NewestDone(ByIdPagination):
    """What was done last comes first."""

    ordering = ("-at", "-id")


class LogFilter(Filters):
    q = django_filters.CharFilter(
        method="words", label='Words in it; "in this order", one or another, -without. In the language of the site.'
    )
    after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    def words(self, lines: Any, name: str, text: str) -> Any:
        asked = self.data.get("site", "")
        sites = access.sites(access.user_of(self.request)).values_list("pk", flat=True)
        mine = [pk for pk in sites if not asked or str(pk) == asked]
        return log.search(lines, text, sites=mine)

    class Meta:
        model = LogLine
        fields = ["site", "machine", "kind", "failure_mode"]


@example(
    machine=3, title="Coupling changed", found="Rubber spider torn", fixed="New spider, aligned to 0.05 mm",
    at="2026-03-03T09:30:00Z",
)  # fmt: skip
class LogEntryIn(serializers.Serializer[Any]):
    machine = serializers.IntegerField(help_text="Id of a machine.")
    title = serializers.CharField(max_length=200, help_text="What was done, in a line.")
    found = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)
    fixed = serializers.CharField(max_length=20_000, required=False, default="", allow_blank=True)
    worker = serializers.CharField(
        max_length=200, required=False, default="", allow_blank=True, help_text="Who did it, where it was not you."
    )
    at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Default: now.")

    def validate_machine(self, key: int) -> Equipment:
        user = access.user_of(self.context["request"])
        found = access.scope(Equipment.objects.filter(level=Equipment.Level.MACHINE), user).filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError(f"There is no machine {key} in your sites.")
        policy.require(self.context["view"], found.site_id)
        return found


@in_bulk(
    "log entry", "log entries", tag="log", takes="machines.act", create=LogEntryIn,
    example={"action": "create", "items": [{"machine": 3, "title": "Coupling changed", "at": "2026-03-03T09:30:00Z"}]},
)  # fmt: skip
@documented("log", "line of the maintenance log", "lines of the maintenance log, the newest first")
class Log(Scoped):
    class LogLineOut(serializers.ModelSerializer[LogLine]):
        class Meta:
            model = LogLine
            fields = [
                "id", "site", "machine", "at", "kind", "source_id", "worker", "title", "found", "fixed", "failure_mode",
                "activity",
            ]  # fmt: skip

    policy = READS | takes("machines.act", "create")
    queryset = LogLine.objects.all()
    serializer_class = LogLineOut
    filterset_class = LogFilter
    pagination_class = NewestDone

    @extend_schema(
        tags=["log"], summary="Write into the maintenance log", request=LogEntryIn, responses={201: LogLineOut},
        description="What no order says. An entry is never changed: another one corrects it.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = LogEntryIn(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        try:
            entry = log.add(said.pop("machine"), actor=access.user_of(request), **said)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        line = self.get_queryset().get(kind=LogLine.Kind.ENTRY, source_id=entry.pk)
        return Response(self.get_serializer(line).data, status=201)
