"""The buttons on work orders: what they ask, and what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from unfold import widgets

from maintenance import approval_buttons, failure_data, failure_modes, order_clashes, order_steps
from maintenance.approval_buttons import can
from maintenance.buttons import Button, Confirmation, Saying, assignee_form, by_name
from maintenance.models import WorkOrder
from maintenance.order_life import Action
from sensors import ask

AREA = widgets.UnfoldAdminTextareaWidget
PICK = widgets.UnfoldAdminSelectWidget
NONE = [("", "---------")]
MODES = [*NONE, *((mode.code, f"{mode.code} – {mode.name}") for mode in failure_modes.CATALOGUE.modes.values())]


class Findings(forms.Form):
    findings = forms.CharField(
        max_length=10_000, widget=AREA(attrs={"rows": 6}),
        help_text="What was found and what was done. It stays with the machine's history.",
    )  # fmt: skip


class Plan(forms.Form):
    start = forms.SplitDateTimeField(
        widget=widgets.UnfoldAdminSplitDateTimeWidget, help_text="When the work is to begin."
    )
    minutes = forms.IntegerField(
        min_value=1, max_value=60 * 24 * 90, widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="How long it is thought to take.",
    )  # fmt: skip


def plan_form(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
    """Proposes what is planned already."""
    return Plan(data, initial={"start": rows[0].planned_start, "minutes": rows[0].planned_minutes or 60})


class Closing(forms.Form):
    """What is put on record; of an order that an alarm opened also what that turned out to be."""

    verdict = forms.ChoiceField(
        label="What was it?", required=False, choices=NONE + WorkOrder.Verdict.choices, widget=PICK,
        help_text="Labels the window of the anomalies behind it; detection is measured by it at once.",
    )  # fmt: skip
    found_mode = forms.ChoiceField(label="Failure mode", required=False, choices=MODES, widget=PICK)
    mechanism = forms.ChoiceField(
        required=False, widget=PICK, choices=[*NONE, *((c, f"{c} {n}") for c, n in failure_data.MECHANISMS.items())]
    )
    cause = forms.ChoiceField(required=False, widget=PICK, choices=[*NONE, *failure_data.CAUSES.items()])
    detection_method = forms.ChoiceField(
        required=False, widget=PICK, choices=[*NONE, *failure_data.DETECTION_METHODS.items()]
    )
    activity = forms.ChoiceField(required=False, widget=PICK, choices=[*NONE, *failure_data.ACTIVITIES.items()])
    comment = forms.CharField(required=False, max_length=2_000, widget=AREA(attrs={"rows": 3}))


def closing_form(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
    form = Closing(data, initial={"found_mode": rows[0].failure_mode})
    form.fields["verdict"].required = any(row.alarm_id is not None for row in rows)
    return form


PLAN = Button(
    "plan", "Plan the work", "Plan", "Planned", fits=can(Action.PLANNED),
    perform=lambda order, actor, said: order_steps.plan(
        order.pk, actor=actor, start=said["start"], minutes=said["minutes"]
    ),
    form=plan_form,
    warn=order_clashes.warnings,
)  # fmt: skip
ASSIGN = Button(
    "assign", "Assign work orders", "Assign", "Assigned", fits=can(Action.ASSIGNED),
    perform=lambda order, actor, said: order_steps.assign(order.pk, actor=actor, assignee=said["assignee"]),
    form=assignee_form,
    warn=order_clashes.warnings,
)  # fmt: skip
START = Button(
    "start", "Start the work", "Start", "Started", fits=can(Action.STARTED),
    perform=lambda order, actor, said: order_steps.start(order.pk, actor=actor),
    form=lambda rows, data: Confirmation(data),
    explain="The machine is out of service from now on, and its alarms are hidden, until the work is done or held.",
)  # fmt: skip
HOLD = Button(
    "hold", "Hold the work", "Hold", "On hold", fits=can(Action.HELD),
    perform=lambda order, actor, said: order_steps.hold(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="Say what it waits for. The machine is in service meanwhile: its alarms are shown again.",
)  # fmt: skip
RESUME = Button(
    "resume", "Resume the work", "Resume", "Resumed", fits=can(Action.RESUMED),
    perform=lambda order, actor, said: order_steps.resume(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: ask.Comment(data),
    explain="The machine is out of service again.",
)  # fmt: skip
COMPLETE = Button(
    "complete", "Complete the work", "Complete", "Completed", fits=can(Action.COMPLETED),
    perform=lambda order, actor, said: order_steps.complete(order.pk, actor=actor, findings=said["findings"]),
    form=lambda rows, data: Findings(data),
)  # fmt: skip
CLOSE = Button(
    "close", "Close the order", "Close", "Closed", fits=can(Action.CLOSED),
    perform=lambda order, actor, said: order_steps.close(order.pk, actor=actor, **said),
    form=closing_form,
    explain="Puts on record what was found, in the vocabulary of ISO 14224.",
)  # fmt: skip
CANCEL = Button(
    "cancel", "Cancel the work order", "Cancel the order", "Cancelled", fits=can(Action.CANCELLED),
    perform=lambda order, actor, said: order_steps.cancel(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="Nobody will work on it. Say why.",
)  # fmt: skip
REOPEN = Button(
    "reopen", "Reopen the order", "Reopen", "Reopened", fits=can(Action.REOPENED),
    perform=lambda order, actor, said: order_steps.reopen(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="It was not over after all: it is open again, as if nobody had begun. Say why.",
)  # fmt: skip

KNOWN = by_name(*approval_buttons.OF_ORDERS, PLAN, ASSIGN, START, HOLD, RESUME, COMPLETE, CLOSE, CANCEL, REOPEN)
