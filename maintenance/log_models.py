"""The tables of the maintenance log: what people write down freely, and one list of that and of finished orders.

Imported by ``maintenance.models``, where Django looks for tables.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sensors.models import Equipment, Site


class Language(models.TextChoices):
    """In which language a site's log is searched: words are taken to their stems by it."""

    SIMPLE = "SIMPLE", "Any: words as they are"
    ENGLISH = "ENGLISH", "English"
    PORTUGUESE = "PORTUGUESE", "Portuguese"


class LogLanguage(models.Model):
    """The language of a site's log; where there is none, words count as they are."""

    site = models.OneToOneField(Site, models.CASCADE, primary_key=True, related_name="log_language")
    language = models.CharField(max_length=16, choices=Language.choices, default=Language.SIMPLE)

    class Meta:
        verbose_name = "language of a log"
        verbose_name_plural = "languages of logs"
        ordering = ["site"]
        constraints = [
            models.CheckConstraint(condition=Q(language__in=Language.values), name="log_language_known"),
        ]

    def __str__(self) -> str:
        return f"{self.site}: {self.language}"


class LogEntry(models.Model):
    """What was done to a machine, by whom, where no order says it. Never changed: another entry corrects it."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="log_entries")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="log_entries")
    at = models.DateTimeField(help_text="When it was done.")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="log_entries")
    worker = models.CharField(max_length=200, blank=True, help_text="Who did it, where that is somebody else.")
    title = models.CharField(max_length=200, help_text="What was done, in a line.")
    found = models.TextField(blank=True, help_text="What was found.")
    fixed = models.TextField(blank=True, help_text="What fixed it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "log entries"
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=~Q(title=""), name="log_entry_says_something")]
        indexes = [models.Index(fields=["site", "-at"], name="log_entry_of_site")]

    def __str__(self) -> str:
        return f"{self.machine.tag}, {self.title}"


class LogLine(models.Model):
    """A line of the log: a view of completed and closed orders and of free entries. See ``maintenance.log``.

    The view has three columns more, of the words by language, which only a search reads.
    """

    class Kind(models.TextChoices):
        ORDER = "ORDER", "Work order"
        ENTRY = "ENTRY", "Free entry"

    id = models.BigIntegerField(primary_key=True, help_text="Twice the order's id, or twice the entry's and one.")
    site = models.ForeignKey(Site, models.DO_NOTHING, related_name="+", db_constraint=False)
    machine = models.ForeignKey(Equipment, models.DO_NOTHING, related_name="+", db_constraint=False)
    at = models.DateTimeField(help_text="When the work was completed, or done.")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    source_id = models.BigIntegerField(help_text="Id of the order, or of the entry.")
    worker = models.CharField(max_length=200, help_text="Who did it.")
    title = models.TextField()
    found = models.TextField(help_text="What was found.")
    fixed = models.TextField(help_text="What fixed it.")
    failure_mode = models.CharField(max_length=3)
    activity = models.CharField(max_length=32)

    class Meta:
        managed = False
        db_table = "maintenance_logline"
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return self.title
