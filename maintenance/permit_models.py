"""The tables of safety permits and of a site's rules about work: which permits, whose eyes, which currency.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.checklist_models import PermitKind
from maintenance.order_models import WorkOrder
from sensors.models import Site


class WorkRules(models.Model):
    """How a site has its work done. Without a row: no permits, one pair of eyes, EUR."""

    site = models.OneToOneField(Site, models.CASCADE, related_name="work_rules")
    four_eyes = models.BooleanField(
        default=False, help_text="An order is not closed by somebody who worked on it or completed it."
    )
    currency = models.CharField(
        max_length=3, default="EUR", help_text="Of all costs, by ISO 4217.",
        validators=[RegexValidator(r"\A[A-Z]{3}\Z", "Three capital letters, such as EUR.")],
    )  # fmt: skip
    changed_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = verbose_name_plural = "rules of work"
        ordering = ["site"]

    def __str__(self) -> str:
        return f"Rules of {self.site}"


class PermitRule(models.Model):
    """Orders of a type are not started without a valid permit of a kind."""

    rules = models.ForeignKey(WorkRules, models.CASCADE, related_name="permits")
    maintenance_type = models.CharField(
        max_length=24, blank=True, choices=WorkOrder.Type.choices, help_text="Empty: of every type."
    )
    kind = models.CharField(max_length=16, choices=PermitKind.choices)

    class Meta:
        ordering = ["rules", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rules", "maintenance_type", "kind"], name="permit_rule_once",
                violation_error_message="That is said already.",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.get_kind_display()} for {self.get_maintenance_type_display() or 'every type'}"


class Permit(models.Model):
    """Somebody who is responsible lets work on an order be done, from an instant until another."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="permits")
    order = models.ForeignKey(WorkOrder, models.PROTECT, related_name="permits")
    kind = models.CharField(max_length=16, choices=PermitKind.choices)
    conditions = models.TextField(blank=True, max_length=5_000, help_text="What has to be done for it to hold.")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    issued_at = models.DateTimeField(db_default=Now(), editable=False)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    revoke_reason = models.CharField(max_length=1_000, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(valid_until__gt=F("valid_from")), name="permit_ends_after_start"),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None, revoke_reason="")
                | (Q(revoked_at__isnull=False, revoked_by__isnull=False) & ~Q(revoke_reason="")),
                name="permit_revoked_with_a_reason",
            ),
        ]
        indexes = [models.Index(fields=["site", "valid_until"], name="permit_by_end")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} until {self.valid_until:%Y-%m-%d %H:%M} UTC"
