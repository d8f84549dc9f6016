"""Telling again of alarms that stand for too long, as their definitions say.

By the clock, not in event time: it is people's time that runs out. So what a replay or late data says has happened and
ended meanwhile is told no second time, because its return cancels it. The due time is a column, looked at by the sweep;
it is empty where nothing is to come, above all while the alarm is hidden or no longer active.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import alarm_steps, hidden, wording
from maintenance.alarm_life import Action, Suppression
from maintenance.definition_models import AlarmDefinition
from maintenance.models import Alarm
from maintenance.verdicts import Step, Verdict, suppression_of

MOST = 200
"""Alarms looked after in one pass of the sweep."""
TOLD = (Action.OPENED, Action.REOPENED, Action.RAISED)
ALARM, DEFINITION = Alarm._meta.db_table, AlarmDefinition._meta.db_table


def begins(verdict: Verdict, step: Step) -> bool:
    """Whether the time to the first re-alarm begins with a step of decide."""
    asks = step.alarm is not None and step.alarm.definition is not None and step.alarm.definition.re_alarm_seconds
    return bool(asks) and step.action in TOLD and suppression_of(verdict, step) is Suppression.NONE


def start(alarm_ids: Iterable[int | None], *, now: datetime) -> None:
    """These alarms, which are locked, were told of: from now on their time runs, where a definition gives them one."""
    ids = sorted(alarm_id for alarm_id in alarm_ids if alarm_id is not None)
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {ALARM} AS alarm SET re_alarms = 0,"
            " re_alarm_at = %s + make_interval(secs => said.re_alarm_seconds)"
            f" FROM {DEFINITION} AS said WHERE said.id = alarm.definition_id AND alarm.id = ANY(%s)"
            " AND alarm.is_active AND said.re_alarm_seconds IS NOT NULL",
            [now, ids],
        )


def put_off(alarm: Alarm, *, now: datetime) -> None:
    """Somebody has seen a locked alarm: whoever sees to it has all the time anew, and no more re-alarms than before."""
    if alarm.re_alarm_at is not None:
        _set(alarm, _next(alarm, now=now))


def stop(alarms: Sequence[Alarm]) -> None:
    """Of these locked alarms nothing is told again: they are hidden."""
    if any(alarm.re_alarm_at is not None for alarm in alarms):
        Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(re_alarm_at=None)


def due(*, now: datetime | None = None) -> list[int]:
    """Alarms whose time is up, the oldest first."""
    rows = Alarm.objects.filter(re_alarm_at__lte=now or Now())
    return list(rows.order_by("re_alarm_at", "id").values_list("id", flat=True)[:MOST])


def tell_again(alarm_id: int, *, now: datetime | None = None) -> bool:
    """Tell again of an alarm if its time is up and nobody did; whether it was this call that did.

    It has to be acknowledged anew. Where its definition asks for it no longer, or it is hidden, nothing is to come.
    """
    now = now or timezone.now()
    with transaction.atomic():
        alarm = alarm_steps.locked(alarm_id)
        if alarm.re_alarm_at is None or alarm.re_alarm_at > now:
            return False
        said = alarm.definition
        hiding = hidden.of(hidden.standing([alarm.machine_id]), alarm.machine_id, alarm.failure_mode)
        if said is None or hiding is not Suppression.NONE or _next(alarm, now=now) is None:
            _set(alarm, None)
            return False
        if alarm.is_acknowledged:
            alarm_steps.acknowledge(alarm, by=None, at=None)
        alarm.re_alarms += 1
        _set(alarm, _next(alarm, now=now))
        alarm_steps.record(
            alarm, Action.RE_ALARMED, at=now, actor=None, to_tell=True,
            comment=wording.noted(
                "It is still active: told again, {time} of {times} times.",
                time=alarm.re_alarms, times=said.re_alarm_count,
            ),
        )  # fmt: skip
    return True


def _next(alarm: Alarm, *, now: datetime) -> datetime | None:
    """When an active alarm is to be told again that is told or acknowledged now."""
    said = alarm.definition
    if said is None or said.re_alarm_seconds is None or alarm.re_alarms >= said.re_alarm_count:
        return None
    return now + timedelta(seconds=said.re_alarm_seconds)


def _set(alarm: Alarm, at: datetime | None) -> None:
    alarm.re_alarm_at = at
    alarm.save(update_fields=["re_alarm_at", "re_alarms"])
