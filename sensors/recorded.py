"""What people change on pages of the admin gets into the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from sensors import audit


class Recorded:
    """A page of the admin whose changes get into the audit trail, in the transaction they are made in."""

    def site_id_of(self, row: Model) -> int | None:
        """Rows of the installation have none."""
        return None

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record(audit.ADMIN_ADDED, [obj], message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record(audit.ADMIN_CHANGED, [obj], message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        self._record(audit.ADMIN_DELETED, queryset, "")
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def _record(self, action: str, rows: Iterable[Model], message: Any) -> None:
        audit.record([
            audit.Act(
                action, f"{row._meta.label_lower}/{row.pk}", site_id=self.site_id_of(row),
                detail={"row": str(row)[: audit.MOST_TEXT], "said": message},
            )
            for row in rows
        ])  # fmt: skip
