"""The buttons with which people decide on orders that were requested: on their own pages, and where they wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from unfold import widgets

from maintenance import approvals, order_life
from maintenance.buttons import Button, Saying
from maintenance.models import Priority, WorkOrder
from maintenance.order_life import Action
from sensors import ask

AREA = widgets.UnfoldAdminTextareaWidget
PICK = widgets.UnfoldAdminSelectWidget


class Aside(Saying):
    until = forms.SplitDateTimeField(
        widget=widgets.UnfoldAdminSplitDateTimeWidget, help_text="It is asked for anew then."
    )
    field_order = ("until", "comment")


class Changes(forms.Form):
    priority = forms.ChoiceField(choices=Priority.choices, widget=PICK)
    maintenance_type = forms.ChoiceField(label="Type", choices=WorkOrder.Type.choices, widget=PICK)
    due_at = forms.SplitDateTimeField(
        label="Due", required=False, widget=widgets.UnfoldAdminSplitDateTimeWidget,
        help_text="When it has to be done.",
    )  # fmt: skip
    expected_cost = forms.DecimalField(
        required=False, min_value=0, max_digits=12, decimal_places=2, widget=widgets.UnfoldAdminDecimalFieldWidget,
        help_text="Beside the planned parts. Empty: nobody knows.",
    )  # fmt: skip
    description = forms.CharField(required=False, max_length=20_000, strip=False, widget=AREA(attrs={"rows": 6}))
    comment = forms.CharField(
        required=False, max_length=2_000, widget=AREA(attrs={"rows": 3}), help_text="Why; kept in the history."
    )


def changes_form(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
    return Changes(data, initial={name: getattr(rows[0], name) for name in approvals.CHANGEABLE})


def can(action: Action) -> Callable[[WorkOrder], bool]:
    """Whether a row's status allows an action."""
    return lambda order: action in order_life.possible(order.status)


APPROVE = Button(
    "approve", "Approve requests", "Approve", "Approved", fits=can(Action.APPROVED),
    perform=lambda order, actor, said: approvals.approve(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: ask.Comment(data),
    explain="It is to be done, and can be planned and assigned.",
)  # fmt: skip
REJECT = Button(
    "reject", "Reject requests", "Reject", "Rejected", fits=can(Action.REJECTED),
    perform=lambda order, actor, said: approvals.reject(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="It is not to be done. Say why.",
)  # fmt: skip
MODIFY = Button(
    "modify", "Change the request", "Change", "Changed", fits=can(Action.MODIFIED),
    perform=lambda order, actor, said: approvals.modify(order.pk, actor=actor, **said),
    form=changes_form,
    explain="It goes on waiting, by the policy that holds for it then. What it was stays in the history.",
)  # fmt: skip
DEFER = Button(
    "defer", "Set requests aside", "Set aside", "Set aside", fits=can(Action.DEFERRED),
    perform=lambda order, actor, said: approvals.defer(
        order.pk, actor=actor, until=said["until"], comment=said["comment"]
    ),
    form=lambda rows, data: Aside(data),
    explain="Nobody is asked and no time runs until then. Say why.",
)  # fmt: skip

OF_ORDERS = (APPROVE, REJECT, MODIFY, DEFER)


def of_wait(button: Button) -> Button:
    """The same for a row of what waits."""
    return replace(
        button,
        fits=lambda wait: button.fits(wait.order),
        perform=lambda wait, actor, said: button.perform(wait.order, actor, said),
        form=lambda rows, data: button.form([row.order for row in rows], data),
    )


WAITING = {button.name: of_wait(button) for button in OF_ORDERS}
"""On rows of ``ApprovalWait``."""
