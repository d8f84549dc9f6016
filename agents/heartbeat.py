"""The outside heartbeat: a dead-man's switch calls for help when our calls stop coming.

It is told nothing but that all is well. A call that fails is logged and counted, and the next minute calls again.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from agents.channels.contract import Permanent, Transient
from agents.channels.webhook import Webhook
from agents.models import Heartbeat

log = structlog.get_logger(__name__)


def call(*, by: Webhook) -> bool:
    """Call ``HEARTBEAT_URL`` if one is set; whether it was called and answered.

    The address is judged as that of a webhook is. It may hold a secret: no message shows more of it than the host.
    """
    url: str = settings.HEARTBEAT_URL or ""
    if not url:
        return False
    Heartbeat.objects.get_or_create(pk=1)
    row = Heartbeat.objects.filter(pk=1)
    try:
        by.request("GET", url)
    except (Permanent, Transient) as error:
        told = _without_secrets(str(error), url=url)
        log.warning("agents.heartbeat.failed", error=told)
        row.update(failed_at=Now(), failures=F("failures") + 1, error=told)
        return False
    row.update(answered_at=Now())
    return True


def _without_secrets(told: str, *, url: str) -> str:
    """Many a page that was not found repeats the path it was asked for."""
    parts = urlsplit(url)
    for secret in (parts.path.strip("/"), parts.query):
        told = told.replace(secret, "...") if secret else told
    return told
