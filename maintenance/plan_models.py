"""The tables of preventive plans: meters, what they read, plans, and each time one was due.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from datetime import date, time

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from maintenance.order_models import Priority, WorkOrder
from sensors.models import Equipment, Sensor, Site

DAY_OF_YEAR = RegexValidator(r"^\d\d-\d\d$", "Write month and day, such as 04-01.")


class Meter(models.Model):
    """A running total of a machine: hours, cycles or starts (see ``maintenance.meters``)."""

    class Unit(models.TextChoices):
        HOURS = "HOURS", "Running hours"
        CYCLES = "CYCLES", "Cycles"
        STARTS = "STARTS", "Starts"

    class Source(models.TextChoices):
        ENTERED = "ENTERED", "Entered by hand"
        COUNTER = "COUNTER", "A sensor that counts up"
        ABOVE = "ABOVE", "A sensor above a threshold: for how long, or how often it rose"

    site = models.ForeignKey(Site, models.PROTECT, related_name="meters")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="meters")
    name = models.CharField(max_length=100)
    unit = models.CharField(max_length=16, choices=Unit.choices, default=Unit.HOURS)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.ENTERED)
    sensor = models.ForeignKey(Sensor, models.PROTECT, null=True, blank=True, related_name="meters")
    threshold = models.FloatField(null=True, blank=True, help_text="The machine runs while the sensor is above it.")
    total = models.FloatField(default=0.0, editable=False)
    value = models.FloatField(null=True, editable=False, help_text="What it showed last.")
    read_at = models.DateTimeField(null=True, editable=False, help_text="When that was.")
    per_day = models.FloatField(null=True, editable=False, help_text="How fast it goes.")
    settled_total = models.FloatField(default=0.0, editable=False)
    settled_value = models.FloatField(null=True, editable=False)
    settled_value_at = models.DateTimeField(null=True, editable=False)
    settled_at = models.DateTimeField(null=True, editable=False, help_text="Until when it is not counted again.")
    look_at = models.DateTimeField(null=True, editable=False, help_text="When it is counted next; of a sensor.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["machine", "name"], name="meter_name_once",
                violation_error_message="The machine has a meter of this name.",
            ),
            models.CheckConstraint(condition=Q(unit__in=["HOURS", "CYCLES", "STARTS"]), name="meter_unit"),
            models.CheckConstraint(
                condition=Q(source="ENTERED", sensor=None, threshold=None, look_at=None)
                | Q(source="COUNTER", sensor__isnull=False, threshold=None)
                | Q(source="ABOVE", sensor__isnull=False, threshold__isnull=False),
                name="meter_source",
                violation_error_message="One that counts up needs a sensor, one above a threshold also the threshold; "
                "one that is entered has neither.",
            ),
            models.CheckConstraint(condition=Q(total__gte=0), name="meter_total"),
        ]  # fmt: skip
        indexes = [models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="meter_due")]

    def __str__(self) -> str:
        return f"{self.name} of {self.machine.tag}"


class MeterReading(models.Model):
    """What a meter showed, and its total then: each that was entered, and of a sensor's one a day."""

    meter = models.ForeignKey(Meter, models.CASCADE, related_name="readings")
    at = models.DateTimeField()
    value = models.FloatField(help_text="What it showed.")
    total = models.FloatField()
    replaced = models.BooleanField(default=False, help_text="The counter was replaced or set back before.")
    entered = models.BooleanField(default=True, help_text="By a person, not from a sensor.")
    entered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["meter", "at"], name="meter_reading_once")]

    def __str__(self) -> str:
        return f"{self.value:g} at {self.at:%Y-%m-%d %H:%M}"


class Plan(models.Model):
    """Work that comes again: by the calendar, by a meter, or by whichever is first (see ``maintenance.plans``)."""

    class Kind(models.TextChoices):
        WORK = "WORK", "Work on the machine"
        CALIBRATION = "CALIBRATION", "Calibration of a sensor"

    class Unit(models.TextChoices):
        DAY = "DAY", "Days"
        WEEK = "WEEK", "Weeks"
        MONTH = "MONTH", "Months"

    class Basis(models.TextChoices):
        DUE = "DUE", "From the due date: the dates are fixed"
        COMPLETION = "COMPLETION", "From the completion: it moves with the work"

    class Outside(models.TextChoices):
        WAIT = "WAIT", "Waits for the first day of the next season"
        EARLY = "EARLY", "Comes before: on the last day of the season"

    site = models.ForeignKey(Site, models.PROTECT, related_name="plans")
    machine = models.ForeignKey(Equipment, models.PROTECT, related_name="plans")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.WORK)
    sensor = models.ForeignKey(
        Sensor, models.PROTECT, null=True, blank=True, related_name="calibration_plans",
        help_text="Which is calibrated. While that is overdue its readings are uncertain.",
    )  # fmt: skip
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, help_text="What is to be done.")
    priority = models.CharField(
        max_length=16, choices=Priority.choices, blank=True, help_text="Empty: by the machine's criticality."
    )
    minutes = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(1), MaxValueValidator(60 * 24 * 90)],
        help_text="How long the work is thought to take.",
    )  # fmt: skip
    basis = models.CharField("counts", max_length=16, choices=Basis.choices, default=Basis.COMPLETION)
    every = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1_000)],
        help_text="Empty: not by the calendar.",
    )  # fmt: skip
    unit = models.CharField(max_length=16, choices=Unit.choices, default=Unit.MONTH)
    first_on = models.DateField(null=True, blank=True, help_text="When it is due for the first time.")
    due_time = models.TimeField(default=time(17), help_text="By when on the day, in the site's time zone.")
    lead_days = models.PositiveIntegerField(
        default=0, validators=[MaxValueValidator(366)], help_text="The order is opened so many days before."
    )
    season_first = models.CharField(
        max_length=5,
        blank=True,
        validators=[DAY_OF_YEAR],
        help_text="Its first day, such as 04-01; empty: all year.",
    )
    season_last = models.CharField(max_length=5, blank=True, validators=[DAY_OF_YEAR], help_text="Such as 10-31.")
    outside = models.CharField("outside the season", max_length=16, choices=Outside.choices, default=Outside.WAIT)
    meter = models.ForeignKey(Meter, models.PROTECT, null=True, blank=True, related_name="plans")
    meter_every = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.001), MaxValueValidator(1e9)],
        help_text="Empty: not by a meter.",
    )  # fmt: skip
    meter_first = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0)],
        help_text="The total at which it is due for the first time; empty: one interval from now.",
    )  # fmt: skip
    meter_lead = models.FloatField(
        default=0.0, validators=[MinValueValidator(0.0)], help_text="The order is opened so much before."
    )
    number = models.PositiveIntegerField(default=1, editable=False, help_text="The occurrence that is next, or open.")
    nominal_on = models.DateField(null=True, editable=False)
    due_on = models.DateField(null=True, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    target = models.FloatField(null=True, editable=False)
    look_at = models.DateTimeField(null=True, editable=False, help_text="When an order is to be opened.")
    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    pause_reason = models.TextField(blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind="WORK", sensor=None) | Q(kind="CALIBRATION", sensor__isnull=False),
                name="plan_kind", violation_error_message="Name the sensor where one is calibrated, and only there.",
            ),
            models.UniqueConstraint(
                fields=["sensor"], condition=Q(kind="CALIBRATION", paused_at=None), name="plan_one_calibrates",
                violation_error_message="Another plan calibrates this sensor: pause it first.",
            ),
            models.CheckConstraint(
                condition=Q(every=None, first_on=None) | Q(every__gte=1, first_on__isnull=False), name="plan_calendar",
                violation_error_message="By the calendar it needs both: every how many, and the first due date.",
            ),
            models.CheckConstraint(
                condition=Q(meter=None, meter_every=None) | Q(meter__isnull=False, meter_every__gt=0),
                name="plan_meter", violation_error_message="By a meter it needs both: which, and every how much.",
            ),
            models.CheckConstraint(
                condition=Q(every__isnull=False) | Q(meter__isnull=False), name="plan_by_something",
                violation_error_message="Say when it comes again: by the calendar, by a meter, or both.",
            ),
            models.CheckConstraint(condition=Q(basis__in=["DUE", "COMPLETION"]), name="plan_basis"),
            models.CheckConstraint(condition=Q(unit__in=["DAY", "WEEK", "MONTH"]), name="plan_unit"),
            models.CheckConstraint(condition=Q(outside__in=["WAIT", "EARLY"]), name="plan_outside"),
            models.CheckConstraint(
                condition=Q(paused_at=None) | (Q(look_at=None) & ~Q(pause_reason="")), name="plan_paused_with_a_reason"
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["look_at"], condition=Q(look_at__isnull=False), name="plan_look"),
            models.Index(fields=["site", "due_at"], name="plan_of_site"),
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        for name in ("season_first", "season_last"):
            said = getattr(self, name)
            if bool(said) != bool(self.season_first or self.season_last):
                raise ValidationError({name: "A season has a first and a last day."})
            try:
                date.fromisoformat(f"2001-{said or '01-01'}")
            except ValueError as error:
                raise ValidationError({name: "There is no such day in every year."}) from error


class PlanOccurrence(models.Model):
    """One time a plan was due. Its order is open while ``outcome`` is empty; at most one is."""

    class Outcome(models.TextChoices):
        DONE = "DONE", "Done"
        SKIPPED = "SKIPPED", "Skipped: its order was cancelled"

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="occurrences")
    number = models.PositiveIntegerField()
    order = models.OneToOneField(WorkOrder, models.PROTECT, null=True, related_name="plan_occurrence")
    nominal_on = models.DateField(null=True)
    due_on = models.DateField(null=True)
    meter = models.ForeignKey(Meter, models.PROTECT, null=True, related_name="+")
    target = models.FloatField(null=True)
    opened_at = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True)
    ended_at = models.DateTimeField(null=True)
    counts_from_on = models.DateField(null=True, help_text="The day from which the next one counts.")
    counts_from_total = models.FloatField(null=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="occurrence_once"),
            models.UniqueConstraint(fields=["plan"], condition=Q(outcome=""), name="occurrence_one_open"),
            models.CheckConstraint(
                condition=Q(outcome="", ended_at=None, order__isnull=False)
                | Q(outcome__in=["DONE", "SKIPPED"], ended_at__isnull=False, counts_from_on__isnull=False),
                name="occurrence_open_or_over",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} of {self.plan_id}"
