"""The table of floods. Imported by ``maintenance.models``, where Django looks for tables."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sensors.models import Site


class Flood(models.Model):
    """A stretch in which more alarms of a site came than its operator can take in (see ``maintenance.floods``)."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="floods")
    began_at = models.DateTimeField(help_text="When the limit was passed, in event time.")
    ended_at = models.DateTimeField(null=True, help_text="When the rate had sunk, in event time; empty while it lasts.")
    activations = models.PositiveIntegerField(help_text="In the ten minutes before its start, and in it.")
    found_at = models.DateTimeField(db_default=Now(), editable=False, help_text="By the clock.")
    look_at = models.DateTimeField(
        null=True, editable=False, help_text="When the sweep looks whether it is over; empty once it is."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["site"], condition=Q(ended_at=None), name="flood_one_at_a_time"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, look_at__isnull=False)
                | Q(ended_at__isnull=False, look_at__isnull=True),
                name="flood_has_an_end",
            ),
        ]
        indexes = [
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="flood_due"),
            models.Index(fields=["site", "-id"], name="flood_of_site"),
        ]

    def __str__(self) -> str:
        return f"Flood of {self.site} from {self.began_at:%Y-%m-%d %H:%M} UTC"
