"""An event of the journal as a webhook's receiver gets it: CloudEvents 1.0, structured JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.conf import settings

from maintenance import webhook_filter
from maintenance.webhook_filter import About
from maintenance.webhook_models import Webhook, WebhookDelivery
from sensors import columns
from sensors.models import Event

REST = {"alarm": "alarms", "anomaly": "anomalies", "work_order": "work-orders", "case": "cases", "plan": "plans"}
"""What REST calls the subjects that it has."""


def envelope(row: Webhook, delivery: WebhookDelivery) -> bytes:
    """The body: the same bytes for each attempt."""
    event = delivery.event
    said = of_test(row, delivery) if event is None else of(event, webhook_filter.about([event])[event.pk])
    return json.dumps(said, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def of(event: Event, about: About) -> dict[str, Any]:
    kind, _, key = event.subject.partition("/")
    data = {
        **event.data,
        "site": event.site_id,
        "actor": event.actor,
        "recorded_at": columns.instant_text(event.recorded_at),
        **({"machine": about.machine} if about.machine is not None else {}),
        **({"href": f"{settings.PUBLIC_URL}/api/v1/{REST[kind]}/{key}/"} if kind in REST else {}),
    }
    return _said(str(event.pk), event.site_id, type=event.type, subject=event.subject, at=event.occurred_at, data=data)


def of_test(row: Webhook, delivery: WebhookDelivery) -> dict[str, Any]:
    return _said(
        f"test-{delivery.pk}", row.site_id, type="test", subject=f"webhook/{row.pk}", at=delivery.created_at,
        data={"site": row.site_id, "webhook": row.name},
    )  # fmt: skip


def _said(key: str, site_id: int | None, *, type: str, subject: str, at: datetime, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": key,
        "source": f"{settings.PUBLIC_URL}/sites/{site_id}",
        "type": f"bellwether.{type}",
        "subject": subject,
        "time": columns.instant_text(at),
        "datacontenttype": "application/json",
        "data": data,
    }
