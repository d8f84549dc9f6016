"""The table of answers to requests that came with an idempotency key. See ``sensors.idempotency``."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class IdempotentRequest(models.Model):
    """A request that was carried out, and its answer: stored in the transaction of what it did, kept for a day."""

    LONGEST_KEY = 255

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=LONGEST_KEY)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, address and body.")
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="request_key_once_a_user"),
        ]
        indexes = [models.Index(fields=["created_at"], name="request_by_age")]

    def __str__(self) -> str:
        return f"{self.key} of {self.user}"
