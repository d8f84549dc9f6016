"""The tables of webhooks: where a site's events are sent to, and what became of each. See ``maintenance.webhooks``."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from maintenance.order_models import Priority
from sensors.models import Equipment, Event, Site


class Webhook(models.Model):
    """An address that takes a site's events, once it has agreed to. It is worked on by one worker at a time."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Has not agreed yet"
        ACTIVE = "ACTIVE", "Active"
        PAUSED = "PAUSED", "Paused"
        GONE = "GONE", "Gone: it said that it is no more"

    site = models.ForeignKey(Site, models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=500, help_text="An https address.")
    types = models.JSONField(default=list, help_text="Types of events, such as work_order.opened or alarm.*.")
    lowest_priority = models.CharField(
        max_length=16, choices=Priority.choices, default=Priority.LOW,
        help_text="Of events that have a priority: nothing below this is sent.",
    )  # fmt: skip
    equipment = models.ForeignKey(
        Equipment, models.PROTECT, null=True, blank=True, related_name="webhooks",
        help_text="A line with all machines that stand in it, or one machine. Empty: the whole site.",
    )  # fmt: skip
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING, editable=False)
    reason = models.CharField(max_length=300, blank=True, editable=False, help_text="Why it is not active.")
    secret = models.CharField(max_length=100, editable=False)
    previous_secret = models.CharField(max_length=100, blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False, help_text="Until then both secrets sign.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="webhooks"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    verified_at = models.DateTimeField(null=True, editable=False)
    rate_per_minute = models.PositiveIntegerField(null=True, editable=False, help_text="No more is sent. Empty: any.")
    read_transaction = models.BigIntegerField(editable=False, help_text="How far the journal was read for it.")
    read_event = models.BigIntegerField(default=0, editable=False)
    newest_event = models.BigIntegerField(default=0, editable=False, help_text="The highest id that was read.")
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row.")
    rests_until = models.DateTimeField(null=True, editable=False, help_text="Nothing is sent before.")
    attempts = models.PositiveIntegerField(default=0, editable=False)
    lease_token = models.BigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    lease_owner = models.CharField(max_length=100, blank=True, editable=False)
    due_at = models.DateTimeField(null=True, db_default=Now(), editable=False, help_text="Empty: nothing is to do.")
    ring_after = models.DateTimeField(db_default=Now(), editable=False)
    rings = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["site", "name"]
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="webhook_name_once"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "ACTIVE", "PAUSED", "GONE"]), name="webhook_status"
            ),
            models.CheckConstraint(condition=~Q(secret=""), name="webhook_has_secret"),
            models.CheckConstraint(condition=Q(lowest_priority__in=Priority.values), name="webhook_lowest_priority"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status__in=["PENDING", "ACTIVE"]), name="webhook_due"),
        ]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(models.Model):
    """One event for one address; of a test there is no event."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "To be sent"
        DELIVERED = "DELIVERED", "Delivered"
        FAILED = "FAILED", "Failed"

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, null=True, related_name="deliveries")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it was not taken.")
    attempts = models.PositiveIntegerField(default=0, help_text="Since it was asked for.")
    due_at = models.DateTimeField(db_default=Now())
    asked_at = models.DateTimeField(db_default=Now(), help_text="When it was to be sent, or sent again.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event"], name="webhook_delivery_once"),
            models.CheckConstraint(
                condition=Q(status="PENDING", finished_at__isnull=True)
                | Q(status__in=["DELIVERED", "FAILED"], finished_at__isnull=False),
                name="webhook_delivery_ends_with_its_status",
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "id"], condition=Q(status="PENDING"), name="webhook_delivery_waiting"),
            models.Index(
                fields=["finished_at"], condition=Q(finished_at__isnull=False), name="webhook_delivery_finished"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or 'test'} to {self.webhook}"


class WebhookTry(models.Model):
    """One attempt at a delivery, and what was answered."""

    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="tries")
    attempt = models.PositiveIntegerField()
    began_at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField()
    answered = models.PositiveSmallIntegerField(null=True, help_text="The HTTP status; empty where none came.")
    answer = models.TextField(blank=True, help_text="The beginning of what was answered.")
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "webhook tries"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"attempt {self.attempt} at {self.delivery_id}"
