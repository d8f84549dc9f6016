"""The tables of spare parts: what there is, where it lies, every movement of it, and what work orders want and take.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sensors.models import Site

ZERO = Decimal(0)


def amount(**more: object) -> models.DecimalField[Decimal, Decimal]:
    """A column of an amount in a part's unit, to a thousandth."""
    return models.DecimalField(max_digits=12, decimal_places=3, **more)  # type: ignore[arg-type]  # as Django takes it


class Part(models.Model):
    """A spare part or a material, by the number it has in the site."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="parts")
    number = models.CharField(max_length=60)
    name = models.CharField(max_length=200)
    unit = models.CharField(max_length=20, default="pcs", help_text="Such as pcs, m, l, kg.")
    unit_cost = models.DecimalField(
        max_digits=14, decimal_places=4, default=ZERO, validators=[MinValueValidator(ZERO)],
        help_text="Of one unit, in the currency the site counts in.",
    )  # fmt: skip
    lead_time_days = models.PositiveIntegerField(
        "lead time", null=True, blank=True, help_text="Days from order to arrival. Empty: not known."
    )
    minimum = amount(
        default=ZERO, validators=[MinValueValidator(ZERO)],
        help_text="What should lie in the stores of the site together. 0: none.",
    )  # fmt: skip
    is_active = models.BooleanField(
        default=True, help_text="Otherwise it is used up, and not reserved or bought any more."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "number"]
        constraints = [
            models.UniqueConstraint(fields=["site", "number"], name="part_number_in_site"),
            models.CheckConstraint(condition=Q(unit_cost__gte=0), name="part_unit_cost"),
            models.CheckConstraint(condition=Q(minimum__gte=0), name="part_minimum"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class Store(models.Model):
    """Where parts and tools lie."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="stores")
    name = models.CharField(max_length=100)
    is_active = models.BooleanField(default=True, help_text="Otherwise nothing is brought there any more.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "name"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="store_name_in_site")]

    def __str__(self) -> str:
        return self.name


class Stock(models.Model):
    """How much of a part lies in a store: the sum of its movements. What is reserved is for certain orders only."""

    part = models.ForeignKey(Part, models.RESTRICT, related_name="stocks")
    store = models.ForeignKey(Store, models.RESTRICT, related_name="stocks")
    on_hand = amount(default=ZERO)
    reserved = amount(default=ZERO)

    class Meta:
        ordering = ["part", "store"]
        constraints = [
            models.UniqueConstraint(fields=["part", "store"], name="stock_once"),
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="stock_never_below_zero"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0, reserved__lte=F("on_hand")), name="stock_reserved_is_there"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.part} in {self.store}"

    @property
    def available(self) -> Decimal:
        return self.on_hand - self.reserved


class Movement(models.Model):
    """One entry of the ledger: a part came to a store or left it. Never altered; what was wrong is adjusted."""

    class Kind(models.TextChoices):
        RECEIVE = "RECEIVE", "Received"
        ISSUE = "ISSUE", "Issued"
        RETURN = "RETURN", "Returned"
        ADJUST = "ADJUST", "Adjusted"
        TRANSFER = "TRANSFER", "Transferred"

    site = models.ForeignKey(Site, models.PROTECT, related_name="movements")
    part = models.ForeignKey(Part, models.RESTRICT, related_name="movements")
    store = models.ForeignKey(Store, models.RESTRICT, related_name="movements")
    other_store = models.ForeignKey(
        Store, models.RESTRICT, null=True, related_name="+", help_text="Of a transfer: where it came from or went to."
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    quantity = amount(help_text="In is positive, out is negative.")
    on_hand = amount(help_text="How much lay there afterwards.")
    value = models.DecimalField(max_digits=16, decimal_places=2, help_text="At the unit cost of that day; signed.")
    order = models.ForeignKey("maintenance.WorkOrder", models.PROTECT, null=True, related_name="movements")
    reason = models.TextField(blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["RECEIVE", "ISSUE", "RETURN", "ADJUST", "TRANSFER"]), name="movement_kind"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["RECEIVE", "RETURN"], quantity__gt=0)
                | Q(kind="ISSUE", quantity__lt=0)
                | (Q(kind__in=["ADJUST", "TRANSFER"]) & ~Q(quantity=0)),
                name="movement_has_its_direction",
            ),
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="movement_never_below_zero"),
            models.CheckConstraint(
                condition=Q(kind__in=["ISSUE", "RETURN"], order__isnull=False)
                | (~Q(kind__in=["ISSUE", "RETURN"]) & Q(order=None)),
                name="movement_of_an_order",
            ),
            models.CheckConstraint(
                condition=Q(kind="TRANSFER", other_store__isnull=False) | (~Q(kind="TRANSFER") & Q(other_store=None)),
                name="movement_between_stores",
            ),
            models.CheckConstraint(condition=~Q(kind="ADJUST") | ~Q(reason=""), name="movement_adjusted_with_a_reason"),
        ]
        indexes = [
            models.Index(fields=["site", "-id"], name="movement_of_site"),
            models.Index(fields=["part", "store", "-id"], name="movement_of_stock"),
            models.Index(fields=["order", "id"], condition=Q(order__isnull=False), name="movement_of_order"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.quantity} {self.part}"


class OrderPart(models.Model):
    """What a work order wants of a part from a store, and has. What is neither reserved nor used of it is short."""

    order = models.ForeignKey("maintenance.WorkOrder", models.CASCADE, related_name="parts")
    part = models.ForeignKey(Part, models.RESTRICT, related_name="wanted")
    store = models.ForeignKey(Store, models.RESTRICT, related_name="wanted")
    wanted = amount(default=ZERO)
    reserved = amount(default=ZERO)
    issued = amount(default=ZERO)
    returned = amount(default=ZERO)

    class Meta:
        ordering = ["order", "id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "part", "store"], name="order_part_once"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0, returned__gte=0, issued__gte=F("returned")), name="order_part_amounts"
            ),
            models.CheckConstraint(
                condition=Q(wanted__gte=F("reserved") + F("issued") - F("returned")),
                name="order_part_wants_what_it_has",
            ),
        ]
        indexes = [
            models.Index(
                fields=["part", "store"], condition=Q(wanted__gt=F("reserved") + F("issued") - F("returned")),
                name="order_part_short",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.part} for WO-{self.order_id}"

    @property
    def used(self) -> Decimal:
        return self.issued - self.returned

    @property
    def short(self) -> Decimal:
        return self.wanted - self.reserved - self.used


class Tool(models.Model):
    """What is lent and comes back."""

    site = models.ForeignKey(Site, models.PROTECT, related_name="tools")
    store = models.ForeignKey(Store, models.RESTRICT, related_name="tools", help_text="Where it belongs.")
    number = models.CharField(max_length=60)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True, help_text="Otherwise it is not issued any more.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "number"]
        constraints = [models.UniqueConstraint(fields=["site", "number"], name="tool_number_in_site")]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class ToolLoan(models.Model):
    """Who has a tool, from when, for which order, and when it came back. One at a time."""

    tool = models.ForeignKey(Tool, models.RESTRICT, related_name="loans")
    holder = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="tools_held")
    order = models.ForeignKey("maintenance.WorkOrder", models.PROTECT, null=True, related_name="tool_loans")
    issued_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    issued_at = models.DateTimeField()
    returned_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    returned_at = models.DateTimeField(null=True)
    remark = models.TextField(blank=True, help_text="How it came back.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tool"], condition=Q(returned_at=None), name="tool_loan_one_out"),
            models.CheckConstraint(
                condition=Q(returned_at=None) | Q(returned_at__gte=F("issued_at")), name="tool_loan_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} with {self.holder}"
