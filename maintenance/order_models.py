"""The tables of work orders: what someone is to do about a machine, and each step of it.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance import failure_data, order_life
from sensors.models import Equipment, Site


class Priority(models.TextChoices):
    CRITICAL = "CRITICAL", "Critical"
    HIGH = "HIGH", "High"
    MEDIUM = "MEDIUM", "Medium"
    LOW = "LOW", "Low"


PRIORITY_KNOWN = Q(priority__in=["CRITICAL", "HIGH", "MEDIUM", "LOW"])
IS_OVER = Q(status__in=sorted(order_life.OVER))
HAS_SOMEBODY = Q(status__in=sorted(order_life.HAS_SOMEBODY))


class WorkOrder(models.Model):
    """What someone is to do about a machine. One open per machine and failure mode, where it has one."""

    class Type(models.TextChoices):
        CORRECTIVE_IMMEDIATE = "CORRECTIVE_IMMEDIATE", "Corrective, immediate"
        CORRECTIVE_DEFERRED = "CORRECTIVE_DEFERRED", "Corrective, deferred"
        PREDETERMINED = "PREDETERMINED", "Preventive, predetermined"
        CONDITION_BASED = "CONDITION_BASED", "Preventive, condition-based"
        PREDICTIVE = "PREDICTIVE", "Preventive, predictive"
        INSPECTION = "INSPECTION", "Inspection"
        INSTRUMENTATION = "INSTRUMENTATION", "Instrumentation"

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "Requested"
        OPEN = "OPEN", "Open"
        PLANNED = "PLANNED", "Planned"
        ASSIGNED = "ASSIGNED", "Assigned"
        IN_PROGRESS = "IN_PROGRESS", "In progress"
        ON_HOLD = "ON_HOLD", "On hold"
        COMPLETED = "COMPLETED", "Completed"
        CLOSED = "CLOSED", "Closed"
        CANCELLED = "CANCELLED", "Cancelled"

    class Verdict(models.TextChoices):
        """What the anomalies behind it turned out to be."""

        REAL = "REAL", "Real: something was wrong with the machine"
        FALSE = "FALSE", "False: nothing was wrong"
        EXPECTED = "EXPECTED", "Expected: abnormal, and meant to be"
        SENSOR_FAULT = "SENSOR_FAULT", "Sensor fault: the machine was well, the sensor was not"

    OVER = (Status.COMPLETED, Status.CLOSED, Status.CANCELLED)

    site = models.ForeignKey(Site, models.PROTECT, related_name="work_orders")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="work_orders")
    failure_mode = models.CharField(max_length=3, blank=True, help_text="Empty where it is for none.")
    maintenance_type = models.CharField(max_length=24, choices=Type.choices, help_text="In the words of EN 13306.")
    priority = models.CharField(max_length=16, choices=Priority.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    alarm = models.ForeignKey("maintenance.Alarm", models.PROTECT, null=True, related_name="work_orders")
    occurrences = models.PositiveIntegerField(default=1)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="work_orders_requested"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="work_orders"
    )
    due_at = models.DateTimeField(null=True, help_text="When it has to be done.")
    expected_cost = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        validators=[MinValueValidator(0)],
        help_text="Beside the parts that are planned for it. Empty: nobody said.",
    )
    planned_start = models.DateTimeField(null=True)
    planned_minutes = models.PositiveIntegerField(
        null=True, validators=[MinValueValidator(1)], help_text="How long the work is thought to take."
    )
    hold_reason = models.TextField(blank=True, help_text="What it waits for, while it is on hold.")
    findings = models.TextField(blank=True, help_text="What was found and done.")
    found_mode = models.CharField(max_length=3, blank=True, help_text="The failure mode that was found (ISO 14224).")
    mechanism = models.CharField(max_length=8, blank=True, choices=list(failure_data.MECHANISMS.items()))
    cause = models.CharField(max_length=32, blank=True, choices=list(failure_data.CAUSES.items()))
    detection_method = models.CharField(max_length=32, blank=True, choices=list(failure_data.DETECTION_METHODS.items()))
    activity = models.CharField(max_length=32, blank=True, choices=list(failure_data.ACTIVITIES.items()))
    verdict = models.CharField(max_length=16, blank=True, choices=Verdict.choices)
    label = models.ForeignKey("sensors.Label", models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField(help_text="In event time.")
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "failure_mode"], condition=~IS_OVER & ~Q(failure_mode=""), name="work_order_one_open"
            ),
            models.CheckConstraint(condition=PRIORITY_KNOWN, name="work_order_priority"),
            models.CheckConstraint(
                condition=Q(status__in=[
                    "REQUESTED", "OPEN", "PLANNED", "ASSIGNED", "IN_PROGRESS", "ON_HOLD", "COMPLETED", "CLOSED",
                    "CANCELLED",
                ]),
                name="work_order_status",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["COMPLETED", "CLOSED"])
                | (Q(completed_at__isnull=False) & ~Q(findings="")),
                name="work_order_completed_with_findings",
            ),
            models.CheckConstraint(
                condition=~Q(status="CLOSED") | Q(closed_at__isnull=False), name="work_order_closed_at"
            ),
            models.CheckConstraint(
                condition=~HAS_SOMEBODY | Q(assigned_to__isnull=False), name="work_order_has_worker"
            ),
            models.CheckConstraint(
                condition=~Q(status="PLANNED") | Q(planned_start__isnull=False, planned_minutes__isnull=False),
                name="work_order_planned_for",
            ),
            models.CheckConstraint(
                condition=~Q(status="ON_HOLD") | ~Q(hold_reason=""), name="work_order_held_with_a_reason"
            ),
            models.CheckConstraint(
                condition=Q(completed_at=None) | Q(started_at=None) | Q(completed_at__gte=F("started_at")),
                name="work_order_ends_after_start",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["site", "-id"], name="work_order_of_site"),
            models.Index(fields=["machine", "failure_mode", "-completed_at"], name="work_order_of_machine"),
            models.Index(fields=["id"], condition=Q(status="REQUESTED"), name="work_order_requested"),
        ]

    def __str__(self) -> str:
        return f"WO-{self.pk} {self.title}"

    @property
    def is_over(self) -> bool:
        return self.status in order_life.OVER

    @property
    def title_with_tag(self) -> str:
        """Its title behind the machine's tag; what an alarm opened begins with that already."""
        tag = self.machine.tag
        return self.title if self.title.startswith((f"{tag}:", f"{tag} ")) else f"{tag}: {self.title}"


class WorkOrderTransition(models.Model):
    """One step in the life of a work order."""

    order = models.ForeignKey(WorkOrder, models.CASCADE, related_name="transitions")
    action = models.CharField(max_length=16)
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16, choices=WorkOrder.Status.choices)
    key = models.CharField(max_length=200, unique=True, help_text="Made of ids, causes and event time.")
    at = models.DateTimeField(help_text="In event time.")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    run_id = models.BigIntegerField(null=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["run_id"], condition=Q(run_id__isnull=False), name="wo_transition_of_run"),
            models.Index(fields=["order"], condition=Q(action__in=["HELD", "REOPENED"]), name="wo_transition_breaks"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.order_id}"
