"""The table of what machines are doing: off, starting up, running. See ``maintenance.operating``."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from sensors.models import Equipment, Site


class OperatingState(models.Model):
    """What a machine is, as far as it was said, in event time. What it was before is in the journal."""

    class State(models.TextChoices):
        UNKNOWN = "UNKNOWN", "Not known"
        OFF = "OFF", "Off"
        STARTING = "STARTING", "Starting up"
        RUNNING = "RUNNING", "Running"

    site = models.ForeignKey(Site, models.PROTECT, related_name="operating_states")
    machine = models.OneToOneField(Equipment, models.PROTECT, related_name="operating_state")
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNKNOWN)
    since = models.DateTimeField(null=True, help_text="In event time; empty where nobody has said anything yet.")
    starts_until = models.DateTimeField(null=True, help_text="When its start-up is over, in event time.")
    source = models.TextField(blank=True, help_text="Who or what said so.")
    told_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    sensor_says = models.CharField(max_length=16, blank=True, editable=False, help_text="What its sensor said last.")
    heard_at = models.DateTimeField(null=True, help_text="Until when that was said to hold, in event time.")
    confirmed_at = models.DateTimeField(null=True, help_text="When that was said last, by the clock.")
    due_at = models.DateTimeField(
        null=True, editable=False, help_text="When it holds no longer by itself; empty: it stands."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["UNKNOWN", "OFF", "STARTING", "RUNNING"]), name="operating_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["OFF", "STARTING"]) | Q(due_at__isnull=False, since__isnull=False),
                name="operating_state_has_an_end",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="operating_state_due"),
            models.Index(fields=["site", "-id"], name="operating_state_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.machine}: {self.get_state_display().lower()}"
