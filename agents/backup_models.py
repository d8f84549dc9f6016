"""The table of backups: what was made, when, and how it went. The backups themselves say what is in them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Backup(models.Model):
    """A whole backup, or the shipping of what is written since (one row, written over)."""

    class Kind(models.TextChoices):
        WHOLE = "WHOLE", "Whole: the cluster, a dump, the files beside it"
        WAL = "WAL", "What is written since, as it is written"

    class Status(models.TextChoices):
        RUNNING = "RUNNING", "Being made"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    place = models.CharField(max_length=500)
    stamp = models.CharField(max_length=20, blank=True, help_text="Its name in the place.")
    size = models.BigIntegerField(default=0, help_text="Bytes of a whole one; files that were shipped.")
    error = models.TextField(blank=True)
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="When it ended; of shipping, when it last went well.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind"], condition=Q(kind="WAL"), name="backup_one_stream"),
            models.CheckConstraint(condition=Q(kind__in=["WHOLE", "WAL"]), name="backup_kind"),
            models.CheckConstraint(condition=Q(status__in=["RUNNING", "DONE", "FAILED"]), name="backup_status"),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(error=""), name="backup_failed_has_error"),
        ]
        indexes = [models.Index(fields=["kind", "-id"], name="backup_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.stamp or self.began_at}"
