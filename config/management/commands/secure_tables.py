"""Row security as declared, by hand: ``migrate`` does the same."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from config import second_wall


class Command(BaseCommand):
    help = "Gives each table the policies that hold the web server's role to its sites. Changes nothing that is so."

    def handle(self, *args: Any, **options: Any) -> None:
        for table in second_wall.secure():
            self.stdout.write(table)
