"""Journal entries about what belongs to an order: its checklists, labour, costs, downtime, permits and files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model

from sensors import journal
from sensors.models import Event


def note(
    event: str, row: Model, *, site_id: int, order_id: int | None, actor: User, now: datetime, **data: Any
) -> None:
    """Keep that something happened to a row, ``event`` being one of ``journal.CARRYING_OUT``. ``data``: plain JSON."""
    subject = f"{event.split('.')[0]}/{row.pk}"
    last = Event.objects.filter(subject=subject).order_by("-id").values_list("id", flat=True).first() or 0
    said: Mapping[str, Any] = {"work_order": order_id, **data}
    key = f"{event}/{row.pk}/after/{last}"
    journal.record([journal.Entry(event, subject, key, now, site_id, actor.get_username(), said)])
