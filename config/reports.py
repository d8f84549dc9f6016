"""Exceptions that the log tells of go to Sentry as well, each once, and without what is secret or personal.

Loaded only where ``SENTRY_DSN`` is set. The log is the one door: what is not logged is not reported, wherever it
happened: in a view, a task, the sweep, a thread. Requests, users, local variables and breadcrumbs are not sent.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import sentry_sdk
import structlog
from django.conf import settings

from agents import version
from config import logging as lines

FLUSH_SECONDS = 2.0
TAGS = (
    "request_id", "correlation_id", "run_id", "stage", "attempt", "notification_id", "webhook_id", "delivery_id",
    "errand", "errand_id", "job",
)  # fmt: skip
MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
REPORTED = "_reported"


class Handler(logging.Handler):
    """For the root logger: the service's own lines and those of libraries."""

    def __init__(self, level: int | str = logging.ERROR) -> None:
        super().__init__(level)
        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            release=f"bellwether@{version.current()}",
            environment=settings.SENTRY_ENVIRONMENT,
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            before_send=without_secrets,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """One that is logged again on its way up is not reported again."""
        told: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        found: Any = record.exc_info or told.get("exc_info")
        error = found[1] if isinstance(found, tuple) else found
        if not isinstance(error, BaseException) or getattr(error, REPORTED, False):
            return
        setattr(error, REPORTED, True)
        known = structlog.contextvars.get_contextvars() | told
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("event", str(told.get("event", ""))[:200])
            scope.set_tag("logger", record.name)
            for name in TAGS:
                if known.get(name) not in (None, ""):
                    scope.set_tag(name, str(known[name]))
            scope.capture_exception((type(error), error, error.__traceback__))

    def flush(self) -> None:
        sentry_sdk.flush(FLUSH_SECONDS)


def without_secrets(event: Any, hint: Any) -> Any:
    """Texts as in the log, and no mail addresses; nothing of who asked for what."""
    kept = {name: value for name, value in event.items() if name not in ("user", "request", "breadcrumbs", "extra")}
    return _without_mail(lines.redactor.value(kept))


def _without_mail(value: Any) -> Any:
    if isinstance(value, str):
        return MAIL.sub("[mail]", value)
    if isinstance(value, dict):
        return {name: _without_mail(of) for name, of in value.items()}
    if isinstance(value, list):
        return [_without_mail(one) for one in value]
    return value
