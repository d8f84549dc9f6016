"""What an answer to an item of a checklist comes to. Pure: no Django.

A tick says that something was done; a pass/fail says how it was found; a reading fails outside its limits, which are
inside themselves.
"""

from __future__ import annotations

import math
from enum import StrEnum


class Kind(StrEnum):
    TICK = "TICK"
    PASS_FAIL = "PASS_FAIL"
    READING = "READING"


class NoAnswer(ValueError):
    """The answer does not fit the kind of the item: the message says what is needed."""


def passes(
    kind: str, *, low: float | None, high: float | None, passed: bool | None = None, value: float | None = None
) -> bool:
    """Whether an item is all right by its answer: ``passed`` of a tick or a pass/fail, ``value`` of a reading.

    Raises ``NoAnswer``. ``low`` and ``high``: the limits of a reading, open where None.
    """
    if kind == Kind.READING:
        if value is None or not math.isfinite(value):
            raise NoAnswer("A reading is answered with a number.")
        return (low is None or value >= low) and (high is None or value <= high)
    if value is not None:
        raise NoAnswer("Only a reading is answered with a number.")
    if passed is None:
        raise NoAnswer("Say whether it is done." if kind == Kind.TICK else "Say whether it is all right.")
    if kind == Kind.TICK and not passed:
        raise NoAnswer("What is not done is left unticked.")
    return passed
