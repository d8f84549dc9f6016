"""What has to be true of an order before a step of it, beside its status: each gate is one function.

Called by ``order_steps.step`` on the locked order. A gate raises ``Refused`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from django.contrib.auth.models import User

from maintenance import checklists, permits, sign_off
from maintenance.models import WorkOrder
from maintenance.order_life import Action

Gate = Callable[[WorkOrder, User, datetime], None]

GATES: Mapping[Action, tuple[Gate, ...]] = {
    Action.STARTED: (permits.require_valid,),
    Action.RESUMED: (permits.require_valid,),
    Action.COMPLETED: (checklists.require_answered,),
    Action.CLOSED: (sign_off.require_other_eyes,),
}


def require(order: WorkOrder, action: Action, *, actor: User | None, now: datetime) -> None:
    """Raises ``Refused`` of the first gate that is shut. ``actor`` None: a policy, which passes none."""
    for gate in GATES.get(action, ()):
        if actor is None:
            raise ValueError(f"{action} takes a person")
        gate(order, actor, now)
