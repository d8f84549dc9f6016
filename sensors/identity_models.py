"""The tables of who is logged in and by what: fields and constraints.

See ``sensors.families`` and ``sensors.keys``.
"""

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


class ApiKey(models.Model):
    """What a program or a device shows instead of a password. Each has an account of its own, by which it is named in
    the journal; of the secret only a digest is kept, which is enough for one that is random."""

    class Kind(models.TextChoices):
        PROGRAM = "PROGRAM", "Program: may do what its scopes say"
        DEVICE = "DEVICE", "Device: sends readings of its sensors, and nothing else"

    site = models.ForeignKey("sensors.Site", models.PROTECT, related_name="api_keys")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.PROGRAM)
    name = models.CharField(max_length=100, help_text="What it is for, such as historian or gateway 3.")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="api_key", editable=False, verbose_name="account"
    )
    prefix = models.CharField(max_length=12, unique=True, editable=False, help_text="The secret begins with it.")
    digest = models.CharField(max_length=64, editable=False)
    previous_digest = models.CharField(max_length=64, blank=True, editable=False)
    previous_until = models.DateTimeField("old secret until", null=True, editable=False)
    scopes = models.JSONField(default=list, blank=True, help_text="Permissions it has in its site.")
    sensors: models.ManyToManyField[models.Model, models.Model] = models.ManyToManyField(
        "sensors.Sensor", blank=True, related_name="api_keys", help_text="Of a device: those it may send for."
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="From then on it is refused. Empty: never.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    used_at = models.DateTimeField("last used", null=True, editable=False, help_text="To within a minute.")
    used_from = models.GenericIPAddressField("last used from", null=True, editable=False)
    revoked_at = models.DateTimeField("revoked", null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["site", "name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "name"], condition=Q(revoked_at=None), name="api_key_name_once",
                violation_error_message="A key of this name is in use in this site.",
            ),
            models.CheckConstraint(condition=Q(kind__in=["PROGRAM", "DEVICE"]), name="api_key_kind"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} (bw_{self.prefix}…)"
