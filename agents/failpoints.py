"""Places where a test can kill the process, so that each crash point is met every time and not by luck.

Nothing happens unless ``BELLWETHER_FAILPOINT`` names the place; in production the system checks refuse that.
"""

from __future__ import annotations

import os

EXIT_STATUS = 137  # as after SIGKILL
VARIABLE = "BELLWETHER_FAILPOINT"

STAGE_POINTS = ("claimed", "worked", "finishing", "committed")
"""Of each stage: claimed and not begun; worked and nothing written; all written and not committed; committed and the
next bell not rung."""

DELIVERY_POINTS = ("deliver:claimed", "deliver:sent", "deliver:recording", "deliver:recorded")


def reach(point: str) -> None:
    """Die here, without any clean-up, if a test asked for it."""
    if os.environ.get(VARIABLE) == point:
        os._exit(EXIT_STATUS)
