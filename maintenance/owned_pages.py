"""What the pages of rows that people own share: the rules of REST, and a journal of each change."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from maintenance import owned, owned_rules
from maintenance.escalation_models import Override, Rota
from sensors.desk import Desk, KeepsSite


class Ruled(KeepsSite):
    """A form that also holds to the rules that tables cannot say, once all fields are valid."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        for name, told in owned_rules.wrong(self.instance).items():
            self.add_error(name if name in self.fields else None, told)


class Journaled(Desk):
    """A page whose rows, with their lines, are in the journal whenever somebody adds, changes or deletes one."""

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        row = form.instance
        stored = type(row)._default_manager.select_for_update().get(pk=row.pk) if change else None
        form.before = None if stored is None else owned.said(stored)
        form.overrides_before = {} if stored is None else _overrides(stored)
        return super().save_form(request, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        actor: Any = request.user
        owned.note(form.instance, before=form.before, actor=actor)
        owned.note_each(form.overrides_before, _overrides(form.instance), actor=actor)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        actor: Any = request.user
        owned.delete(obj, actor=actor)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


def _overrides(row: Model) -> dict[int, tuple[Override, dict[str, Any]]]:
    """Of a rota its overrides, each with what it says."""
    rows = Override.objects.filter(rota=row).select_related("rota") if isinstance(row, Rota) else []
    return {one.pk: (one, owned.said(one)) for one in rows}
