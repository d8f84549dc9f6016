"""The tables of reports: what was asked for and what came of it, and which are made and mailed by time."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.models import Channel
from mlops.models import Errand
from sensors.models import Site


class Kind(models.TextChoices):
    ANOMALY = "ANOMALY", "Anomalies and alarms"
    MAINTENANCE = "MAINTENANCE", "Maintenance"
    SYSTEM_HEALTH = "SYSTEM_HEALTH", "Health of the system"
    DATA_QUALITY = "DATA_QUALITY", "Quality of the data"


class Form(models.TextChoices):
    JSON = "JSON", "JSON"
    CSV = "CSV", "CSV"
    PDF = "PDF", "PDF"


KINDS, FORMS = Q(kind__in=Kind.values), Q(form__in=Form.values)


class ReportSchedule(models.Model):
    """A report that is made of each day, week or month of a site, and mailed. See ``agents.reporting``."""

    class Every(models.TextChoices):
        DAY = "DAY", "Day: of the day before"
        WEEK = "WEEK", "Week: of Monday to Sunday before"
        MONTH = "MONTH", "Month: of the calendar month before"

    site = models.ForeignKey(Site, models.CASCADE, related_name="report_schedules")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    form = models.CharField(max_length=8, choices=Form.choices, default=Form.PDF)
    every = models.CharField(max_length=8, choices=Every.choices, default=Every.WEEK)
    day = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(28)],
        help_text="Of a week: 1 is Monday, 7 Sunday. Of a month: 1 to 28. Of a day it says nothing.",
    )  # fmt: skip
    hour = models.PositiveSmallIntegerField(
        default=6, validators=[MaxValueValidator(23)], help_text="Of the site's own time, 0 to 23."
    )
    channels = models.ManyToManyField(
        Channel, related_name="report_schedules", help_text="To whom it is mailed: channels of the site."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    next_at = models.DateTimeField(editable=False, help_text="When the next one is made.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=KINDS, name="report_schedule_kind"),
            models.CheckConstraint(condition=FORMS, name="report_schedule_form"),
            models.CheckConstraint(condition=Q(every__in=["DAY", "WEEK", "MONTH"]), name="report_schedule_every"),
            models.CheckConstraint(
                condition=Q(every="WEEK", day__lte=7) | (~Q(every="WEEK") & Q(day__lte=28)), name="report_schedule_day",
                violation_error_message="A week has days 1 to 7.",
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["next_at"], condition=Q(is_enabled=True), name="report_schedule_due")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} each {self.every.lower()}: {self.site}"


class Report(Errand):
    """A report that was asked for, and its file as long as that is kept."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Waiting for a worker"
        RUNNING = "RUNNING", "Under way"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed: the reason says why"

    UNFINISHED = (Status.PENDING, Status.RUNNING)

    site = models.ForeignKey(Site, models.CASCADE, related_name="reports")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    form = models.CharField(max_length=8, choices=Form.choices)
    from_at = models.DateTimeField(help_text="First instant of the period.")
    to_at = models.DateTimeField(help_text="The period ends before it.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    schedule = models.ForeignKey(ReportSchedule, models.SET_NULL, null=True, related_name="reports")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.TextField(blank=True, help_text="Why it failed.")
    content = models.BinaryField(null=True, help_text="The file; empty before it is made and after it expired.")
    size = models.PositiveIntegerField(default=0, help_text="Bytes of the file.")
    sha256 = models.CharField(max_length=64, blank=True)
    expires_at = models.DateTimeField(null=True, help_text="Until when the file is kept.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=KINDS, name="report_kind"),
            models.CheckConstraint(condition=FORMS, name="report_form"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "RUNNING", "DONE", "FAILED"]), name="report_status"
            ),
            models.CheckConstraint(condition=Q(to_at__gt=F("from_at")), name="report_period_not_empty"),
            models.UniqueConstraint(
                fields=["schedule", "from_at"], condition=Q(schedule__isnull=False), name="report_once_a_period"
            ),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(reason=""), name="report_has_reason"),
            models.CheckConstraint(
                condition=~Q(status="DONE") | (Q(expires_at__isnull=False) & ~Q(sha256="")), name="report_done_has_file"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "RUNNING"]), name="report_due"),
            models.Index(fields=["expires_at"], condition=Q(content__isnull=False), name="report_file_expires"),
            models.Index(fields=["site", "-id"], name="report_of_site"),
        ]

    def __str__(self) -> str:
        return f"report {self.pk}: {self.get_kind_display()} of {self.site}"
