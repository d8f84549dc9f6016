"""The page between pressing a button and its effect: what it will touch, a form, and a confirmation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold import widgets

from sensors.desk import ACTORS, Desk

CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before rows are acted on.

    ``perform`` acts on one row with the cleaned answers; what it raises of ``refusals`` is told to the person, not a
    fault. ``done`` is what the person reads afterwards, in the past tense.
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

    @property
    def caught(self) -> tuple[type[Exception], ...]:
        return (ValidationError, *self.refusals)


class Comment(forms.Form):
    """A comment, kept in the row's history."""

    comment = forms.CharField(
        required=False, max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Kept in the history.",
    )  # fmt: skip


def row_of(page: Desk, request: HttpRequest, key: object) -> Any:
    """The row of that key, if whoever asks may act on it. Raises ``Http404`` where they may not even see it."""
    row = page.get_object(request, str(key))
    if row is None:
        raise Http404(f"There is no {page.opts.verbose_name} {key}.")
    if not page.may(request, row, ACTORS):
        raise PermissionDenied
    return row


def answer(page: Desk, request: HttpRequest, rows: Sequence[Model], question: Question, *, back: str) -> HttpResponse:
    """Ask, or act on every row and go back, saying what was done and what was refused."""
    if not all(page.may(request, row, ACTORS) for row in rows):
        raise PermissionDenied
    confirmed = request.method == "POST" and CONFIRMED in request.POST
    form = question.form(request.POST if confirmed else None)
    if confirmed and form.is_valid():
        return _act(page, request, rows, question, form, back=back)
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
    return TemplateResponse(request, "admin/ask.html", context)


def _act(
    page: admin.ModelAdmin[Any],
    request: HttpRequest,
    rows: Sequence[Model],
    question: Question,
    form: forms.Form,
    *,
    back: str,
) -> HttpResponse:
    done: list[Model] = []
    for row in rows:
        try:
            question.perform(row, form.cleaned_data)
        except question.caught as refusal:
            text = "; ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)
            page.message_user(request, f"{row}: {text}", messages.ERROR)
        else:
            done.append(row)
    if done:
        names = ", ".join(str(row) for row in done[:3]) + (f" and {len(done) - 3} more" if len(done) > 3 else "")
        page.message_user(request, f"{question.done}: {names}.", messages.SUCCESS)
    after = question.after(done[0]) if done and question.after is not None else back
    return HttpResponseRedirect(after)


def selected(request: HttpRequest, action: str) -> dict[str, Sequence[str]]:
    """What a list's action must be sent again with when it is confirmed."""
    return {"action": [action], helpers.ACTION_CHECKBOX_NAME: request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)}
