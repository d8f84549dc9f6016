"""The tables of exports: what was asked for, and the file in pieces until it expires."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from mlops.models import Errand
from sensors.models import Equipment, Sensor, Site


class Export(Errand):
    """A file that somebody asked for, made by a worker and kept for a while. See ``agents.exports``."""

    class What(models.TextChoices):
        READINGS = "readings", "Readings"
        ANOMALIES = "anomalies", "Anomalies"
        ALARMS = "alarms", "Alarms"
        ORDERS = "work-orders", "Work orders"
        EVENTS = "events", "Journal"
        AUDIT = "audit", "Audit trail"

    class Form(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"
        PARQUET = "parquet", "Parquet"
        NDJSON = "ndjson", "NDJSON"

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting for a worker"
        RUNNING = "RUNNING", "Under way"
        DONE = "DONE", "Done: the file is there"
        FAILED = "FAILED", "Failed: the reason says why"
        EXPIRED = "EXPIRED", "Expired: the file was deleted"

    site = models.ForeignKey(Site, models.CASCADE, related_name="exports")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="exports")
    what = models.CharField(max_length=16, choices=What.choices)
    form = models.CharField(max_length=16, choices=Form.choices)
    machine = models.ForeignKey(Equipment, models.CASCADE, null=True, related_name="+", help_text="Of this one alone.")
    sensor = models.ForeignKey(Sensor, models.CASCADE, null=True, related_name="+", help_text="Of this one alone.")
    from_at = models.DateTimeField(help_text="First instant of the period.")
    to_at = models.DateTimeField(help_text="The period ends before it.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    percent = models.PositiveSmallIntegerField(default=0, help_text="How far it is.")
    rows = models.PositiveBigIntegerField(default=0, help_text="Rows in the file so far.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of the file.")
    made_by = models.BigIntegerField(default=0, help_text="The attempt whose pieces are the file.")
    expires_at = models.DateTimeField(null=True, help_text="The file is deleted then.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(to_at__gt=F("from_at")), name="export_period_not_empty"),
            models.CheckConstraint(
                condition=Q(what__in=["readings", "anomalies", "alarms", "work-orders", "events", "audit"]),
                name="export_what",
            ),
            models.CheckConstraint(condition=Q(form__in=["csv", "xlsx", "parquet", "ndjson"]), name="export_form"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING", "DONE", "FAILED", "EXPIRED"]), name="export_status"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING"], finished_at__isnull=True)
                | (~Q(status__in=["PENDING", "RUNNING"]) & Q(finished_at__isnull=False)),
                name="export_ends_with_its_status",
            ),
            models.CheckConstraint(condition=~Q(status="DONE") | Q(expires_at__isnull=False), name="export_expires"),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(reason=""), name="export_has_reason"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "RUNNING"]), name="export_due"),
            models.Index(fields=["expires_at"], condition=Q(status="DONE"), name="export_expiring"),
            models.Index(fields=["asked_by", "-id"], name="export_of_user"),
        ]

    def __str__(self) -> str:
        return f"export {self.pk}: {self.name}"

    @property
    def name(self) -> str:
        """Of the file."""
        return f"{self.what}-{self.from_at:%Y-%m-%d}-{self.to_at:%Y-%m-%d}.{self.form}"


class ExportPiece(models.Model):
    """Some bytes of a file: what follows the pieces before it. Those of an attempt that did not end are of no file."""

    export = models.ForeignKey(Export, models.CASCADE, db_index=False, related_name="pieces")
    attempt = models.BigIntegerField()
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["export", "attempt", "number"], name="export_piece_once")]

    def __str__(self) -> str:
        return f"piece {self.number} of export {self.export_id}"
