"""The table of rules by which an alarm hides others below it: fields and constraints. See ``maintenance.parents``."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sensors.models import Equipment, Site


class ParentRule(models.Model):
    """While an alarm of a machine is active, alarms of the machines in a part of the plant follow from it."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="parent_rules")
    machine = models.ForeignKey(
        Equipment, models.PROTECT, related_name="parent_rules",
        help_text="Whose alarm stands for the others: what drives or supplies them.",
    )  # fmt: skip
    failure_mode = models.CharField(max_length=3, blank=True, help_text="Of that alarm; empty: any.")
    equipment = models.ForeignKey(
        Equipment, models.PROTECT, related_name="hidden_by_rules",
        help_text="A line, with all machines that stand in it, or one machine.",
    )  # fmt: skip
    hides = models.JSONField(default=list, help_text="Failure modes that are hidden below; ALL: every one.")
    most_hours = models.PositiveIntegerField(
        default=24, validators=[MinValueValidator(1)],
        help_text="Nothing is hidden for longer, however long that alarm is active.",
    )  # fmt: skip
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "failure_mode", "equipment"],
                name="parent_rule_once",
                violation_error_message="There is a rule of this alarm for this part of the plant already.",
            ),
            models.CheckConstraint(
                condition=Q(most_hours__gte=1) & ~Q(hides=[]),
                name="parent_rule_hides_and_ends",
                violation_error_message="Say what is hidden, and for how long at most.",
            ),
        ]

    def __str__(self) -> str:
        what = f"{self.failure_mode} of " if self.failure_mode else ""
        return f"{what}{self.machine} hides {self.equipment}"
