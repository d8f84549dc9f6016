"""Work that is not called for while an alarm is hidden, and what is made up for afterwards. Pure; of decide."""

from __future__ import annotations

from maintenance.alarm_life import Condition, Suppression

REASONS = {
    Suppression.SHELVED: "shelved",
    Suppression.BY_DESIGN: "suppressed-by-design",
    Suppression.OUT_OF_SERVICE: "out-of-service",
}
"""Why no work is called for."""
NO_LONGER_HIDDEN = "suppression-ended"
_DECIDED = frozenset(f"NONE:{reason}" for reason in REASONS.values())


def to_make_up_for(condition: Condition) -> bool:
    """Whether work was not called for because it was hidden, and was not called for since."""
    made_up = any(entry.endswith(f":{NO_LONGER_HIDDEN}") for entry in condition.decided)
    return not made_up and not _DECIDED.isdisjoint(condition.decided)
