"""The table of spare parts: what there is of them is the ledger's, and no row says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from maintenance import owned
from maintenance.part_models import Part
from sensors.exchange import Key, Rows


class PartRows(Rows):
    key = ("number",)
    columns = ("number", "name", "unit", "unit_cost", "lead_time_days", "minimum", "is_active")
    required = ("number",)
    unchecked = ()

    class Meta(Rows.Meta):
        abstract = False
        model = Part

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        found = Part.objects.filter(site=self.site, number__in=[number for (number,) in keys])
        return {(row.number,): row for row in found.select_for_update(no_key=True).order_by("id")}

    def save(self, row: Part) -> None:
        try:
            if row._state.adding:
                owned.add(row, actor=self.actor)
            else:
                owned.change(row, {name: getattr(row, name) for name in self.columns}, actor=self.actor)
        except owned.Invalid as error:
            told = {NON_FIELD_ERRORS if name == "non_field_errors" else name: of for name, of in error.errors.items()}
            raise ValidationError(told) from error

    def after_import(self, dataset: Any, result: Any, **kwargs: Any) -> None:
        """Nothing more: a part that was added or changed is in the journal already."""
