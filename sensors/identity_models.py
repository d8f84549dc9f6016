"""The tables of who is logged in and by what: fields and constraints. See ``sensors.families`` and ``sensors.keys``."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

AGENT_LENGTH = 200
WITHOUT_LIMIT = Q(revoked_at=None)


class TokenFamily(models.Model):
    """A log-in over REST and all tokens that came of it by refreshing: they hold together, and end together."""

    class End(models.TextChoices):
        LOGGED_OUT = "LOGGED_OUT", "Logged out"
        ENDED = "ENDED", "Ended by the person"
        ADMINISTRATOR = "ADMINISTRATOR", "Ended by an administrator"
        REUSED = "REUSED", "A used refresh token came again"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="token_families", editable=False)
    password_mark = models.CharField(
        max_length=32, editable=False, help_text="Of the password it came of: with another one it is of no use."
    )
    created_at = models.DateTimeField("logged in", db_default=Now(), editable=False)
    used_at = models.DateTimeField("last refreshed", db_default=Now(), editable=False)
    address = models.GenericIPAddressField(null=True, editable=False, help_text="Where it was last used from.")
    agent = models.CharField("program", max_length=AGENT_LENGTH, blank=True, editable=False)
    revoked_at = models.DateTimeField("ended", null=True, editable=False)
    revoked_for = models.CharField("why", max_length=16, blank=True, choices=End.choices, editable=False)

    class Meta:
        verbose_name = "API session"
        ordering = ["-used_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-used_at"], condition=WITHOUT_LIMIT, name="family_live"),
            models.Index(fields=["used_at"], name="family_by_use"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_for="")
                | Q(revoked_at__isnull=False, revoked_for__in=["LOGGED_OUT", "ENDED", "ADMINISTRATOR", "REUSED"]),
                name="family_end_has_reason",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}, logged in {self.created_at:%Y-%m-%d %H:%M} UTC"
