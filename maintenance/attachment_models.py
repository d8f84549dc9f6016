"""The table of files at work orders.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from maintenance.order_models import WorkOrder
from sensors.models import Site


def place(row: Attachment, name: str) -> str:
    """Where a file is kept: nothing of what its owner called it."""
    return f"orders/{row.order_id}/{uuid4().hex}"


class Attachment(models.Model):
    """A file at an order. ``media_type`` is what its content is, whatever its name says."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="attachments")
    order = models.ForeignKey(WorkOrder, models.PROTECT, related_name="attachments")
    file = models.FileField(upload_to=place, max_length=200)
    name = models.CharField(max_length=150)
    media_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField(help_text="In bytes.")
    sha256 = models.CharField(max_length=64)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    added_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name
