"""The tables of checklists: templates of a site with their items, and what was copied from them onto orders.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.order_models import WorkOrder
from sensors.models import Site


class ItemKind(models.TextChoices):
    TICK = "TICK", "Tick: done"
    PASS_FAIL = "PASS_FAIL", "Pass or fail"
    READING = "READING", "Reading, with limits"


class PermitKind(models.TextChoices):
    """What a permit to work is for."""

    LOCK_OUT = "LOCK_OUT", "Lock-out, tag-out"
    HOT_WORK = "HOT_WORK", "Hot work"
    CONFINED_SPACE = "CONFINED_SPACE", "Confined space"
    HEIGHT = "HEIGHT", "Work at height"
    ELECTRICAL = "ELECTRICAL", "Electrical work"
    LINE_BREAKING = "LINE_BREAKING", "Opening of lines or vessels"
    OTHER = "OTHER", "Other"


ITEM_KINDS = Q(kind__in=ItemKind.values)
LIMITS = Q(kind=ItemKind.READING) | Q(low=None, high=None, unit="")
LIMITS_ORDERED = Q(low=None) | Q(high=None) | Q(high__gte=F("low"))


class ChecklistTemplate(models.Model):
    """What is looked at, item by item. Copied when it is attached to an order: a change does not touch those."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="checklist_templates")
    name = models.CharField(max_length=100)
    permit_kind = models.CharField(
        "permit", max_length=16, blank=True, choices=PermitKind.choices,
        help_text="An order with this checklist is not started without a valid permit of this kind.",
    )  # fmt: skip
    is_enabled = models.BooleanField(default=True)
    changed_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "name"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="checklist_template_name_once")]

    def __str__(self) -> str:
        return self.name


class TemplateItem(models.Model):
    template = models.ForeignKey(ChecklistTemplate, models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField(default=1)
    text = models.CharField(max_length=300, help_text="What is to be done, looked at or measured.")
    kind = models.CharField(max_length=16, choices=ItemKind.choices, default=ItemKind.TICK)
    unit = models.CharField(max_length=32, blank=True, help_text="Of a reading.")
    low = models.FloatField(null=True, blank=True, help_text="Of a reading: below it the item fails.")
    high = models.FloatField(null=True, blank=True, help_text="Of a reading: above it the item fails.")
    is_required = models.BooleanField("required", default=True, help_text="No completion while it is unanswered.")

    class Meta:
        ordering = ["template", "position", "id"]
        constraints = [
            models.CheckConstraint(condition=ITEM_KINDS, name="template_item_kind"),
            models.CheckConstraint(
                condition=LIMITS, name="template_item_limits_of_readings",
                violation_error_message="Only a reading has a unit and limits.",
            ),
            models.CheckConstraint(
                condition=LIMITS_ORDERED, name="template_item_limits",
                violation_error_message="The upper limit is below the lower one.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.text


class Checklist(models.Model):
    """A template as it was when it was attached to an order."""

    order = models.ForeignKey(WorkOrder, models.CASCADE, related_name="checklists")
    template = models.ForeignKey(ChecklistTemplate, models.SET_NULL, null=True, related_name="copies")
    name = models.CharField(max_length=100)
    permit_kind = models.CharField(max_length=16, blank=True, choices=PermitKind.choices)
    attached_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    attached_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.name} of WO-{self.order_id}"


class ChecklistItem(models.Model):
    """An item of an order's checklist, and its answer once there is one."""

    checklist = models.ForeignKey(Checklist, models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    text = models.CharField(max_length=300)
    kind = models.CharField(max_length=16, choices=ItemKind.choices)
    unit = models.CharField(max_length=32, blank=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    is_required = models.BooleanField()
    passed = models.BooleanField(null=True, help_text="Empty while it is unanswered.")
    value = models.FloatField(null=True, help_text="Of a reading, in its unit.")
    note = models.CharField(max_length=1_000, blank=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True)
    opened_order = models.OneToOneField(
        WorkOrder, models.SET_NULL, null=True, related_name="failed_item", help_text="What was asked for as it failed."
    )

    class Meta:
        ordering = ["checklist", "position", "id"]
        constraints = [
            models.CheckConstraint(condition=ITEM_KINDS, name="checklist_item_kind"),
            models.CheckConstraint(
                condition=Q(passed=None, answered_at=None, value=None)
                | Q(passed__isnull=False, answered_at__isnull=False),
                name="checklist_item_answered",
            ),
            models.CheckConstraint(
                condition=Q(passed=None)
                | Q(kind="READING", value__isnull=False)
                | (~Q(kind="READING") & Q(value=None)),
                name="checklist_item_value_of_readings",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["checklist"], condition=Q(is_required=True, passed=None), name="checklist_item_to_answer"
            )
        ]

    def __str__(self) -> str:
        return self.text
