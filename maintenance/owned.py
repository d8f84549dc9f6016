"""Rows that people own and change as they like: persons, channels, subscriptions, rotas with their shifts, overrides,
chains with their steps, templates of checklists, labour rates, rules of work, rules by which an alarm hides others.
Stored whole, with an entry in the journal that says who changed what.

The admin stores them by its forms and calls ``note``; REST calls ``add``, ``change`` and ``delete``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Model, RestrictedError
from django.forms import model_to_dict
from django.utils import timezone

from maintenance import owned_rules, webhooks
from maintenance.checklist_models import ChecklistTemplate, TemplateItem
from maintenance.effort_models import LabourRate
from maintenance.escalation_models import Chain, ChainStep, Override, Rota, Shift
from maintenance.models import Channel, Reader, Subscription
from maintenance.parent_models import ParentRule
from maintenance.part_models import Part, Store, Tool
from maintenance.people_models import (
    Absence,
    Holiday,
    MachineHours,
    OrderTiming,
    RequiredSkill,
    Skill,
    Team,
    Travel,
    Worker,
    WorkerSkill,
    WorkingHours,
)
from maintenance.permit_models import PermitRule, WorkRules
from maintenance.refusals import Refused
from maintenance.webhook_models import Webhook
from sensors import journal
from sensors.models import Event

Row = TypeVar("Row", bound=Model)
Said = Mapping[str, Any]
Lines = Sequence[Said] | None
"""What the lines of a row say, in their order."""

NAMES: Mapping[type[Model], str] = {
    Reader: "person", Channel: "channel", Subscription: "subscription", Rota: "rota", Override: "override",
    Chain: "chain", Part: "part", Store: "store", Tool: "tool", ChecklistTemplate: "checklist_template",
    LabourRate: "labour_rate", WorkRules: "work_rules", ParentRule: "parent_rule",
    Worker: "worker", WorkerSkill: "worker_skill", WorkingHours: "working_hours", Team: "team",
    Skill: "skill", Holiday: "holiday", Absence: "absence", Travel: "travel", RequiredSkill: "required_skill",
    OrderTiming: "order_timing", MachineHours: "machine_hours", Webhook: "webhook",
}  # fmt: skip
"""What the journal calls them."""
LINES: Mapping[type[Model], tuple[str, type[Model], str]] = {
    Rota: ("shifts", Shift, "rota"),
    Chain: ("steps", ChainStep, "chain"),
    ChecklistTemplate: ("items", TemplateItem, "template"),
    WorkRules: ("permits", PermitRule, "rules"),
}
"""Of a row that has lines: what they are called, their table, and their field that leads back."""


PARENTS: Mapping[type[Model], str] = {
    Override: "rota", WorkerSkill: "worker", WorkingHours: "worker", Absence: "worker", OrderTiming: "order",
}  # fmt: skip
"""Of a row that is of no site itself: the field that leads to the row whose site is its."""

Each = Mapping[int, tuple[Model, Said]]
"""Rows by their keys, each with what it says."""


class Invalid(Exception):
    """A row makes no sense. ``errors``: by field; of lines a list with the errors of each."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__(str(errors))
        self.errors = dict(errors)


class InUse(Refused):
    """Other rows name it, or messages went to it: it can be disabled, or marked as not in use, instead."""


def add(row: Row, *, actor: User, lines: Lines = None) -> Row:
    """Store a new row with its lines, all of it or nothing. Raises ``Invalid``."""
    with transaction.atomic():
        return _store(row, actor=actor, before=None, lines=lines)


def change(row: Row, said_of_it: Said, *, actor: User, lines: Lines = None) -> Row:
    """Change what is said of a row, all of it or nothing, and leave the rest as it is by then.

    ``lines`` take the place of those there are; None: those stay. Raises ``Invalid``.
    """
    with transaction.atomic():
        fresh = type(row)._default_manager.select_for_update().get(pk=row.pk)
        before = said(fresh)
        for name, value in said_of_it.items():
            setattr(fresh, name, value)
        return _store(fresh, actor=actor, before=before, lines=lines)


def _store(row: Row, *, actor: User, before: Said | None, lines: Lines) -> Row:
    if isinstance(row, Channel):
        settle(row, actor=actor)
    if isinstance(row, Webhook):
        webhooks.settle(row, actor=actor)
    new = None if lines is None else [_line(row, number, one) for number, one in enumerate(lines)]
    errors = {**_errors(row), **_line_errors(row, new)}
    if errors:
        raise Invalid(errors)
    row.save()
    if new is not None:
        name, table, _ = LINES[type(row)]
        getattr(row, name).all().delete()
        table._default_manager.bulk_create(new)
    note(row, before=before, actor=actor)
    return row


def delete(row: Model, *, actor: User) -> None:
    """Take a row away with its lines. Raises ``InUse``."""
    with transaction.atomic():
        note_deletion(row, actor=actor)
        try:
            row.delete()
        except RestrictedError as error:
            raise InUse from error


def settle(row: Channel, *, actor: User) -> None:
    """What follows from what was said of a channel that is to be stored: of a service its kind is the target; who makes
    one looks after it, unless somebody else is named; one that is enabled anew starts afresh."""
    if row.kind == Channel.Kind.SERVICE:
        row.target = owned_rules.service_scheme(row.secret)[:30]
    if row._state.adding:
        row.owner = row.owner or actor
    elif row.is_enabled and Channel.objects.filter(pk=row.pk, is_enabled=False).exists():
        row.disabled_reason, row.failures, row.silent_until = "", 0, None


def said(row: Model) -> dict[str, Any]:
    """What a row says, with its lines, as plain JSON; of a secret only whether there is one."""
    found = {name: _plain(value) for name, value in model_to_dict(row).items()}
    if "secret" in found:
        found["secret"] = "set" if found["secret"] else ""
    if type(row) in LINES:
        name, table, parent = LINES[type(row)]
        lines = table._default_manager.filter(**{parent: row}).order_by(*table._meta.ordering or ())
        found[name] = [
            {field: _plain(value) for field, value in model_to_dict(line, exclude=["id", parent]).items()}
            for line in lines
        ]
    return found


def note(row: Model, *, before: Said | None, actor: User) -> None:
    """Keep in the journal that a row was added (``before`` None) or changed; nothing where it says the same."""
    after = said(row)
    if before != after:
        _record(row, "added" if before is None else "changed", before=before, after=after, actor=actor)


def note_each(before: Each, after: Each, *, actor: User) -> None:
    """Keep in the journal which of some rows were added, changed and deleted."""
    for key in sorted(before.keys() | after.keys()):
        row, _ = (after if key in after else before)[key]
        was, now = (side[key][1] if key in side else None for side in (before, after))
        if was != now:
            what = "added" if was is None else "deleted" if now is None else "changed"
            _record(row, what, before=was, after=now, actor=actor)


def note_deletion(row: Model, *, actor: User) -> None:
    """Keep in the journal what a row says that is about to be deleted."""
    _record(row, "deleted", before=said(row), after=None, actor=actor)


def _record(row: Model, what: str, *, before: Said | None, after: Said | None, actor: User) -> None:
    name = NAMES[type(row)]
    subject = f"{name}/{row.pk}"
    last = Event.objects.filter(subject=subject).order_by("-id").values_list("id", flat=True).first() or 0
    site_id: int = getattr(getattr(row, PARENTS[type(row)]) if type(row) in PARENTS else row, "site_id", 0)
    entry = journal.Entry(
        type=f"{name}.{what}",
        subject=subject,
        key=f"{name}.{what}/{row.pk}/after/{last}",
        occurred_at=timezone.now(),
        site_id=site_id,
        actor=actor.get_username(),
        data={"before": before, "after": after},
    )
    journal.record([entry])


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, date | datetime | time) else value


def _line(row: Model, number: int, said: Mapping[str, Any]) -> Any:
    _, table, parent = LINES[type(row)]
    position = {"position": number} if table in (ChainStep, TemplateItem) else {}
    return table(**{parent: row}, **position, **said)


def _errors(row: Model, *, exclude: Sequence[str] = ()) -> dict[str, Any]:
    try:
        row.full_clean(exclude=exclude)
    except ValidationError as error:
        found = error.message_dict
        return {("non_field_errors" if name == NON_FIELD_ERRORS else name): told for name, told in found.items()}
    return {name: [told] for name, told in owned_rules.wrong(row).items()}


def _line_errors(row: Model, lines: Sequence[Any] | None) -> dict[str, Any]:
    if lines is None:
        return {}
    name, _, parent = LINES[type(row)]
    found = [_errors(line, exclude=[parent]) for line in lines]
    if any(found):
        return {name: found}
    told = owned_rules.steps([line.times for line in lines]) if isinstance(row, Chain) else ""
    return {name: [told]} if told else {}
