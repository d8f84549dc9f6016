"""What staff press on the pages of alarms and work orders: each a question and then one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets

from maintenance import alarms, work_orders
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from sensors import ask
from sensors.desk import ACTORS, Desk
from sensors.models import Membership

Fits = Callable[[Any], bool]


class Saying(forms.Form):
    comment = forms.CharField(max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}))


class Findings(forms.Form):
    findings = forms.CharField(
        max_length=10_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text="What was found and what was done. It stays with the machine's history.",
    )  # fmt: skip


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


class Assignee(forms.Form):
    """Who is to do it: whoever may work on orders in every site the orders are of."""

    assignee = forms.ModelChoiceField(User.objects.none(), label="Who", widget=widgets.UnfoldAdminSelectWidget)


@dataclass(frozen=True, slots=True)
class Button:
    """``fits`` tells for which rows it is shown; ``perform`` takes row, actor and answers."""

    name: str
    title: str
    label: str
    done: str
    fits: Fits
    perform: Callable[[Any, User, dict[str, Any]], object]
    form: Callable[[Sequence[Any], Any], forms.Form] = field(default=lambda rows, data: ask.Comment(data))
    explain: str = ""


def workers(rows: Iterable[WorkOrder]) -> QuerySet[User]:
    """Who may be given all of these orders: active people with an acting role in each of their sites."""
    found = User.objects.filter(is_active=True)
    for site in {row.site_id for row in rows}:
        able = Membership.objects.filter(site=site, role__in=ACTORS).values("user")
        found = found.filter(Q(pk__in=able) | Q(is_superuser=True))
    return found.order_by("username")


def _assignee_form(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
    form = Assignee(data, initial={"assignee": rows[0].assigned_to_id if len(rows) == 1 else None})
    choice = form.fields["assignee"]
    if isinstance(choice, forms.ModelChoiceField):
        choice.queryset = workers(rows)
    return form


ACKNOWLEDGE = Button(
    "acknowledge", "Acknowledge alarms", "Acknowledge", "Acknowledged",
    fits=lambda alarm: not alarm.is_acknowledged,
    perform=lambda alarm, actor, said: alarms.acknowledge(alarm.pk, actor=actor, comment=said["comment"]),
    explain="Somebody has seen it and sees to it. An acknowledged alarm stays open until the condition is over.",
)  # fmt: skip
COMMENT = Button(
    "comment", "Comment", "Save comment", "Commented",
    fits=lambda alarm: True,
    perform=lambda alarm, actor, said: alarms.comment(alarm.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
)  # fmt: skip
ASSIGN = Button(
    "assign", "Assign work orders", "Assign", "Assigned",
    fits=lambda order: order.status in (WorkOrder.Status.OPEN, WorkOrder.Status.ASSIGNED),
    perform=lambda order, actor, said: work_orders.assign(order.pk, actor=actor, assignee=said["assignee"]),
    form=_assignee_form,
)  # fmt: skip
START = Button(
    "start", "Start the work", "Start", "Started",
    fits=lambda order: order.status == WorkOrder.Status.ASSIGNED,
    perform=lambda order, actor, said: work_orders.start(order.pk, actor=actor),
    form=lambda rows, data: Confirmation(data),
)  # fmt: skip
COMPLETE = Button(
    "complete", "Complete the work", "Complete", "Completed",
    fits=lambda order: order.status == WorkOrder.Status.IN_PROGRESS,
    perform=lambda order, actor, said: work_orders.complete(order.pk, actor=actor, findings=said["findings"]),
    form=lambda rows, data: Findings(data),
)  # fmt: skip
CANCEL = Button(
    "cancel", "Cancel the work order", "Cancel the order", "Cancelled",
    fits=lambda order: order.status not in WorkOrder.CLOSED,
    perform=lambda order, actor, said: work_orders.cancel(order.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="Nobody will work on it. Say why.",
)  # fmt: skip

BY_NAME = {button.name: button for button in (ACKNOWLEDGE, COMMENT, ASSIGN, START, COMPLETE, CANCEL)}


def on_one(page: Desk, request: HttpRequest, key: object, button: Button) -> HttpResponse:
    """The button on a row's own page."""
    row = ask.row_of(page, request, key)
    return ask.answer(page, request, [row], _question(button, [row], request), back=_url(page, "change", row.pk))


def on_selected(page: Desk, request: HttpRequest, rows: QuerySet[Any], button: Button, *, action: str) -> HttpResponse:
    """The button on a list, for the rows that were ticked."""
    chosen = list(rows)
    question = _question(button, chosen, request, hidden=ask.selected(request, action))
    return ask.answer(page, request, chosen, question, back=_url(page, "changelist"))


def fitting(page: Desk, request: HttpRequest, key: object, offered: Sequence[Any]) -> list[Any]:
    """Of the buttons on offer those that make sense for the row, for somebody who may press them."""
    row = page.get_object(request, str(key))
    if row is None or not page.may(request, row, ACTORS):
        return []
    prefix = f"{page.opts.app_label}_{page.opts.model_name}_"
    return [one for one in offered if BY_NAME[one.action_name.removeprefix(prefix)].fits(row)]


def _question(
    button: Button, rows: Sequence[Model], request: HttpRequest, *, hidden: dict[str, Sequence[str]] | None = None
) -> ask.Question:
    actor: Any = request.user
    return ask.Question(
        title=button.title,
        button=button.label,
        done=button.done,
        form=partial(button.form, rows),
        perform=lambda row, answers: button.perform(row, actor, answers),
        refusals=(Refused,),
        explain=button.explain,
        hidden=hidden or {},
    )


def _url(page: Desk, name: str, *keys: object) -> str:
    return reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_{name}", args=keys)
