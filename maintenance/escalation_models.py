"""The tables of escalation: rotas with shifts and overrides, chains with steps, and the escalations that run.

Imported by ``maintenance.models``, where Django looks for tables; it names those of there by their names.
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from maintenance.messages import PRIORITIES
from sensors.models import Site

PRIORITY_CHOICES = [(name, name.capitalize()) for name in PRIORITIES]
MEDIA = {"EMAIL": "E-mail", "WEBHOOK": "Signed webhook", "SERVICE": "Service (apprise)", "CONSOLE": "Console"}
EVERY_DAY = [MinValueValidator(1)]


class Rota(models.Model):
    """Who is on call when, by the wall clock of a zone (see ``maintenance.rotas``)."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="rotas")
    name = models.CharField(max_length=100)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="IANA name, such as Europe/Lisbon; empty for the site's."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["site", "name"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="rota_name_once")]

    def __str__(self) -> str:
        return self.name


class Shift(models.Model):
    """One person's shifts: on some days in a row, again after some days."""

    rota = models.ForeignKey(Rota, models.CASCADE, related_name="shifts")
    reader = models.ForeignKey("maintenance.Reader", models.RESTRICT, related_name="shifts", verbose_name="person")
    first_on = models.DateField("first day")
    days = models.PositiveSmallIntegerField("days in a row", default=7, validators=EVERY_DAY)
    every_days = models.PositiveSmallIntegerField("again every so many days", default=7, validators=EVERY_DAY)
    starts = models.TimeField(help_text="By the wall clock.")
    ends = models.TimeField(help_text="Not after the start: on the next day.")
    last_on = models.DateField("last day", null=True, blank=True, help_text="No shift begins later. Empty: no end.")

    class Meta:
        ordering = ["rota", "first_on", "starts", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(days__gte=1, days__lte=F("every_days")), name="shift_days",
                violation_error_message="At most as many days in a row as there are until it begins again.",
            ),
            models.CheckConstraint(
                condition=Q(last_on=None) | Q(last_on__gte=F("first_on")), name="shift_last_day",
                violation_error_message="The last day is before the first.",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.reader}, {self.starts:%H:%M} to {self.ends:%H:%M} from {self.first_on}"


class Override(models.Model):
    """Somebody takes over for a while. Of several at once the newest holds."""

    rota = models.ForeignKey(Rota, models.CASCADE, related_name="overrides")
    reader = models.ForeignKey("maintenance.Reader", models.RESTRICT, related_name="overrides", verbose_name="person")
    from_at = models.DateTimeField("from")
    until_at = models.DateTimeField("until")
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["rota", "from_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until_at__gt=F("from_at")), name="override_ends_after_start",
                violation_error_message="It ends before it begins.",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.reader} from {self.from_at:%Y-%m-%d %H:%M} UTC"


class Chain(models.Model):
    """Who is told, one after the other, while nobody acknowledges an alarm of a site."""

    site = models.ForeignKey(Site, models.CASCADE, related_name="chains")
    name = models.CharField(max_length=100)
    lowest_priority = models.CharField(
        max_length=16, choices=PRIORITY_CHOICES, default="HIGH",
        help_text="For alarms of this priority and above; of several chains the one with the highest is responsible.",
    )  # fmt: skip
    is_enabled = models.BooleanField(default=True)
    changed_at = models.DateTimeField(auto_now=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "escalation chain"
        ordering = ["site", "name"]
        constraints = [
            models.UniqueConstraint(fields=["site", "name"], name="chain_name_once"),
            models.UniqueConstraint(
                fields=["site", "lowest_priority"], condition=Q(is_enabled=True), name="chain_one_of_a_priority",
                violation_error_message="The site has another enabled chain with this lowest priority.",
            ),
            models.CheckConstraint(condition=Q(lowest_priority__in=PRIORITIES), name="chain_priority"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name


class ChainStep(models.Model):
    """Whom a chain tells: a person, a channel, or whoever is on call."""

    chain = models.ForeignKey(Chain, models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(help_text="The lowest comes first.")
    reader = models.ForeignKey(
        "maintenance.Reader", models.RESTRICT, null=True, blank=True, related_name="steps", verbose_name="person"
    )
    channel = models.ForeignKey("maintenance.Channel", models.RESTRICT, null=True, blank=True, related_name="steps")
    rota = models.ForeignKey(Rota, models.RESTRICT, null=True, blank=True, related_name="steps")
    medium = models.CharField(
        "by", max_length=16, choices=list(MEDIA.items()), blank=True,
        help_text="Which of the person's channels. Empty: all of them.",
    )  # fmt: skip
    after_minutes = models.PositiveIntegerField(
        "after minutes", default=10, help_text="From the last call of the step before; of the first: from the alarm."
    )
    times = models.PositiveSmallIntegerField(
        null=True, blank=True, default=1, validators=[MinValueValidator(1)], help_text="Empty: until acknowledged."
    )
    every_minutes = models.PositiveIntegerField("every minutes", default=10, validators=[MinValueValidator(1)])

    class Meta:
        ordering = ["chain", "position"]
        constraints = [
            models.UniqueConstraint(fields=["chain", "position"], name="chain_step_position"),
            models.CheckConstraint(
                condition=Q(reader__isnull=False, channel=None, rota=None)
                | Q(reader=None, channel__isnull=False, rota=None)
                | Q(reader=None, channel=None, rota__isnull=False),
                name="chain_step_of_one",
                violation_error_message="Choose a person, a channel or a rota, one of the three.",
            ),
            models.CheckConstraint(condition=Q(times=None) | Q(times__gte=1), name="chain_step_times"),
            models.CheckConstraint(condition=Q(every_minutes__gte=1), name="chain_step_every"),
        ]

    def __str__(self) -> str:
        return f"{self.position}: {self.reader or self.channel or self.rota}"


class Escalation(models.Model):
    """A chain at work on an alarm, with a copy of its steps (see ``maintenance.escalation_life``)."""

    class End(models.TextChoices):
        ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
        RETURNED = "RETURNED", "Returned to normal"
        HIDDEN = "HIDDEN", "Shelved, suppressed or out of service"
        RAISED = "RAISED", "Another chain took over: the alarm is worse"
        STOPPED = "STOPPED", "Stopped by a person"
        RAN_OUT = "RAN_OUT", "Ran out: nobody acknowledged"

    site = models.ForeignKey(Site, models.CASCADE, related_name="escalations")
    alarm = models.ForeignKey("maintenance.Alarm", models.CASCADE, related_name="escalations")
    chain = models.ForeignKey(Chain, models.SET_NULL, null=True, related_name="escalations")
    chain_name = models.CharField(max_length=100)
    plan = models.JSONField(help_text="The steps as they were when it began.")
    priority = models.CharField(max_length=16, choices=PRIORITY_CHOICES, help_text="The alarm's, as it knows it.")
    cause = models.BigIntegerField(help_text="The alarm's transition it is for.")
    looked_until = models.BigIntegerField(help_text="The alarm's newest transition that it knows of.")
    step = models.PositiveSmallIntegerField(default=0, help_text="The step that is next, from 0.")
    called = models.PositiveIntegerField(default=0, help_text="How often that was taken.")
    due_at = models.DateTimeField(null=True, help_text="When it is next; empty when it is over.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended = models.CharField("how it ended", max_length=16, choices=End.choices, blank=True)
    stopped_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    stop_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["alarm"], condition=Q(ended_at=None), name="escalation_one_runs"),
            models.UniqueConstraint(fields=["alarm", "cause"], name="escalation_once_for_a_cause"),
            models.CheckConstraint(condition=Q(priority__in=PRIORITIES), name="escalation_priority"),
            models.CheckConstraint(
                condition=Q(ended_at=None, due_at__isnull=False, ended="")
                | (Q(ended_at__isnull=False, due_at=None) & ~Q(ended="")),
                name="escalation_runs_or_is_over",
            ),
            models.CheckConstraint(
                condition=~Q(ended="STOPPED") | ~Q(stop_reason=""), name="escalation_stopped_with_a_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(ended_at=None), name="escalation_due"),
            models.Index(fields=["site", "-id"], name="escalation_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.chain_name} for alarm {self.alarm_id}"


class Call(models.Model):
    """A step of an escalation that was taken: once for each time."""

    class Outcome(models.TextChoices):
        TOLD = "TOLD", "Told"
        NOBODY = "NOBODY", "Nobody to tell"

    escalation = models.ForeignKey(Escalation, models.CASCADE, related_name="calls")
    step = models.PositiveSmallIntegerField()
    time = models.PositiveIntegerField("time", help_text="From 1.")
    due_at = models.DateTimeField()
    at = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    whom = models.TextField(help_text="Who was told, or why nobody was.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["escalation", "step", "time"], name="call_once"),
            models.CheckConstraint(condition=Q(outcome__in=["TOLD", "NOBODY"]), name="call_outcome"),
        ]

    def __str__(self) -> str:
        return f"step {self.step + 1}, time {self.time}"
