"""What is set for the work of a site, over REST: templates of checklists, labour rates, rules of work."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from rest_framework import serializers

from maintenance.api import example
from maintenance.checklist_models import ChecklistTemplate, TemplateItem
from maintenance.effort_models import LabourRate
from maintenance.owned_api import Mine, Owned, written
from maintenance.permit_models import PermitRule, WorkRules
from sensors.api import Filters
from sensors.models import Site
from sensors.policy import edited_by
from sensors.schema import documented

MOST_ITEMS, MOST_RULES = 200, 100
ITEM = ["text", "kind", "unit", "low", "high", "is_required"]
TAG = "carrying-out"


class TemplateItemIn(serializers.ModelSerializer[TemplateItem]):
    class Meta:
        model = TemplateItem
        fields = ITEM
        validators: list[Any] = []


@example(
    site=1, name="Pump, monthly", permit_kind="LOCK_OUT",
    items=[
        {"text": "Guard of the coupling is in place", "kind": "PASS_FAIL"},
        {"text": "Vibration, drive end", "kind": "READING", "unit": "mm/s", "high": 4.5},
        {"text": "Strainer cleaned", "kind": "TICK", "is_required": False},
    ],
)  # fmt: skip
class TemplateIn(serializers.ModelSerializer[ChecklistTemplate]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    items = TemplateItemIn(many=True, allow_empty=False, max_length=MOST_ITEMS)  # type: ignore[call-arg]  # it does

    class Meta:
        model = ChecklistTemplate
        fields = ["site", "name", "permit_kind", "is_enabled", "items"]
        validators: list[Any] = []


class TemplateOut(serializers.ModelSerializer[ChecklistTemplate]):
    class TemplateItemOut(serializers.ModelSerializer[TemplateItem]):
        class Meta:
            model = TemplateItem
            fields = ITEM

    items = TemplateItemOut(many=True)

    class Meta:
        model = ChecklistTemplate
        fields = ["id", "site", "name", "permit_kind", "is_enabled", "items", "changed_at"]


@written(
    TAG, "a template of a checklist", form=TemplateIn, shown=TemplateOut, add="With its items, in their order.",
    change="Items that are given take the place of all there are. Checklists that are at orders stay as they are.",
    delete="Checklists that are at orders stay.",
)  # fmt: skip
@documented(TAG, "template of a checklist", "templates of checklists")
class ChecklistTemplates(Owned):
    class TemplateFilter(Filters):
        class Meta:
            model = ChecklistTemplate
            fields = ["site", "name", "is_enabled"]

    policy = edited_by("orders.edit")
    queryset = ChecklistTemplate.objects.prefetch_related("items")
    serializer_class = TemplateOut
    filterset_class = TemplateFilter
    form = TemplateIn


@example(site=1, worker=7, hourly_cost="48.50")
class RateIn(serializers.ModelSerializer[LabourRate]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    worker = Mine(
        queryset=User.objects.distinct(), path="memberships__site", help_text="Id of a member; it stays the same."
    )

    class Meta:
        model = LabourRate
        fields = ["site", "worker", "hourly_cost"]
        validators: list[Any] = []


class RateOut(serializers.ModelSerializer[LabourRate]):
    class Meta:
        model = LabourRate
        fields = ["id", "site", "worker", "hourly_cost", "changed_at"]


@written(
    TAG, "a labour rate", form=RateIn, shown=RateOut, add="What an hour of somebody costs, in the site's currency.",
    change="Labour that is entered keeps the rate of then.", delete="Labour that is entered keeps the rate of then.",
)  # fmt: skip
@documented(TAG, "labour rate", "labour rates")
class LabourRates(Owned):
    class RateFilter(Filters):
        class Meta:
            model = LabourRate
            fields = ["site", "worker"]

    policy = edited_by("orders.edit")
    queryset = LabourRate.objects.all()
    serializer_class = RateOut
    filterset_class = RateFilter
    form = RateIn
    fixed = ("site", "worker")


class PermitRuleIn(serializers.ModelSerializer[PermitRule]):
    class Meta:
        model = PermitRule
        fields = ["maintenance_type", "kind"]
        validators: list[Any] = []


@example(site=1, four_eyes=True, currency="EUR", permits=[{"maintenance_type": "", "kind": "LOCK_OUT"}])
class RulesIn(serializers.ModelSerializer[WorkRules]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    permits = PermitRuleIn(many=True, required=False, max_length=MOST_RULES)  # type: ignore[call-arg]  # it does

    class Meta:
        model = WorkRules
        fields = ["site", "four_eyes", "currency", "permits"]
        validators: list[Any] = []


class RulesOut(serializers.ModelSerializer[WorkRules]):
    class PermitRuleOut(serializers.ModelSerializer[PermitRule]):
        class Meta:
            model = PermitRule
            fields = ["maintenance_type", "kind"]

    permits = PermitRuleOut(many=True)

    class Meta:
        model = WorkRules
        fields = ["id", "site", "four_eyes", "currency", "permits", "changed_at"]


@written(
    TAG, "the rules of work of a site", form=RulesIn, shown=RulesOut,
    add="Whether an order is closed by other eyes, the currency, and which orders need which permits. One per site.",
    change="Permits that are given take the place of all there are.",
)  # fmt: skip
@documented(TAG, "site's rules of work", "rules of work of sites")
class RulesOfWork(Owned):
    class RulesFilter(Filters):
        class Meta:
            model = WorkRules
            fields = ["site"]

    policy = edited_by("settings.edit")
    queryset = WorkRules.objects.prefetch_related("permits")
    serializer_class = RulesOut
    filterset_class = RulesFilter
    form = RulesIn
