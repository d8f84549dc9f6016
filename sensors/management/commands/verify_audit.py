"""Whether the audit trail is as it was written: names each entry that was deleted, changed, put in or moved.

The last line is the end of the chain. Keep it where nobody who can write to the database can write, and give it to a
later call as --anchor: then a chain that was made anew is found as well.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sensors import audit_chain
from sensors.audit_chain import Head


class Command(BaseCommand):
    help = "Verify the audit trail; exit status 1 where entries were deleted, changed, put in or moved."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", action="append", default=[], type=_head, metavar="NUMBER:HASH",
            help="The end of the chain as an earlier call printed it; may be given several times.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        audit_chain.seal()
        found = audit_chain.verify(anchors=tuple(options["anchor"]))
        for fault in found.faults:
            self.stdout.write(fault)
        self.stdout.write(f"{found.entries} entries in the chain, {found.unsealed} not sealed yet.")
        self.stdout.write(f"head {found.head}")
        if found.faults:
            raise CommandError(f"The audit trail is not as it was written: {len(found.faults)} faults.")


def _head(text: str) -> Head:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise ArgumentTypeError("write it as number:hash, as this command prints it")
    number, _, value = text.partition(":")
    return Head(int(number), value)
