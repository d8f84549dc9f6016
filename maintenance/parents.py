"""One alarm for what follows from it: while a machine's alarm is active, it hides those of the machines below it.

What the rules say is compared with what hides alarms because of them, and the difference is made up, machine by
machine, each in a transaction of its own; done again it changes nothing. In event time: what was active before the
parent's alarm was told, and so is what becomes active after its return. A suppression ends when decide has seen the
readings up to the return, or by the clock half a minute after that became known; and after the rule's hours in any
case, however long the alarm stands. An alarm that is hidden by its own parent hides nothing anew, so rules that lead
back to where they began hide one side only.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from maintenance import alarm_steps, failure_modes, operating_hides, suppressions
from maintenance.alarm_life import ADVISORY
from maintenance.alarm_life import Suppression as Kind
from maintenance.models import Alarm, AlarmTransition, Suppression
from maintenance.parent_models import ParentRule
from sensors.models import Equipment

EQUIPMENT = Equipment._meta.db_table
BEGINS, RETURNED = ("OPENED", "REOPENED"), "RETURNED"
MOST = 200
"""Machines of a rule looked after in one pass of the sweep."""
CHANGED = "The rule was changed."


def due() -> list[int]:
    """Rules by which something may be to hide, or is hidden."""
    active = Alarm.objects.filter(machine=OuterRef("machine"), is_active=True)
    stands = Suppression.objects.filter(parent_rule=OuterRef("pk"), ended_at=None)
    rows = ParentRule.objects.filter((Q(is_enabled=True) & Exists(active)) | Exists(stands))
    return list(rows.order_by("id").values_list("id", flat=True))


def look(rule_id: int, *, now: datetime | None = None) -> int:
    """Hide and show what the rule says; for how many machines and failure modes something was changed."""
    now = now or timezone.now()
    rows = Suppression.objects.filter(parent_rule=rule_id, ended_at=None, over_at=None).order_by("machine_id", "id")
    stands = list(rows)  # before its causes: what another sweep begins meanwhile is not let go for want of them
    rule = ParentRule.objects.select_related("machine").get(pk=rule_id)
    machines = machines_of(rule) if rule.is_enabled else []
    causes = {alarm.pk: (alarm, since) for alarm, since in _active(rule)}
    done = 0
    for row in stands:
        if done >= MOST:
            break
        holds = row.machine_id in machines and row.failure_mode in _modes(rule)
        since = causes[row.parent_alarm_id][1] if row.parent_alarm_id in causes else None
        if not holds or since != row.from_at:
            done += _let_go(row.pk, at_once=not holds, now=now)
    for alarm, since in causes.values():
        had = set(_of(rule, alarm, since).values_list("machine_id", "failure_mode"))
        wanted = [(machine, mode) for machine in machines for mode in _modes(rule) if (machine, mode) not in had]
        for machine_id, mode in wanted[: max(MOST - done, 0)]:
            done += _begin(rule, alarm.pk, since, machine_id, mode, now=now)
    return done


def machines_of(rule: ParentRule) -> list[int]:
    """The machines in the part of the plant that a rule hides, but for the one whose alarm it is, ascending."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE down (id) AS (SELECT %s::bigint UNION SELECT e.id FROM down JOIN {EQUIPMENT} e"
            f" ON e.parent_id = down.id) SELECT id FROM down JOIN {EQUIPMENT} USING (id)"
            " WHERE level = %s AND id <> %s ORDER BY id",
            [rule.equipment_id, Equipment.Level.MACHINE, rule.machine_id],
        )
        return [machine_id for (machine_id,) in cursor.fetchall()]


def _modes(rule: ParentRule) -> list[str]:
    """The failure modes that are hidden, as suppressions name them."""
    return ["" if mode == failure_modes.ALL else mode for mode in rule.hides]


def _active(rule: ParentRule) -> list[tuple[Alarm, datetime]]:
    """The alarms by which the rule hides others now, and since when each is active, in event time."""
    begun = AlarmTransition.objects.filter(alarm=OuterRef("pk"), action__in=BEGINS).order_by("-id").values("at")[:1]
    rows = Alarm.objects.filter(machine=rule.machine_id, is_active=True).exclude(priority=ADVISORY)
    if rule.failure_mode:
        rows = rows.filter(failure_mode=rule.failure_mode)
    found: list[Any] = list(rows.annotate(since=Subquery(begun)).order_by("id"))
    return [(alarm, alarm.since) for alarm in found if alarm.since is not None]


def _of(rule: ParentRule, alarm: Alarm, since: datetime) -> QuerySet[Suppression]:
    return rule.suppressions.filter(parent_alarm=alarm, from_at=since)


def _let_go(suppression_id: int, *, at_once: bool, now: datetime) -> bool:
    """What hid this is over, or (``at_once``) hides it no longer; whether it was this call that found out."""
    known = Suppression.objects.values_list("machine_id", flat=True).get(pk=suppression_id)
    with transaction.atomic():
        alarm_steps.lock_machine(known)
        row = Suppression.objects.get(pk=suppression_id)
        if row.ended_at is not None or row.over_at is not None or row.until is None:
            return False
        if at_once:
            suppressions.end_of_state(row, now=now, why=CHANGED)
            return True
        returns = AlarmTransition.objects.filter(alarm=row.parent_alarm_id, action=RETURNED, at__gte=row.from_at)
        over = returns.order_by("id").values_list("at", flat=True).first() or now
        suppressions.bound(row, until=min(row.until, now + operating_hides.GRACE), over_at=over)
    return True


def _begin(rule: ParentRule, alarm_id: int, since: datetime, machine_id: int, mode: str, *, now: datetime) -> bool:
    """Hide a machine's alarms because of one, unless somebody did, or that alarm is over or hidden by its own parent
    meanwhile."""
    with transaction.atomic():
        for pk in sorted({rule.machine_id, machine_id}):
            alarm_steps.lock_machine(pk)
        found = [alarm for alarm, began in _active(rule) if alarm.pk == alarm_id and began == since]
        if not found or _is_hidden(found[0]):
            return False
        if _of(rule, found[0], since).filter(machine=machine_id, failure_mode=mode).exists():
            return False
        began = _hidden_since(rule, machine_id, mode) or now
        until = began + timedelta(hours=rule.most_hours)
        new = Suppression(
            site_id=rule.site_id, machine_id=machine_id, failure_mode=mode, kind=Kind.BY_DESIGN, parent_rule=rule,
            parent_alarm=found[0], from_at=since, created_at=began, reason=f"It follows from {found[0]}",
            until=max(until, since + suppressions.A_MOMENT),
        )  # fmt: skip
        if until > now:
            suppressions.begin(new)
        else:
            suppressions.note(new)
    return True


def _hidden_since(rule: ParentRule, machine_id: int, mode: str) -> datetime | None:
    """Since when, by the clock, what stands by a rule hides these: its hours count on where a parent's alarm returns
    and is active again before what it hid was shown."""
    stands = rule.suppressions.filter(machine=machine_id, failure_mode=mode, ended_at=None)
    return stands.order_by("created_at").values_list("created_at", flat=True).first()


def _is_hidden(alarm: Alarm) -> bool:
    """By a parent of its own."""
    mine = Q(failure_mode="") | Q(failure_mode=alarm.failure_mode)
    return Suppression.objects.filter(
        mine, machine=alarm.machine_id, parent_rule__isnull=False, ended_at=None
    ).exists()  # fmt: skip
