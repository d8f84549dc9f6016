"""What was learned: the state of the stages, one row per machine."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from sensors.models import Equipment


class MachineState(models.Model):
    """What validate and detect remember of a machine's sensors, packed by ``mlops.state``.

    Each of the two names the last run it has seen, so that a run is never learned from twice.
    """

    machine = models.OneToOneField(Equipment, models.CASCADE, primary_key=True, related_name="state")
    memory = models.BinaryField(default=bytes, help_text="Of validate.")
    memory_run_id = models.BigIntegerField(default=0)
    learned = models.BinaryField(default=bytes, help_text="Of detect.")
    learned_run_id = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"state of machine {self.machine_id}"
