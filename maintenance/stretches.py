"""Stretches of event time in which the state of a machine hides alarms. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``begin`` until ``end``, None where that is not known yet: instants in microseconds.

    ``suppression_id``: what stands for it, until what was still active at its end is told. ``told``: it was.
    """

    suppression_id: int
    begin: int
    end: int | None
    told: bool = False

    def holds(self, at: int | None) -> bool:
        """Whether it hides what happens then; None: now, when it may be over but nothing was told yet."""
        if at is None:
            return not self.told
        return self.begin <= at and (self.end is None or at < self.end)

    def outlasted(self, until: int | None) -> bool:
        """Whether what happens in it, until then (None: not known yet), would never be told: nobody looks at it again,
        and it was not over by its end."""
        return self.told and (until is None or self.end is None or until > self.end)
