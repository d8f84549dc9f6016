"""The table of what an imported work order says beyond what an order of our own does.

Imported by ``maintenance.models``. Written by ``maintenance.history_import`` alone.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from maintenance.order_models import WorkOrder
from sensors.models import Site


class PastOrder(models.Model):
    """Where an order of the past comes from. ``key`` says which row of which source: a row is imported once."""

    order = models.OneToOneField(WorkOrder, models.CASCADE, primary_key=True, related_name="past")
    site = models.ForeignKey(Site, models.PROTECT, related_name="+")
    source = models.CharField(max_length=100, help_text="Name of the mapping it was read by.")
    key = models.CharField(max_length=200, help_text="The row in its source.")
    part = models.CharField(max_length=100, blank=True, help_text="What of the machine it was about.")
    cost = models.DecimalField(
        max_digits=14, decimal_places=2, null=True, help_text="In the currency of the source; credits are negative."
    )
    worker = models.CharField(max_length=200, blank=True, help_text="Who did it, as the source says.")
    imported_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-order"]
        constraints = [models.UniqueConstraint(fields=["site", "source", "key"], name="past_order_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"
