"""Maintenance windows: set by people, kept to by the sweep. The only writer of MaintenanceWindow.

``look`` compares what a window says of this instant with what hides alarms because of it, and makes up the difference,
machine by machine, each in a transaction of its own behind the machine's lock. So whoever dies in between leaves work
for the next look and nothing else, and a change or a cancellation is no more than a row that wants to be looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import alarm_steps, occurrences, suppressions, wording
from maintenance.alarm_life import Suppression as Kind
from maintenance.models import MaintenanceWindow, Suppression
from maintenance.occurrences import Occurrence, Rule
from maintenance.refusals import Refused
from sensors import journal
from sensors.models import Equipment

EQUIPMENT = Equipment._meta.db_table
SAID = ("equipment", "reason", "first_on", "starts", "minutes", "weekdays", "last_on")
"""What people say of a window, and can change."""
MOST = 200
"""Machines, and windows, looked after in one pass of the sweep."""
AGAIN = timedelta(minutes=10)
"""The longest time between two looks: the site's time zone may be changed, or a machine may come to stand in a line."""
LEFT_OPEN = timedelta(hours=2)
"""Between two occurrences, clocks put forward or not, alarms are to be seen."""
MOST_DAYS_AHEAD = 366


class Cancelled(Refused):
    """The window is cancelled: add another one."""


class NoReason(Refused):
    """Say why the window is cancelled."""


def add(new: MaintenanceWindow, *, actor: User, now: datetime | None = None) -> MaintenanceWindow:
    """Store a window; the next pass of the sweep sees to it. Raises ``ValidationError``."""
    now = now or timezone.now()
    check(new, now=now)
    new.created_by, new.look_at = actor, now
    with transaction.atomic():
        new.save(force_insert=True)
        _journal(journal.WINDOW_ADDED, new, at=now, actor=actor)
    return new


def change(window_id: int, *, actor: User, now: datetime | None = None, **said: Any) -> MaintenanceWindow:
    """Change what was said (see ``SAID``), of a running one too. Raises ``ValidationError``, ``Cancelled``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = _locked(window_id)
        for name, value in said.items():
            setattr(row, name, value)
        check(row, now=now)
        row.look_at = now
        row.save(update_fields=[*SAID, "look_at"])
        _journal(journal.WINDOW_CHANGED, row, at=now, actor=actor)
    return row


def cancel(window_id: int, *, actor: User, reason: str, now: datetime | None = None) -> MaintenanceWindow:
    """Nothing comes of it any more; what it hides is shown by the next pass. Raises ``NoReason``, ``Cancelled``."""
    if not reason.strip():
        raise NoReason
    now = now or timezone.now()
    with transaction.atomic():
        row = _locked(window_id)
        row.cancelled_at, row.cancelled_by, row.cancel_reason, row.look_at = now, actor, reason, now
        row.save(update_fields=["cancelled_at", "cancelled_by", "cancel_reason", "look_at"])
        _journal(journal.WINDOW_CANCELLED, row, at=now, actor=actor)
    return row


def check(row: MaintenanceWindow, *, now: datetime) -> None:
    """Raises ``ValidationError`` by field where a window makes no sense, or is over."""
    row.clean_fields(exclude=["look_at"])
    if occurrences.zone_of(row.site.time_zone) is None:
        raise ValidationError(f"The site's time zone ({row.site.time_zone}) is not known.")
    if row.equipment is not None and row.equipment.site_id != row.site_id:
        raise ValidationError({"equipment": "It belongs to another site."})
    if row.equipment is not None and row.equipment.level == Equipment.Level.COMPONENT:
        raise ValidationError({"equipment": "Alarms are a machine's: choose the machine this is a component of."})
    days = row.weekdays
    if not isinstance(days, list) or len(days) != len({*map(str, days)}) or not all(d in range(1, 8) for d in days):
        raise ValidationError({"weekdays": "A list of days, each once: 1 = Monday to 7 = Sunday."})
    if days:
        _check_recurrence(row)
    elif row.last_on is not None:
        raise ValidationError({"last_on": "It comes once: choose weekdays, or leave this empty."})
    if upcoming(row, now=now) is None:
        raise ValidationError({"last_on" if days else "first_on": "It is over already, or never comes."})


def _check_recurrence(row: MaintenanceWindow) -> None:
    if row.last_on is None or row.last_on < row.first_on:
        raise ValidationError({"last_on": "Say the last day on which it may begin: nothing is hidden without an end."})
    if (row.last_on - row.first_on).days > MOST_DAYS_AHEAD:
        raise ValidationError({"last_on": f"At most {MOST_DAYS_AHEAD} days after the first; set it anew then."})
    most = occurrences.shortest_gap(frozenset(row.weekdays)) - LEFT_OPEN
    if timedelta(minutes=row.minutes) > most:
        text = f"At most {int(most.total_seconds()) // 60}, so that alarms are seen for two hours before the next one."
        raise ValidationError({"minutes": text})


def upcoming(row: MaintenanceWindow, *, now: datetime) -> Occurrence | None:
    """The occurrence that runs, else the next; None where no more comes."""
    if row.cancelled_at is not None:
        return None
    rule = _rule(row)
    return occurrences.current(rule, now) or occurrences.following(rule, now)


def due(*, now: datetime | None = None) -> list[int]:
    """Windows that want to be looked at, those that wait longest first."""
    rows = MaintenanceWindow.objects.filter(look_at__lte=now or Now())
    return list(rows.order_by("look_at", "id").values_list("id", flat=True)[:MOST])


def look(window_id: int, *, now: datetime | None = None) -> int:
    """Hide and show what the window says; of how many machines something was changed.

    Done again it changes nothing. With ``MOST`` machines it stops, and wants to be looked at anew.
    """
    now = now or timezone.now()
    row = MaintenanceWindow.objects.select_related("site", "equipment").get(pk=window_id)
    if row.look_at is None or row.look_at > now:
        return 0
    machines = machines_of(row)
    done = _end_what_is_past(row, machines, now=now)
    for one in [] if row.cancelled_at else occurrences.touching(_rule(row), row.look_at, now):
        for machine_id in _without(row, one, machines)[: max(MOST - done, 0)]:
            done += _begin(row, one, machine_id, now=now)
    if done < MOST:
        MaintenanceWindow.objects.filter(pk=row.pk, look_at=row.look_at).update(look_at=_next_look(row, now))
    return done


def machines_of(row: MaintenanceWindow) -> list[int]:
    """The machines in the part of the plant that a window is of, ascending."""
    if row.equipment_id is None:
        machines = Equipment.objects.filter(site_id=row.site_id, level=Equipment.Level.MACHINE)
        return list(machines.order_by("id").values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE down (id) AS (SELECT %s::bigint UNION SELECT e.id FROM down JOIN {EQUIPMENT} e"
            f" ON e.parent_id = down.id) SELECT id FROM down JOIN {EQUIPMENT} USING (id) WHERE level = %s ORDER BY id",
            [row.equipment_id, Equipment.Level.MACHINE],
        )
        return [machine_id for (machine_id,) in cursor.fetchall()]


def _rule(row: MaintenanceWindow) -> Rule:
    length = timedelta(minutes=row.minutes)
    return Rule(row.site.zone, row.first_on, row.starts, length, frozenset(row.weekdays), row.last_on)


def _next_look(row: MaintenanceWindow, now: datetime) -> datetime | None:
    """When the next one begins, and sooner where that is far; None where nothing more comes."""
    if upcoming(row, now=now) is None:
        return None
    following = occurrences.following(_rule(row), now)
    return now + AGAIN if following is None else min(now + AGAIN, following.begin)


def _end_what_is_past(row: MaintenanceWindow, machines: Collection[int], *, now: datetime) -> int:
    """Bring what stands because of the window to its end, where the window no longer says so or says another one."""
    running = None if row.cancelled_at else occurrences.current(_rule(row), now)
    standing = row.suppressions.filter(ended_at=None, until__gt=now).order_by("machine_id")
    cancelled, changed = "The window was cancelled: {why}", "The window was changed."
    why = wording.noted(cancelled, why=row.cancel_reason) if row.cancelled_at else wording.noted(changed)
    done = 0
    for suppression in standing[:MOST]:
        if running is None or suppression.machine_id not in machines:
            done += suppressions.end(suppression.pk, actor=row.cancelled_by, why=why, now=now)
        elif suppression.until != running.end:
            done += suppressions.move_end(suppression.pk, until=running.end)
    return done


def _without(row: MaintenanceWindow, one: Occurrence, machines: Collection[int]) -> list[int]:
    """Those of the machines for which nothing was made of an occurrence yet."""
    had = _of_occurrence(row, one).values_list("machine_id", flat=True)
    return sorted(set(machines) - set(had))


def _of_occurrence(row: MaintenanceWindow, one: Occurrence) -> Any:
    """What was made of an occurrence; while it runs it may have been made of the window as it was before a change."""
    return Suppression.objects.filter(Q(from_at=one.begin) | Q(ended_at=None, until__gt=one.begin), window=row)


def _begin(row: MaintenanceWindow, one: Occurrence, machine_id: int, *, now: datetime) -> bool:
    """Hide a machine's alarms for an occurrence, unless somebody did, or changed the window meanwhile."""
    with transaction.atomic():
        alarm_steps.lock_machine(machine_id)
        as_seen = MaintenanceWindow.objects.select_for_update(no_key=True).filter(pk=row.pk, look_at=row.look_at)
        if not list(as_seen) or _of_occurrence(row, one).filter(machine_id=machine_id).exists():
            return False
        new = Suppression(
            site_id=row.site_id, machine_id=machine_id, kind=Kind.BY_DESIGN, window=row, from_at=one.begin,
            until=one.end, reason=f"Maintenance window: {row.reason}", created_by=row.created_by,
        )  # fmt: skip
        if one.end > now:
            suppressions.begin(new)
        else:
            suppressions.note(new)
    return True


def _locked(window_id: int) -> MaintenanceWindow:
    """Raises ``Cancelled``, and ``MaintenanceWindow.DoesNotExist``."""
    rows = MaintenanceWindow.objects.select_for_update(no_key=True, of=("self",)).select_related("site", "equipment")
    row = rows.get(pk=window_id)
    if row.cancelled_at is not None:
        raise Cancelled
    return row


def _journal(kind: str, row: MaintenanceWindow, *, at: datetime, actor: User) -> None:
    data = {
        "equipment": row.equipment_id,
        "first_on": row.first_on.isoformat(),
        "starts": row.starts.isoformat(),
        "minutes": row.minutes,
        "weekdays": row.weekdays,
        "last_on": None if row.last_on is None else row.last_on.isoformat(),
        "reason": row.cancel_reason or row.reason,
    }
    cause = f"{kind}/{row.pk}/{at.isoformat()}" if kind == journal.WINDOW_CHANGED else f"{kind}/{row.pk}"
    subject = f"maintenance_window/{row.pk}"
    journal.record([journal.Entry(kind, subject, cause, at, row.site_id, actor.get_username(), data)])
