"""The tables of schedules: a schedule of a site in its versions, and its visits.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from maintenance.order_models import WorkOrder
from sensors.models import Site

DAYS = [MinValueValidator(1), MaxValueValidator(60)]


class Schedule(models.Model):
    """Who is to do which orders of a site when: asked for, proposed by the agent, published by a person."""

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "Requested: the agent makes it"
        PROPOSED = "PROPOSED", "Proposed"
        PUBLISHED = "PUBLISHED", "Published"
        REPLACED = "REPLACED", "Replaced by a later one"
        DISCARDED = "DISCARDED", "Discarded"
        FAILED = "FAILED", "Failed: no schedule came of it"

    site = models.ForeignKey(Site, models.CASCADE, related_name="schedules")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.REQUESTED)
    days = models.PositiveSmallIntegerField(default=14, validators=DAYS, help_text="How far ahead it plans.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", help_text="Empty: the agent itself."
    )
    requested_at = models.DateTimeField(db_default=Now(), editable=False)
    begun_at = models.DateTimeField(null=True, editable=False, help_text="When the agent began to make it.")
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    begins_at = models.DateTimeField(null=True, help_text="Nothing of it begins earlier.")
    made_at = models.DateTimeField(null=True)
    method = models.CharField(max_length=16, blank=True, help_text="How it was found: cp-sat, search or greedy.")
    cost = models.BigIntegerField(null=True, help_text="Points of the proposal; fewer are better.")
    bound = models.BigIntegerField(null=True, help_text="No schedule costs fewer points.")
    seconds = models.FloatField(null=True, help_text="How long it took to make.")
    left_out = models.JSONField(default=list, help_text="Ids of orders for which there is no room.")
    reason = models.TextField(blank=True, help_text="Why it failed, or what could not be kept.")
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    published_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["site"], condition=Q(status="PUBLISHED"), name="schedule_one_published"),
            models.UniqueConstraint(fields=["site"], condition=Q(status="PROPOSED"), name="schedule_one_proposed"),
            models.CheckConstraint(
                condition=Q(status__in=["REQUESTED", "PROPOSED", "PUBLISHED", "REPLACED", "DISCARDED", "FAILED"]),
                name="schedule_status",
            ),
            models.CheckConstraint(
                condition=~Q(status="PUBLISHED") | Q(published_at__isnull=False), name="schedule_published_at"
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["id"], condition=Q(status="REQUESTED"), name="schedule_waiting"),
            models.Index(fields=["site", "-id"], name="schedule_of_site"),
        ]

    def __str__(self) -> str:
        return f"Schedule {self.pk} of {self.site}"

    @property
    def gap(self) -> float | None:
        """How much of the cost may be too much at most, as a share of it."""
        if self.cost is None or self.bound is None:
            return None
        return (self.cost - self.bound) / self.cost if self.cost > 0 else 0.0


class ScheduleVisit(models.Model):
    """An order in a schedule: who does it, from when until when."""

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="visits")
    order = models.ForeignKey(WorkOrder, models.CASCADE, related_name="schedule_visits")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="schedule_visits")
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    is_pinned = models.BooleanField(default=False, help_text="Set by a person: later schedules keep it as it is.")
    seen_step = models.BigIntegerField(default=0, help_text="The order's last step when the schedule was made.")

    class Meta:
        ordering = ["schedule", "start_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "order"], name="schedule_visit_once"),
            models.CheckConstraint(condition=Q(end_at__gt=F("start_at")), name="schedule_visit_ends_after_start"),
        ]
        indexes = [models.Index(fields=["person", "end_at"], name="schedule_visit_of_person")]

    def __str__(self) -> str:
        return f"WO-{self.order_id}: {self.person}, {timezone.localtime(self.start_at):%Y-%m-%d %H:%M %Z}"
