"""The table of how good served models are about live machines, with labels and without."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sensors.models import Equipment


class LivePerformance(models.Model):
    """Answers in a row of one version of a model about one machine. What was expected of them never changes; what they
    were measured at does, as people and time tell what was true."""

    machine = models.ForeignKey(Equipment, models.CASCADE, related_name="model_performances")
    name = models.CharField(max_length=100, help_text="Of the model.")
    version = models.PositiveIntegerField()
    from_at = models.DateTimeField(help_text="Of the oldest of the answers, in event time.")
    to_at = models.DateTimeField()
    answers = models.PositiveIntegerField(help_text="Those that say something.")
    figures = models.JSONField(
        default=list, help_text="Of each: expected without truth, from low to high; as held out; measured with truth."
    )
    known = models.PositiveIntegerField(default=0, help_text="Answers of which it is known what was true.")
    said = models.JSONField(default=list, help_text="What told what was true.")
    changes = models.JSONField(
        null=True, help_text="Where the stream of scores changed, and by which detector; null: nothing was before it."
    )
    created_at = models.DateTimeField(db_default=Now())
    measured_at = models.DateTimeField(null=True, help_text="When it was last held against what was true.")

    class Meta:
        verbose_name, verbose_name_plural = "performance of a model", "performance of models"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["machine", "name", "version", "from_at"], name="performance_once"),
            models.CheckConstraint(condition=Q(to_at__gte=F("from_at")), name="performance_ends_after_it_begins"),
        ]
        indexes = [
            models.Index(fields=["machine", "name", "version", "-to_at"], name="performance_newest"),
            models.Index(fields=["name", "-to_at"], name="performance_of_model"),
            models.Index(fields=["created_at"], name="performance_age"),
        ]

    def __str__(self) -> str:
        return f"performance of {self.name} {self.version} about machine {self.machine_id}"
