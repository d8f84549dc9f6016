"""What an order's verdict says of the anomalies behind it: a label, so that detection is measured by it at once."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Max, Min

from maintenance.models import Anomaly, WorkOrder
from maintenance.refusals import Refused
from sensors import labels
from sensors.models import Label

Verdict = WorkOrder.Verdict
KINDS = {
    Verdict.REAL: Label.Kind.FAULT,
    Verdict.FALSE: Label.Kind.FALSE_ALARM,
    Verdict.EXPECTED: Label.Kind.EXPECTED,
    Verdict.SENSOR_FAULT: Label.Kind.FALSE_ALARM,  # the machine was well
}


class LabelledOtherwise(Refused):
    """Somebody labelled this window as something else: retract that first, or agree with it."""


def label(order: WorkOrder, *, actor: User) -> Label | None:
    """Label the window of an order's anomalies by its verdict, in the caller's transaction.

    The window reaches from where the first began to where the last was still seen. It is of the machine, and of one
    sensor where that was at fault. None where there is no verdict, or no anomaly that it could be about. Raises
    ``LabelledOtherwise``.
    """
    if not order.verdict or not order.failure_mode or order.completed_at is None:
        return None
    behind = Anomaly.objects.filter(
        machine_id=order.machine_id, failure_mode=order.failure_mode, started_at__lte=order.completed_at,
        last_at__gte=order.opened_at,
    )  # fmt: skip
    window = behind.aggregate(begin=Min("started_at"), end=Max("last_at"))
    if window["begin"] is None:
        return None
    verdict = Verdict(order.verdict)
    sensor = order.alarm.sensor if verdict is Verdict.SENSOR_FAULT and order.alarm is not None else None
    try:
        row, _ = labels.add(
            machine=order.machine, sensor=sensor, from_at=window["begin"], to_at=window["end"], kind=KINDS[verdict],
            actor=actor, failure_mode=(order.found_mode or order.failure_mode) if verdict is Verdict.REAL else "",
            note=f"{order}: {order.findings}",
        )  # fmt: skip
    except labels.AlreadyLabelled as error:
        raise LabelledOtherwise(str(error)) from error
    return row
