"""Maintenance windows over REST: listed, added, changed, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import windows
from maintenance.api import example
from maintenance.models import MaintenanceWindow
from maintenance.occurrences import Occurrence
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Equipment, Site
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

MOST_TEXT = 2_000


class WindowFilter(Filters):
    cancelled = django_filters.BooleanFilter(
        field_name="cancelled_at", lookup_expr="isnull", exclude=True, label="Whether it was cancelled."
    )

    class Meta:
        model = MaintenanceWindow
        fields = ["site", "equipment", "created_by"]


class OccurrenceOut(serializers.Serializer[Occurrence]):
    begin = serializers.DateTimeField()
    end = serializers.DateTimeField()


class Changes(serializers.Serializer[Any]):
    """What is said of a window; what is left out stays."""

    equipment = serializers.IntegerField(
        required=False, allow_null=True, help_text="Id of a machine or a line. null: the whole site."
    )
    reason = serializers.CharField(required=False, max_length=MOST_TEXT)
    first_on = serializers.DateField(required=False, help_text="Day of the first one, in the site's time zone.")
    starts = serializers.TimeField(required=False, help_text="In the site's time zone.")
    minutes = serializers.IntegerField(
        required=False, min_value=1, max_value=MaintenanceWindow.MOST_DAYS * MaintenanceWindow.A_DAY
    )
    weekdays = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=7), required=False, max_length=7,
        help_text="On which it comes again: 1 = Monday to 7 = Sunday. None: once.",
    )  # fmt: skip
    last_on = serializers.DateField(
        required=False, allow_null=True, help_text="Last day on which it may begin; of one that comes again."
    )

    def validate_equipment(self, key: int | None) -> Equipment | None:
        """The row of the id, among those whoever asks may see."""
        if key is None:
            return None
        found = access.scope(Equipment.objects.all(), access.user_of(self.context["request"])).filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError(f"There is no equipment {key} in your sites.")
        return found


@example(
    site=1, equipment=3, reason="Cleaning in place", first_on="2026-03-02", starts="22:00", minutes=90,
    weekdays=[1, 2, 3, 4, 5], last_on="2026-12-31",
)  # fmt: skip
class WindowIn(Changes):
    site = serializers.IntegerField(help_text="Id of a site.")
    reason = serializers.CharField(max_length=MOST_TEXT)
    first_on = serializers.DateField(help_text="Day of the first one, in the site's time zone.")
    starts = serializers.TimeField(help_text="In the site's time zone.")
    minutes = serializers.IntegerField(
        min_value=1, max_value=MaintenanceWindow.MOST_DAYS * MaintenanceWindow.A_DAY, help_text="How long it lasts."
    )

    def validate_site(self, key: int) -> Site:
        user = access.user_of(self.context["request"])
        found = access.sites(user).filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError(f"There is no site {key} among yours.")
        policy.require(self.context["view"], found.pk)
        return found


@example(reason="The spare part comes on Thursday.")
class WindowReason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=MOST_TEXT, help_text="Why it is cancelled.")


@documented("alarms", "maintenance window", "maintenance windows: times in which alarms are meant to be hidden")
class Windows(Scoped):
    class WindowOut(serializers.ModelSerializer[MaintenanceWindow]):
        weekdays = serializers.ListField(child=serializers.IntegerField(), help_text="1 = Monday; none: once.")
        upcoming = serializers.SerializerMethodField(help_text="The one that runs, else the next.")

        class Meta:
            model = MaintenanceWindow
            fields = [
                "id", "site", "equipment", "reason", "first_on", "starts", "minutes", "weekdays", "last_on", "upcoming",
                "created_by", "created_at", "cancelled_by", "cancelled_at", "cancel_reason",
            ]  # fmt: skip

        @extend_schema_field(OccurrenceOut(allow_null=True))
        def get_upcoming(self, row: MaintenanceWindow) -> Any:
            found = windows.upcoming(row, now=timezone.now())
            return None if found is None else OccurrenceOut(found).data

    policy = READS | takes("windows.edit", "create", "partial_update", "cancel")
    queryset = MaintenanceWindow.objects.select_related("site", "equipment")
    serializer_class = WindowOut
    filterset_class = WindowFilter

    @extend_schema(
        tags=["alarms"], summary="Add a maintenance window", request=WindowIn, responses={201: WindowOut},
        description="In each occurrence the alarms of its machines are suppressed by design, and what is measured "
        "teaches the detectors nothing.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        said = self._said(request, WindowIn)
        row = self._write(lambda: windows.add(MaintenanceWindow(**said), actor=access.user_of(request)))
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(
        tags=["alarms"], summary="Change a maintenance window", request=Changes, responses={200: WindowOut},
        description="What is left out stays. One that runs is made longer or shorter, or ends.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self._planned(request)
        said = self._said(request, Changes)
        done = self._write(lambda: windows.change(row.pk, actor=access.user_of(request), **said))
        return Response(self.get_serializer(done).data)

    @extend_schema(
        tags=["alarms"], summary="Cancel a maintenance window", request=WindowReason, responses={200: WindowOut},
        description="It comes no more, and one that runs ends. It stays in the list.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        row = self._planned(request)
        reason = self._said(request, WindowReason)["reason"]
        done = self._write(lambda: windows.cancel(row.pk, actor=access.user_of(request), reason=reason))
        return Response(self.get_serializer(done).data)

    def _planned(self, request: Request) -> MaintenanceWindow:
        row: MaintenanceWindow = self.get_object()
        policy.require(self, row.site_id)
        return row

    def _said(self, request: Request, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        body = form(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _write(self, write: Callable[[], MaintenanceWindow]) -> MaintenanceWindow:
        try:
            return write()
        except ValidationError as error:
            told = error.message_dict if hasattr(error, "error_dict") else error.messages
            raise serializers.ValidationError(told) from error
        except Refused as error:
            raise Problem("conflict", str(error)) from error
