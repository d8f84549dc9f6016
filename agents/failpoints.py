"""Places where a test can make a process fail, so that each way of failing is met every time and not by luck.

Nothing happens unless ``BELLWETHER_FAILPOINT`` names a place, or ``BELLWETHER_POISON`` values that no stage survives;
in production the system checks refuse both.
"""

from __future__ import annotations

import os
from typing import NoReturn

import numpy as np

from sensors.columns import Float64

EXIT_STATUS = 137  # as after SIGKILL
VARIABLE = "BELLWETHER_FAILPOINT"
POISON = "BELLWETHER_POISON"
"""Such as ``VALIDATE:raise:66.125,DETECT:kill:66.25``: stage, what the value does to whoever works on it, value."""

STAGE_POINTS = ("claimed", "worked", "finishing", "committed")
"""Of each stage: claimed and not begun; worked and nothing written; all written and not committed; committed and the
next bell not rung."""

DELIVERY_POINTS = ("deliver:claimed", "deliver:sent", "deliver:recording", "deliver:recorded")
WEBHOOK_POINTS = ("webhook:claimed", "webhook:sent")
BACKTEST_POINTS = ("backtest:claimed", "backtest:step", "backtest:finishing")
REPORT_POINTS = ("report:claimed", "report:step", "report:mailed", "report:finishing")
EXPORT_POINTS = ("export:claimed", "export:step", "export:finishing")
TRAINING_POINTS = ("training:claimed", "training:step", "training:finishing")


class Poisoned(RuntimeError):
    """A stage met a value that a test had declared to be poison."""


def taste(stage: str, values: Float64) -> None:
    """Raise ``Poisoned`` or die if a test declared one of the values to be poison for this stage."""
    for dose in filter(None, os.environ.get(POISON, "").split(",")):
        at, effect, value = dose.split(":")
        if at == stage and np.any(values == float(value)):
            if effect == "kill":
                die()
            raise Poisoned(f"{stage} met the value {value}")


def reach(point: str) -> None:
    """Die here, without any clean-up, if a test asked for it."""
    if os.environ.get(VARIABLE) == point:
        die()


def die() -> NoReturn:
    """End as SIGKILL ends a process."""
    os._exit(EXIT_STATUS)
