"""One step in the life of an alarm by people or timers: its row, its transition, its entry in the journal.

For ``alarms`` and ``suppressions``, in a transaction of theirs. They lock the machine first, then alarms in ascending
ids: so does decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from maintenance import alarm_life
from maintenance.alarm_life import ADVISORY, Action, State
from maintenance.models import Alarm, AlarmTransition
from sensors import journal
from sensors.models import Equipment

EVENTS: dict[str, str] = {
    Action.OPENED: journal.ALARM_OPENED,
    Action.NOTED: journal.ALARM_NOTED,
    Action.RE_ALARMED: journal.ALARM_RE_ALARMED,
    Action.RAISED: journal.ALARM_RAISED,
    Action.RETURNED: journal.ALARM_RETURNED,
    Action.REOPENED: journal.ALARM_REOPENED,
    Action.ACKNOWLEDGED: journal.ALARM_ACKNOWLEDGED,
    Action.UNACKNOWLEDGED: journal.ALARM_UNACKNOWLEDGED,
    Action.SHELVED: journal.ALARM_SHELVED,
    Action.UNSHELVED: journal.ALARM_UNSHELVED,
    Action.SUPPRESSED: journal.ALARM_SUPPRESSED,
    Action.UNSUPPRESSED: journal.ALARM_UNSUPPRESSED,
    Action.OUT_OF_SERVICE: journal.ALARM_OUT_OF_SERVICE,
    Action.BACK_IN_SERVICE: journal.ALARM_BACK_IN_SERVICE,
    "COMMENTED": journal.ALARM_COMMENTED,
    "ASSIGNED": journal.ALARM_ASSIGNED,
    "UNSHELVES_SOON": journal.ALARM_UNSHELVES_SOON,
}


def lock_machine(machine_id: int) -> Equipment:
    return Equipment.objects.select_for_update(no_key=True).get(pk=machine_id)


def locked(alarm_id: int) -> Alarm:
    """The alarm, fresh and locked, behind the lock of its machine. Raises ``Alarm.DoesNotExist``."""
    lock_machine(Alarm.objects.values_list("machine_id", flat=True).get(pk=alarm_id))
    return Alarm.objects.select_for_update(no_key=True).get(pk=alarm_id)


def lock_open(machine_id: int, *, failure_mode: str = "") -> list[Alarm]:
    """The open alarms of a machine that is locked, or those of one failure mode of it, locked in ascending ids."""
    rows = Alarm.objects.filter(machine_id=machine_id, is_open=True).order_by("id")
    if failure_mode:
        rows = rows.filter(failure_mode=failure_mode)
    return list(rows.select_for_update(no_key=True))


def state(alarm: Alarm) -> State:
    """By the two facts that the transition table knows."""
    return alarm_life.state_of(active=alarm.is_active, acknowledged=alarm.is_acknowledged)


def after(alarm: Alarm, action: Action) -> State | None:
    """The state that an action leads to, None where it is not possible. Latching matters for decide alone."""
    try:
        return alarm_life.after(state(alarm), action, advisory=alarm.priority == ADVISORY)
    except alarm_life.IllegalTransition:
        return None


def was_told(alarm: Alarm) -> bool:
    """Whether somebody was told, or nobody hid, that an alarm became active."""
    begun = alarm.transitions.filter(action__in=[Action.OPENED, Action.NOTED, Action.REOPENED]).order_by("-id")
    return begun.values_list("suppression", flat=True).first() == ""


def acknowledge(alarm: Alarm, *, by: User | None, at: datetime | None) -> None:
    """Set whether a locked alarm is acknowledged: by somebody, or (None) not."""
    alarm.is_acknowledged, alarm.acknowledged_by, alarm.acknowledged_at = by is not None, by, at
    alarm.save(update_fields=["is_acknowledged", "acknowledged_by", "acknowledged_at"])


def record(
    alarm: Alarm,
    action: str,
    *,
    at: datetime,
    actor: User | None,
    comment: str,
    key: str | None = None,
    suppression: str = "",
    to_tell: bool = False,
) -> AlarmTransition:
    """Write down what happened to a locked alarm. ``key``: of what brings it about once; else it follows what was."""
    if key is None:
        cause = alarm.transitions.order_by("-id").values_list("id", flat=True).first() or 0
        key = f"alarm/{alarm.pk}/{action}/after/{cause}"
    made = AlarmTransition.objects.create(
        alarm=alarm, action=action, key=key, at=at, actor=actor, comment=comment, suppression=suppression,
        to_tell=to_tell,
    )  # fmt: skip
    name = "" if actor is None else actor.get_username()
    journal.record([entry(made, site_id=alarm.site_id, data={"comment": comment}, actor=name)])
    return made


def entry(made: AlarmTransition, *, site_id: int, data: Mapping[str, Any], actor: str = "") -> journal.Entry:
    kind = EVENTS[made.action]
    return journal.Entry(kind, f"alarm/{made.alarm_id}", f"{kind}/{made.key}", made.at, site_id, actor, data)
