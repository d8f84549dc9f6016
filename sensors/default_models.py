"""The table of alarm settings that hold for many sensors: fields and constraints. See ``sensors.sensor_defaults``."""

from __future__ import annotations

from itertools import pairwise

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

MOST_ALARM_READINGS = 32
"""The M of N of M, at most; a test holds it to ``mlops.detectors.votes``, which remembers so many."""
LONGEST_RATE_SPAN = 86_400
KINDS = (
    ("FLOW", "Flow"), ("LEVEL", "Level"), ("PRESSURE", "Pressure"), ("TEMPERATURE", "Temperature"),
    ("VIBRATION", "Vibration"), ("SPEED", "Speed"), ("CURRENT", "Electric current"), ("VOLTAGE", "Voltage"),
    ("POWER", "Power"), ("OTHER", "Other"),
)  # fmt: skip
IN_THE_UNIT = ("low_low", "low", "high", "high_high", "deadband", "rise_per_minute", "fall_per_minute")
"""Settings that mean nothing without a unit."""


def _number(words: str) -> models.FloatField[float | None, float | None]:
    return models.FloatField(null=True, blank=True, help_text=words)


def _count(
    words: str, *, least: int = 0, most: int = LONGEST_RATE_SPAN
) -> models.PositiveIntegerField[int | None, int | None]:
    checks = [MinValueValidator(least), MaxValueValidator(most)]
    return models.PositiveIntegerField(null=True, blank=True, validators=checks, help_text=words)


class SensorDefault(models.Model):
    """What holds for the sensors of a scope that say nothing else themselves; an empty setting says nothing."""

    site = models.ForeignKey("sensors.Site", models.PROTECT, related_name="sensor_defaults")
    equipment_class = models.CharField(
        max_length=50, blank=True, help_text="Class of the equipment a sensor sits on, else of its machine; empty: any."
    )
    sensor_kind = models.CharField(max_length=16, blank=True, choices=KINDS, help_text="Empty: any.")
    unit = models.CharField(
        max_length=32, blank=True, help_text="Of sensors with just this unit; empty: any, and nothing that has a unit."
    )
    low_low, low = _number("Alarm limit."), _number("Alarm limit.")
    high, high_high = _number("Alarm limit."), _number("Alarm limit.")
    deadband = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="How far inside a limit before it clears."
    )
    alarm_readings = _count("N of M: at least so many ...", least=1, most=MOST_ALARM_READINGS)
    alarm_readings_of = _count("... of the last so many must be beyond a limit.", least=1, most=MOST_ALARM_READINGS)
    rise_per_minute = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="It may rise by so much a minute."
    )
    fall_per_minute = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="It may fall by so much a minute."
    )
    rate_span_seconds = _count("The rate is that over so long.", least=1)
    silent_after_seconds = _count("Told as silent after so long without data, at least its period.", least=1)
    on_delay_seconds = _count("Abnormal for so long before it alarms.")
    off_delay_seconds = _count("Normal for so long before it clears.")
    revision = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "equipment_class", "sensor_kind", "unit"],
                name="default_one_of_scope",
                violation_error_message="There are defaults of this scope already.",
            ),
            models.CheckConstraint(
                condition=~Q(unit="") | Q(**{f"{name}__isnull": True for name in IN_THE_UNIT}),
                name="default_limits_have_a_unit",
                violation_error_message="Limits, deadband and rates need a unit: say of which sensors.",
            ),
            models.CheckConstraint(
                condition=Q(alarm_readings__isnull=True, alarm_readings_of__isnull=True)
                | Q(
                    alarm_readings__isnull=False, alarm_readings_of__isnull=False, alarm_readings__gte=1,
                    alarm_readings__lte=models.F("alarm_readings_of"), alarm_readings_of__lte=MOST_ALARM_READINGS,
                ),
                name="default_n_of_m",
                violation_error_message="Give both N and M, and N no more than M.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        kind = self.get_sensor_kind_display().lower() if self.sensor_kind else ""
        return ", ".join(part for part in (self.equipment_class or "all equipment", kind, self.unit) if part)

    def clean(self) -> None:
        self.equipment_class, self.unit = self.equipment_class.strip().upper(), self.unit.strip()
        given = [
            (name, value)
            for name in ("low_low", "low", "high", "high_high")
            if (value := getattr(self, name)) is not None
        ]
        for (name, value), (above, ceiling) in pairwise(given):
            if value >= ceiling:
                raise ValidationError({name: f"Must be below {above} ({ceiling:g})."})
