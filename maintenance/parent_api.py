"""Rules by which an alarm hides what follows from it, over REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from maintenance import failure_modes
from maintenance.api import example
from maintenance.owned_api import Mine, Owned, written
from maintenance.parent_models import ParentRule
from sensors.api import Filters
from sensors.models import Equipment, Site
from sensors.policy import edited_by
from sensors.schema import documented

FIELDS = ["site", "machine", "failure_mode", "equipment", "hides", "most_hours", "is_enabled"]
HIDES = "Codes of failure modes; ALL: every one."


@example(site=1, machine=7, failure_mode="", equipment=3, hides=["ALL"], most_hours=24)
class ParentRuleIn(serializers.ModelSerializer[ParentRule]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours.")
    machine = Mine(queryset=Equipment.objects.all(), help_text="Whose alarm hides the others.")
    equipment = Mine(queryset=Equipment.objects.all(), help_text="A line with all that stands in it, or a machine.")
    hides = serializers.ListField(
        child=serializers.ChoiceField([failure_modes.ALL, *failure_modes.CODES]), help_text=HIDES
    )

    class Meta:
        model = ParentRule
        fields = FIELDS
        validators: list[Any] = []


class ParentRuleOut(serializers.ModelSerializer[ParentRule]):
    hides = serializers.ListField(child=serializers.CharField(), help_text=HIDES)

    class Meta:
        model = ParentRule
        fields = ["id", *FIELDS, "created_at"]


@written(
    "alarms", "a parent rule", form=ParentRuleIn, shown=ParentRuleOut,
    add="While an alarm of the machine is active, alarms in that part of the plant are suppressed by design.",
    change="Of which alarm and part of the plant it is stays; what it hides follows with the next pass of the sweep.",
    delete="One that hid something can only be disabled.",
)  # fmt: skip
@documented("alarms", "parent rule", "parent rules: which alarms follow from another one")
class ParentRules(Owned):
    class ParentRuleFilter(Filters):
        class Meta:
            model = ParentRule
            fields = ["site", "machine", "equipment", "is_enabled"]

    policy = edited_by("alarms.edit")
    queryset = ParentRule.objects.all()
    serializer_class = ParentRuleOut
    filterset_class = ParentRuleFilter
    form = ParentRuleIn
    fixed = ("site", "machine", "failure_mode", "equipment")
