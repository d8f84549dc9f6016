"""What machines are doing, over REST: rules laid down by administrators, states told by people and control systems."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import operating, operating_book
from maintenance.api import example
from maintenance.operating_models import OperatingState
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Equipment, Sensor, Site
from sensors.operating_models import OperatingRule
from sensors.policy import READS, edited_by, takes
from sensors.problems import Problem
from sensors.schema import documented

A_YEAR_MINUTES, A_YEAR_HOURS = 525_600, 8_760
MODES = "Codes of failure modes; ALL: every one; none: nothing is hidden."


class RuleFilter(Filters):
    class Meta:
        model = OperatingRule
        fields = ["site", "machine", "equipment_class", "sensor"]


class RuleChanges(serializers.Serializer[Any]):
    """What a rule says; what is left out stays."""

    sensor = serializers.IntegerField(
        required=False, allow_null=True, help_text="Id of a sensor of the machine that shows whether it runs."
    )
    sensor_kind = serializers.ChoiceField(
        Sensor.Kind.choices, required=False, allow_blank=True,
        help_text="Or: the only sensor of this kind that a machine has. Neither: people or a control system tell.",
    )  # fmt: skip
    off_below = serializers.FloatField(required=False, allow_null=True, help_text="Below this it is off.")
    running_above = serializers.FloatField(
        required=False, allow_null=True, help_text="From this on it runs; in between it is what it was."
    )
    startup_seconds = serializers.IntegerField(
        required=False, min_value=0, max_value=OperatingRule.LONGEST_STARTUP, help_text="How long a start-up takes."
    )
    off_hides = serializers.ListField(child=serializers.CharField(max_length=3), required=False, help_text=MODES)
    startup_hides = serializers.ListField(child=serializers.CharField(max_length=3), required=False, help_text=MODES)
    holds_minutes = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=A_YEAR_MINUTES,
        help_text="That it is off holds for so long after it was last said or read.",
    )
    most_hours = serializers.IntegerField(
        required=False, min_value=1, max_value=A_YEAR_HOURS, help_text="Nothing is hidden for longer at a time."
    )

    def validate_sensor(self, key: int | None) -> Sensor | None:
        return None if key is None else _among_yours(self, Sensor, key, "sensor")


@example(
    site=1, equipment_class="PUMP", sensor_kind="SPEED", off_below=5, running_above=50, startup_seconds=300,
    off_hides=["ALL"], startup_hides=["VIB", "LOO"], holds_minutes=30, most_hours=168,
)  # fmt: skip
class RuleIn(RuleChanges):
    site = serializers.IntegerField(help_text="Id of a site.")
    machine = serializers.IntegerField(required=False, allow_null=True, help_text="Id of a machine: for it alone.")
    equipment_class = serializers.CharField(
        required=False, allow_blank=True, max_length=50, help_text="Or: for all machines of this class."
    )

    def validate_site(self, key: int) -> Site:
        user = access.user_of(self.context["request"])
        found = access.sites(user).filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError(f"There is no site {key} among yours.")
        policy.require(self.context["view"], found.pk)
        return found

    def validate_machine(self, key: int | None) -> Equipment | None:
        return None if key is None else _among_yours(self, Equipment, key, "machine")


def _among_yours(form: serializers.Serializer[Any], model: Any, key: int, name: str) -> Any:
    """The row of the id, among those whoever asks may see."""
    found = access.scope(model.objects.all(), access.user_of(form.context["request"])).filter(pk=key).first()
    if found is None:
        raise serializers.ValidationError(f"There is no {name} {key} in your sites.")
    return found


@documented("alarms", "operating rule", "operating rules: how it is known whether machines run, and what is hidden")
class OperatingRules(Scoped):
    class RuleOut(serializers.ModelSerializer[OperatingRule]):
        off_hides = serializers.ListField(child=serializers.CharField(), help_text=MODES)
        startup_hides = serializers.ListField(child=serializers.CharField(), help_text=MODES)

        class Meta:
            model = OperatingRule
            fields = ["id", *operating_book.SCOPE, *operating_book.SAYS, "revision", "updated_by", "updated_at",
                      "created_at"]  # fmt: skip

    policy = edited_by("alarms.edit")
    queryset = OperatingRule.objects.all()
    serializer_class = RuleOut
    filterset_class = RuleFilter

    @extend_schema(
        tags=["alarms"], summary="Lay down an operating rule", request=RuleIn, responses={201: RuleOut},
        description="For a machine, or a class of equipment.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = RuleIn(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return Response(self._save(request, OperatingRule(**body.validated_data)), status=201)

    @extend_schema(
        tags=["alarms"], summary="Change an operating rule", request=RuleChanges, responses={200: RuleOut},
        description="What it says; which machines it is of stays. What stands because of it follows within a second or "
        "two.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        body = RuleChanges(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        for name, value in body.validated_data.items():
            setattr(row, name, value)
        return Response(self._save(request, row))

    @extend_schema(
        tags=["alarms"], summary="Delete an operating rule", responses={204: None},
        description="What it hides is shown within a second or two.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        operating_book.delete(row, actor=user)
        return Response(status=204)

    def _save(self, request: Request, row: OperatingRule) -> Any:
        user = access.user_of(request)
        policy.require(self, row.site_id)
        try:
            saved = operating_book.save(row, actor=user)
        except ValidationError as error:
            told = {("non_field_errors" if k == NON_FIELD_ERRORS else k): v for k, v in error.message_dict.items()}
            raise serializers.ValidationError(told) from error
        return self.get_serializer(saved).data


class StateFilter(Filters):
    class Meta:
        model = OperatingState
        fields = ["site", "machine", "state"]


@example(machine=7, state="OFF", at="2026-03-02T22:00:00Z", reason="End of shift")
class Telling(serializers.Serializer[Any]):
    machine = serializers.IntegerField(help_text="Id of a machine.")
    state = serializers.ChoiceField([(one.value, one.value) for one in operating.TELLABLE])
    at = serializers.DateTimeField(required=False, help_text="Since when; without: from now on.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)

    def validate_machine(self, key: int) -> Equipment:
        machine: Equipment = _among_yours(self, Equipment, key, "machine")
        return machine


@documented("alarms", "operating state", "operating states: what machines are doing, as far as it was said")
class OperatingStates(Scoped):
    class StateOut(serializers.ModelSerializer[OperatingState]):
        class Meta:
            model = OperatingState
            fields = ["id", "site", "machine", "state", "since", "starts_until", "source", "told_by", "heard_at",
                      "confirmed_at"]  # fmt: skip

    policy = READS | takes("machines.act", "create")
    queryset = OperatingState.objects.all()
    serializer_class = StateOut
    filterset_class = StateFilter

    @extend_schema(
        tags=["alarms"], summary="Tell what a machine is", request=Telling, responses={200: StateOut},
        description="That it is off, starts up or runs, for people, control systems and MES. That it is off holds for "
        "as long as its rule says, so it is to be told again before that. A machine that was off and is told to run "
        "starts up first, if its rule says so. Takes a role that may act in the site; 409 where no rule holds for the "
        "machine, or what it was since a later instant is known.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = Telling(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said, user = body.validated_data, access.user_of(request)
        policy.require(self, said["machine"].site_id)
        try:
            row = operating.tell(
                said["machine"], said["state"], actor=user, at=said.get("at"), reason=said.get("reason", "")
            )
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return Response(self.get_serializer(row).data)
