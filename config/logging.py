"""Structured logs: an event name, ids as fields, one line each, and no secret in any of them."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import orjson
import structlog

from config.redaction import Redactor

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
PLAINLY = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
LINE_ENDS = re.compile("[\x85\u2028\u2029]")
"""What some take for the end of a line, and JSON does not escape."""
redactor = Redactor()
"""Of this process: it knows the secrets of the settings once they are read."""


def configure(*, json: bool, level: str, secrets: Iterable[str] = (), reports: bool = False) -> dict[str, Any]:
    """Set up structlog and return the dictionary for ``logging.config``: JSON lines, or text for a terminal.

    ``secrets``: values that no line may hold. ``reports``: errors with an exception go to Sentry as well.
    """
    global redactor
    redactor = Redactor(secrets)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.processors.StackInfoRenderer(),
            _exception_itself,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handlers: dict[str, Any] = {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}}
    if reports:
        handlers["sentry"] = {"()": "config.reports.Handler", "level": "ERROR"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": formatter, "json": json}},
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": level},
        "loggers": {
            "django_structlog": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
            "kombu": {"level": "WARNING"},
            "celery": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            "mail.log": {"level": "WARNING"},
        },
    }


def formatter(*, json: bool) -> structlog.stdlib.ProcessorFormatter:
    """For records of structlog and of everybody else alike."""
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_line)
        if json
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
    )


def _line(event: Any, **_: Any) -> str:
    line = orjson.dumps(event, default=str, option=PLAINLY).decode()
    return LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _redact(logger: Any, method: str, event: Any) -> Any:
    return {name: redactor.value(value, name=name) for name, value in event.items()}


def _exception_itself(logger: Any, method: str, event: Any) -> Any:
    """Not "the one being handled": handlers come later, and want the exception, not its text."""
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exc_info()
    return event


def tell_last_words() -> None:
    """Of this process: what would end it, or a thread, without a line is a line as well, and so are warnings."""
    logging.captureWarnings(True)
    sys.excepthook, threading.excepthook = _last_words, _last_words_of_thread


def _last_words(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """What ends a process is a line of its log as well."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("process").critical("process.died", exc_info=(kind, error, at))


def _last_words_of_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        error = (told.exc_type, told.exc_value, told.exc_traceback)
        logging.getLogger("process").critical("process.thread-died", exc_info=error)
