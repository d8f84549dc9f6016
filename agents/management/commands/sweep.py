from __future__ import annotations

import signal
import threading
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError, close_old_connections

from agents import exposition, sweeper
from agents.pulse import Pulse

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Ring for whatever is due, again and again; run the stages here while Redis is down. Run any number of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="One pass, then end.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self.stdout.write(f"{sweeper.sweep()} due")
            return
        exposition.serve_if_asked()
        stop, pulse = threading.Event(), Pulse()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        while not stop.is_set():
            close_old_connections()
            try:
                sweeper.sweep()
                pulse.note()
            except (OperationalError, InterfaceError) as error:
                log.error("agents.sweeper.database-unreachable", error=str(error))
            stop.wait(settings.SWEEP_SECONDS)
