"""What staff press on the pages of alarms and work orders: each a question and then one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold import widgets

from maintenance import alarms, escalations, suppressions
from maintenance.alarm_life import ADVISORY
from maintenance.models import Alarm, Suppression, WorkOrder
from maintenance.refusals import Refused
from sensors import access, ask
from sensors.desk import Desk

Fits = Callable[[Any], bool]


class Saying(forms.Form):
    comment = forms.CharField(max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}))


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


class Assignee(forms.Form):
    """Who is to do it: whoever may work in every site the rows are of."""

    assignee = forms.ModelChoiceField(User.objects.none(), label="Who", widget=widgets.UnfoldAdminSelectWidget)


class AlarmAssignee(Assignee):
    comment = forms.CharField(
        required=False, max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept in the history.",
    )  # fmt: skip


class Shelf(forms.Form):
    """Why, and for how long; the policy's longest time is the last on offer."""

    reason = forms.CharField(
        max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Who looks at what is hidden reads it.",
    )  # fmt: skip
    minutes = forms.TypedChoiceField(label="For", coerce=int, widget=widgets.UnfoldAdminSelectWidget)
    one_shot = forms.BooleanField(
        label="Only until it has returned to normal", required=False, widget=widgets.UnfoldBooleanSwitchWidget
    )
    whole_machine = forms.BooleanField(
        label="All alarms of the machine", required=False, widget=widgets.UnfoldBooleanSwitchWidget
    )


MINUTES = (15, 30, 60, 120, 240, 480, 720, 1_440, 2_880, 10_080)


def _shelf_form(rows: Sequence[Any], data: Any) -> forms.Form:
    form, most = Shelf(data, initial={"minutes": 60}), settings.SHELVE_MAX_HOURS * 60
    choice = form.fields["minutes"]
    if isinstance(choice, forms.ChoiceField):
        offered = sorted({*(m for m in MINUTES if m < most), most})
        choice.choices = [(m, f"{m} minutes" if m < 60 else f"{m / 60:g} h") for m in offered]
    return form


def _shelve(alarm: Alarm, actor: User, said: dict[str, Any]) -> object:
    now = timezone.now()
    return suppressions.shelve(
        alarm.pk, actor=actor, reason=said["reason"], until=now + timedelta(minutes=said["minutes"]), now=now,
        one_shot=said["one_shot"], whole_machine=said["whole_machine"],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Button:
    """``fits`` tells for which rows it is shown; ``perform`` takes row, actor and answers; ``warn`` says what is to be
    known of the row afterwards; ``takes`` is its permission, where it is another one than the page's buttons take."""

    name: str
    title: str
    label: str
    done: str
    fits: Fits
    perform: Callable[[Any, User, dict[str, Any]], object]
    form: Callable[[Sequence[Any], Any], forms.Form] = field(default=lambda rows, data: ask.Comment(data))
    explain: str = ""
    warn: Callable[[Any], Iterable[str]] = field(default=lambda row: ())
    takes: str = ""


def workers(rows: Iterable[Any], *, to: str = "orders.act") -> QuerySet[User]:
    """Who may be given all of these alarms, orders or tools: active people who may act on them in each site."""
    return workers_of({row.site_id for row in rows}, to=to)


def workers_of(sites: Iterable[int], *, to: str = "orders.act") -> QuerySet[User]:
    """Active people who have a permission in each of some sites."""
    found = User.objects.filter(is_active=True)
    for site in sites:
        found = found.filter(Q(pk__in=access.members(site, to=to)) | Q(is_superuser=True))
    return found.order_by("username")


def assignee_form(rows: Sequence[Alarm | WorkOrder], data: Any, *, kind: type[Assignee] = Assignee) -> forms.Form:
    form = kind(data, initial={"assignee": rows[0].assigned_to_id if len(rows) == 1 else None})
    choice = form.fields["assignee"]
    if isinstance(choice, forms.ModelChoiceField):
        choice.queryset = workers(rows, to="alarms.act" if kind is AlarmAssignee else "orders.act")
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
UNACKNOWLEDGE = Button(
    "unacknowledge", "Take back the acknowledgement", "Unacknowledge", "No longer acknowledged",
    fits=lambda alarm: alarm.is_active and alarm.is_acknowledged and alarm.priority != ADVISORY,
    perform=lambda alarm, actor, said: alarms.unacknowledge(alarm.pk, actor=actor, comment=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="Nobody sees to it any more: it has to be acknowledged anew. Say why.",
)  # fmt: skip
SHELVE = Button(
    "shelve", "Shelve alarms", "Shelve", "Shelved",
    fits=lambda alarm: alarm.suppression != Suppression.Kind.SHELVED,
    perform=_shelve,
    form=_shelf_form,
    explain="It goes on being evaluated, but nobody is told and no work order is opened. When the time is up it comes "
    "back, and has to be seen anew if it is still active.",
)  # fmt: skip
UNSHELVE = Button(
    "unshelve", "Unshelve alarms", "Unshelve", "No longer shelved",
    fits=lambda alarm: alarm.suppression == Suppression.Kind.SHELVED,
    perform=lambda alarm, actor, said: suppressions.unshelve_alarm(alarm.pk, actor=actor, comment=said["comment"]),
    explain="If it is still active it has to be acknowledged anew, and whoever must know is told. Where all alarms of "
    "its machine are shelved, that ends too.",
)  # fmt: skip
END_SHELVING = Button(
    "end_shelving", "Unshelve", "Unshelve", "No longer shelved",
    fits=lambda row: row.kind == Suppression.Kind.SHELVED and row.ended_at is None,
    perform=lambda row, actor, said: suppressions.unshelve(row.pk, actor=actor, comment=said["comment"]),
    explain="What is still active has to be acknowledged anew, and whoever must know is told.",
)  # fmt: skip
STOP = Button(
    "stop", "Stop escalations", "Stop", "Stopped",
    fits=lambda row: row.ended_at is None,
    perform=lambda row, actor, said: escalations.stop(row.pk, actor=actor, reason=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="Nobody else is told that the alarm waits, until it becomes active anew or worse. Acknowledging the alarm "
    "ends it as well, and says that somebody sees to it. Say why.",
)  # fmt: skip
STOP_ESCALATION = replace(
    STOP, name="stop_escalation", title="Stop the escalation of alarms",
    fits=lambda alarm: escalations.running(alarm.pk) is not None,
    perform=lambda alarm, actor, said: escalations.stop_of_alarm(alarm.pk, actor=actor, reason=said["comment"]),
)  # fmt: skip
ASSIGN_ALARM = Button(
    "assign_alarm", "Assign alarms", "Assign", "Assigned",
    fits=lambda alarm: alarm.is_open,
    perform=lambda alarm, actor, said: alarms.assign(
        alarm.pk, actor=actor, assignee=said["assignee"], comment=said["comment"]
    ),
    form=partial(assignee_form, kind=AlarmAssignee),
)  # fmt: skip


def by_name(*buttons: Button) -> dict[str, Button]:
    return {button.name: button for button in buttons}


OF_ALARMS = by_name(ACKNOWLEDGE, UNACKNOWLEDGE, SHELVE, UNSHELVE, STOP_ESCALATION, ASSIGN_ALARM, COMMENT)
OF_SUPPRESSIONS = by_name(END_SHELVING)
OF_ESCALATIONS = by_name(STOP)


def on_one(
    page: Desk, request: HttpRequest, key: object, button: Button, *, to_list: bool = False, back: str = ""
) -> HttpResponse:
    """The button on a row's own page, and ``back`` to that page or to another one; ``to_list``: where the row may be
    gone afterwards."""
    row = ask.row_of(page, request, key)
    back = back or (_url(page, "changelist") if to_list else _url(page, "change", row.pk))
    return ask.answer(page, request, [row], _question(page, button, [row], request), back=back)


def on_selected(page: Desk, request: HttpRequest, rows: QuerySet[Any], button: Button, *, action: str) -> HttpResponse:
    """The button on a list, for the rows that were ticked."""
    chosen = list(rows)
    question = _question(page, button, chosen, request, hidden=ask.selected(request, action))
    return ask.answer(page, request, chosen, question, back=_url(page, "changelist"))


def fitting(
    page: Desk, request: HttpRequest, key: object, offered: Sequence[Any], known: Mapping[str, Button]
) -> list[Any]:
    """Of the buttons on offer those that make sense for the row, for somebody who may press them."""
    row = page.get_object(request, str(key))
    if row is None:
        return []
    prefix = f"{page.opts.app_label}_{page.opts.model_name}_"
    buttons = [(one, known[one.action_name.removeprefix(prefix)]) for one in offered]
    return [one for one, button in buttons if page.may(request, row, button.takes or page.acts) and button.fits(row)]


def _question(
    page: Desk,
    button: Button,
    rows: Sequence[Model],
    request: HttpRequest,
    *,
    hidden: dict[str, Sequence[str]] | None = None,
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
        zone=page.zone_of(rows),
        warn=button.warn,
        takes=button.takes,
    )


def _url(page: Desk, name: str, *keys: object) -> str:
    return reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_{name}", args=keys)
