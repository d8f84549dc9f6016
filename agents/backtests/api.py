"""Backtests over REST: asked for, looked at, run again."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from agents import doorbell
from agents.backtests import proposal, requests
from agents.backtests.history import Target
from agents.doorbell import Bell
from agents.models import Backtest
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Equipment, Sensor, Site
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented

FIELDS = (
    "id", "site", "machine", "sensor", "from_at", "to_at", "look_back_days", "proposed", "status", "reason", "slices",
    "slices_done", "asked_by", "created_at", "started_at", "finished_at",
)  # fmt: skip


class BacktestFilter(Filters):
    class Meta:
        model = Backtest
        fields = ["site", "machine", "sensor", "status"]


class Exact(serializers.Serializer[Any]):
    """A name that does not exist is told of: a typing error must not be taken for no difference."""

    def to_internal_value(self, data: Any) -> Any:
        strange = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if strange:
            raise serializers.ValidationError({name: "There is no such setting." for name in strange})
        return super().to_internal_value(data)


class Proposed(Exact):
    """What is to differ from how things are; what is left out stays."""

    low_low = serializers.FloatField(required=False, allow_null=True, help_text="null takes the limit away.")
    low = serializers.FloatField(required=False, allow_null=True)
    high = serializers.FloatField(required=False, allow_null=True)
    high_high = serializers.FloatField(required=False, allow_null=True)
    deadband = serializers.FloatField(required=False, help_text="Limits and deadband: of a sensor only.")
    on_delay_seconds = serializers.IntegerField(required=False)
    off_delay_seconds = serializers.IntegerField(required=False)
    false_alarms_per_week = serializers.FloatField(required=False, help_text="To accept, of each sensor.")
    detectors = serializers.ListField(
        child=serializers.ChoiceField(proposal.DETECTORS), required=False, help_text="Those that judge."
    )
    seek = serializers.ChoiceField(
        proposal.SEEKABLE, required=False,
        help_text="To be found for a sensor, with all else as it is: `sought` in the result says what was.",
    )  # fmt: skip


@documented("backtests", "backtest", "backtests")
class Backtests(Scoped):
    class BacktestOut(serializers.ModelSerializer[Backtest]):
        class Meta:
            model = Backtest
            fields = FIELDS

    class BacktestDetail(BacktestOut):
        result = serializers.JSONField(
            read_only=True, allow_null=True,
            help_text="Of `present`, `proposed` (where something is) and `live` (what the flow found when the readings "
            "came): anomalies, alarms, chatter, orders, time in alarm, overlap with labels, the first alarms.",
        )  # fmt: skip

        class Meta:
            model = Backtest
            fields = (*FIELDS, "result")

    class BacktestAsked(BacktestOut):
        status_url = serializers.SerializerMethodField()

        def get_status_url(self, row: Backtest) -> str:
            return str(reverse("backtest-detail", args=[row.pk], request=self.context["request"]))

        class Meta:
            model = Backtest
            fields = (*FIELDS, "status_url")

    @extend_schema_serializer(
        examples=[
            OpenApiExample(
                "A limit",
                {"sensor": 7, "from_at": "2026-03-01T00:00:00Z", "to_at": "2026-04-01T00:00:00Z",
                 "proposed": {"high": 80.0, "on_delay_seconds": 60}},
                request_only=True,
            )
        ]
    )  # fmt: skip
    class BacktestIn(Exact):
        site = serializers.IntegerField(required=False, help_text="Id of a site: all of its machines.")
        machine = serializers.IntegerField(required=False, help_text="Id of a machine: all of its sensors.")
        sensor = serializers.IntegerField(required=False, help_text="Id of a sensor. Name exactly one of the three.")
        from_at = serializers.DateTimeField(help_text="First instant of the period.")
        to_at = serializers.DateTimeField(help_text="The period ends before it.")
        look_back_days = serializers.FloatField(
            default=proposal.LOOK_BACK_DAYS, help_text="Readings so long before teach and are not counted."
        )
        proposed = Proposed(required=False, help_text="What is to differ from how things are.")

        def validate(self, said: dict[str, Any]) -> dict[str, Any]:
            named = [name for name in ("site", "machine", "sensor") if name in said]
            if len(named) != 1:
                raise serializers.ValidationError("Name exactly one of site, machine and sensor.")
            return said | {"target": _target(access.user_of(self.context["request"]), named[0], said[named[0]])}

    policy = READS | takes("backtests.run", "create", "again")
    queryset = Backtest.objects.all()
    filterset_class = BacktestFilter

    def get_serializer_class(self) -> Any:
        return self.BacktestDetail if self.action == "retrieve" else self.BacktestOut

    def get_queryset(self) -> Any:
        rows = super().get_queryset().select_related("site", "machine", "sensor")
        return rows if self.action == "retrieve" else rows.defer("result")

    @extend_schema(
        tags=["backtests"], summary="Ask for a backtest", request=BacktestIn, responses={202: BacktestAsked},
        description="Stored readings are judged anew, as things are and with what is proposed, and nothing live is "
        "touched. A worker does it: look at `status_url` until `status` is DONE or FAILED.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = self.BacktestIn(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said, user = body.validated_data, access.user_of(request)
        target: Target = said["target"]
        policy.require(self, target.site.pk)
        try:
            row = requests.ask(
                target,
                from_at=said["from_at"],
                to_at=said["to_at"],
                look_back_days=said["look_back_days"],
                proposed=said.get("proposed", {}),
                actor=user,
            )
        except proposal.BadProposal as error:
            raise serializers.ValidationError({"proposed": {error.name: str(error)}}) from error
        except requests.Refused as error:
            if not error.field:
                raise Problem("conflict", str(error)) from error
            raise serializers.ValidationError({error.field: str(error)}) from error
        return self._accepted(row)

    @extend_schema(
        tags=["backtests"], summary="Run a failed backtest again", request=None, responses={202: BacktestAsked},
        description="With the same question. One that has not failed is left as it is: 409.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        policy.require(self, row.site_id)
        try:
            requests.again(row.pk)
        except requests.Refused as error:
            raise Problem("conflict", str(error)) from error
        row.refresh_from_db()
        return self._accepted(row)

    def _accepted(self, row: Backtest) -> Response:
        doorbell.ring_when_stored(Bell("backtest", row.pk))
        return Response(self.BacktestAsked(row, context=self.get_serializer_context()).data, status=202)


def _target(user: Any, name: str, key: int) -> Target:
    """Raises ``ValidationError`` where there is none among what the user may see."""
    path, rows = {
        "site": ("id", Site.objects.all()),
        "machine": ("site", Equipment.objects.filter(level=Equipment.Level.MACHINE).select_related("site")),
        "sensor": ("site", Sensor.objects.select_related("site", "machine")),
    }[name]
    found: Any = access.scope(rows, user, path=path).filter(pk=key).first()
    if found is None:
        raise serializers.ValidationError({name: f"There is no {name} {key} in your sites."})
    if isinstance(found, Sensor):
        return Target(found.site, found.machine, found)
    return Target(found.site, found) if isinstance(found, Equipment) else Target(found)
