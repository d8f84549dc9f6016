"""The table of what people lay down about alarms: fields and constraints. See ``maintenance.definitions``."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from maintenance import definitions, failure_modes
from sensors.models import Equipment, Sensor, Site


class AlarmPriority(models.TextChoices):
    """Those of alarms: also one that is none, since it asks for no response."""

    CRITICAL = "CRITICAL", "Critical"
    HIGH = "HIGH", "High"
    MEDIUM = "MEDIUM", "Medium"
    LOW = "LOW", "Low"
    ADVISORY = "ADVISORY", "Advisory: asks for no response"


ADVISORY_ASKS_NOTHING = Q(
    priority="ADVISORY", response="", respond_within_minutes__isnull=True, latching=False, re_alarm_seconds__isnull=True
)


class AlarmDefinition(models.Model):
    """What people laid down about the alarms of a scope (see ``maintenance.definitions``); empty = any."""

    ANOMALY_KINDS = tuple((kind, kind.replace("_", " ").capitalize()) for kind in definitions.ANOMALY_KINDS)

    site = models.ForeignKey(Site, models.PROTECT, related_name="alarm_definitions")
    machine = models.ForeignKey(
        Equipment, models.PROTECT, null=True, blank=True, related_name="alarm_definitions",
        help_text="For this machine alone: outranks those for its class. Empty: for all.",
    )  # fmt: skip
    equipment_class = models.CharField(
        max_length=50, blank=True, help_text="Class of the equipment a sensor sits on, else of its machine; empty: any."
    )
    sensor_kind = models.CharField(max_length=16, blank=True, choices=Sensor.Kind.choices, help_text="Empty: any.")
    failure_mode = models.CharField(max_length=3, blank=True, help_text="In the sense of ISO 14224; empty: any.")
    anomaly_kind = models.CharField(
        max_length=32, blank=True, choices=ANOMALY_KINDS, help_text="As the detectors call it; empty: any."
    )
    cause = models.TextField(blank=True, help_text="What usually brings it about.")
    consequence = models.TextField(blank=True, help_text="What happens if nobody responds.")
    response = models.TextField(blank=True, help_text="What is to be done. Only an advisory asks for nothing.")
    respond_within_minutes = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Time to respond."
    )
    priority = models.CharField(
        max_length=16, blank=True, choices=AlarmPriority.choices,
        help_text="Empty: it follows from the machine's criticality and the severity.",
    )  # fmt: skip
    latching = models.BooleanField(
        default=False, help_text="It does not close by itself: after its return it waits for an acknowledgement."
    )
    re_alarm_seconds = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(60)],
        help_text="Told again when it has been active for so long since it was told or acknowledged; empty: never.",
    )  # fmt: skip
    re_alarm_count = models.PositiveSmallIntegerField(default=0, help_text="At most so many times.")
    revision = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "machine", "equipment_class", "sensor_kind", "anomaly_kind", "failure_mode"],
                nulls_distinct=False,
                name="definition_one_of_scope",
                violation_error_message="There is a definition of this scope already.",
            ),
            models.CheckConstraint(
                condition=Q(machine__isnull=True) | Q(equipment_class=""),
                name="definition_machine_or_class",
                violation_error_message="Give a machine or a class of equipment, not both.",
            ),
            models.CheckConstraint(
                condition=Q(priority__in=["", "CRITICAL", "HIGH", "MEDIUM", "LOW", "ADVISORY"]),
                name="definition_priority",
            ),
            models.CheckConstraint(
                condition=(Q(priority="ADVISORY") & ADVISORY_ASKS_NOTHING)
                | (~Q(priority="ADVISORY") & ~Q(response="")),
                name="definition_asks_for_a_response",
                violation_error_message="An alarm asks for a response: say which. An advisory asks for none: leave "
                "response, time to respond, latching and re-alarm empty.",
            ),
            models.CheckConstraint(
                condition=Q(re_alarm_seconds__isnull=True, re_alarm_count=0)
                | Q(re_alarm_seconds__isnull=False, re_alarm_seconds__gte=60, re_alarm_count__gte=1),
                name="definition_re_alarm",
                violation_error_message="Give both for a re-alarm: after how long (60 seconds or more), and how often.",
            ),
        ]

    def __str__(self) -> str:
        where = str(self.machine) if self.machine_id else self.equipment_class or "all equipment"
        what = (self.sensor_kind.lower(), self.anomaly_kind.replace("_", " ").lower(), self.failure_mode)
        return ", ".join([where, *(part for part in what if part)])

    def clean(self) -> None:
        self.equipment_class = self.equipment_class.strip().upper()
        if self.machine is not None and self.machine.site_id != self.site_id:
            raise ValidationError({"machine": "The machine belongs to another site."})
        if self.machine is not None and self.machine.level != Equipment.Level.MACHINE:
            raise ValidationError({"machine": "Alarms are of machines: choose one, not a line or a component."})
        if self.failure_mode and self.failure_mode not in failure_modes.CATALOGUE.modes:
            raise ValidationError({"failure_mode": f"There is no failure mode {self.failure_mode}."})
