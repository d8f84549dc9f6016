"""How Granian writes its own lines (``server-log.json``): as the service does, JSON where that is asked for.

It imports nothing of the service: the process that only watches over the web server's is to stay small.
"""

from __future__ import annotations

import json
import logging
import os
import time

YES = {"1", "true", "yes", "on"}


class Lines(logging.Formatter):
    """One line each, whatever is in it."""

    def __init__(self) -> None:
        super().__init__("[%(levelname)s] %(message)s")
        self._json = any(os.environ.get(name, "").lower() in YES for name in ("BELLWETHER_PRODUCTION", "LOG_JSON"))

    def format(self, record: logging.LogRecord) -> str:
        if not self._json:
            return super().format(record)
        said = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)
