"""Preventive plans as people set them; their orders are in ``plan_work``. These two are the only writers of Plan.

What is next follows from the plan's rules and its occurrences (``plan_dates``), and is written to the plan each time
one of them changes (``settle``). Locks are taken in the order work order, meter, plan.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from maintenance import meters, occurrences, plan_dates, plan_life
from maintenance.plan_models import Meter, Plan, PlanOccurrence
from maintenance.refusals import Refused
from sensors import journal
from sensors.models import Equipment, Sensor

SAID = (
    "title", "description", "priority", "minutes", "basis", "every", "unit", "first_on", "due_time", "lead_days",
    "season_first", "season_last", "outside", "meter", "meter_every", "meter_first", "meter_lead",
)  # fmt: skip
"""What people say of a plan, and can change."""
DERIVED = ("number", "nominal_on", "due_on", "due_at", "target", "look_at")
YEARS_AHEAD = 50
Outcome = PlanOccurrence.Outcome


class NoReason(Refused):
    """Say why."""


class Paused(Refused):
    """The plan is paused."""


class NotPaused(Refused):
    """The plan is not paused."""


class OrderIsOpen(Refused):
    """An order of the plan is open: complete or cancel that."""


class NotThen(Refused):
    """It cannot have been done on that day."""


def add(new: Plan, *, actor: User, now: datetime | None = None) -> Plan:
    """Store a plan; the next pass of the sweep sees to it. Raises ``ValidationError``."""
    now = now or timezone.now()
    check(new, now=now)
    new.created_by = actor
    with transaction.atomic():
        _begin_meter(new)
        new.save(force_insert=True)
        settle(new, now=now)
        journaled(journal.PLAN_ADDED, new, cause="", at=now, actor=actor, data=_told(new))
    return new


def change(plan_id: int, *, actor: User, now: datetime | None = None, **said: Any) -> Plan:
    """Change what was said (see ``SAID``). An order that is open stays as it is. Raises ``ValidationError``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(plan_id)
        if "meter" in said and said["meter"] != row.meter and "meter_first" not in said:
            row.meter_first = None
        for name, value in said.items():
            setattr(row, name, value)
        check(row, now=now)
        _begin_meter(row)
        row.save(update_fields=SAID)
        settle(row, now=now)
        journaled(journal.PLAN_CHANGED, row, cause=now.isoformat(), at=now, actor=actor, data=_told(row))
    return row


def pause(plan_id: int, *, actor: User, reason: str, now: datetime | None = None) -> Plan:
    """No order is opened until it is resumed; one that is open stays. Raises ``NoReason``, ``Paused``."""
    if not reason.strip():
        raise NoReason
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(plan_id)
        if row.paused_at is not None:
            raise Paused
        row.paused_at, row.paused_by, row.pause_reason, row.look_at = now, actor, reason.strip(), None
        row.save(update_fields=["paused_at", "paused_by", "pause_reason", "look_at"])
        journaled(journal.PLAN_PAUSED, row, cause=now.isoformat(), at=now, actor=actor, data={"reason": reason.strip()})
    return row


def resume(plan_id: int, *, actor: User, now: datetime | None = None) -> Plan:
    """What became due meanwhile is due at once, as one order. Raises ``NotPaused``, ``ValidationError``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(plan_id)
        if row.paused_at is None:
            raise NotPaused
        row.paused_at, row.paused_by, row.pause_reason = None, None, ""
        row.validate_constraints()
        row.save(update_fields=["paused_at", "paused_by", "pause_reason"])
        settle(row, now=now)
        journaled(journal.PLAN_RESUMED, row, cause=now.isoformat(), at=now, actor=actor, data={})
    return row


def check(row: Plan, *, now: datetime) -> None:
    """Raises ``ValidationError`` by field where a plan makes no sense."""
    row.clean_fields()
    row.clean()
    if occurrences.zone_of(row.site.time_zone) is None:
        raise ValidationError(f"The site's time zone ({row.site.time_zone}) is not known.")
    if row.machine.site_id != row.site_id:
        raise ValidationError({"machine": "It belongs to another site."})
    if row.machine.level != Equipment.Level.MACHINE:
        raise ValidationError({"machine": "Work orders are a machine's: choose one, not a line or a component."})
    for name in ("sensor", "meter"):
        chosen = getattr(row, name)
        if chosen is not None and chosen.machine_id != row.machine_id:
            raise ValidationError({name: "It is of another machine."})
    if row.first_on is not None and not 2000 <= row.first_on.year <= now.year + YEARS_AHEAD:
        raise ValidationError({"first_on": f"From 2000 on, and at most {YEARS_AHEAD} years ahead."})
    if row.meter_every is not None and row.meter_lead >= row.meter_every:
        raise ValidationError({"meter_lead": "Less than the interval, or one order would follow the other."})
    both = row.every is not None and row.meter is not None
    if both and row.basis != Plan.Basis.COMPLETION:
        raise ValidationError({"basis": "First of both counts from the completion: what came first resets both."})
    if row.kind == Plan.Kind.CALIBRATION and (row.meter is not None or row.every is None):
        raise ValidationError({"every": "A calibration is due by the calendar, and not by a meter."})
    row.validate_constraints()


def overdue(*, now: datetime) -> Q:
    """Plans whose day is over, or whose meter has reached its target."""
    return Q(paused_at=None) & (Q(due_at__lt=now) | Q(target__lte=F("meter__total")))


def record_done(
    plan_id: int, *, actor: User, on: date | None = None, comment: str = "", now: datetime | None = None
) -> Plan:
    """The work was done without an order of the plan, such as early and with other work. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        row = locked(plan_id)
        newest = row.occurrences.select_related("order").first()
        if newest is not None and newest.outcome == "":
            raise OrderIsOpen(f"That is {newest.order}.")
        zone = row.site.zone
        today = now.astimezone(zone).date()
        on = on or today
        if on > today or (newest is not None and newest.counts_from_on is not None and on <= newest.counts_from_on):
            raise NotThen(f"It counts from {newest.counts_from_on} already." if newest else "It is not over yet.")
        then = plan_life.instant(on, time(23, 59, 59), zone)
        one = PlanOccurrence.objects.create(
            plan=row, number=row.number, nominal_on=row.nominal_on, due_on=row.due_on, meter=row.meter,
            target=row.target, opened_at=now, outcome=Outcome.DONE, ended_at=now, counts_from_on=on, by=actor,
            comment=comment, counts_from_total=None if row.meter_id is None else meters.total_at(row.meter_id, then),
        )  # fmt: skip
        moved(row, one, actor=actor, now=now)
    return row


def moved(row: Plan, one: PlanOccurrence, *, actor: User | None, now: datetime) -> None:
    settle(row, now=now)
    data = {"occurrence": one.number, "outcome": one.outcome, "due_on": str(row.due_on or ""), "target": row.target}
    journaled(journal.PLAN_MOVED, row, cause=f"{one.number}/{now.isoformat()}", at=now, actor=actor, data=data)


def settle(row: Plan, *, now: datetime) -> None:
    """Write what is next to the plan, and to the sensor until when its calibration holds."""
    newest = row.occurrences.first()
    row.look_at = None
    if newest is not None and newest.outcome == "":
        row.number, row.nominal_on, row.due_on, row.target = (
            newest.number, newest.nominal_on, newest.due_on, newest.target
        )  # fmt: skip
    else:
        last = plan_dates.last_of(row, newest)
        rule, meter = plan_dates.calendar_of(row), plan_dates.metered(row)
        found = plan_life.following(rule, last.done) if rule else None
        row.number = 1 if newest is None else newest.number + 1
        row.nominal_on, row.due_on = (None, None) if found is None else (found.nominal, found.on)
        row.target = plan_life.next_target(meter, target=last.target, done_at=last.total) if meter else None
        if row.paused_at is None:
            row.look_at = now if plan_dates.is_reached(row, row.target) else plan_dates.opens_at(row, row.due_on)
    row.due_at = plan_dates.due_at(row, row.due_on)
    row.save(update_fields=DERIVED)
    _mark_sensor(row)


def _mark_sensor(row: Plan) -> None:
    """A calibration holds until the day that follows from the last one that was done: skipping is not doing."""
    rule = plan_dates.calendar_of(row)
    if row.kind != Plan.Kind.CALIBRATION or rule is None or row.sensor_id is None:
        return
    done = plan_dates.last_of(row, row.occurrences.filter(outcome=Outcome.DONE).first()).done
    until = plan_life.following(rule, done).on
    Sensor.objects.filter(pk=row.sensor_id).exclude(calibration_due_on=until).update(calibration_due_on=until)


def _begin_meter(row: Plan) -> None:
    """Without a first total it is due one interval from now."""
    if row.meter is None:
        row.meter_first = None
    elif row.meter_first is None and row.meter_every is not None:
        row.meter_first = meters.locked(row.meter.pk).total + row.meter_every


def locked(plan_id: int) -> Plan:
    """The plan, fresh and locked, with its meter, which is locked before it."""
    meter_id = Plan.objects.values_list("meter_id", flat=True).get(pk=plan_id)
    if meter_id is not None:
        list(Meter.objects.select_for_update(no_key=True).filter(pk=meter_id).values_list("id"))
    rows = Plan.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("site", "machine", "sensor", "meter").get(pk=plan_id)


def _told(row: Plan) -> dict[str, Any]:
    said = {name: getattr(row, f"{name}_id" if name == "meter" else name) for name in SAID}
    return {name: str(value) if isinstance(value, date | time) else value for name, value in said.items()}


def journaled(kind: str, row: Plan, *, cause: str, at: datetime, actor: User | None, data: dict[str, Any]) -> None:
    subject, name = f"plan/{row.pk}", actor.get_username() if actor is not None else ""
    key = f"{kind}/{row.pk}/{cause}" if cause else f"{kind}/{row.pk}"
    journal.record([journal.Entry(kind, subject, key, at, row.site_id, name, {"machine": row.machine_id} | data)])
