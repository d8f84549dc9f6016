"""What can be done on the page where an order is carried out: each deed is a form and one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from unfold import widgets

from maintenance import attachments, buttons, checklist_answers, checklists, downtimes, effort, permits
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate, PermitKind
from maintenance.effort_models import Downtime, OrderCost
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from sensors import ask

PICK, TEXT = widgets.UnfoldAdminSelectWidget, widgets.UnfoldAdminTextInputWidget


class Gone(Refused):
    """It is gone, or belongs to another order."""


def moment(label: str, *, required: bool = True) -> forms.DateTimeField:
    """An instant, picked by the device's own picker."""
    widget = TEXT(attrs={"type": "datetime-local"})
    return forms.DateTimeField(label=label, required=required, widget=widget)


class Form(forms.Form):
    """A form about an order."""

    def __init__(self, order: WorkOrder, actor: User, data: Any = None, files: Any = None, prefix: str = "") -> None:
        super().__init__(data, files, prefix=prefix)
        self.choose(order, actor)
        ask.name_zone(self, order.site.zone)

    def choose(self, order: WorkOrder, actor: User) -> None:
        """Offer what the order's site has."""

    def offer(self, name: str, rows: QuerySet[Any], *, initial: object = None) -> None:
        field = self.fields[name]
        if not isinstance(field, forms.ModelChoiceField):
            raise TypeError(f"{name} offers no rows.")
        field.queryset = rows
        field.initial = initial


class Key(Form):
    """Which row of the order."""

    row = forms.IntegerField(widget=forms.HiddenInput)


class Attach(Form):
    template = forms.ModelChoiceField(ChecklistTemplate.objects.none(), label="Checklist", widget=PICK)

    def choose(self, order: WorkOrder, actor: User) -> None:
        self.offer("template", ChecklistTemplate.objects.filter(site=order.site_id, is_enabled=True))


class Answer(Key):
    passed = forms.NullBooleanField(required=False, widget=forms.HiddenInput)
    value = forms.FloatField(required=False)
    note = forms.CharField(required=False, max_length=1_000)


class LabourForm(Form):
    worker = forms.ModelChoiceField(User.objects.none(), label="Who", widget=PICK)
    from_at = moment("From")
    minutes = forms.IntegerField(min_value=1, max_value=1_440, widget=TEXT(attrs={"type": "number"}))
    note = forms.CharField(required=False, max_length=300, widget=TEXT)

    def choose(self, order: WorkOrder, actor: User) -> None:
        self.offer("worker", buttons.workers([order]), initial=actor.pk)


class CostForm(Form):
    kind = forms.ChoiceField(choices=OrderCost.Kind.choices, widget=PICK)
    text = forms.CharField(label="What for", max_length=300, widget=TEXT)
    amount = forms.DecimalField(
        max_digits=12, decimal_places=2, min_value=0, widget=TEXT(attrs={"type": "number", "step": "0.01"})
    )


class DowntimeForm(Form):
    from_at = moment("From")
    until_at = moment("Until; empty while it lasts", required=False)
    reason = forms.ChoiceField(choices=Downtime.Reason.choices, widget=PICK)
    is_planned = forms.BooleanField(label="Planned", required=False, widget=widgets.UnfoldBooleanSwitchWidget)
    note = forms.CharField(required=False, max_length=300, widget=TEXT)


class PermitForm(Form):
    kind = forms.ChoiceField(choices=PermitKind.choices, widget=PICK)
    valid_from = moment("Valid from; empty: now", required=False)
    valid_until = moment("Valid until")
    conditions = forms.CharField(
        required=False, max_length=5_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class Revoke(Key):
    reason = forms.CharField(max_length=1_000, widget=TEXT)


class FileForm(Form):
    file = forms.FileField(
        help_text="Picture (JPEG, PNG, WebP), PDF or plain text.",
        widget=widgets.UnfoldAdminFileFieldWidget(attrs={"accept": "image/*,.pdf,.txt,.csv"}),
    )


Perform = Callable[[WorkOrder, User, dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Deed:
    """``part``: the part of the page it is done in. ``shown``: it has a form of its own there."""

    part: str
    title: str
    done: str
    form: type[Form]
    perform: Perform
    shown: bool = True


def _own(rows: QuerySet[Any], said: Mapping[str, Any]) -> int:
    """The key of a row that has to be one of the order's. Raises ``Gone``."""
    try:
        return int(rows.get(pk=said["row"]).pk)
    except ObjectDoesNotExist as error:
        raise Gone from error


def _answer(order: WorkOrder, actor: User, said: dict[str, Any]) -> object:
    key = _own(ChecklistItem.objects.filter(checklist__order=order), said)
    return checklist_answers.answer(key, actor=actor, passed=said["passed"], value=said["value"], note=said["note"])


DEEDS: Mapping[str, Deed] = {
    "answer": Deed("checklists", "Answer", "Answered", Answer, _answer, shown=False),
    "attach": Deed(
        "checklists", "Attach a checklist", "Attached", Attach,
        lambda order, actor, said: checklists.attach(order.pk, actor=actor, **said),
    ),
    "detach": Deed(
        "checklists", "Detach", "Detached", Key, shown=False,
        perform=lambda order, actor, said: checklists.detach(
            _own(Checklist.objects.filter(order=order), said), actor=actor
        ),
    ),
    "labour": Deed(
        "labour", "Enter labour", "Entered", LabourForm,
        lambda order, actor, said: effort.enter_labour(order.pk, actor=actor, **said),
    ),
    "withdraw_labour": Deed(
        "labour", "Withdraw", "Withdrawn", Key, shown=False,
        perform=lambda order, actor, said: effort.withdraw_labour(_own(order.labour.all(), said), actor=actor),
    ),
    "cost": Deed(
        "costs", "Enter another cost", "Entered", CostForm,
        lambda order, actor, said: effort.enter_cost(order.pk, actor=actor, **said),
    ),
    "withdraw_cost": Deed(
        "costs", "Withdraw", "Withdrawn", Key, shown=False,
        perform=lambda order, actor, said: effort.withdraw_cost(_own(order.other_costs.all(), said), actor=actor),
    ),
    "downtime": Deed(
        "downtime", "Enter downtime of the machine", "Entered", DowntimeForm,
        lambda order, actor, said: downtimes.begin(order.machine, actor=actor, order_id=order.pk, **said),
    ),
    "end_downtime": Deed(
        "downtime", "It runs again", "Ended", Key, shown=False,
        perform=lambda order, actor, said: downtimes.end(_own(order.downtimes.all(), said), actor=actor),
    ),
    "withdraw_downtime": Deed(
        "downtime", "Withdraw", "Withdrawn", Key, shown=False,
        perform=lambda order, actor, said: downtimes.withdraw(_own(order.downtimes.all(), said), actor=actor),
    ),
    "permit": Deed(
        "permits", "Issue a permit", "Issued", PermitForm,
        lambda order, actor, said: permits.issue(order.pk, actor=actor, **said),
    ),
    "revoke": Deed(
        "permits", "Revoke", "Revoked", Revoke, shown=False,
        perform=lambda order, actor, said: permits.revoke(
            _own(order.permits.all(), said), actor=actor, reason=said["reason"]
        ),
    ),
    "file": Deed(
        "files", "Add a file", "Added", FileForm,
        lambda order, actor, said: attachments.add(order.pk, actor=actor, **said),
    ),
    "remove": Deed(
        "files", "Remove", "Removed", Key, shown=False,
        perform=lambda order, actor, said: attachments.remove(_own(order.attachments.all(), said), actor=actor),
    ),
}  # fmt: skip
