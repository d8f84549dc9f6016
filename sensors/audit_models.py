"""The audit trail's tables. Neither is Django's to empty or to alter: triggers hold them (see the migration)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """Who did what from where. Added, sealed once, and never altered or deleted; it outlives its site and its actor."""

    at = models.DateTimeField(db_default=Now(), editable=False, help_text="By the clock of the database.")
    actor = models.CharField(max_length=150, blank=True, help_text="Who did it, or the name that was tried.")
    credential = models.CharField(max_length=20, help_text="What it was done with, such as session, token or password.")
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True, help_text="As in the log of the service.")
    site = models.ForeignKey(
        "sensors.Site", models.DO_NOTHING, db_constraint=False, null=True, related_name="+",
        help_text="Empty: of no site, or of somebody who is a member of several.",
    )  # fmt: skip
    action = models.CharField(max_length=60, help_text="Such as login.failed or model.promoted.")
    target = models.CharField(max_length=200, blank=True, help_text="Kind and id, such as alarm/7, or an address.")
    detail = models.JSONField(default=dict)
    reference = models.CharField(
        max_length=200, blank=True, help_text="Of what the journal tells as well: the key of its event."
    )
    number = models.BigIntegerField(null=True, unique=True, help_text="Place in the chain, without gaps.")
    previous = models.CharField(max_length=64, blank=True, help_text="Hash of the entry before it.")
    hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 over all of these and the hash before it.")

    class Meta:
        managed = False
        db_table = "sensors_auditentry"
        ordering = ["-id"]
        verbose_name, verbose_name_plural = "audit entry", "audit trail"

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()


class AuditHead(models.Model):
    """The end of the chain: how many entries are sealed, and the hash of the last one. One row."""

    number = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    class Meta:
        managed = False
        db_table = "sensors_audithead"

    def __str__(self) -> str:
        return f"{self.number} {self.hash}"
