"""The page between pressing a button and its effect: what it will touch, a form, and a confirmation.

Times are asked for and shown in one time zone, which stands beside each field for a time; what is done with them has
them in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold import widgets

from sensors.desk import Desk

CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before rows are acted on.

    ``perform`` acts on one row with the cleaned answers; what it raises of ``refusals`` is told to the person, not a
    fault. ``done`` is what the person reads afterwards, in the past tense, and ``warn`` what hindered nothing but is
    to be known of a row. ``takes``: the permission, where it is another one than the page's buttons take.
    """

    title: str
    button: str
    done: str
    form: Callable[[Any], forms.Form]
    perform: Callable[[Any, dict[str, Any]], object]
    refusals: tuple[type[Exception], ...] = ()
    explain: str = ""
    after: Callable[[Any], str] | None = None
    hidden: dict[str, Sequence[str]] = field(default_factory=dict)
    zone: tzinfo = UTC
    warn: Callable[[Any], Iterable[str]] = field(default=lambda row: ())
    takes: str = ""

    @property
    def caught(self) -> tuple[type[Exception], ...]:
        return (ValidationError, *self.refusals)


class Comment(forms.Form):
    """A comment, kept in the row's history."""

    comment = forms.CharField(
        required=False, max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Kept in the history.",
    )  # fmt: skip


def row_of(page: Desk, request: HttpRequest, key: object, *, takes: str = "") -> Any:
    """The row of that key, if whoever asks may act on it. Raises ``Http404`` where they may not even see it."""
    row = page.get_object(request, str(key))
    if row is None:
        raise Http404(f"There is no {page.opts.verbose_name} {key}.")
    if not page.may(request, row, takes or page.acts):
        raise PermissionDenied
    return row


def answer(page: Desk, request: HttpRequest, rows: Sequence[Model], question: Question, *, back: str) -> HttpResponse:
    """Ask, or act on every row and go back, saying what was done and what was refused. Where all was refused it is
    asked again, with what was answered."""
    if not all(page.may(request, row, question.takes or page.acts) for row in rows):
        raise PermissionDenied
    with timezone.override(question.zone):
        confirmed = request.method == "POST" and CONFIRMED in request.POST
        form = question.form(request.POST if confirmed else None)
        name_zone(form, question.zone)
        if confirmed and form.is_valid():
            done, refused = _act(question, rows, form)
            if done or not refused:
                _tell(page, request, question, done, refused)
                after = question.after(done[0]) if done and question.after is not None else back
                return HttpResponseRedirect(after)
            for text in refused:
                form.add_error(None, text)
        context = {
            **page.admin_site.each_context(request),
            "title": question.title,
            "opts": page.opts,
            "question": question,
            "rows": rows,
            "form": form,
            "back": back,
            "hidden": [(name, value) for name, values in question.hidden.items() for value in values],
        }
        return TemplateResponse(request, "admin/ask.html", context).render()


def name_zone(form: forms.Form, zone: tzinfo) -> None:
    """Beside each field for a time."""
    for one in form.fields.values():
        if isinstance(one, forms.DateTimeField | forms.SplitDateTimeField):
            one.help_text = f"{one.help_text} In {zone}.".strip()


def in_utc(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Answers with their times in UTC. Raises ``ValidationError`` where a time is before the first there or after the
    last."""
    try:
        return {
            name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in answers.items()
        }
    except OverflowError as error:
        raise ValidationError("There is no such time in UTC.") from error


def _act(question: Question, rows: Sequence[Model], form: forms.Form) -> tuple[list[Model], list[str]]:
    """The rows that were acted on, and why others were not."""
    done: list[Model] = []
    refused: list[str] = []
    for row in rows:
        try:
            question.perform(row, in_utc(form.cleaned_data))
        except question.caught as refusal:
            text = "; ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)
            refused.append(f"{row}: {text}")
        else:
            done.append(row)
    return done, refused


def _tell(
    page: admin.ModelAdmin[Any], request: HttpRequest, question: Question, done: Sequence[Model], refused: Sequence[str]
) -> None:
    for text in refused:
        page.message_user(request, text, messages.ERROR)
    now = [_as_it_is(row) for row in done]
    if now:
        names = ", ".join(str(row) for row in now[:3]) + (f" and {len(now) - 3} more" if len(now) > 3 else "")
        page.message_user(request, f"{question.done}: {names}.", messages.SUCCESS)
    for text in (text for row in now for text in question.warn(row)):
        page.message_user(request, text, messages.WARNING)


def _as_it_is(row: Model) -> Model:
    """The row after it was acted on; as it was where it is gone."""
    found: Model | None = type(row)._default_manager.filter(pk=row.pk).first()
    return found or row


def selected(request: HttpRequest, action: str) -> dict[str, Sequence[str]]:
    """What a list's action must be sent again with when it is confirmed."""
    return {"action": [action], helpers.ACTION_CHECKBOX_NAME: request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)}
