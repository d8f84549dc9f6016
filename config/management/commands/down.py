from typing import Any

from django.core.management.base import BaseCommand

from config import embedded


class Command(BaseCommand):
    help = "Stop the embedded servers that a crash left running. Servers given by URL are not touched."

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = embedded.stop()
        self.stdout.write(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
