"""The table of what was found when readings of a machine were held against what a model learned from."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sensors.models import Equipment


class DriftCheck(models.Model):
    """One window of a machine's readings, held against the reference of one version of a model. Never changed."""

    class Verdict(models.TextChoices):
        DRIFTED = "DRIFTED", "Drifted"
        AS_BEFORE = "AS_BEFORE", "As when it learned"
        NOT_JUDGED = "NOT_JUDGED", "Not judged: too few readings"

    machine = models.ForeignKey(Equipment, models.CASCADE, related_name="drift_checks")
    name = models.CharField(max_length=100, help_text="Of the model.")
    version = models.PositiveIntegerField()
    from_at = models.DateTimeField(help_text="Of the oldest readings that were looked at, in event time.")
    to_at = models.DateTimeField()
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    reason = models.TextField(help_text="The verdict in words.")
    features = models.JSONField(help_text="Of each feature p, q, effect, shift, whether it drifted, and why in words.")
    anomaly_id = models.BigIntegerField(null=True, help_text="The anomaly that tells of it; one lasts while it lasts.")
    retraining = models.TextField(blank=True, help_text="The training that was asked for, or why none was.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["machine", "name", "version", "from_at"], name="drift_check_once"),
            models.CheckConstraint(condition=Q(to_at__gte=F("from_at")), name="drift_check_ends_after_it_begins"),
            models.CheckConstraint(
                condition=Q(verdict__in=["DRIFTED", "AS_BEFORE", "NOT_JUDGED"]), name="drift_check_verdict"
            ),
            models.CheckConstraint(
                condition=~Q(verdict="DRIFTED") | (Q(anomaly_id__isnull=False) & ~Q(retraining="")),
                name="drift_has_consequences",
            ),
        ]
        indexes = [
            models.Index(fields=["machine", "name", "version", "-to_at"], name="drift_check_newest"),
            models.Index(fields=["created_at"], condition=~Q(verdict="DRIFTED"), name="drift_check_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version} on machine {self.machine_id}"
