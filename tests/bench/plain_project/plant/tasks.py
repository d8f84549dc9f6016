"""The five stages: a task each, for each request, which starts the next after its commit.

The state of the sensors' rolling statistics is kept in each process, as such builds do.
"""

import math
from collections import defaultdict, deque
from datetime import datetime

from celery import shared_task
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from plant.models import Alarm, Anomaly, Batch, Notification, Reading, Sensor

WINDOW, WARM, THRESHOLD = 100, 20, 8.0
windows = defaultdict(lambda: deque(maxlen=WINDOW))


def goes_on(batch, stage, task):
    Batch.objects.filter(pk=batch).update(stage=stage)
    transaction.on_commit(lambda: task.delay(batch))


def known(batch):
    return Sensor.objects.in_bulk({item["sensor"] for item in batch.body}, field_name="name")


@shared_task(name="plant.ingest")
def ingest(batch_id):
    with transaction.atomic():
        batch = Batch.objects.get(pk=batch_id)
        sensors = known(batch)
        rows = [
            Reading(sensor=sensors[item["sensor"]], measured_at=item["measured_at"], value=item["value"])
            for item in batch.body
        ]
        Reading.objects.bulk_create(rows, ignore_conflicts=True)
        goes_on(batch_id, "VALIDATE", validate)


@shared_task(name="plant.validate")
def validate(batch_id):
    with transaction.atomic():
        batch = Batch.objects.get(pk=batch_id)
        bad = [item for item in batch.body if not math.isfinite(item["value"]) or abs(item["value"]) > 1e6]
        for item in bad:
            Reading.objects.filter(sensor__name=item["sensor"], measured_at=item["measured_at"]).update(is_good=False)
        goes_on(batch_id, "DETECT", detect)


@shared_task(name="plant.detect")
def detect(batch_id):
    with transaction.atomic():
        batch = Batch.objects.get(pk=batch_id)
        sensors = known(batch)
        found = []
        for item in batch.body:
            score = judge(item["sensor"], item["value"])
            if item["value"] > sensors[item["sensor"]].high or score > THRESHOLD:
                found.append(item | {"score": min(score, 1e6)})
        rows = [Anomaly(sensor=sensors[i["sensor"]], measured_at=i["measured_at"], score=i["score"]) for i in found]
        Anomaly.objects.bulk_create(rows, ignore_conflicts=True)
        Batch.objects.filter(pk=batch_id).update(abnormal=found)
        goes_on(batch_id, "DECIDE", decide)


def judge(sensor, value):
    """z against the sensor's last values."""
    window = windows[sensor]
    score = 0.0
    if len(window) >= WARM:
        mean = sum(window) / len(window)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in window) / len(window))
        score = abs(value - mean) / max(deviation, 1e-9)
    window.append(value)
    return score


@shared_task(name="plant.decide")
def decide(batch_id):
    with transaction.atomic():
        batch = Batch.objects.get(pk=batch_id)
        sensors = known(batch) if batch.abnormal else {}
        for item in batch.abnormal:
            machine = sensors[item["sensor"]].machine_id
            at = datetime.fromisoformat(item["measured_at"])
            _, made = Alarm.objects.get_or_create(machine_id=machine, defaults={"raised_at": at})
            if not made:
                Alarm.objects.filter(machine_id=machine).update(occurrences=F("occurrences") + 1)
        goes_on(batch_id, "NOTIFY", notify)


@shared_task(name="plant.notify")
def notify(batch_id):
    with transaction.atomic():
        batch = Batch.objects.get(pk=batch_id)
        machines = set(
            Sensor.objects.filter(name__in={item["sensor"] for item in batch.abnormal}).values_list(
                "machine", flat=True
            )
        )
        alarms = Alarm.objects.filter(machine__in=machines) if machines else []
        Notification.objects.bulk_create(Notification(alarm=alarm, batch=batch) for alarm in alarms)
        Batch.objects.filter(pk=batch_id).update(stage="DONE", finished_at=timezone.now())
