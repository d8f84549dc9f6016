"""The table of when sensors will be at their limits, if they go on as they do."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sensors.models import Equipment, Sensor


class LimitForecast(models.Model):
    """When a sensor will be at one of its limits, as last told on a day. Times are seconds from ``asked_at``."""

    class State(models.TextChoices):
        TREND = "TREND", "A trend leads to it"
        FAR = "FAR", "Not within the horizon"
        UNSURE = "UNSURE", "No trend that is sure"

    machine = models.ForeignKey(Equipment, models.CASCADE, related_name="limit_forecasts")
    sensor = models.ForeignKey(Sensor, models.CASCADE, related_name="limit_forecasts")
    limit_name = models.CharField(max_length=16, help_text="Of the sensor's limits.")
    limit = models.FloatField(help_text="In the sensor's unit.")
    day = models.DateField(help_text="Of asked_at (UTC).")
    asked_at = models.DateTimeField(help_text="The instant it is about: the end of the newest hour, in event time.")
    state = models.CharField(max_length=16, choices=State.choices)
    p10 = models.FloatField(null=True, help_text="One time in ten it is there before; null: not within the horizon.")
    p50 = models.FloatField(null=True)
    p90 = models.FloatField(null=True)
    shares = models.JSONField(
        default=list, help_text="Of each origin of the back-test the share of truths between p10 and p90."
    )
    tested_at = models.DateTimeField(help_text="When it was last back-tested.")
    observed = models.FloatField(null=True, help_text="Share of truths within, of all sensors of its kind.")
    least = models.FloatField(null=True, help_text="What it is at least, with 95 % confidence.")
    origins = models.PositiveIntegerField(default=0, help_text="Of the back-tests of all sensors of its kind.")
    is_proven = models.BooleanField(default=False, help_text="Whether the interval is shown.")
    computed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["sensor", "limit_name", "day"], name="limit_forecast_once_a_day"),
            models.CheckConstraint(condition=Q(state__in=["TREND", "FAR", "UNSURE"]), name="limit_forecast_state"),
            models.CheckConstraint(
                condition=Q(state="TREND", p10__isnull=False)
                | (~Q(state="TREND") & Q(p10__isnull=True, p50__isnull=True, p90__isnull=True)),
                name="limit_forecast_of_a_trend_has_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["machine", "-asked_at"], name="limit_forecast_of_machine"),
            models.Index(fields=["computed_at"], name="limit_forecast_age"),
        ]

    def __str__(self) -> str:
        return f"sensor {self.sensor_id} to its {self.limit_name} limit"
