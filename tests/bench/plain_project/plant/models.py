"""Tables: a row per reading, a batch per request, an alarm per machine that stands."""

from django.conf import settings
from django.db import models


class Machine(models.Model):
    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name


class Sensor(models.Model):
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="sensors")
    name = models.CharField(max_length=200, unique=True)
    high = models.FloatField()

    def __str__(self) -> str:
        return self.name


class Batch(models.Model):
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    stage = models.CharField(max_length=16, default="INGEST")
    body = models.JSONField()
    abnormal = models.JSONField(default=list)
    received_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.pk)


class Reading(models.Model):
    sensor = models.ForeignKey(Sensor, models.CASCADE, related_name="readings")
    measured_at = models.DateTimeField()
    value = models.FloatField()
    is_good = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sensor", "measured_at"], name="reading_once")]

    def __str__(self) -> str:
        return f"{self.sensor_id} at {self.measured_at}"


class Anomaly(models.Model):
    sensor = models.ForeignKey(Sensor, models.CASCADE)
    measured_at = models.DateTimeField()
    score = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sensor", "measured_at"], name="anomaly_once")]

    def __str__(self) -> str:
        return f"{self.sensor_id} at {self.measured_at}"


class Alarm(models.Model):
    machine = models.OneToOneField(Machine, models.CASCADE)
    raised_at = models.DateTimeField()
    occurrences = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"alarm of {self.machine_id}"


class Notification(models.Model):
    alarm = models.ForeignKey(Alarm, models.CASCADE)
    batch = models.ForeignKey(Batch, models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.pk)
