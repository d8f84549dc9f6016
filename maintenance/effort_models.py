"""The tables of what an order takes: labour by person, other costs, and downtime of machines.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names. That a person
does not work on two things at once, and that a machine's downtimes do not overlap, the database holds too.
"""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

from maintenance.order_models import WorkOrder
from sensors.models import Equipment, Site

NOT_NEGATIVE = [MinValueValidator(Decimal(0))]
MORE_THAN_NOTHING = [MinValueValidator(Decimal("0.01"))]
SPAN = (Func(F("from_at"), F("until_at"), function="tstzrange"), "&&")


def one(name: str) -> tuple[Func, str]:
    """A key as a range of its own, so that an exclusion by equality needs no extension of Postgres."""
    return (Func(F(name), F(name), Value("[]"), function="int8range"), "&&")


class LabourRate(models.Model):
    """What an hour of somebody costs in a site, from now on: labour keeps the rate of when it was entered."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="labour_rates")
    worker = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="labour_rates")
    hourly_cost = models.DecimalField(
        max_digits=10, decimal_places=2, validators=NOT_NEGATIVE, help_text="In the currency of the site."
    )
    changed_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "worker"]
        constraints = [
            models.UniqueConstraint(fields=["site", "worker"], name="labour_rate_once"),
            models.CheckConstraint(condition=Q(hourly_cost__gte=0), name="labour_rate_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.worker}: {self.hourly_cost} an hour"


class Labour(models.Model):
    """Somebody's time on an order, with the hourly cost of when it was entered. None: there was no rate."""

    order = models.ForeignKey(WorkOrder, models.PROTECT, related_name="labour")
    worker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="labour")
    from_at = models.DateTimeField("from")
    until_at = models.DateTimeField("until")
    hourly_cost = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    note = models.CharField(max_length=300, blank=True)
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    entered_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "labour"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(until_at__gt=F("from_at")), name="labour_ends_after_start"),
            ExclusionConstraint(name="labour_of_one_person_apart", expressions=[one("worker"), SPAN]),
        ]

    def __str__(self) -> str:
        return f"{self.worker} from {self.from_at:%Y-%m-%d %H:%M} UTC"

    @property
    def minutes(self) -> float:
        return (self.until_at - self.from_at).total_seconds() / 60


class OrderCost(models.Model):
    """What an order costs beside labour and parts."""

    class Kind(models.TextChoices):
        CONTRACTOR = "CONTRACTOR", "Contractor"
        RENTAL = "RENTAL", "Rental"
        TRAVEL = "TRAVEL", "Travel"
        TRANSPORT = "TRANSPORT", "Transport"
        DISPOSAL = "DISPOSAL", "Disposal"
        OTHER = "OTHER", "Other"

    order = models.ForeignKey(WorkOrder, models.PROTECT, related_name="other_costs")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    text = models.CharField(max_length=300, help_text="What for, and whose invoice.")
    amount = models.DecimalField(max_digits=12, decimal_places=2, validators=MORE_THAN_NOTHING)
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    entered_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="order_cost_more_than_nothing")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.amount}"


class Downtime(models.Model):
    """A machine does not do what it is there for. Without an end while that lasts."""

    class Reason(models.TextChoices):
        BREAKDOWN = "BREAKDOWN", "Breakdown"
        MAINTENANCE = "MAINTENANCE", "Maintenance"
        WAITING_FOR_PARTS = "WAITING_FOR_PARTS", "Waiting for parts"
        WAITING_FOR_PEOPLE = "WAITING_FOR_PEOPLE", "Waiting for people"
        SET_UP = "SET_UP", "Set-up or change-over"
        CLEANING = "CLEANING", "Cleaning"
        UTILITIES = "UTILITIES", "No power, air, water or steam"
        NO_MATERIAL = "NO_MATERIAL", "No material, or nowhere to put it"
        SAFETY = "SAFETY", "Stopped for safety"
        OTHER = "OTHER", "Other"

    site = models.ForeignKey(Site, models.PROTECT, related_name="downtimes")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="downtimes")
    order = models.ForeignKey(WorkOrder, models.PROTECT, null=True, related_name="downtimes")
    from_at = models.DateTimeField("from")
    until_at = models.DateTimeField("until", null=True, help_text="Empty while it lasts.")
    reason = models.CharField(max_length=24, choices=Reason.choices)
    is_planned = models.BooleanField("planned", default=False)
    note = models.CharField(max_length=300, blank=True)
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    entered_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until_at=None) | Q(until_at__gt=F("from_at")), name="downtime_ends_after_start"
            ),
            models.CheckConstraint(condition=Q(reason__in=[
                "BREAKDOWN", "MAINTENANCE", "WAITING_FOR_PARTS", "WAITING_FOR_PEOPLE", "SET_UP", "CLEANING",
                "UTILITIES", "NO_MATERIAL", "SAFETY", "OTHER",
            ]), name="downtime_reason"),
            ExclusionConstraint(name="downtime_of_one_machine_apart", expressions=[one("machine"), SPAN]),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["site", "-from_at"], name="downtime_of_site"),
            models.Index(fields=["machine"], condition=Q(until_at=None), name="downtime_that_lasts"),
        ]

    def __str__(self) -> str:
        return f"{self.machine}: {self.get_reason_display().lower()} from {self.from_at:%Y-%m-%d %H:%M} UTC"
