from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sensors import permissions
from sensors.permissions import Role


class Command(BaseCommand):
    help = "Print the table of permissions: what one may do in a site, by role."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--markdown", action="store_true", help="As a table for documents.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["markdown"]:
            self.stdout.write(permissions.markdown(), ending="")
            return
        width = max(len(name) for name in permissions.TABLE)
        heads = [role.value[:11].lower() for role in Role]
        self.stdout.write(" ".join(["permission".ljust(width), *(head.ljust(11) for head in heads)]).rstrip())
        for name, one in permissions.TABLE.items():
            marks = ["yes" if role in one.roles else "-" for role in Role]
            self.stdout.write(" ".join([name.ljust(width), *(mark.ljust(11) for mark in marks)]).rstrip())
