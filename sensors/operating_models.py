"""The table of rules by which it is known whether machines run: fields and constraints. See ``sensors.operating``."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

NO_SENSOR = Q(sensor__isnull=True, sensor_kind="", off_below__isnull=True, running_above__isnull=True)
ONE_SENSOR = Q(sensor__isnull=False, sensor_kind="") | (Q(sensor__isnull=True) & ~Q(sensor_kind=""))
BOTH_BOUNDS = Q(off_below__isnull=False, running_above__isnull=False, off_below__lte=F("running_above"))


class OperatingRule(models.Model):
    """How it is known whether a machine, or each of a class, is off, starts up or runs; and what is hidden then.

    Written by ``maintenance.operating_book``. It is a fact's rule and stands here because the flow reads it with the
    sensors.
    """

    LONGEST_STARTUP = 24 * 3_600

    site = models.ForeignKey("sensors.Site", models.PROTECT, related_name="operating_rules")
    machine = models.ForeignKey(
        "sensors.Equipment", models.PROTECT, null=True, blank=True, related_name="operating_rules",
        help_text="For this machine alone: outranks that for its class.",
    )  # fmt: skip
    equipment_class = models.CharField(max_length=50, blank=True, help_text="For all machines of this class.")
    sensor = models.ForeignKey(
        "sensors.Sensor", models.PROTECT, null=True, blank=True, related_name="operating_rules",
        help_text="The sensor of the machine that shows whether it runs, such as its speed.",
    )  # fmt: skip
    sensor_kind = models.CharField(
        max_length=16, blank=True, help_text="Or: the only sensor of this kind that a machine has."
    )
    off_below = models.FloatField(null=True, blank=True, help_text="Below this it is off.")
    running_above = models.FloatField(
        null=True, blank=True, help_text="From this on it runs; in between it is what it was."
    )
    startup_seconds = models.PositiveIntegerField(
        default=0, validators=[MaxValueValidator(LONGEST_STARTUP)],
        help_text="How long a start-up takes, from when it begins to run after it was off.",
    )  # fmt: skip
    off_hides = models.JSONField(
        default=list, blank=True, help_text="Failure modes that are hidden while it is off; ALL: every one."
    )
    startup_hides = models.JSONField(
        default=list, blank=True, help_text="Failure modes that are hidden while it starts up; ALL: every one."
    )
    holds_minutes = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(1)],
        help_text="That it is off holds for so long after it was last said or read; then nothing is hidden.",
    )  # fmt: skip
    most_hours = models.PositiveIntegerField(
        default=168, validators=[MinValueValidator(1)],
        help_text="Nothing is hidden for longer at a time, however long it is off.",
    )  # fmt: skip
    revision = models.PositiveIntegerField(default=1, editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "machine", "equipment_class"],
                nulls_distinct=False,
                name="operating_rule_one_of_scope",
                violation_error_message="There is a rule for this machine or class already.",
            ),
            models.CheckConstraint(
                condition=Q(machine__isnull=False, equipment_class="")
                | (Q(machine__isnull=True) & ~Q(equipment_class="")),
                name="operating_rule_machine_or_class",
                violation_error_message="Give a machine or a class of equipment, one of the two.",
            ),
            models.CheckConstraint(
                condition=Q(sensor__isnull=True) | Q(machine__isnull=False),
                name="operating_rule_sensor_of_machine",
                violation_error_message="A class of equipment has no one sensor: give the kind.",
            ),
            models.CheckConstraint(
                condition=NO_SENSOR | (ONE_SENSOR & BOTH_BOUNDS),
                name="operating_rule_read_or_told",
                violation_error_message="Give a sensor or a kind of sensor and both bounds, the lower one first; or "
                "none of them, where people or a control system tell.",
            ),
            models.CheckConstraint(
                condition=Q(holds_minutes__gte=1, most_hours__gte=1, startup_seconds__lte=24 * 3_600),
                name="operating_rule_ends",
            ),
            models.CheckConstraint(
                condition=~Q(off_hides=[], startup_hides=[]),
                name="operating_rule_hides",
                violation_error_message="Say what is hidden while it is off, while it starts up, or both.",
            ),
            models.CheckConstraint(
                condition=Q(startup_hides=[]) | Q(startup_seconds__gte=1),
                name="operating_rule_startup_lasts",
                violation_error_message="Say how long a start-up takes.",
            ),
        ]

    def __str__(self) -> str:
        return f"operating states of {self.machine or self.equipment_class}"

    @property
    def how(self) -> str:
        """How the state is known, in words."""
        if not self.sensor_id and not self.sensor_kind:
            return "told"
        what = f"sensor {self.sensor}" if self.sensor_id else self.sensor_kind.lower()
        return f"{what}: off below {self.off_below:g}, running from {self.running_above:g}"
