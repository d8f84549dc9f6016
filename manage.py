#!/usr/bin/env python
"""Bellwether's command line."""

import os
import sys

from django.core.management import execute_from_command_line

from config import embedded

WITHOUT_SERVERS = {
    "makemigrations",
    "check",
    "spectacular",
    "collectstatic",
    "detect",
    "down",
    "help",
    "version",
    "test",
}


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if len(arguments) > 1 and arguments[1] not in WITHOUT_SERVERS and "--help" not in arguments:
        embedded.ensure_needed()
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
