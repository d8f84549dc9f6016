from __future__ import annotations

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import node


class Command(BaseCommand):
    help = "Run everything on this machine: web, stage workers, beat, sweep, Flower and MLflow. Ctrl-C stops all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--flower-port", type=int, default=5555)
        parser.add_argument("--metrics-port", type=int, default=9101, help="The first of the workers'; 0: none.")
        parser.add_argument("--concurrency", type=int, default=1, help="Processes in each worker.")

    def handle(self, *args: Any, **options: Any) -> None:
        ports = {
            "port": options["port"], "flower_port": options["flower_port"], "mlflow_port": settings.MLFLOW_PORT,
            "metrics_port": options["metrics_port"],
        }  # fmt: skip
        try:
            supervisor = node.prepare(**ports, live_port=settings.LIVE_PORT, concurrency=options["concurrency"])
        except node.PortTaken as error:
            raise CommandError(str(error)) from error
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: supervisor.stopping.set())
        supervisor.start()
        for line in node.where_to_look(**ports):
            self.stdout.write(line)
        supervisor.watch()
